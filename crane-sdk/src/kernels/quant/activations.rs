//! Activation rows as 8-bit numbers with a scale for each group.

use super::super::shared::Shared;
use super::super::threads::parallel_for;
use super::{GROUP, TileRow};

/// Quantised activations: x ≈ scale · q with q in −127 ..= 127.
pub(super) struct Activations {
    q: Vec<i8>,
    scales: Vec<f32>,
    /// scale · Σ q for each group of weights' offsets.
    sums: Vec<f32>,
    width: usize,
    sums_width: usize,
}

impl Activations {
    /// Quantises `x` `[rows, width]`; sums are taken over groups of `group` numbers (32 or 16).
    pub(super) fn new(x: &[f32], width: usize, group: usize) -> Self {
        let (rows, groups) = (x.len() / width, width / GROUP);
        let sums_width = width / group;
        let mut q = vec![0i8; x.len()];
        let mut scales = vec![0f32; rows * groups];
        let mut sums = vec![0f32; rows * sums_width];
        {
            let (scales, sums) = (Shared::new(&mut scales), Shared::new(&mut sums));
            let bytes = Shared::new(&mut q);
            parallel_for(rows, 4 * width, |range| {
                for row in range {
                    // SAFETY: each row is given to one thread.
                    let (q, scales, sums) = unsafe {
                        (
                            bytes.slice(row * width..(row + 1) * width),
                            scales.slice(row * groups..(row + 1) * groups),
                            sums.slice(row * sums_width..(row + 1) * sums_width),
                        )
                    };
                    quantize_row(&x[row * width..(row + 1) * width], q, scales, sums, group);
                }
            });
        }
        Self { q, scales, sums, width, sums_width }
    }

    pub(super) fn row(&self, row: usize) -> TileRow<'_> {
        let groups = self.width / GROUP;
        TileRow {
            x: &self.q[row * self.width..(row + 1) * self.width],
            scales: &self.scales[row * groups..(row + 1) * groups],
            sums: &self.sums[row * self.sums_width..(row + 1) * self.sums_width],
        }
    }
}

/// Adding and taking away 1.5·2²³ rounds to the nearest integer, ties to even, without a call.
const ROUND: f32 = 12_582_912.0;

fn quantize_row(x: &[f32], q: &mut [i8], scales: &mut [f32], sums: &mut [f32], group: usize) {
    let groups = x.as_chunks::<GROUP>().0.iter().zip(q.as_chunks_mut::<GROUP>().0);
    let sums = sums.chunks_exact_mut(GROUP / group);
    for (((x, q), scale), sums) in groups.zip(scales).zip(sums) {
        let largest = x.iter().fold(0f32, |most, x| most.max(x.abs()));
        *scale = largest / 127.0;
        let inverse = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        for (q, x) in q.iter_mut().zip(x) {
            *q = ((x * inverse + ROUND) - ROUND) as i8;
        }
        for (sum, q) in sums.iter_mut().zip(q.chunks_exact(group)) {
            *sum = *scale * q.iter().map(|&q| i32::from(q)).sum::<i32>() as f32;
        }
    }
}
