//! Qwen3: norms on query and key heads, heads of their own width, no biases.

use super::{Architecture, Config};
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
    let mut spec = DecoderSpec { qk_norm: true, qkv_bias: bias, o_bias: bias, ..config.decoder()? };
    if config.switch("use_sliding_window", false)? {
        let first = config.opt_usize("max_window_layers")?.unwrap_or(0);
        let window = config.opt_usize("sliding_window")?;
        spec.windows.iter_mut().skip(first).for_each(|layer| *layer = window);
    }
    Ok(spec)
}
