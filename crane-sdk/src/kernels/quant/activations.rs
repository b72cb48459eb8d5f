//! Activation rows as 8-bit numbers with a scale for each group.

use super::super::shared::Shared;
use super::super::threads::parallel_for;
use super::format::GROUP;
use super::panels::{Columns, Starts};

/// Quantised activations: x ≈ scale · q with q in −127 ..= 127, 32 numbers to a scale.
///
/// They serve every product with the same input: q, k and v, or gate and up.
#[derive(Debug)]
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
                    let groups = x[row * width..(row + 1) * width].as_chunks::<GROUP>().0;
                    for (group, x) in groups.iter().enumerate() {
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
                            (*q, *scale) = quantize_group(x);
                            let (low, high) = q.split_at(GROUP / 2);
                            let (low, high) = (count(low), count(high));
                            *starts = Starts::new(low, high);
                            *sum = *scale * (low + high) as f32;
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

/// Adding and taking away 1.5·2²³ rounds to the nearest integer, ties to even, without a call.
const ROUND: f32 = 12_582_912.0;

#[inline(always)]
fn quantize_group(x: &[f32; GROUP]) -> ([i8; GROUP], f32) {
    let largest = x.iter().fold(0f32, |most, x| most.max(x.abs()));
    let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    (x.map(|x| ((x * inverse + ROUND) - ROUND) as i8), largest / 127.0)
}

#[inline(always)]
fn count(q: &[i8]) -> i32 {
    q.iter().map(|&q| i32::from(q)).sum()
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
