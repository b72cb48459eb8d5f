//! Where a checkpoint keeps its chat template.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::special_tokens::SpecialTokens;
use super::super::tokenizer::json_file;
use crate::source::{Gguf, Metadata, Source, find_gguf, without_bom};
use crate::{Error, Result};

type Templates = BTreeMap<String, String>;

const CONFIG: &str = "tokenizer_config.json";
const PROCESSOR: &str = "chat_template.json";
const JINJA: &str = "chat_template.jinja";
const MORE: &str = "additional_chat_templates/";

/// The templates of a model and its special tokens.
pub(super) fn find(source: &dyn Source) -> Result<Option<(Templates, SpecialTokens)>> {
    let config = json_file(source, CONFIG)?;
    let mut templates = jinja_files(source)?;
    if templates.is_empty() {
        templates = in_config(CONFIG, config.as_ref())?;
    }
    if templates.is_empty() {
        templates = in_config(PROCESSOR, json_file(source, PROCESSOR)?.as_ref())?;
    }
    if !templates.is_empty() {
        let map = json_file(source, "special_tokens_map.json")?;
        let tokens = SpecialTokens::from_files(map.as_ref(), config.as_ref())?;
        return Ok(Some((templates, tokens)));
    }
    let Some(name) = find_gguf(source)? else { return Ok(None) };
    let gguf = Gguf::open(source, &name)?;
    let templates = in_gguf(gguf.metadata())?;
    if templates.is_empty() {
        return Ok(None);
    }
    let tokens = gguf.metadata().opt_strings("tokenizer.ggml.tokens")?.unwrap_or_default();
    Ok(Some((templates, SpecialTokens::from_gguf(gguf.metadata(), tokens, &[])?.0)))
}

/// The special tokens of a model, whether it has a template or not.
pub(super) fn tokens(source: &dyn Source) -> Result<SpecialTokens> {
    let (map, config) = (json_file(source, "special_tokens_map.json")?, json_file(source, CONFIG)?);
    if map.is_some() || config.is_some() {
        return SpecialTokens::from_files(map.as_ref(), config.as_ref());
    }
    let Some(name) = find_gguf(source)? else { return Ok(SpecialTokens::new()) };
    let gguf = Gguf::open(source, &name)?;
    let tokens = gguf.metadata().opt_strings("tokenizer.ggml.tokens")?.unwrap_or_default();
    Ok(SpecialTokens::from_gguf(gguf.metadata(), tokens, &[])?.0)
}

fn jinja_files(source: &dyn Source) -> Result<Templates> {
    let mut templates = Templates::new();
    if !source.contains(JINJA)? {
        return Ok(templates);
    }
    for file in source.files()? {
        let more = file.strip_prefix(MORE).and_then(|name| name.strip_suffix(".jinja"));
        let name = if file == JINJA { Some("default") } else { more };
        if let Some(name) = name {
            let blob = source.open(&file)?;
            let text = String::from_utf8(without_bom(&blob.read_all()?).to_vec())
                .map_err(|error| Error::invalid_file(&file, error))?;
            templates.insert(name.to_owned(), text);
        }
    }
    Ok(templates)
}

/// `chat_template` is a text, or a list of `{"name": .., "template": ..}`, or an object.
fn in_config(file: &str, config: Option<&Value>) -> Result<Templates> {
    let mut templates = Templates::new();
    match config.and_then(|config| config.get("chat_template")) {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => {
            templates.insert("default".to_owned(), text.clone());
        }
        Some(Value::Array(list)) => {
            for entry in list {
                let field = |name: &str| entry.get(name).and_then(Value::as_str);
                let (Some(name), Some(text)) = (field("name"), field("template")) else {
                    let reason = "each chat_template of a list needs `name` and `template`";
                    return Err(Error::invalid_file(file, reason));
                };
                templates.insert(name.to_owned(), text.to_owned());
            }
        }
        Some(Value::Object(map)) => {
            for (name, text) in map {
                let Some(text) = text.as_str() else {
                    let reason = format_args!("chat_template.{name} should be a string");
                    return Err(Error::invalid_file(file, reason));
                };
                templates.insert(name.clone(), text.to_owned());
            }
        }
        Some(_) => {
            let reason = "chat_template should be a string or a list of named templates";
            return Err(Error::invalid_file(file, reason));
        }
    }
    Ok(templates)
}

fn in_gguf(meta: &Metadata) -> Result<Templates> {
    const KEY: &str = "tokenizer.chat_template";
    let mut templates = Templates::new();
    if let Some(text) = meta.opt_str(KEY)? {
        templates.insert("default".to_owned(), text.to_owned());
    }
    let prefix = format!("{KEY}.");
    for (key, _) in meta.iter() {
        let Some(name) = key.strip_prefix(&prefix) else { continue };
        if let Some(text) = meta.opt_str(key)? {
            templates.insert(name.to_owned(), text.to_owned());
        }
    }
    Ok(templates)
}
