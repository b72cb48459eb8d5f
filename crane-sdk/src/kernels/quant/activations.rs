//! Activation rows as 8-bit numbers with a scale for each group.

use super::super::shared::Shared;
use super::super::threads::parallel_for;
use super::format::GROUP;
use super::panels::{Columns, Starts};
use super::{Set, fastest};
use crate::kernels::vector::Vector;

/// Quantised activations: x ≈ scale · q with q in −127 ..= 127, 32 numbers to a scale.
///
/// They serve every product with the same input: q, k and v, or gate and up.
#[derive(Debug, PartialEq)]
pub struct Activations {
    rows: usize,
    width: usize,
    /// `[groups, rows]`, 32 numbers each.
    q: Vec<[i8; GROUP]>,
    /// `[groups, rows]`.
    scales: Vec<f32>,
    /// scale · Σ q, `[groups, rows]`.
    sums: Vec<f32>,
    /// What products start from, `[groups, rows]`.
    starts: Vec<Starts>,
}

impl Activations {
    /// Quantises `x` `[rows, width]`; `None` unless the width is a multiple of 32 that divides `x`.
    pub fn quantize(x: &[f32], width: usize) -> Option<Self> {
        Self::with_set(fastest(), x, width)
    }

    pub(super) fn with_set(set: &Set, x: &[f32], width: usize) -> Option<Self> {
        if width == 0 || !width.is_multiple_of(GROUP) || !x.len().is_multiple_of(width) {
            return None;
        }
        let rows = x.len() / width;
        let len = x.len() / GROUP;
        let (mut q, mut starts) = (vec![[0i8; GROUP]; len], vec![Starts::default(); len]);
        let (mut scales, mut sums) = (vec![0f32; len], vec![0f32; len]);
        {
            let (q, starts) = (Shared::new(&mut q), Shared::new(&mut starts));
            let (scales, sums) = (Shared::new(&mut scales), Shared::new(&mut sums));
            parallel_for(rows, 4 * width, |range| {
                for row in range {
                    for group in 0..width / GROUP {
                        let at = group * rows + row;
                        let at = at..at + 1;
                        // SAFETY: each row's places are written by one thread.
                        let places = unsafe {
                            (
                                q.slice(at.clone()),
                                starts.slice(at.clone()),
                                scales.slice(at.clone()),
                                sums.slice(at),
                            )
                        };
                        if let ([q], [starts], [scale], [sum]) = places {
                            let x = &x[row * width + group * GROUP..][..GROUP];
                            // SAFETY: the set is one that the processor runs; both sides hold a group.
                            let numbers = unsafe { (set.quantize)(x.as_ptr(), q.as_mut_ptr()) };
                            *scale = numbers.scale;
                            *starts = Starts::new(numbers.low as i32, numbers.high as i32);
                            *sum = numbers.scale * (numbers.low + numbers.high);
                        }
                    }
                }
            });
        }
        Some(Self { rows, width, q, scales, sums, starts })
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    pub(super) fn columns(&self) -> Columns {
        Columns {
            q: self.q.as_ptr().cast(),
            scales: self.scales.as_ptr(),
            sums: self.sums.as_ptr(),
            starts: self.starts.as_ptr(),
        }
    }
}

/// What goes with the 8-bit numbers of a group.
pub(super) struct Numbers {
    scale: f32,
    /// Σ q of the first half.
    low: f32,
    /// Σ q of the second half.
    high: f32,
}

/// Quantises 32 floats: q = round(x · 127 / max |x|), ties to even.
///
/// # Safety
/// The processor must have the instructions of `V`; `x` must be good for 32 floats, `q` for 32 bytes.
#[inline(always)]
pub(super) unsafe fn quantize_group<V: Vector>(x: *const f32, q: *mut i8) -> Numbers {
    // SAFETY: as the caller says.
    unsafe {
        let zero = V::splat(0.0);
        let mut most = zero;
        let mut i = 0;
        while i < GROUP {
            let x = V::read(x.add(i));
            most = V::max(most, V::max(x, V::sub(zero, x)));
            i += V::LANES;
        }
        let largest = V::greatest(most);
        let inverse = V::splat(if largest > 0.0 { 127.0 / largest } else { 0.0 });
        let mut halves = [zero; 2];
        let mut i = 0;
        while i < GROUP {
            let number = V::round(V::mul(V::read(x.add(i)), inverse));
            V::write_i8(q.add(i), number);
            halves[2 * i / GROUP] = V::add(halves[2 * i / GROUP], number);
            i += V::LANES;
        }
        Numbers { scale: largest / 127.0, low: V::total(halves[0]), high: V::total(halves[1]) }
    }
}

#[cfg(test)]
impl Activations {
    /// Row `row` as the products see it.
    pub(super) fn row(&self, row: usize) -> Vec<f64> {
        let groups = (0..self.width / GROUP).map(|group| group * self.rows + row);
        let values = groups.map(|at| self.q[at].map(|q| f64::from(q) * f64::from(self.scales[at])));
        values.flatten().collect()
    }

    /// Row `row` alone.
    pub(super) fn only(&self, row: usize) -> Self {
        let at = |group: usize| group * self.rows + row;
        let groups = self.width / GROUP;
        Self {
            rows: 1,
            width: self.width,
            q: (0..groups).map(|group| self.q[at(group)]).collect(),
            scales: (0..groups).map(|group| self.scales[at(group)]).collect(),
            sums: (0..groups).map(|group| self.sums[at(group)]).collect(),
            starts: (0..groups).map(|group| self.starts[at(group)]).collect(),
        }
    }
}
