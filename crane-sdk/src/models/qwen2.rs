//! Qwen2 and Qwen2.5: biases on q, k and v; a sliding window that is usually switched off.

use super::{Architecture, Config, Sliding};
use crate::Result;
use crate::nn::DecoderSpec;

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "Qwen2, Qwen2.5",
    examples: "Qwen2.5-0.5B-Instruct, Qwen2.5-Coder-7B",
    hugging_face: &["Qwen2ForCausalLM"],
    gguf: &["qwen2"],
    gguf_permutes_qk: false,
    spec,
};

fn spec(config: &Config) -> Result<DecoderSpec> {
    Ok(DecoderSpec { qkv_bias: true, ..config.sliding_decoder(Sliding::qwen(config)?)? })
}
