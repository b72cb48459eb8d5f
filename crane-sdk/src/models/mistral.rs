//! Mistral: Llama with a sliding window in every layer where the config gives one.
//!
//! Its GGUF files call themselves `llama`.

use super::{Architecture, Config, Sliding};
use crate::Result;
use crate::nn::DecoderSpec;

pub(super) const ARCHITECTURE: Architecture = Architecture {
    name: "Mistral",
    examples: "Mistral-7B-Instruct-v0.3",
    hugging_face: &["MistralForCausalLM"],
    gguf: &[],
    gguf_permutes_qk: true,
    spec,
};

fn spec(config: &Config) -> Result<DecoderSpec> {
    config.sliding_decoder(Sliding::mistral(config)?)
}
