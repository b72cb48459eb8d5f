//! Root-mean-square normalisation.

use candle_core::Tensor;

use super::views::{is_host, with_slice};
use crate::Result;
use crate::kernels::rows::{add_rms_norm, rms_norm};

/// x · w / sqrt(mean(x²) + ε) over the last dimension (Zhang and Sennrich, 2019).
#[derive(Debug, Clone)]
pub struct RmsNorm {
    weight: Tensor,
    eps: f32,
}

impl RmsNorm {
    /// A norm with an f32 `weight` `[width]`.
    pub fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps: eps as f32 }
    }

    /// f32 `[.., n · width]` to the same shape, each run of `width` elements by itself.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if the last dimension is not a multiple of the width.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if is_host(x.device()) {
            let y = with_slice::<f32, _>(x, |x| {
                with_slice::<f32, _>(&self.weight, |weight| rms_norm(x, weight, self.eps))
            })??;
            return Ok(Tensor::from_vec(y, x.shape(), x.device())?);
        }
        let rows = x.reshape(((), self.weight.elem_count()))?;
        let y = candle_nn::ops::rms_norm(&rows.contiguous()?, &self.weight, self.eps)?;
        Ok(y.reshape(x.shape())?)
    }

    /// x + y, and the norm of it: f32 `[rows, width]` each.
    ///
    /// # Errors
    /// [`crate::Error::Tensor`] if the shapes are not the same or do not go with the width.
    pub fn forward_residual(&self, x: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor)> {
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() && x.shape() == y.shape() {
            return Ok(crate::kernels::cuda::add_rms_norm(x, y, &self.weight, self.eps)?);
        }
        if !is_host(x.device()) || x.shape() != y.shape() {
            let sum = (x + y)?;
            let normed = self.forward(&sum)?;
            return Ok((sum, normed));
        }
        let (sum, normed) = with_slice::<f32, _>(x, |x| {
            with_slice::<f32, _>(y, |y| {
                with_slice::<f32, _>(&self.weight, |weight| add_rms_norm(x, y, weight, self.eps))
            })
        })???;
        let tensor = |values| Tensor::from_vec(values, x.shape(), x.device());
        Ok((tensor(sum)?, tensor(normed)?))
    }
}
