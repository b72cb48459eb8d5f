//! Whether the scales of quantised blocks are finite.
//!
//! Products round activations to 8 bits, and a NaN among them becomes some number: a block whose scale is NaN would give
//! noise that looks like an answer. So it is found while the matrix is read; dense weights show themselves in what they give.

use candle_core::quantized::GgmlDType;

/// Whether all scales and offsets of ggml blocks are finite; true for types that are no blocks.
pub(super) fn scales_are_finite(bytes: &[u8], dtype: GgmlDType) -> bool {
    // Where a block's f16 numbers begin, as ggml's `ggml-common.h` lays them out.
    let places: &[usize] = match dtype {
        GgmlDType::Q4_0 | GgmlDType::Q5_0 | GgmlDType::Q8_0 => &[0],
        GgmlDType::Q4_1 | GgmlDType::Q5_1 | GgmlDType::Q8_1 => &[0, 2],
        GgmlDType::Q4K | GgmlDType::Q5K => &[0, 2],
        GgmlDType::Q2K => &[80, 82],
        GgmlDType::Q3K => &[108],
        GgmlDType::Q6K => &[208],
        // An f32, whose exponent lies in its upper half.
        GgmlDType::Q8K => {
            return blocks(bytes, dtype, 2, |upper| upper & 0x7f80 != 0x7f80);
        }
        _ => return true,
    };
    places.iter().all(|place| blocks(bytes, dtype, *place, |scale| scale & 0x7c00 != 0x7c00))
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
            assert!(scales_are_finite(&sound, dtype), "{dtype:?}");
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
                    assert!(!scales_are_finite(&bytes, dtype), "{dtype:?} at {at}");
                }
            }
            assert!(scales_are_finite(&[], dtype));
        }
    }
}
