//! Products with dense weights: f32, f16 and bf16, packed sixteen rows side by side.
//!
//! A panel holds sixteen rows, column by column, so that a product reads them in order and a sum never crosses
//! lanes. Every result is one sum in the order of columns, so that a token's result does not depend on how
//! many are run with it. Where there is a fused multiply-add it is used: results then differ in the last bits
//! from those of another instruction set.

mod panels;
mod sets;

use std::fmt;
use std::ops::Range;

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use super::number::{Brain, Half, Number};
use super::shared::Shared;
use super::threads::parallel_for;
use panels::{PANEL, Work};

/// How a dense matrix is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum DenseType {
    F32,
    F16,
    BF16,
}

impl DenseType {
    /// `None` for types that are not plain numbers.
    pub fn of(dtype: GgmlDType) -> Option<Self> {
        match dtype {
            GgmlDType::F32 => Some(DenseType::F32),
            GgmlDType::F16 => Some(DenseType::F16),
            GgmlDType::BF16 => Some(DenseType::BF16),
            _ => None,
        }
    }

    /// Bytes of a number.
    pub const fn size(self) -> usize {
        match self {
            DenseType::F32 => 4,
            DenseType::F16 | DenseType::BF16 => 2,
        }
    }
}

/// Runs `$body` with `$number` as the type that `$kind` is.
macro_rules! with_number {
    ($kind:expr, $number:ident => $body:expr) => {{
        use $crate::kernels::dense::DenseType;
        use $crate::kernels::number::{Brain, Half, Single};
        match $kind {
            DenseType::F32 => {
                type $number = Single;
                $body
            }
            DenseType::F16 => {
                type $number = Half;
                $body
            }
            DenseType::BF16 => {
                type $number = Brain;
                $body
            }
        }
    }};
}
pub(super) use with_number;

/// Below so many units of panels the threads share out tokens instead, by so many at a time.
const FEW_UNITS: usize = 8;
const TILE: usize = 64;

/// Where a panel begins is a multiple of it: a cache line.
const ALIGNMENT: usize = 64;

/// A dense matrix `[rows, width]`, packed.
pub struct DenseMatrix {
    kind: DenseType,
    rows: usize,
    width: usize,
    /// Panels from byte `start` on.
    bytes: Vec<u8>,
    start: usize,
}

impl fmt::Debug for DenseMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, rows, width, .. } = self;
        write!(f, "{kind:?} [{rows}, {width}]")
    }
}

impl DenseMatrix {
    /// Packs little-endian numbers `[rows, width]`; `None` unless `bytes` are just as many.
    pub fn new(bytes: &[u8], kind: DenseType, rows: usize, width: usize) -> Option<Self> {
        let mut matrix = Self::room(kind, rows, width)?;
        let whole = bytes.len() == rows * width * kind.size();
        (whole && matrix.put(0, bytes)).then_some(matrix)
    }

    /// Room for `[rows, width]` numbers, all 0, to be filled by [`DenseMatrix::put`]; `None` without a width.
    pub fn room(kind: DenseType, rows: usize, width: usize) -> Option<Self> {
        let panel_bytes = width.checked_mul(PANEL * kind.size()).filter(|&bytes| bytes > 0)?;
        let panel_bytes = panel_bytes.next_multiple_of(ALIGNMENT);
        let size = rows.div_ceil(PANEL).checked_mul(panel_bytes)?.checked_add(ALIGNMENT)?;
        let bytes = vec![0u8; size];
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Some(Self { kind, rows, width, bytes, start })
    }

    /// Packs rows from `row` on. Returns whether `bytes` are whole rows that lie in the matrix.
    pub fn put(&mut self, row: usize, bytes: &[u8]) -> bool {
        let row_bytes = self.width * self.kind.size();
        let count = bytes.len() / row_bytes;
        let end = row.saturating_add(count);
        if bytes.len() != count * row_bytes || end > self.rows || count == 0 {
            return count == 0 && bytes.is_empty();
        }
        let (kind, first) = (self.kind, row / PANEL);
        let (panel_bytes, start) = (self.panel_bytes(), self.start);
        let shared = Shared::new(&mut self.bytes);
        parallel_for(end.div_ceil(PANEL) - first, PANEL * self.width, |range| {
            for panel in range {
                let panel = first + panel;
                let at = start + panel * panel_bytes;
                // SAFETY: each panel is written by one thread.
                let out = unsafe { shared.slice(at..at + panel_bytes) };
                for index in row.max(panel * PANEL)..end.min((panel + 1) * PANEL) {
                    let numbers = &bytes[(index - row) * row_bytes..][..row_bytes];
                    match kind {
                        DenseType::F32 => put_row(out, index % PANEL, numbers.as_chunks::<4>().0),
                        _ => put_row(out, index % PANEL, numbers.as_chunks::<2>().0),
                    }
                }
            }
        });
        true
    }

    /// How numbers are held.
    pub fn kind(&self) -> DenseType {
        self.kind
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
        (PANEL * self.width * self.kind.size()).next_multiple_of(ALIGNMENT)
    }

    /// Row `index` as floats; `None` if there is no such row.
    pub fn row(&self, index: usize) -> Option<Vec<f32>> {
        if index >= self.rows {
            return None;
        }
        let panel = &self.bytes[self.start + index / PANEL * self.panel_bytes()..];
        let lane = index % PANEL;
        let number = |column: usize| (column * PANEL + lane) * self.kind.size();
        let byte = |at: usize| panel[at];
        Some(match self.kind {
            DenseType::F32 => (0..self.width)
                .map(|column| {
                    let at = number(column);
                    f32::from_le_bytes([byte(at), byte(at + 1), byte(at + 2), byte(at + 3)])
                })
                .collect(),
            kind => (0..self.width)
                .map(|column| {
                    let at = number(column);
                    let bits = u16::from_le_bytes([byte(at), byte(at + 1)]);
                    match kind {
                        DenseType::F16 => Half::widen(f16::from_bits(bits)),
                        _ => Brain::widen(bf16::from_bits(bits)),
                    }
                })
                .collect(),
        })
    }
}

/// Writes a row into lane `lane` of a panel: number i goes to place 16·i + lane.
#[inline(always)]
fn put_row<const N: usize>(panel: &mut [u8], lane: usize, row: &[[u8; N]]) {
    for (column, number) in panel.chunks_exact_mut(PANEL * N).zip(row) {
        column[lane * N..(lane + 1) * N].copy_from_slice(number);
    }
}

/// x · Wᵀ + b for each of `matrices`: `x` `[tokens, width]`, results f32 `[tokens, matrix.rows()]`. `None` if
/// the shapes do not go together.
pub fn matmul(
    x: &[f32],
    tokens: usize,
    matrices: &[(&DenseMatrix, Option<&[f32]>)],
) -> Option<Vec<Vec<f32>>> {
    let set = sets::fastest();
    let product = |matrix: &DenseMatrix, bias| {
        let whole = Some(x.len()) == tokens.checked_mul(matrix.width);
        whole.then(|| matmul_with(set, x, matrix.width, tokens, matrix, bias))?
    };
    matrices.iter().map(|(matrix, bias)| product(matrix, *bias)).collect()
}

/// x · Wᵀ + b for `count` windows of `x`, each as long as a row of the matrix and `step` numbers after the one before: what a
/// convolution along rows that lie one after the other is. `None` if the shapes do not go together.
pub fn matmul_windows(
    x: &[f32],
    step: usize,
    count: usize,
    matrix: &DenseMatrix,
    bias: Option<&[f32]>,
) -> Option<Vec<f32>> {
    matmul_with(sets::fastest(), x, step, count, matrix, bias)
}

fn matmul_with(
    set: &sets::Set,
    x: &[f32],
    step: usize,
    tokens: usize,
    matrix: &DenseMatrix,
    bias: Option<&[f32]>,
) -> Option<Vec<f32>> {
    let DenseMatrix { kind, rows, width, .. } = *matrix;
    let end = match tokens.checked_sub(1) {
        Some(last) => last.checked_mul(step)?.checked_add(width)?,
        None => 0,
    };
    if end > x.len() || bias.is_some_and(|bias| bias.len() != rows) {
        return None;
    }
    let mut out = vec![0f32; tokens * rows];
    let shared = Shared::new(&mut out);
    let panels = rows.div_ceil(PANEL);
    let units = panels.div_ceil(panels::UNIT);
    let work = |units: Range<usize>, tokens: Range<usize>| {
        let first = units.start * panels::UNIT;
        let count = (units.end * panels::UNIT).min(panels) - first;
        let row = first * PANEL;
        let work = Work {
            panels: matrix.bytes.as_ptr().wrapping_add(matrix.start + first * matrix.panel_bytes()),
            panel_bytes: matrix.panel_bytes(),
            count,
            rows: (rows - row).min(count * PANEL),
            width,
            x: x.as_ptr().wrapping_add(tokens.start * step),
            x_stride: step,
            tokens: tokens.len(),
            bias: bias.map(|bias| &bias[row..]),
            out: shared.start().wrapping_add(tokens.start * rows + row),
            out_stride: rows,
        };
        // SAFETY: the set is one that the processor runs; the panels lie in the matrix, the activations have
        // its width, and each panel's outputs for a token are written by the one thread that was given both.
        unsafe { set.run(kind, &work) };
    };
    let cost = panels::UNIT * PANEL * width;
    if units < FEW_UNITS && tokens >= 2 * TILE {
        // A small matrix and many rows, as in a convolution: the rows are shared out.
        let tiles = tokens.div_ceil(TILE);
        parallel_for(tiles, units * cost * TILE, |range| {
            work(0..units, range.start * TILE..(range.end * TILE).min(tokens));
        });
    } else {
        parallel_for(units, cost * tokens.max(1), |range| work(range, 0..tokens));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
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

    fn stored(values: &[f32], kind: DenseType) -> Vec<u8> {
        match kind {
            DenseType::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
            DenseType::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            DenseType::BF16 => {
                values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect()
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn products_are_their_definition_on_every_instruction_set(
            kind in prop_oneof![Just(DenseType::F32), Just(DenseType::F16), Just(DenseType::BF16)],
            tokens in prop_oneof![1usize..8, 20usize..40, 128usize..150], rows in 1usize..150,
            width in prop_oneof![1usize..40, 500usize..1100], seed in any::<u32>(),
        ) {
            let weights = numbers(rows * width, seed);
            let mut matrix = DenseMatrix::room(kind, rows, width).unwrap();
            let bytes = stored(&weights, kind);
            let (head, tail) = bytes.split_at(rows / 3 * width * kind.size());
            prop_assert!(matrix.put(rows / 3, tail) && matrix.put(0, head));
            let held: Vec<Vec<f32>> = (0..rows).map(|row| matrix.row(row).unwrap()).collect();
            if kind == DenseType::F32 {
                prop_assert_eq!(&held.concat(), &weights);
            }
            let x = numbers(tokens * width, seed ^ 1);
            let bias = numbers(rows, seed ^ 2);
            for set in sets::sets() {
                let found = matmul_with(set, &x, width, tokens, &matrix, Some(&bias)).unwrap();
                for (token, found) in found.chunks(rows).enumerate() {
                    let x = &x[token * width..(token + 1) * width];
                    for ((found, row), bias) in found.iter().zip(&held).zip(&bias) {
                        let terms = row.iter().zip(x).map(|(w, x)| f64::from(*w) * f64::from(*x));
                        let magnitude: f64 = terms.clone().map(f64::abs).sum();
                        let expected = terms.sum::<f64>() + f64::from(*bias);
                        let off = (f64::from(*found) - expected).abs();
                        prop_assert!(off <= 4e-6 * magnitude + 1e-6, "{} {found} {expected}", set.name);
                    }
                }
                // A token alone gives the same bits.
                for token in [0, tokens - 1] {
                    let x = &x[token * width..(token + 1) * width];
                    let alone = matmul_with(set, x, width, 1, &matrix, Some(&bias)).unwrap();
                    prop_assert_eq!(&alone[..], &found[token * rows..(token + 1) * rows]);
                }
                // Windows that overlap are what they are alone.
                let (step, count) = (width / 3 + 1, tokens.min(3));
                let windows = matmul_with(set, &x, step, count, &matrix, Some(&bias));
                let fits = (count - 1) * step + width <= x.len();
                prop_assert_eq!(windows.is_some(), fits);
                for (index, found) in windows.unwrap_or_default().chunks(rows).enumerate() {
                    let x = &x[index * step..][..width];
                    let alone = matmul_with(set, x, width, 1, &matrix, Some(&bias)).unwrap();
                    prop_assert_eq!(&alone[..], found);
                }
            }
        }
    }

    #[test]
    fn shapes_that_do_not_go_together_are_refused() {
        assert!(DenseMatrix::new(&[0; 8], DenseType::F32, 1, 3).is_none());
        assert!(DenseMatrix::new(&[], DenseType::F16, 1, 0).is_none());
        let matrix = DenseMatrix::new(&[0; 12], DenseType::F16, 2, 3).unwrap();
        assert!(matrix.row(2).is_none());
        assert!(matmul(&[0.; 3], 1, &[(&matrix, Some(&[1.]))]).is_none());
        assert!(matmul(&[0.; 4], 1, &[(&matrix, None)]).is_none());
        assert!(matmul_windows(&[0.; 4], 2, 2, &matrix, None).is_none());
        assert_eq!(matmul(&[], 0, &[(&matrix, None)]).unwrap(), [[0f32; 0]]);
        assert_eq!(matmul(&[1.; 3], 1, &[(&matrix, Some(&[1., 2.]))]).unwrap(), [[1., 2.]]);
    }
}
