//! The table of token embeddings, read row by row from whatever type it is stored in.

use candle_core::{DType, Device, Tensor};

use super::Matrix;
use crate::{Error, Result};

/// Token ids to rows of a matrix `[vocab, hidden]`.
#[derive(Debug, Clone)]
pub struct Embedding {
    table: Matrix,
    vocab: usize,
}

impl Embedding {
    /// A table of `vocab` rows.
    pub fn new(table: Matrix, vocab: usize) -> Self {
        Self { table, vocab }
    }

    /// The table itself: a tied output head multiplies with it.
    pub fn table(&self) -> &Matrix {
        &self.table
    }

    /// The rows of `ids`, f32 `[ids, hidden]`.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if an id is not in the table.
    pub fn forward(&self, ids: &[u32]) -> Result<Tensor> {
        if let Some(id) = ids.iter().find(|&&id| id as usize >= self.vocab) {
            return Err(Error::argument(
                "token",
                format_args!("{id} is not in the vocabulary of {}", self.vocab),
            ));
        }
        Ok(match &self.table {
            Matrix::Tensor(table) => {
                let ids = Tensor::new(ids, table.device())?;
                table.index_select(&ids, 0)?.to_dtype(DType::F32)?
            }
            Matrix::Dense(table) => rows(ids, table.width(), |id| table.row(id))?,
            Matrix::Packed(table) => {
                let lost = || candle_core::Error::Msg(format!("rows of {table:?} are gone"));
                let rows = table.floats(ids).ok_or_else(lost)?;
                Tensor::from_vec(rows, (ids.len(), table.width()), &Device::Cpu)?
            }
            Matrix::Blocks(table) => {
                let ids = Tensor::new(ids, &table.device())?;
                table.embedding(&ids)?.to_dtype(DType::F32)?
            }
        })
    }
}

fn rows(ids: &[u32], width: usize, row: impl Fn(usize) -> Option<Vec<f32>>) -> Result<Tensor> {
    let rows: Vec<f32> = ids.iter().filter_map(|&id| row(id as usize)).flatten().collect();
    Ok(Tensor::from_vec(rows, (ids.len(), width), &Device::Cpu)?)
}
