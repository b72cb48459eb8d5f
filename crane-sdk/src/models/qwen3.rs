//! Qwen3: norms on query and key heads, heads of their own width, no biases.

use super::{Architecture, Config, Sliding};
use crate::Result;
use crate::nn::DecoderSpec;

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "Qwen3",
    examples: "Qwen3-0.6B, Qwen3-4B",
    hugging_face: &["Qwen3ForCausalLM"],
    gguf: &["qwen3"],
    gguf_permutes_qk: false,
    spec,
};

fn spec(config: &Config) -> Result<DecoderSpec> {
    let bias = config.switch("attention_bias", false)?;
    let plain = config.sliding_decoder(Sliding::qwen(config)?)?;
    Ok(DecoderSpec { qk_norm: true, qkv_bias: bias, o_bias: bias, ..plain })
}
