//! The local attention of SNAC's larger codecs.

use super::SnacConfig;
use crate::Result;
use crate::nn::slices::{LayerNorm, Linear, LocalAttention};
use crate::weights::Floats;

/// What PyTorch adds to a variance.
const EPSILON: f32 = 1e-5;

/// The attention `name` over `width` channels, if the codec has windows.
pub(super) fn load(
    weights: &Floats<'_>,
    name: &str,
    width: usize,
    config: &SnacConfig,
) -> Result<Option<LocalAttention>> {
    let Some(window) = config.attn_window_size else { return Ok(None) };
    let matrix = |part: &str, outputs: usize| {
        let weight = weights.tensor(&format!("{name}.{part}.weight"), &[outputs, width])?;
        Linear::new(&weight, &vec![0.0; outputs])
    };
    let norm = |part: &str| weights.tensor(&format!("{name}.norm.{part}"), &[width]);
    let place = format!("{name}.rel_pos.inv_freq");
    let [half] = weights.shape(&place)?;
    if half == 0 || !width.is_multiple_of(2 * half) {
        return Err(weights
            .misfit(&place, format_args!("heads of {} channels do not divide {width}", 2 * half)));
    }
    Ok(Some(LocalAttention::new(
        LayerNorm::new(norm("weight")?, norm("bias")?, EPSILON),
        matrix("to_qkv", 3 * width)?,
        matrix("to_out", width)?,
        &weights.tensor(&place, &[half])?,
        [width, window],
    )))
}
