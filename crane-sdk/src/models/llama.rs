//! Llama and what is built like it: SmolLM2, TinyLlama, Llama 3.

use super::{Architecture, Config};
use crate::Result;
use crate::nn::DecoderSpec;

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "Llama",
    examples: "SmolLM2-135M-Instruct, Llama-3.2-1B-Instruct, TinyLlama-1.1B-Chat",
    hugging_face: &["LlamaForCausalLM"],
    gguf: &["llama"],
    gguf_permutes_qk: true,
    spec,
};

fn spec(config: &Config) -> Result<DecoderSpec> {
    let attention_bias = config.switch("attention_bias", false)?;
    Ok(DecoderSpec {
        qkv_bias: attention_bias,
        o_bias: attention_bias,
        mlp_bias: config.switch("mlp_bias", false)?,
        ..config.decoder()?
    })
}
