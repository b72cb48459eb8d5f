//! Products with ggml-quantised weights: integers times integers, scales afterwards.
//!
//! Weights are packed once, when they are loaded: a few rows side by side, one for each lane of the
//! instruction set, so that a kernel reads them in order and a sum never crosses lanes (see `format` for the
//! layout). Activations are quantised to 8 bits once for all products that share them. The loops are
//! written once over `lanes::Lanes`; each instruction set gives its operations, and all give the same result to
//! the last bit.

mod activations;
mod format;
mod lanes;
mod pack;
mod panels;
mod portable;
mod shards;
mod unpack;

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

use std::fmt;
use std::sync::OnceLock;

use candle_core::quantized::GgmlDType;

use super::isa;
use super::shared::Shared;
use super::threads::parallel_for;
pub use activations::Activations;
use activations::Numbers;
pub use format::TYPES;
use format::{GROUP, Kind, with_format};
use panels::Work;
pub use shards::{Helpers, Keeper, ShardedMatrix, sharded_matmul};

/// The loops of one instruction set.
#[derive(Clone, Copy)]
struct Set {
    /// What the set is called in reports.
    name: &'static str,
    /// Rows of a panel.
    rows: usize,
    /// Computes a share of a product.
    run: unsafe fn(Kind, &Work<'_>),
    /// Quantises a group of activations.
    quantize: unsafe fn(*const f32, *mut i8) -> Numbers,
}

/// Every set that this processor runs, the fastest first.
fn sets() -> &'static [Set] {
    static SETS: OnceLock<Vec<Set>> = OnceLock::new();
    SETS.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        let fast = [avx512::set(), avx2::vnni_set(), avx2::set()].into_iter().flatten();
        #[cfg(target_arch = "aarch64")]
        let fast = [neon::i8mm_set(), neon::dotprod_set(), neon::set()].into_iter().flatten();
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let fast = [simd128::SET].into_iter();
        #[cfg(not(any(
            target_arch = "x86_64",
            target_arch = "aarch64",
            all(target_arch = "wasm32", target_feature = "simd128")
        )))]
        let fast = std::iter::empty();
        fast.chain((!isa::SETTLED).then_some(portable::SET)).collect()
    })
}

/// The name of the instruction set that products with quantised weights use.
pub fn instruction_set() -> &'static str {
    fastest().name
}

fn fastest() -> &'static Set {
    sets().first().unwrap_or(isa::always!(simd128::SET, portable::SET))
}

/// Where a panel begins is a multiple of it: a cache line.
const ALIGNMENT: usize = 64;

/// A quantised matrix `[rows, width]`, packed for this processor.
pub struct PackedMatrix {
    kind: Kind,
    dtype: GgmlDType,
    set: Set,
    rows: usize,
    width: usize,
    /// Panels from byte `start` on.
    bytes: Vec<u8>,
    start: usize,
}

impl fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dtype, set, rows, width, .. } = self;
        write!(f, "{dtype:?} [{rows}, {width}] for {}", set.name)
    }
}

impl PackedMatrix {
    /// Packs `[rows, width]` blocks of `dtype`.
    ///
    /// `None` for a type that is not multiplied here, and unless `bytes` are whole rows.
    pub fn new(bytes: &[u8], dtype: GgmlDType, rows: usize, width: usize) -> Option<Self> {
        let mut matrix = Self::room(dtype, rows, width)?;
        (bytes.len() == rows * matrix.row_bytes() && matrix.put(0, bytes)).then_some(matrix)
    }

    /// Room for `[rows, width]` blocks of `dtype`, all 0, to be filled by [`PackedMatrix::put`].
    ///
    /// `None` for a type that is not multiplied here, and unless rows are whole blocks.
    pub fn room(dtype: GgmlDType, rows: usize, width: usize) -> Option<Self> {
        Self::room_for(fastest(), dtype, rows, width)
    }

    fn room_for(set: &Set, dtype: GgmlDType, rows: usize, width: usize) -> Option<Self> {
        let kind = Kind::of(dtype)?;
        if width == 0 || !width.is_multiple_of(dtype.block_size()) {
            return None;
        }
        let panel_bytes = kind.layout().panel_bytes(set.rows, width);
        let size = rows.div_ceil(set.rows).checked_mul(panel_bytes)?.checked_add(ALIGNMENT)?;
        let bytes = vec![0u8; size];
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Some(Self { kind, dtype, set: *set, rows, width, bytes, start })
    }

    /// Bytes of a row before it is packed.
    fn row_bytes(&self) -> usize {
        self.width / self.dtype.block_size() * self.dtype.type_size()
    }

    /// Packs rows from `row` on. Returns whether `weights` are whole rows that lie in the matrix.
    pub fn put(&mut self, row: usize, weights: &[u8]) -> bool {
        let (row_bytes, panel_bytes) = (self.row_bytes(), self.panel_bytes());
        let count = weights.len() / row_bytes;
        let end = row.saturating_add(count);
        if weights.len() != count * row_bytes || end > self.rows || count == 0 {
            return count == 0 && weights.is_empty();
        }
        let (kind, dtype, lanes, start) = (self.kind, self.dtype, self.set.rows, self.start);
        let first = row / lanes;
        let shared = Shared::new(&mut self.bytes);
        parallel_for(end.div_ceil(lanes) - first, lanes * self.width, |range| {
            for panel in range {
                let panel = first + panel;
                let at = start + panel * panel_bytes;
                // SAFETY: each panel is written by one thread.
                let out = unsafe { shared.slice(at..at + panel_bytes) };
                for index in row.max(panel * lanes)..end.min((panel + 1) * lanes) {
                    let weights = &weights[(index - row) * row_bytes..][..row_bytes];
                    pack::pack_row(kind, weights, dtype.type_size(), out, index % lanes, lanes);
                }
            }
        });
        true
    }

    /// The type that was packed.
    pub fn dtype(&self) -> GgmlDType {
        self.dtype
    }

    /// Rows, the outputs of a product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Bytes that the panels take.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn panel_bytes(&self) -> usize {
        self.kind.layout().panel_bytes(self.set.rows, self.width)
    }

    /// Row `index` as floats; `None` if there is no such row.
    pub fn row(&self, index: usize) -> Option<Vec<f32>> {
        if index >= self.rows {
            return None;
        }
        let (panel, lane) = (index / self.set.rows, index % self.set.rows);
        let bytes = self.panel_bytes();
        let at = self.start + panel * bytes;
        let mut out = vec![0f32; self.width];
        let panel = self.bytes.get(at..at + bytes)?;
        pack::unpack_row(&self.kind.layout(), panel, lane, self.set.rows, &mut out);
        Some(out)
    }
}

/// x · Wᵀ + b for each of `matrices`: f32 `[x.rows(), matrix.rows()]` each. Products that share their activations
/// are shared out among the threads together. `None` if a matrix has another width than they, or a bias
/// another length than the matrix has rows.
pub fn matmul(
    x: &Activations,
    matrices: &[(&PackedMatrix, Option<&[f32]>)],
) -> Option<Vec<Vec<f32>>> {
    let fits = |(matrix, bias): &(&PackedMatrix, Option<&[f32]>)| {
        matrix.width == x.width() && bias.is_none_or(|bias| bias.len() == matrix.rows)
    };
    if !matrices.iter().all(fits) {
        return None;
    }
    let tokens = x.rows();
    let mut outs: Vec<Vec<f32>> =
        matrices.iter().map(|(matrix, _)| vec![0f32; tokens * matrix.rows]).collect();
    if tokens == 0 {
        return Some(outs);
    }
    // Number of the first panel of each matrix, and the number of panels in all.
    let mut firsts = Vec::with_capacity(matrices.len());
    let mut total = 0;
    for (matrix, _) in matrices {
        firsts.push(total);
        total += matrix.rows.div_ceil(matrix.set.rows);
    }
    let outs_shared: Vec<Shared<'_, f32>> = outs.iter_mut().map(|out| Shared::new(out)).collect();
    let lanes = matrices.first().map_or(1, |(matrix, _)| matrix.set.rows);
    // Several tokens are multiplied with two panels at once.
    let unit = if tokens > 1 { 2 } else { 1 };
    parallel_for(total.div_ceil(unit), unit * lanes * x.width() * tokens, |range| {
        let range = unit * range.start..total.min(unit * range.end);
        for (((matrix, bias), out), &first) in matrices.iter().zip(&outs_shared).zip(&firsts) {
            let lanes = matrix.set.rows;
            let panels = matrix.rows.div_ceil(lanes);
            let start = range.start.max(first) - first;
            let end = range.end.min(first + panels).saturating_sub(first);
            if start >= end {
                continue;
            }
            let panel_bytes = matrix.panel_bytes();
            let bytes =
                &matrix.bytes[matrix.start + start * panel_bytes..][..(end - start) * panel_bytes];
            let work = Work {
                panels: bytes.as_ptr(),
                panel_bytes,
                count: end - start,
                rows: matrix.rows.min(end * lanes) - start * lanes,
                groups: matrix.width / GROUP,
                bias: bias.and_then(|bias| bias.get(start * lanes..)),
                x: x.columns(),
                tokens,
                // SAFETY: the first row of the range lies in the output.
                out: unsafe { out.start().add(start * lanes) },
                out_stride: matrix.rows,
            };
            // SAFETY: the set was chosen because the processor has its instructions; the panels lie in the
            // slice above, the activations have the matrix's width, and each panel's outputs are written by the
            // one thread that was given it.
            unsafe { (matrix.set.run)(matrix.kind, &work) };
        }
    });
    drop(outs_shared);
    Some(outs)
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::QTensor;
    use candle_core::{Device, Tensor};
    use proptest::prelude::*;

    use super::*;

    fn numbers(len: usize, mut state: u32) -> Vec<f32> {
        (0..len)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / (1 << 22) as f32 - 2.0
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_type_is_its_definition_on_every_instruction_set(
            which in 0usize..TYPES.len(), tokens in prop_oneof![1usize..7, 60usize..70], blocks in 1usize..6,
            outputs in 1usize..40, seed in any::<u32>(),
        ) {
            let dtype = TYPES[which];
            let width = blocks * dtype.block_size();
            let device = Device::Cpu;
            let dense = Tensor::from_vec(numbers(outputs * width, seed), (outputs, width), &device)?;
            let blocks = QTensor::quantize(&dense, dtype)?;
            let weights: Vec<f32> = blocks.dequantize(&device)?.flatten_all()?.to_vec1()?;
            let data = blocks.data()?;
            let x = Activations::quantize(&numbers(tokens * width, seed ^ 0x5555), width).unwrap();

            let bias = numbers(outputs, seed ^ 3);
            let mut first: Option<Vec<f32>> = None;
            for set in sets() {
                prop_assert!(Activations::with_set(set, &numbers(tokens * width, seed ^ 0x5555), width).unwrap() == x);
                let mut packed = PackedMatrix::room_for(set, dtype, outputs, width).unwrap();
                // In two pieces that need not end with a panel.
                let cut = outputs / 3;
                let (head, tail) = data.split_at(cut * packed.row_bytes());
                prop_assert!(packed.put(cut, tail) && packed.put(0, head));
                for (index, expected) in weights.chunks(width).enumerate() {
                    prop_assert_eq!(&packed.row(index).unwrap(), expected, "{} row {}", set.name, index);
                }
                let found = matmul(&x, &[(&packed, None), (&packed, Some(&bias))]).unwrap();
                let biased: Vec<f32> =
                    found[0].iter().zip(bias.iter().cycle()).map(|(y, b)| y + b).collect();
                prop_assert_eq!(&biased, &found[1]);
                // Each token alone gives the same bits.
                for token in [0, tokens - 1] {
                    let alone = matmul(&x.only(token), &[(&packed, None)]).unwrap().remove(0);
                    prop_assert_eq!(&alone[..], &found[0][token * outputs..(token + 1) * outputs]);
                }
                match &first {
                    Some(first) => prop_assert_eq!(first, &found[0], "{}", set.name),
                    None => first = found.into_iter().next(),
                }
            }

            let found = first.unwrap();
            for token in 0..tokens {
                let x = x.row(token);
                for (index, weights) in weights.chunks(width).enumerate() {
                    let expected: f64 = weights.iter().zip(&x).map(|(w, x)| f64::from(*w) * x).sum();
                    let allowed = 1e-5 * (width as f64).sqrt() + 1e-6 * width as f64;
                    let found = f64::from(found[token * outputs + index]);
                    prop_assert!((found - expected).abs() < allowed, "{dtype:?} {found} {expected}");
                }
            }
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let width = 256;
        let x = Activations::quantize(&vec![1.0; width], width).unwrap();
        for dtype in TYPES {
            // Every bit set, scales and offsets 1: the largest numbers that a block can hold.
            let mut block = vec![0xffu8; dtype.type_size()];
            let one = 0x3c00u16.to_le_bytes();
            let places: &[usize] = match dtype {
                GgmlDType::Q6K => &[208],
                GgmlDType::Q4_0 | GgmlDType::Q5_0 | GgmlDType::Q8_0 => &[0],
                _ => &[0, 2],
            };
            places.iter().for_each(|&at| block[at..at + 2].copy_from_slice(&one));
            if dtype == GgmlDType::Q8_0 {
                block[2..].fill(0x80);
            }
            let row = block.repeat(width / dtype.block_size());
            for set in sets() {
                let mut packed = PackedMatrix::room_for(set, dtype, 1, width).unwrap();
                assert!(packed.put(0, &row));
                let expected: f32 = packed.row(0).unwrap().iter().sum();
                assert_eq!(
                    matmul(&x, &[(&packed, None)]).unwrap(),
                    [[expected]],
                    "{dtype:?} {}",
                    set.name
                );
            }
        }
    }

    #[test]
    fn odd_shapes_and_other_types_are_left_to_others() {
        assert!(PackedMatrix::new(&[0; 84], GgmlDType::Q2K, 1, 256).is_none());
        assert!(PackedMatrix::new(&[0; 18], GgmlDType::Q4_0, 1, 33).is_none());
        assert!(PackedMatrix::new(&[0; 18], GgmlDType::Q4_0, 2, 32).is_none());
        assert!(Activations::quantize(&[0.; 33], 33).is_none());
        let packed = PackedMatrix::new(&[7; 36], GgmlDType::Q4_0, 2, 32).unwrap();
        assert!(packed.row(2).is_none());
        let nothing = Activations::quantize(&[], 32).unwrap();
        assert_eq!(matmul(&nothing, &[(&packed, None)]).unwrap(), [[0f32; 0]]);
        let zeros = Activations::quantize(&[0.; 32], 32).unwrap();
        assert_eq!(matmul(&zeros, &[(&packed, None)]).unwrap(), [[0., 0.]]);
        assert!(matmul(&zeros, &[(&packed, Some(&[1.]))]).is_none());
        assert!(
            matmul(&Activations::quantize(&[0.; 64], 64).unwrap(), &[(&packed, None)]).is_none()
        );
    }
}
