//! Matrices piece by piece: read, converted, packed, and what was read given back.
//!
//! A model is as large as memory allows, so nothing is held twice for longer than a piece takes.

use std::borrow::Cow;
use std::sync::Arc;

use candle_core::DType;
use candle_core::quantized::{GgmlDType, QTensor};

use super::{Role, Weights, convert, finite, is_blocks, quantize};
use crate::kernels::dense::{DenseMatrix, DenseType};
use crate::kernels::quant::ShardedMatrix;
use crate::nn::Matrix;
use crate::{Error, Result};

/// Bytes of a tensor that are taken at a time, about.
const PIECE: usize = 8 << 20;
/// As many where they are packed as they are stored: so few that what was read is still in the processor's cache. A
/// browser's reads cost more than that saves.
const STORED_PIECE: usize = if cfg!(target_arch = "wasm32") { PIECE } else { 2 << 20 };
/// A piece's rows are a multiple of it: whole panels for every instruction set.
const ROWS: usize = 64;

/// How a matrix will be held.
#[derive(Clone, Copy)]
enum Held {
    Blocks(GgmlDType),
    Numbers(DType),
}

/// Room for a packed matrix.
enum Room {
    Packed(ShardedMatrix),
    Dense(DenseMatrix),
}

impl Room {
    fn put(&mut self, row: usize, bytes: &[u8]) -> bool {
        match self {
            Room::Packed(matrix) => matrix.put(row, bytes),
            Room::Dense(matrix) => matrix.put(row, bytes),
        }
    }
}

impl Weights<'_> {
    pub(super) fn matrix(&self, name: &str, shape: [usize; 2], role: Role) -> Result<Matrix> {
        let (stored, info) = self.take(name, &shape)?;
        let dtype = self.known_type(&stored, info)?;
        let target = self.options.quantize.and_then(|quant| match role {
            Role::Inner => quant.for_rows_of(shape[1]),
            Role::Head => quant.for_head_rows_of(shape[1]),
        });
        let held = match target {
            Some(target) => Held::Blocks(target),
            None if is_blocks(info) && self.options.dtype.is_none() => Held::Blocks(dtype),
            None => Held::Numbers(self.options.dtype.unwrap_or(match dtype {
                GgmlDType::F16 => DType::F16,
                GgmlDType::BF16 => DType::BF16,
                _ => DType::F32,
            })),
        };
        let matrix = match self.room(held, shape) {
            Some(room) => self.in_pieces(name, &stored, dtype, held, shape, room)?,
            None => {
                let bytes = self.checkpoint.read(&stored)?;
                self.check(&stored, &bytes, dtype)?;
                let bytes = self.naming.reorder(name, bytes, shape[0])?;
                let matrix = self.whole(&bytes, dtype, held, shape, &stored)?;
                self.checkpoint.discard_part(&stored, 0..usize::MAX);
                matrix
            }
        };
        let held = match held {
            Held::Blocks(held) => format!("{held:?}"),
            Held::Numbers(held) => format!("{held:?}"),
        };
        self.hold(matrix.bytes(), &held);
        Ok(matrix)
    }

    /// Room for a matrix that Crane's kernels multiply; `None` on a GPU and for types they do not know.
    fn room(&self, held: Held, [rows, width]: [usize; 2]) -> Option<Room> {
        if !self.device().is_cpu() {
            return None;
        }
        match held {
            Held::Blocks(dtype) => {
                let helpers = self.options.helpers.as_ref();
                ShardedMatrix::room(dtype, rows, width, helpers).map(Room::Packed)
            }
            Held::Numbers(dtype) => DenseMatrix::room(dense(dtype), rows, width).map(Room::Dense),
        }
    }

    fn in_pieces(
        &self,
        name: &str,
        stored: &str,
        dtype: GgmlDType,
        held: Held,
        [rows, width]: [usize; 2],
        mut room: Room,
    ) -> Result<Matrix> {
        let row_bytes = width / dtype.block_size() * dtype.type_size();
        let as_stored = match held {
            Held::Blocks(target) => target == dtype,
            Held::Numbers(held) => DenseType::of(dtype) == Some(dense(held)),
        };
        let piece = if as_stored { STORED_PIECE } else { PIECE };
        let step = match self.naming.reorders(name) {
            // Rows change their places within the whole.
            true => rows.max(1),
            false => (piece / row_bytes.max(1)).next_multiple_of(ROWS),
        };
        for first in (0..rows).step_by(step) {
            let count = step.min(rows - first);
            let part = first * row_bytes..(first + count) * row_bytes;
            let bytes = self.checkpoint.read_part(stored, part.clone())?;
            self.check(stored, &bytes, dtype)?;
            let bytes = self.naming.reorder(name, bytes, rows)?;
            let bytes: Cow<'_, [u8]> = match held {
                _ if as_stored => bytes,
                Held::Blocks(target) => {
                    quantize::quantize_rows(&bytes, dtype, [count, width], target, stored)?.into()
                }
                Held::Numbers(held) => {
                    let values = convert::to_f32(&bytes, dtype, stored)?;
                    let narrowed = convert::to_bytes(&values, dense(held));
                    if held == DType::F16 && !finite::are_finite(&narrowed, GgmlDType::F16) {
                        return Err(self.too_large(stored));
                    }
                    narrowed.into()
                }
            };
            if !room.put(first, &bytes) {
                let reason = format_args!("its bytes are not {rows} rows of {width} numbers");
                return Err(Error::invalid_file(stored, reason));
            }
            drop(bytes);
            self.checkpoint.discard_part(stored, part);
        }
        Ok(match room {
            Room::Packed(matrix) => Matrix::Packed(Arc::new(matrix)),
            Room::Dense(matrix) => Matrix::Dense(Arc::new(matrix)),
        })
    }

    fn check(&self, stored: &str, bytes: &[u8], dtype: GgmlDType) -> Result<()> {
        match finite::are_finite(bytes, dtype) {
            true => Ok(()),
            false => Err(self.not_finite(stored)),
        }
    }

    /// A matrix that candle multiplies.
    fn whole(
        &self,
        bytes: &[u8],
        dtype: GgmlDType,
        held: Held,
        shape: [usize; 2],
        name: &str,
    ) -> Result<Matrix> {
        Ok(match held {
            Held::Blocks(target) => {
                let bytes: Cow<'_, [u8]> = match target == dtype {
                    true => Cow::Borrowed(bytes),
                    false => quantize::quantize_rows(bytes, dtype, shape, target, name)?.into(),
                };
                let storage = convert::to_blocks(&bytes, target, self.device())?;
                Matrix::Blocks(Arc::new(QTensor::new(storage, (shape[0], shape[1]))?))
            }
            Held::Numbers(held) => {
                let device = self.device();
                Matrix::Tensor(convert::to_tensor(bytes, dtype, shape, held, device, name)?)
            }
        })
    }
}

fn dense(dtype: DType) -> DenseType {
    match dtype {
        DType::F16 => DenseType::F16,
        DType::BF16 => DenseType::BF16,
        _ => DenseType::F32,
    }
}
