//! `crane show`: what a checkpoint is, from its heads alone.

use std::collections::BTreeMap;

use crane_sdk::models::{Config, TextEncoder, find as find_architecture};
use crane_sdk::source::{Checkpoint, Gguf, SafetensorsCheckpoint, Source, model_gguf};
use crane_sdk::text::{ChatTemplate, Tokenizer};
use serde_json::{Value, json};

use super::args::ShowArgs;
use super::exit::Result;
use super::open;
use super::output::{self, Console};
use super::units::{Table, bytes, count};

/// Describes a model without loading its weights.
///
/// # Errors
/// If the model is not found or its files are damaged.
pub(super) fn show(console: Console, args: ShowArgs) -> Result {
    let model = open::find(console, &args.model, args.name)?;
    let source = model.source.as_ref();
    let explain = |error| model.explain(error);
    let (config, checkpoint) = heads(source).map_err(explain)?;
    let sum = Summary::of(checkpoint.as_ref());
    let names = config.architectures().map_err(explain)?;
    let encoder = TextEncoder::family(&config).map_err(explain)?;
    let supported = match encoder {
        Some(family) => Ok(format!("{family}, makes vectors of texts")),
        None => find_architecture(&config).map(|architecture| architecture.name.to_owned()),
    };
    let tokenizer = Tokenizer::from_source(source);
    let template = ChatTemplate::from_source(source).map_err(explain)?;
    let context = config.opt_usize("max_position_embeddings").map_err(explain)?;

    if args.json {
        let mut shown = json!({
            "model": model.name,
            "path": model.path,
            "architecture": names.join(", "),
            "supported": supported.is_ok(),
            "parameters": sum.parameters,
            "bytes": sum.bytes,
            "types": sum.types,
            "context_length": context,
            "vocab_size": tokenizer.as_ref().ok().map(Tokenizer::vocab_size),
            "chat_template": template.is_some(),
        });
        if args.tensors {
            shown["tensors"] = tensors(checkpoint.as_ref());
        }
        return output::json(&shown);
    }
    let mut table = Table::new(&["model", &model.name]);
    let mut row = |name: &str, text: String| table.row([name.to_owned(), text]);
    row("files", model.path.display().to_string());
    row(
        "architecture",
        match &supported {
            Ok(family) => format!("{} ({family})", names.join(", ")),
            Err(error) => format!("{}: {error}", names.join(", ")),
        },
    );
    row("parameters", count(sum.parameters));
    row("size", bytes(sum.bytes));
    row("types", sum.types_by_weight());
    row("tensors", checkpoint.tensors().iter().count().to_string());
    row(
        "context",
        context.map_or_else(|| "unknown".to_owned(), |tokens| format!("{tokens} tokens")),
    );
    row(
        "tokenizer",
        match &tokenizer {
            Ok(tokenizer) => format!("{} tokens", tokenizer.vocab_size()),
            Err(error) => error.to_string(),
        },
    );
    row(
        "chat template",
        match (template.is_some(), encoder) {
            (true, _) => "yes".to_owned(),
            (false, None) => "no (crane run --raw completes text)".to_owned(),
            (false, Some(_)) => "no (crane embed makes vectors)".to_owned(),
        },
    );
    output::line(table.plain().join("\n"))?;
    if args.tensors {
        let mut table = Table::new(&["TENSOR", "TYPE", "SHAPE", ">SIZE"]);
        for (name, info) in checkpoint.tensors().iter() {
            table.row([
                name.to_owned(),
                info.dtype.to_string(),
                format!("{:?}", info.shape),
                bytes(info.bytes as u64),
            ]);
        }
        output::line(format_args!("\n{}", table.plain().join("\n")))?;
    }
    Ok(())
}

/// The config and the table of tensors, by the same rule as loading.
pub(super) fn heads(source: &dyn Source) -> crane_sdk::Result<(Config, Box<dyn Checkpoint>)> {
    if let Some(name) = model_gguf(source)? {
        let gguf = Gguf::open(source, &name)?;
        return Ok((Config::from_gguf(&gguf), Box::new(gguf)));
    }
    let config = Config::from_source(source)?;
    Ok((config, Box::new(SafetensorsCheckpoint::open(source)?)))
}

fn tensors(checkpoint: &dyn Checkpoint) -> Value {
    let list = checkpoint.tensors().iter().map(|(name, info)| {
        json!({
            "name": name,
            "type": info.dtype.to_string(),
            "shape": info.shape,
            "bytes": info.bytes,
        })
    });
    list.collect()
}

/// What the tensors are together.
pub(super) struct Summary {
    pub parameters: u64,
    bytes: u64,
    /// Elements held in each type.
    types: BTreeMap<String, u64>,
}

impl Summary {
    pub(super) fn of(checkpoint: &dyn Checkpoint) -> Self {
        let mut sum = Summary { parameters: 0, bytes: 0, types: BTreeMap::new() };
        for (_, info) in checkpoint.tensors().iter() {
            sum.parameters += info.elements() as u64;
            sum.bytes += info.bytes as u64;
            *sum.types.entry(info.dtype.to_string()).or_default() += info.elements() as u64;
        }
        sum
    }

    /// The type of most parameters.
    #[cfg(feature = "server")]
    pub(super) fn main_type(&self) -> Option<&str> {
        self.types.iter().max_by_key(|&(_, elements)| elements).map(|(name, _)| name.as_str())
    }

    /// The types with their share of the parameters, the largest first.
    fn types_by_weight(&self) -> String {
        let mut types: Vec<_> = self.types.iter().collect();
        types.sort_by_key(|&(name, &elements)| (std::cmp::Reverse(elements), name));
        let all = self.parameters.max(1) as f64;
        let shares = types
            .into_iter()
            .map(|(name, &elements)| format!("{name} {:.1} %", 100.0 * elements as f64 / all));
        shares.collect::<Vec<_>>().join(", ")
    }
}
