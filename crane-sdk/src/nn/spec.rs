//! What distinguishes one decoder-only language model from another.

use crate::{Error, Result};

/// How rotary frequencies are changed for contexts longer than those of pre-training.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Every frequency divided by a factor.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3: long wavelengths divided by a factor, short ones kept, those between blended.
    Llama3 {
        /// The divisor of long wavelengths.
        factor: f64,
        /// Wavelengths above `original_context / low` are long.
        low: f64,
        /// Wavelengths below `original_context / high` are short.
        high: f64,
        /// The context of pre-training, in tokens.
        original_context: f64,
    },
}

/// A decoder-only transformer: pre-norm, rotary embedding, grouped queries, gated feed-forward.
///
/// A model file turns a checkpoint's config into this; [`super::Decoder`] runs it.
#[derive(Debug, Clone, PartialEq)]
pub struct DecoderSpec {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Layers.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// The longest sequence the model was made for.
    pub context_length: usize,
    /// ε of the norms.
    pub norm_eps: f64,
    /// The rotary base.
    pub rope_theta: f64,
    /// Changes to the rotary frequencies.
    pub rope_scaling: RopeScaling,
    /// Biases on the q, k and v projections.
    pub qkv_bias: bool,
    /// A bias on the attention's output projection.
    pub o_bias: bool,
    /// Biases in the feed-forward block.
    pub mlp_bias: bool,
    /// Norms on query and key heads before RoPE.
    pub qk_norm: bool,
    /// The output head is the embedding table.
    pub tied_embeddings: bool,
    /// Each layer's attention window, in tokens; `None` sees everything.
    pub windows: Vec<Option<usize>>,
}

impl DecoderSpec {
    /// Checks that the numbers describe a network that can exist; `file` names their origin.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] that names the first number that cannot be.
    pub fn check(&self, file: &str) -> Result<()> {
        let wrong = |reason: &str| Err(Error::invalid_file(file, reason));
        let sizes = [
            ("hidden_size", self.hidden_size, 1 << 20),
            ("intermediate_size", self.intermediate_size, 1 << 22),
            ("num_hidden_layers", self.layers, 1 << 12),
            ("num_attention_heads", self.heads, 1 << 12),
            ("num_key_value_heads", self.kv_heads, 1 << 12),
            ("head_dim", self.head_dim, 1 << 14),
            ("vocab_size", self.vocab_size, 1 << 24),
            ("max_position_embeddings", self.context_length, 1 << 28),
        ];
        for (name, value, most) in sizes {
            if value == 0 || value > most {
                return wrong(&format!("{name} is {value}, it must be 1 to {most}"));
            }
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return wrong(&format!(
                "{} query heads cannot share {} key/value heads",
                self.heads, self.kv_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return wrong(&format!("head_dim {} is odd, RoPE needs pairs", self.head_dim));
        }
        if !(self.norm_eps > 0.0 && self.norm_eps < 1.0) {
            return wrong(&format!("rms_norm_eps is {}", self.norm_eps));
        }
        if !(self.rope_theta > 0.0 && self.rope_theta.is_finite()) {
            return wrong(&format!("rope_theta is {}", self.rope_theta));
        }
        Ok(())
    }
}
