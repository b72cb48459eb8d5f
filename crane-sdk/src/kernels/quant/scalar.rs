//! The definition of the integer dot product.

use super::{Format, GROUP, Row, TileRow};

/// Σ over groups of weight scale · activation scale · Σ q·x, and of offset · sum, for each row of the tile.
pub(super) fn dot<const R: usize>(
    weights: &Row,
    format: &Format,
    tile: &[TileRow<'_>; R],
) -> [f32; R] {
    tile.map(|row| {
        let offsets = weights.offsets.iter().zip(row.sums);
        let mut total: f32 = offsets.map(|(offset, sum)| offset * sum).sum();
        let groups = weights.q.chunks_exact(GROUP).zip(row.x.chunks_exact(GROUP));
        let scales = weights.scales.chunks_exact(GROUP / format.group).zip(row.scales);
        for ((q, x), (weight_scales, scale)) in groups.zip(scales) {
            let parts = q.chunks_exact(format.group).zip(x.chunks_exact(format.group));
            for ((q, x), weight_scale) in parts.zip(weight_scales) {
                let widened = |q: u8| if format.signed { i32::from(q as i8) } else { i32::from(q) };
                let sum: i32 = q.iter().zip(x).map(|(&q, &x)| widened(q) * i32::from(x)).sum();
                total += weight_scale * scale * sum as f32;
            }
        }
        total
    })
}
