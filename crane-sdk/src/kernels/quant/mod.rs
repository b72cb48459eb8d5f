//! Products with ggml-quantised weights: integers times integers, scales afterwards.
//!
//! The activations are quantised to 8 bits once for a product, 32 numbers to a scale. A few weight rows
//! at a time are unpacked to bytes (which costs once, however many activation rows there are), and
//! each pair of rows is one integer dot product with scales for each group of 32 or 16. Every block type
//! becomes the same three arrays: bytes q, scales s and offsets m with weight = s·q + m.

mod activations;
mod scalar;
mod unpack;

#[cfg(target_arch = "x86_64")]
mod avx2;

use std::cell::RefCell;
use std::sync::OnceLock;

use candle_core::quantized::GgmlDType;

use super::shared::Shared;
use super::threads::parallel_for;
use activations::Activations;
use unpack::Unpack;

/// Numbers that share an activation scale, and a weight scale in most types.
const GROUP: usize = 32;
/// Bytes of unpacked weight rows that one thread works on: they stay in its L1 cache.
const CHUNK: usize = 16 * 1024;
/// Activation rows that one pass over a weight row serves.
const TILE: usize = 4;

/// How a block type's bytes are unpacked and multiplied.
#[derive(Clone, Copy)]
struct Format {
    unpack: Unpack,
    /// Bytes of the unpacked rows are i8, not u8.
    signed: bool,
    /// Numbers that share a weight scale: 32, or 16.
    group: usize,
}

/// The integer loops of one instruction set.
#[derive(Clone, Copy)]
struct Set {
    /// Unpacks a weight row with the set's instructions.
    unpack: fn(Unpack, &[u8], &mut Row),
    /// Σ (s·q + m)·x for one activation row.
    dot: fn(&Row, &Format, &[TileRow<'_>; 1]) -> [f32; 1],
    /// The same for a tile of them: the weights are loaded once.
    dot_tile: fn(&Row, &Format, &[TileRow<'_>; TILE]) -> [f32; TILE],
}

/// One weight row, unpacked.
#[derive(Default)]
struct Row {
    q: Vec<u8>,
    scales: Vec<f32>,
    offsets: Vec<f32>,
}

/// One activation row: 8-bit numbers and a scale for each group, and what offsets are multiplied with.
#[derive(Clone, Copy)]
struct TileRow<'a> {
    x: &'a [i8],
    scales: &'a [f32],
    sums: &'a [f32],
}

fn set() -> &'static Set {
    static CHOSEN: OnceLock<Set> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        if let Some(set) = avx2::set() {
            return set;
        }
        Set {
            unpack: |unpack, bytes, row| unpack.run(bytes, row),
            dot: scalar::dot,
            dot_tile: scalar::dot,
        }
    })
}

/// The format of a block type, if this kernel reads it.
fn format(dtype: GgmlDType) -> Option<Format> {
    let (unpack, signed, group) = match dtype {
        GgmlDType::Q4_0 => (Unpack::Q4_0, false, 32),
        GgmlDType::Q4_1 => (Unpack::Q4_1, false, 32),
        GgmlDType::Q5_0 => (Unpack::Q5_0, false, 32),
        GgmlDType::Q5_1 => (Unpack::Q5_1, false, 32),
        GgmlDType::Q8_0 => (Unpack::Q8_0, true, 32),
        GgmlDType::Q4K => (Unpack::Q4K, false, 32),
        GgmlDType::Q5K => (Unpack::Q5K, false, 32),
        GgmlDType::Q6K => (Unpack::Q6K, false, 16),
        _ => return None,
    };
    Some(Format { unpack, signed, group })
}

thread_local! {
    /// Unpacked rows, reused from product to product.
    static ROWS: RefCell<Vec<Row>> = const { RefCell::new(Vec::new()) };
}

/// x · Wᵀ: `x` `[rows, width]`, `weights` the bytes of `[outputs, width]` in blocks of `dtype`; the result
/// is `[rows, outputs]`. `None` if the block type is not read here.
pub fn matmul(x: &[f32], weights: &[u8], dtype: GgmlDType, width: usize) -> Option<Vec<f32>> {
    let format = format(dtype)?;
    if width == 0 || !width.is_multiple_of(dtype.block_size()) || !x.len().is_multiple_of(width) {
        return None;
    }
    let row_bytes = width / dtype.block_size() * dtype.type_size();
    let (rows, outputs) = (x.len() / width, weights.len() / row_bytes);
    let set = set();
    let activations = Activations::new(x, width, format.group);
    let mut out = vec![0f32; rows * outputs];
    let shared = Shared::new(&mut out);
    let per_chunk = (CHUNK / width).clamp(1, outputs.max(1));
    parallel_for(outputs.div_ceil(per_chunk), per_chunk * rows * width, |chunks| {
        ROWS.with_borrow_mut(|scratch| {
            for chunk in chunks {
                let first = chunk * per_chunk;
                let count = per_chunk.min(outputs - first);
                if scratch.len() < count {
                    scratch.resize_with(count, Row::default);
                }
                for (row, bytes) in scratch
                    .iter_mut()
                    .zip(weights[first * row_bytes..].chunks_exact(row_bytes))
                    .take(count)
                {
                    row.q.resize(width, 0);
                    row.scales.resize(width / format.group, 0.0);
                    row.offsets.resize(width / format.group, 0.0);
                    (set.unpack)(format.unpack, bytes, row);
                }
                let write = |row: usize, index: usize, sum: f32| {
                    let at = row * outputs + first + index;
                    // SAFETY: each (row, output) is computed by one thread.
                    if let [slot] = unsafe { shared.slice(at..at + 1) } {
                        *slot = sum;
                    }
                };
                let tiled = rows / TILE * TILE;
                for start in (0..tiled).step_by(TILE) {
                    let tile = std::array::from_fn(|i| activations.row(start + i));
                    for (index, weights) in scratch[..count].iter().enumerate() {
                        let sums = (set.dot_tile)(weights, &format, &tile);
                        for (i, sum) in sums.into_iter().enumerate() {
                            write(start + i, index, sum);
                        }
                    }
                }
                for row in tiled..rows {
                    let tile = [activations.row(row)];
                    for (index, weights) in scratch[..count].iter().enumerate() {
                        let [sum] = (set.dot)(weights, &format, &tile);
                        write(row, index, sum);
                    }
                }
            }
        });
    });
    Some(out)
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    use super::*;

    const TYPES: [GgmlDType; 8] = [
        GgmlDType::Q4_0,
        GgmlDType::Q4_1,
        GgmlDType::Q5_0,
        GgmlDType::Q5_1,
        GgmlDType::Q8_0,
        GgmlDType::Q4K,
        GgmlDType::Q5K,
        GgmlDType::Q6K,
    ];

    fn numbers(len: usize, mut state: u32) -> Vec<f32> {
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 22) as f32 - 2.0
            })
            .collect()
    }

    /// The product of candle's dequantised weights with the activations as quantised, in f64.
    fn by_definition(x: &[f32], weights: &[f32], width: usize) -> Vec<f64> {
        let activations = Activations::new(x, width, GROUP);
        let mut out = Vec::new();
        for row in 0..x.len() / width {
            let TileRow { x, scales, .. } = activations.row(row);
            for weights in weights.chunks(width) {
                let terms = weights.iter().zip(x).enumerate().map(|(i, (w, x))| {
                    f64::from(*w) * f64::from(*x) * f64::from(scales[i / GROUP])
                });
                out.push(terms.sum());
            }
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn every_type_is_its_definition(
            which in 0usize..TYPES.len(), rows in 1usize..7, blocks in 1usize..6, outputs in 1usize..9,
            seed in any::<u32>(),
        ) {
            let dtype = TYPES[which];
            let width = blocks * dtype.block_size();
            let device = Device::Cpu;
            let dense = Tensor::from_vec(numbers(outputs * width, seed), (outputs, width), &device)?;
            let packed = QTensor::quantize(&dense, dtype)?;
            let weights: Vec<f32> = packed.dequantize(&device)?.flatten_all()?.to_vec1()?;
            let x = numbers(rows * width, seed ^ 0x5555);
            let expected = by_definition(&x, &weights, width);
            let data = packed.data()?;
            let found = matmul(&x, &data, dtype, width).unwrap();
            prop_assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                let allowed = 1e-5 * (width as f64).sqrt() + 1e-6 * width as f64;
                prop_assert!((f64::from(*found) - expected).abs() < allowed, "{dtype:?} {found} {expected}");
            }
            // The portable loops give the same.
            let format = format(dtype).unwrap();
            let mut row = Row {
                q: vec![0; width],
                scales: vec![0.; width / format.group],
                offsets: vec![0.; width / format.group],
            };
            format.unpack.run(&data[..data.len() / outputs], &mut row);
            let activations = Activations::new(&x, width, format.group);
            let [sum] = scalar::dot(&row, &format, &[activations.row(0)]);
            let off = f64::from(sum) - expected[0];
            prop_assert!(off.abs() < 1e-5 * (width as f64).sqrt() + 1e-6 * width as f64);
        }
    }

    #[test]
    fn odd_shapes_and_other_types_are_left_to_others() {
        assert!(matmul(&[0.; 32], &[0; 18], GgmlDType::Q2K, 32).is_none());
        assert!(matmul(&[0.; 33], &[0; 18], GgmlDType::Q4_0, 33).is_none());
        assert_eq!(matmul(&[], &[0; 18], GgmlDType::Q4_0, 32), Some(vec![]));
        let zeros = matmul(&[0.; 32], &[7; 36], GgmlDType::Q4_0, 32);
        assert_eq!(zeros, Some(vec![0., 0.]));
    }
}
