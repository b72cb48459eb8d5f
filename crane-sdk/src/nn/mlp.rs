//! The gated feed-forward block (Shazeer, 2020).

use candle_core::Tensor;

use super::Linear;
use super::views::{is_host, with_slice};
use crate::Result;
use crate::kernels::rows::silu_mul;

/// down(silu(gate(x)) · up(x)).
#[derive(Debug, Clone)]
pub struct Mlp {
    /// `[intermediate, hidden]`.
    pub gate: Linear,
    /// `[intermediate, hidden]`.
    pub up: Linear,
    /// `[hidden, intermediate]`.
    pub down: Linear,
}

impl Mlp {
    /// f32 `[tokens, hidden]` to the same shape.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if the shapes do not go together.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let [gate, up] = Linear::forward_all([&self.gate, &self.up], x)?; // [tokens, intermediate] each
        let gated = if is_host(x.device()) {
            let y = with_slice::<f32, _>(&gate, |gate| {
                with_slice::<f32, _>(&up, |up| silu_mul(gate, up))
            })??;
            Tensor::from_vec(y, gate.shape(), x.device())?
        } else {
            gated_on_device(&gate, &up)?
        };
        self.down.forward(&gated)
    }
}

/// gate · sigmoid(gate) · up.
fn gated_on_device(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if gate.device().is_cuda() {
        return Ok(crate::kernels::cuda::silu_mul(gate, up)?);
    }
    Ok((gate.silu()? * up)?)
}
