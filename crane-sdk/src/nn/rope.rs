//! Rotary position embedding (Su et al., 2021), half-split convention.

use std::f64::consts::TAU;

use candle_core::{Device, Tensor};

use super::spec::RopeScaling;
use super::views::is_host;
use crate::kernels::rows::RotaryTable;
use crate::{Error, Result};

/// The frequencies of a model's rotary embedding.
#[derive(Debug, Clone)]
pub struct Rope {
    inv_freq: Vec<f32>,
}

/// cos and sin for the tokens of one forward pass, `[tokens, head_dim / 2]`.
#[derive(Debug)]
pub struct Angles {
    table: RotaryTable,
    /// The same on a device other than the CPU.
    on_device: Option<(Tensor, Tensor)>,
}

impl Rope {
    /// θ^(−2i/d) for i < d/2, scaled as `scaling` says.
    pub fn new(head_dim: usize, theta: f64, scaling: &RopeScaling) -> Self {
        let frequency = |i: usize| 1.0 / theta.powf((2 * i) as f64 / head_dim as f64);
        let inv_freq = (0..head_dim / 2).map(|i| scaled(frequency(i), scaling) as f32).collect();
        Self { inv_freq }
    }

    /// Divides each frequency by its factor: how GGUF files carry llama3 scaling.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if there are not `head_dim / 2` factors.
    pub fn divide(&mut self, factors: &[f32], file: &str) -> Result<()> {
        let (have, need) = (factors.len(), self.inv_freq.len());
        if have != need {
            let reason = format_args!("rope_freqs has {have} factors, the heads need {need}");
            return Err(Error::invalid_file(file, reason));
        }
        self.inv_freq.iter_mut().zip(factors).for_each(|(f, factor)| *f /= factor);
        Ok(())
    }

    /// Refuses frequencies that are no numbers, which odd bases, scalings and divisors make.
    ///
    /// # Errors
    /// [`Error::InvalidFile`].
    pub fn check(&self, file: &str) -> Result<()> {
        match self.inv_freq.iter().find(|frequency| !frequency.is_finite()) {
            None => Ok(()),
            Some(frequency) => Err(Error::invalid_file(
                file,
                format_args!(
                    "rope_theta, its scaling or rope_freqs make the rotary frequency {frequency}"
                ),
            )),
        }
    }

    /// The frequencies, `[head_dim / 2]`.
    pub fn inv_freq(&self) -> &[f32] {
        &self.inv_freq
    }

    /// The angles of a list of positions.
    ///
    /// # Errors
    /// [`Error::Tensor`] if they cannot be moved to the device.
    pub fn angles(&self, positions: &[usize], device: &Device) -> Result<Angles> {
        let table = RotaryTable::new(positions, &self.inv_freq);
        let mut on_device = None;
        if !is_host(device) {
            let shape = (positions.len(), table.half);
            let cos = Tensor::from_slice(&table.cos, shape, device)?;
            on_device = Some((cos, Tensor::from_slice(&table.sin, shape, device)?));
        }
        Ok(Angles { table, on_device })
    }
}

fn scaled(frequency: f64, scaling: &RopeScaling) -> f64 {
    match *scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 { factor, low, high, original_context } => {
            let wavelength = TAU / frequency;
            if wavelength > original_context / low {
                frequency / factor
            } else if wavelength < original_context / high {
                frequency
            } else {
                let share = (original_context / wavelength - low) / (high - low);
                (1.0 - share) * frequency / factor + share * frequency
            }
        }
    }
}

/// Lays f32 `[tokens, heads · head_dim]` out as `[heads, tokens, head_dim]`, rotated if angles are given: for
/// devices other than the CPU, whose kernels do both on the way.
pub(super) fn to_heads(
    x: &Tensor,
    heads: usize,
    head_dim: usize,
    angles: Option<(&Tensor, &Tensor)>,
) -> Result<Tensor> {
    let y = x.reshape((1, x.dim(0)?, heads, head_dim))?.transpose(1, 2)?.contiguous()?;
    let y = match angles {
        Some((cos, sin)) => candle_nn::rotary_emb::rope(&y, cos, sin)?,
        None => y,
    };
    Ok(y.squeeze(0)?)
}

impl Angles {
    /// The angles of every token of the pass.
    pub(super) fn table(&self) -> &RotaryTable {
        &self.table
    }

    /// cos and sin of tokens `start .. start + len` on the device; `None` on the CPU.
    pub(super) fn on_device(&self, start: usize, len: usize) -> Result<Option<(Tensor, Tensor)>> {
        Ok(match &self.on_device {
            None => None,
            Some((cos, sin)) => Some((cos.narrow(0, start, len)?, sin.narrow(0, start, len)?)),
        })
    }
}
