//! Products with int8 weights under one scale, as ONNX's dynamic quantisation stores them, and activations of 16 bits.
//!
//! The weights are multiplied as they were published; a row of activations is rounded to 16 bits (15 where the matrix is wide),
//! far below what the weights' own rounding cost. Integers are exact, so results are the same to the last bit on every
//! instruction set, and a row's result does not depend on how many are run with it.

mod lanes;
mod loops;
mod sets;

use std::fmt;

use super::isa;
use super::shared::Shared;
use super::threads::parallel_for;
use loops::{PANEL, UNIT, Work};
use sets::Set;

/// The widest matrix: sums of more products could only hold activations of less than 12 bits.
const MOST_WIDTH: usize = 4096;
/// Where panels begin is a multiple of it, in numbers: a cache line.
const ALIGNMENT: usize = 32;
/// So many rows of activations at a time are shared out where the matrix is small.
const TILE: usize = 48;
/// Below so many units of panels they are.
const FEW_UNITS: usize = 8;

/// A matrix `[rows, width]` of int8 numbers times one scale, packed sixteen rows side by side, two columns at a time.
pub struct ByteMatrix {
    rows: usize,
    width: usize,
    scale: f32,
    /// Panels from `start` on.
    numbers: Vec<i16>,
    start: usize,
}

impl fmt::Debug for ByteMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "int8 [{}, {}] times {}", self.rows, self.width, self.scale)
    }
}

impl ByteMatrix {
    /// Whether this processor multiplies so faster than floats.
    pub fn pays() -> bool {
        isa::SETTLED || sets::sets().len() > 1
    }

    /// Packs numbers `[rows, width]`; `None` unless they are just as many, and for a width of 0 or above 4096.
    pub fn new(numbers: &[i8], scale: f32, rows: usize, width: usize) -> Option<Self> {
        let fits = (1..=MOST_WIDTH).contains(&width) && numbers.len() == rows.checked_mul(width)?;
        if !fits {
            return None;
        }
        let panel = 2 * PANEL * width.div_ceil(2);
        let mut packed = vec![0i16; rows.div_ceil(PANEL) * panel + ALIGNMENT];
        let start = packed.as_ptr().align_offset(64).min(ALIGNMENT);
        for (index, row) in numbers.chunks_exact(width).enumerate() {
            let at = start + index / PANEL * panel + index % PANEL * 2;
            for (column, number) in row.iter().enumerate() {
                if let Some(to) = packed.get_mut(at + column / 2 * 2 * PANEL + column % 2) {
                    *to = i16::from(*number);
                }
            }
        }
        Some(Self { rows, width, scale, numbers: packed, start })
    }

    /// Rows, the outputs of a product.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// x · Wᵀ + b for rows `[tokens, width]`; `None` if the shapes do not go together.
    pub fn product(&self, x: &[f32], bias: &[f32]) -> Option<Vec<f32>> {
        self.product_with(sets::fastest(), x, bias)
    }

    /// The largest number that activations become: sums of so many products with −128 to 127 stay below 2³¹.
    fn limit(&self) -> f32 {
        (i32::MAX as usize / 128 / self.width).min(32_767) as f32
    }

    fn product_with(&self, set: &Set, x: &[f32], bias: &[f32]) -> Option<Vec<f32>> {
        let Self { rows, width, .. } = *self;
        if !x.len().is_multiple_of(width) || bias.len() != rows {
            return None;
        }
        let (tokens, pairs) = (x.len() / width, width.div_ceil(2));
        let mut whole = vec![0i16; tokens * 2 * pairs];
        let mut scales = vec![0f32; tokens];
        let limit = self.limit();
        let (whole_rows, scale_rows) = (Shared::new(&mut whole), Shared::new(&mut scales));
        parallel_for(tokens, 4 * width, |range| {
            for token in range {
                // SAFETY: each token is given to one thread, and the set is one that the processor runs.
                unsafe {
                    let to = whole_rows.slice(token * 2 * pairs..token * 2 * pairs + width);
                    let scale = (set.quantize)(&x[token * width..(token + 1) * width], limit, to);
                    scale_rows.slice(token..token + 1).fill(scale * self.scale);
                }
            }
        });
        let mut out = vec![0f32; tokens * rows];
        let shared = Shared::new(&mut out);
        let panels = rows.div_ceil(PANEL);
        let units = panels.div_ceil(UNIT);
        let work = |units: std::ops::Range<usize>, tokens: std::ops::Range<usize>| {
            let first = units.start * UNIT;
            let count = (units.end * UNIT).min(panels) - first;
            let row = first * PANEL;
            let place = self.start + first * 2 * PANEL * pairs;
            let work = Work {
                panels: self.numbers.as_ptr().wrapping_add(place),
                count,
                rows: (rows - row).min(count * PANEL),
                pairs,
                x: whole.as_ptr().wrapping_add(tokens.start * 2 * pairs),
                scales: scales.as_ptr().wrapping_add(tokens.start),
                tokens: tokens.len(),
                bias: bias.as_ptr().wrapping_add(row),
                out: shared.start().wrapping_add(tokens.start * rows + row),
                out_stride: rows,
            };
            // SAFETY: the set is one that the processor runs; panels, activations, scales and biases are as many as the counts
            // say, and each panel's outputs for a token are written by the one thread that was given both.
            unsafe { (set.run)(&work) };
        };
        let cost = UNIT * PANEL * width / 2;
        if units < FEW_UNITS && tokens >= 2 * TILE {
            parallel_for(tokens.div_ceil(TILE), units * cost * TILE, |range| {
                work(0..units, range.start * TILE..(range.end * TILE).min(tokens));
            });
        } else {
            parallel_for(units, cost * tokens.max(1), |range| work(range, 0..tokens));
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn products_are_their_definition_on_every_instruction_set(
            tokens in prop_oneof![0usize..8, 90usize..110], rows in 1usize..150,
            width in prop_oneof![1usize..40, 500usize..1100], seed in any::<u32>(),
        ) {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state >> 8
            };
            let weights: Vec<i8> = (0..rows * width).map(|_| (next() >> 16) as i8).collect();
            let x: Vec<f32> = (0..tokens * width).map(|_| next() as f32 / (1 << 22) as f32 - 2.0).collect();
            let bias: Vec<f32> = (0..rows).map(|_| next() as f32 / (1 << 22) as f32).collect();
            let matrix = ByteMatrix::new(&weights, 0.01, rows, width).unwrap();
            let whole = matrix.product_with(&sets::PORTABLE, &x, &bias).unwrap();
            for (x, found) in x.chunks(width).zip(whole.chunks(rows)) {
                for ((found, row), bias) in found.iter().zip(weights.chunks(width)).zip(&bias) {
                    let terms = row.iter().zip(x).map(|(w, x)| f64::from(*w) * 0.01 * f64::from(*x));
                    let expected = terms.sum::<f64>() + f64::from(*bias);
                    // Half a step of each activation, as if all roundings fell the same way, and f32's own.
                    let sizes: f64 = row.iter().map(|w| f64::from(*w).abs() * 0.01).sum();
                    let step = 2.0 / f64::from(matrix.limit());
                    let off = (f64::from(*found) - expected).abs();
                    prop_assert!(off <= 0.51 * step * sizes + 1e-6 * (expected.abs() + 1.0), "{found} {expected}");
                }
            }
            for set in sets::sets() {
                let found = matrix.product_with(set, &x, &bias).unwrap();
                prop_assert_eq!(&found, &whole, "{}", set.name);
                if tokens > 0 {
                    let alone = matrix.product_with(set, &x[..width], &bias).unwrap();
                    prop_assert_eq!(&alone[..], &whole[..rows], "{}", set.name);
                }
            }
        }
    }

    #[test]
    fn sums_at_the_limit_do_not_overflow() {
        for (width, weight) in [(512, -128i8), (768, 127), (4096, -128)] {
            let matrix = ByteMatrix::new(&vec![weight; width], 1.0, 1, width).unwrap();
            for set in sets::sets() {
                let found = matrix.product_with(set, &vec![-3.0; width], &[0.5]).unwrap();
                let expected = -3.0 * f32::from(weight) * width as f32 + 0.5;
                assert!(
                    (found[0] - expected).abs() < 2e-4 * expected.abs(),
                    "{} {width}",
                    set.name
                );
            }
        }
    }

    #[test]
    fn what_is_not_finite_is_not_hidden() {
        let matrix = ByteMatrix::new(&[1, 2], 1.0, 1, 2).unwrap();
        for bad in [f32::NAN, f32::INFINITY] {
            assert!(!matrix.product(&[1.0, bad], &[0.0]).unwrap()[0].is_finite());
        }
        assert_eq!(matrix.product(&[0.0, 0.0], &[0.25]).unwrap(), [0.25]);
    }

    #[test]
    fn shapes_that_do_not_go_together_are_refused() {
        assert!(ByteMatrix::new(&[0; 5], 1.0, 2, 3).is_none());
        assert!(ByteMatrix::new(&[], 1.0, 0, 0).is_none());
        assert!(ByteMatrix::new(&[0; 5000], 1.0, 1, 5000).is_none());
        let matrix = ByteMatrix::new(&[1; 6], 1.0, 2, 3).unwrap();
        assert!(matrix.product(&[0.0; 4], &[0.0; 2]).is_none());
        assert!(matrix.product(&[0.0; 3], &[0.0; 3]).is_none());
        assert!(matrix.product(&[], &[0.0; 2]).unwrap().is_empty());
    }
}
