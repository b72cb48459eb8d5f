//! Qwen2 and Qwen2.5: biases on q, k and v; a sliding window that is usually switched off.

use super::{Architecture, Config};
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
    let mut spec = DecoderSpec { qkv_bias: true, ..config.decoder()? };
    if config.switch("use_sliding_window", false)? {
        // The first `max_window_layers` layers keep full attention.
        let first = config.opt_usize("max_window_layers")?.unwrap_or(0);
        let window = config.opt_usize("sliding_window")?;
        spec.windows.iter_mut().skip(first).for_each(|layer| *layer = window);
    }
    Ok(spec)
}
