//! What a helper does with the messages that it gets.

use std::collections::BTreeMap;

use super::super::{Activations, PackedMatrix, TYPES, matmul};
use super::{FORGET, MULTIPLY, PUT, ROOM, ROWS, to_floats};

/// What a helper holds.
#[derive(Debug, Default)]
pub struct Keeper {
    pub(super) matrices: BTreeMap<u32, PackedMatrix>,
}

impl Keeper {
    /// Does what a message asks. `None` for a message that makes no sense; the inner one for a message without an answer.
    pub fn take(&mut self, message: &[u32]) -> Option<Option<Vec<u32>>> {
        match message {
            &[ROOM, id, kind, rows, width] => {
                let dtype = *TYPES.get(kind as usize)?;
                let room = PackedMatrix::room(dtype, rows as usize, width as usize)?;
                self.matrices.insert(id, room);
                Some(None)
            }
            [PUT, id, row, len, words @ ..] => {
                let bytes = to_bytes(words).get(..*len as usize)?;
                self.matrices.get_mut(id)?.put(*row as usize, bytes).then_some(Some(Vec::new()))
            }
            [MULTIPLY, width, count, rest @ ..] => {
                let (ids, x) = rest.split_at_checked(*count as usize)?;
                let matrices: Option<Vec<_>> =
                    ids.iter().map(|id| Some((self.matrices.get(id)?, None))).collect();
                let x = Activations::quantize(to_floats(x), *width as usize)?;
                let products = matmul(&x, &matrices?)?;
                Some(Some(products.concat().into_iter().map(f32::to_bits).collect()))
            }
            [ROWS, id, rows @ ..] => {
                let matrix = self.matrices.get(id)?;
                let mut out = Vec::new();
                for row in rows {
                    out.extend(matrix.row(*row as usize)?.iter().map(|x| x.to_bits()));
                }
                Some(Some(out))
            }
            [FORGET, id] => self.matrices.remove(id).map(|_| None),
            _ => None,
        }
    }
}

fn to_bytes(words: &[u32]) -> &[u8] {
    // SAFETY: a word is four bytes.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), 4 * words.len()) }
}
