//! Whether the numbers of a matrix are finite, and the scales of its blocks.
//!
//! A NaN among the weights does not always show in what a network gives: products of quantised weights round activations to
//! 8 bits, and attention leaves a score that is none out of its maximum. What comes then is noise that looks like an answer. So
//! matrices are looked through once, while they are read.

use candle_core::quantized::GgmlDType;
use rayon::prelude::*;

/// Blocks that a thread looks through at a time.
const RUN: usize = 1 << 15;

/// Whether the numbers of a stored type, or the scales and offsets of its blocks, are all finite.
pub(super) fn are_finite(bytes: &[u8], dtype: GgmlDType) -> bool {
    let run = RUN * dtype.type_size();
    match bytes.len() <= run {
        true => run_is_finite(bytes, dtype),
        false => bytes.par_chunks(run).all(|bytes| run_is_finite(bytes, dtype)),
    }
}

fn run_is_finite(bytes: &[u8], dtype: GgmlDType) -> bool {
    // Where a block's f16 numbers begin, as ggml's `ggml-common.h` lays them out.
    let places: &[usize] = match dtype {
        GgmlDType::F16 => return halves_are_below(bytes, 0x7c00),
        GgmlDType::BF16 => return halves_are_below(bytes, 0x7f80),
        GgmlDType::F32 => return floats_are_finite(bytes),
        GgmlDType::Q4_0 | GgmlDType::Q5_0 | GgmlDType::Q8_0 => &[0],
        GgmlDType::Q4_1 | GgmlDType::Q5_1 | GgmlDType::Q8_1 => &[0, 2],
        GgmlDType::Q4K | GgmlDType::Q5K => &[0, 2],
        GgmlDType::Q2K => &[80, 82],
        GgmlDType::Q3K => &[108],
        GgmlDType::Q6K => &[208],
        // An f32, whose exponent lies in its upper half.
        GgmlDType::Q8K => return blocks(bytes, dtype, 2, |upper| upper & 0x7f80 != 0x7f80),
    };
    places.iter().all(|place| blocks(bytes, dtype, *place, |scale| scale & 0x7c00 != 0x7c00))
}

/// As [`all_finite`](crate::finite::all_finite), of bytes that need not be aligned.
fn floats_are_finite(bytes: &[u8]) -> bool {
    let bits = |number: &[u8; 4]| (u32::from_le_bytes(*number) & 0x7fff_ffff).cast_signed();
    bytes.as_chunks::<4>().0.iter().map(bits).fold(0, i32::max) < 0x7f80_0000
}

/// Whether all 16-bit floats lie below their type's infinity, whose bits are given.
fn halves_are_below(bytes: &[u8], infinity: i16) -> bool {
    let bits = |number: &[u8; 2]| (u16::from_le_bytes(*number) & 0x7fff).cast_signed();
    bytes.as_chunks::<2>().0.iter().map(bits).fold(0, i16::max) < infinity
}

fn blocks(bytes: &[u8], dtype: GgmlDType, place: usize, is_finite: impl Fn(u16) -> bool) -> bool {
    // No early end: whole files are sound, and a loop without one is faster.
    bytes.chunks_exact(dtype.type_size()).fold(true, |sound, block| {
        let number = block.get(place..).and_then(|rest| rest.first_chunk().copied());
        sound & number.is_none_or(|number| is_finite(u16::from_le_bytes(number)))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};

    use super::*;

    /// The places are those in which candle itself writes a scale: a block of NaN cannot be sound, one of ones is.
    #[test]
    fn scales_lie_where_they_are_looked_for() {
        use GgmlDType::{Q2K, Q3K, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0};
        for dtype in [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2K, Q3K, Q4K, Q5K, Q6K] {
            let numbers: Vec<f32> = (0..512).map(|i| (i as f32 * 0.37).sin() + 1.1).collect();
            let tensor = Tensor::from_vec(numbers, (2, 256), &Device::Cpu).unwrap();
            let sound = QTensor::quantize(&tensor, dtype).unwrap().data().unwrap().to_vec();
            assert!(are_finite(&sound, dtype), "{dtype:?}");
            let size = dtype.type_size();
            let widened = |bytes: &[u8]| {
                let values = super::super::convert::to_f32(bytes, dtype, "x").unwrap();
                values.iter().all(|value| value.is_finite())
            };
            // Every f16 of the second block in turn: what makes a number that is not finite is found, and nothing else.
            for at in 0..size - 1 {
                let mut bytes = sound.clone();
                bytes[size + at..size + at + 2].copy_from_slice(&0x7e00u16.to_le_bytes());
                if !widened(&bytes) {
                    assert!(!are_finite(&bytes, dtype), "{dtype:?} at {at}");
                }
            }
            assert!(are_finite(&[], dtype));
        }
    }

    #[test]
    fn a_number_is_found_anywhere() {
        let numbers: Vec<f32> = (0..100_000).map(|i| (i as f32 * 0.7).sin() * 60_000.0).collect();
        let stored = |numbers: &[f32], dtype| -> Vec<u8> {
            match dtype {
                GgmlDType::F16 => {
                    numbers.iter().flat_map(|x| half::f16::from_f32(*x).to_le_bytes()).collect()
                }
                GgmlDType::BF16 => {
                    numbers.iter().flat_map(|x| half::bf16::from_f32(*x).to_le_bytes()).collect()
                }
                _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
            }
        };
        for dtype in [GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16] {
            assert!(are_finite(&stored(&numbers, dtype), dtype), "{dtype:?}");
            for at in [0, 32_767, 32_768, 99_999] {
                for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    let mut numbers = numbers.clone();
                    numbers[at] = wrong;
                    assert!(!are_finite(&stored(&numbers, dtype), dtype), "{dtype:?} {wrong}");
                }
            }
        }
    }
}
