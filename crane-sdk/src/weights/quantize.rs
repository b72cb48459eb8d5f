//! Quantising dense matrices while they are loaded, a few rows at a time.

use std::fmt;
use std::str::FromStr;

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::convert;
use crate::{Error, Result};

/// Rows that are widened and quantised together: the only extra memory that quantising takes.
const ROWS: usize = 64;

/// A type that dense weights can be quantised to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quantization {
    /// 8 bits, 32 numbers to a scale.
    Q8_0,
    /// 4 bits, 32 numbers to a scale.
    Q4_0,
    /// 4 bits with a minimum, 256 numbers in eight groups.
    Q4K,
    /// 5 bits with a minimum, 256 numbers in eight groups.
    Q5K,
    /// 6 bits, 256 numbers in sixteen groups.
    Q6K,
}

impl Quantization {
    /// Every type and its name.
    pub const ALL: [(Quantization, &'static str); 5] = [
        (Quantization::Q8_0, "q8_0"),
        (Quantization::Q4_0, "q4_0"),
        (Quantization::Q4K, "q4_k"),
        (Quantization::Q5K, "q5_k"),
        (Quantization::Q6K, "q6_k"),
    ];

    /// The block type for rows of `width` numbers: the type itself or, where a row is not whole blocks
    /// of 256, the next better type of 32 (as llama.cpp's converter chooses); `None` leaves a matrix
    /// dense whose rows are not whole blocks of 32 either.
    pub(crate) fn for_rows_of(self, width: usize) -> Option<GgmlDType> {
        let dtype = match self {
            Quantization::Q8_0 => GgmlDType::Q8_0,
            Quantization::Q4_0 => GgmlDType::Q4_0,
            Quantization::Q4K if width.is_multiple_of(256) => GgmlDType::Q4K,
            Quantization::Q4K => GgmlDType::Q5_0,
            Quantization::Q5K if width.is_multiple_of(256) => GgmlDType::Q5K,
            Quantization::Q5K => GgmlDType::Q5_1,
            Quantization::Q6K if width.is_multiple_of(256) => GgmlDType::Q6K,
            Quantization::Q6K => GgmlDType::Q8_0,
        };
        width.is_multiple_of(dtype.block_size()).then_some(dtype)
    }

    /// As [`Quantization::for_rows_of`] for an output head, which gets at least 6 bits.
    pub(crate) fn for_head_rows_of(self, width: usize) -> Option<GgmlDType> {
        match self {
            Quantization::Q8_0 => self,
            _ => Quantization::Q6K,
        }
        .for_rows_of(width)
    }
}

impl fmt::Display for Quantization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(quant, _)| quant == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

impl FromStr for Quantization {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let lower = text.to_ascii_lowercase();
        let found = Self::ALL.iter().find(|(_, name)| *name == lower).map(|(quant, _)| *quant);
        found.ok_or_else(|| {
            let known: Vec<&str> = Self::ALL.iter().map(|(_, name)| *name).collect();
            Error::argument("quant", format_args!("{text:?} is none of {}", known.join(", ")))
        })
    }
}

/// Rows of a dense matrix as blocks of type `target`, on all cores.
pub(super) fn quantize_rows(
    bytes: &[u8],
    dtype: GgmlDType,
    [rows, width]: [usize; 2],
    target: GgmlDType,
    name: &str,
) -> Result<Vec<u8>> {
    let row_bytes = width / dtype.block_size() * dtype.type_size();
    let out_bytes = width / target.block_size() * target.type_size();
    let mut out = vec![0u8; rows * out_bytes];
    out.par_chunks_mut((ROWS * out_bytes).max(1))
        .zip(bytes.par_chunks((ROWS * row_bytes).max(1)))
        .try_for_each(|(out, bytes)| -> Result<()> {
            let values = convert::to_f32(bytes, dtype, name)?;
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Err(Error::invalid_file(name, format_args!("it holds the value {value}")));
            }
            let tensor =
                Tensor::from_vec(values, (out.len() / out_bytes.max(1), width), &Device::Cpu)?;
            out.copy_from_slice(&QTensor::quantize(&tensor, target)?.data()?);
            Ok(())
        })?;
    Ok(out)
}
