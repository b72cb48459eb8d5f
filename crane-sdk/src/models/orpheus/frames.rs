//! Tokens gathered into frames.

use super::{FRAME, Vocabulary};

/// Which token of a frame is which code of SNAC's: its levels one after the other, each in the order of time.
const ORDER: [usize; FRAME] = [0, 1, 4, 2, 3, 5, 6];

/// Tokens of a frame that is not whole.
///
/// A token counts only where its number says that its place is. One that comes at another place is left out, and so the frames
/// after it stay whole; every code counts, 0 too.
#[derive(Debug, Clone)]
pub struct Frames {
    vocabulary: Vocabulary,
    codes: Vec<u32>,
    strays: usize,
}

impl Frames {
    /// None yet.
    pub fn new(vocabulary: Vocabulary) -> Self {
        Self { vocabulary, codes: Vec::with_capacity(FRAME), strays: 0 }
    }

    /// Takes a token; gives the frame that it completes, in the order of [`Snac`](crate::codec::Snac)'s codes at 24 kHz.
    pub fn push(&mut self, id: u32) -> Option<[u32; FRAME]> {
        match self.vocabulary.code(id) {
            Some((place, code)) if place == self.codes.len() => self.codes.push(code),
            _ => self.strays += 1,
        }
        let codes = <[u32; FRAME]>::try_from(self.codes.as_slice()).ok()?;
        self.codes.clear();
        Some(ORDER.map(|place| codes.get(place).copied().unwrap_or_default()))
    }

    /// Tokens that were left out.
    pub fn strays(&self) -> usize {
        self.strays
    }
}
