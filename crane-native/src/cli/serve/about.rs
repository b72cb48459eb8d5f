//! What a model's files say of it before its weights are loaded.

use std::time::{SystemTime, UNIX_EPOCH};

use crane_sdk::source::model_gguf;
use crane_sdk::text::ChatTemplate;
use crane_sdk::text::tools::CallFormat;
use sha2::{Digest, Sha256};

use crate::cli::show::{Summary, heads};
use crate::resolve::Resolved;
use crate::server::About;

/// Reads the heads of a model that writes or makes vectors of texts.
///
/// # Errors
/// If one of its files is damaged.
pub(super) fn of_text(model: &Resolved) -> crane_sdk::Result<About> {
    let source = model.source.as_ref();
    let (config, checkpoint) = heads(source)?;
    let sum = Summary::of(checkpoint.as_ref());
    let names = config.architectures()?;
    let family = names.first().map(|name| family(name)).unwrap_or_default();
    let template = ChatTemplate::from_source(source)?;
    // A template that fails here is told when tools are asked for.
    let calls_tools = template.as_ref().is_some_and(|it| matches!(CallFormat::of(it), Ok(Some(_))));
    let main = |template: ChatTemplate| template.texts().next().map(|(_, text)| text.to_owned());
    Ok(About {
        format: if model_gguf(source)?.is_some() { "gguf" } else { "safetensors" },
        family,
        parameters: sum.parameters,
        quantization: sum.main_type().unwrap_or_default().to_uppercase(),
        context: config.opt_usize("max_position_embeddings")?,
        width: config.opt_usize("hidden_size")?,
        template: template.and_then(main),
        calls_tools,
        ..of_files(model)?
    })
}

/// A family as GGUF names it: of `Qwen2ForCausalLM` it is `qwen2`.
fn family(architecture: &str) -> String {
    let suffixes =
        ["ForCausalLM", "ForMaskedLM", "ForSequenceClassification", "LMHeadModel", "Model"];
    let name = suffixes.iter().find_map(|suffix| architecture.strip_suffix(suffix));
    name.unwrap_or(architecture).to_lowercase()
}

/// What the files of any model say without being read.
///
/// # Errors
/// If they cannot be listed.
pub(super) fn of_files(model: &Resolved) -> crane_sdk::Result<About> {
    let source = model.source.as_ref();
    let (mut digest, mut bytes, mut modified) = (Sha256::new(), 0u64, None::<SystemTime>);
    let time = |path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    for name in source.files()? {
        let Ok(file) = source.open(&name) else { continue };
        bytes = bytes.saturating_add(file.len());
        let written = time(model.path.join(&name)).or_else(|| time(model.path.clone()));
        modified = modified.max(written);
        let since = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let nanoseconds = since.map_or(0, |since| since.as_nanos());
        digest.update(format!("{name}\0{}\0{nanoseconds}\n", file.len()));
    }
    let digest = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(About { bytes, modified, digest, ..About::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_named_as_in_gguf() {
        for (architecture, name) in [
            ("Qwen2ForCausalLM", "qwen2"),
            ("LlamaForCausalLM", "llama"),
            ("BertModel", "bert"),
            ("qwen3", "qwen3"),
        ] {
            assert_eq!(family(architecture), name);
        }
    }
}
