//! Reads `tokenizer.json`, with what `tokenizer_config.json` changes in it.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use tokenizers::models::unigram::Unigram;
use tokenizers::{AddedToken, ModelWrapper, PostProcessorWrapper};

use super::around::Around;
use super::bpe::Bpe;
use super::cutter::Cutter;
use super::decoder::Decoder;
use super::guard::guarded;
use super::model::nested_bytes;
use super::normalizer::Normalizer;
use super::special_tokens::SpecialTokens;
use super::tokenizer::Parts;
use crate::source::{impostor, without_bom};
use crate::{Error, Result};

const FILE: &str = "tokenizer.json";

/// Classes whose bos and eos come from `add_bos_token` and `add_eos_token` of the config, not from
/// the post-processor of `tokenizer.json`.
const TEMPLATE_FROM_CONFIG: [&str; 7] = [
    "LlamaTokenizer",
    "LlamaTokenizerFast",
    "CodeLlamaTokenizer",
    "CodeLlamaTokenizerFast",
    "GemmaTokenizer",
    "GemmaTokenizerFast",
    "CohereTokenizerFast",
];

/// The file with its model read as `M`.
#[derive(Deserialize)]
struct File<M> {
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Option<Value>,
    #[serde(default)]
    pre_tokenizer: Option<Value>,
    #[serde(default)]
    post_processor: Option<Value>,
    #[serde(default)]
    decoder: Option<Value>,
    model: M,
}

/// The file with nothing read but which kind of model it holds.
#[derive(Deserialize)]
struct Probe {
    model: ModelKind,
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

/// An entry of `added_tokens_decoder`, whose switches may be left out.
#[derive(Deserialize)]
struct AddedInConfig {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    normalized: Option<bool>,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct ModelKind {
    #[serde(rename = "type")]
    kind: Option<String>,
    /// Files older than `type`: only byte-pair models have merges,
    merges: Option<IgnoredAny>,
    /// and only unigram models a list of tokens.
    vocab: Option<VocabKind>,
}

/// Whether a vocabulary is a list.
struct VocabKind(bool);

#[derive(Deserialize)]
struct UnigramFile {
    vocab: Vec<(String, f64)>,
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
}

#[derive(Deserialize)]
struct BpeFile {
    vocab: VocabList,
    merges: Vec<Merge>,
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    dropout: Option<f32>,
    fuse_unk: Option<bool>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
}

/// A JSON object of tokens and ids, without a map in between.
struct VocabList(Vec<(String, u32)>);

/// `"left right"` in older files, `["left", "right"]` in newer ones.
struct Merge(String, String);

/// Reads a tokenizer; `map` is `special_tokens_map.json`.
pub(super) fn read(json: &[u8], config: Option<&Value>, map: Option<&Value>) -> Result<Parts> {
    let Probe { model } = serde_json::from_slice(without_bom(json)).map_err(|error| {
        impostor::what(json).map_or_else(|| damaged("", error), |what| damaged("", what))
    })?;
    let json = without_bom(json);
    if model.kind.as_deref() == Some("BPE") || (model.kind.is_none() && model.merges.is_some()) {
        return read_file(json, config, map, byte_pair_model);
    }
    let is_list = model.vocab.is_some_and(|VocabKind(is_list)| is_list);
    if model.kind.as_deref() == Some("Unigram") || (model.kind.is_none() && is_list) {
        return read_file(json, config, map, |model, _| unigram_model(model));
    }
    read_file(json, config, map, |model: ModelWrapper, _| Ok(model))
}

fn read_file<M: DeserializeOwned>(
    json: &[u8],
    config: Option<&Value>,
    map: Option<&Value>,
    build: impl FnOnce(M, &[Added]) -> Result<ModelWrapper, String>,
) -> Result<Parts> {
    let file: Result<File<M>, _> =
        guarded(|| serde_json::from_slice(json)).map_err(|reason| damaged("", reason))?;
    let file = file.map_err(|error| damaged("", error))?;
    let special = SpecialTokens::from_files(map, config)?;
    let mut added = file.added_tokens;
    if let Some(config) = config {
        apply_config(&mut added, config)?;
    }
    let named: HashSet<&str> = special
        .iter()
        .map(|(_, token)| token)
        .chain(special.additional().iter().map(String::as_str))
        .collect();
    for entry in &mut added {
        let content = entry.token.content.as_str();
        entry.token.special |= named.contains(content);
    }
    added.retain(|entry| !entry.token.content.is_empty());
    added.sort_by_key(|entry| entry.id);
    check_template(file.post_processor.as_ref())
        .map_err(|reason| damaged("post_processor", reason))?;
    let mut parts = Parts {
        model: build(file.model, &added).map_err(|reason| damaged("model", reason))?,
        normalizer: Normalizer::from_json(file.normalizer.as_ref())
            .map_err(|reason| damaged("normalizer", reason))?,
        cutter: Cutter::from_json(file.pre_tokenizer.as_ref())
            .map_err(|reason| damaged("pre_tokenizer", reason))?,
        around: around(file.post_processor).map_err(|reason| damaged("post_processor", reason))?,
        decoder: Decoder::from_json(file.decoder.as_ref())
            .map_err(|reason| damaged("decoder", reason))?,
        added: added.iter().map(|entry| entry.token.clone()).collect(),
        special,
        repeated: Vec::new(),
        warnings: Vec::new(),
    };
    if let Some(config) = config {
        use_config_template(&mut parts, config, &added)?;
    }
    Ok(parts)
}

fn byte_pair_model(file: BpeFile, added: &[Added]) -> Result<ModelWrapper, String> {
    let mut bpe = Bpe {
        vocab: file.vocab.0,
        merges: file.merges.into_iter().map(|Merge(left, right)| (left, right)).collect(),
        unk_token: file.unk_token,
        continuing_subword_prefix: file.continuing_subword_prefix,
        end_of_word_suffix: file.end_of_word_suffix,
        dropout: file.dropout,
        fuse_unk: file.fuse_unk.unwrap_or_default(),
        byte_fallback: file.byte_fallback.unwrap_or_default(),
        ignore_merges: file.ignore_merges.unwrap_or_default(),
    };
    bpe.add_tokens(added.iter().map(|entry| (entry.id, entry.token.content.as_str())))?;
    bpe.build().map(ModelWrapper::BPE)
}

fn unigram_model(file: UnigramFile) -> Result<ModelWrapper, String> {
    // The library recurses into each token: they are checked before it sees them.
    nested_bytes(file.vocab.iter().map(|(token, _)| token.as_str()).collect())?;
    guarded(|| Unigram::from(file.vocab, file.unk_id, file.byte_fallback))?
        .map(ModelWrapper::Unigram)
        .map_err(|error| error.to_string())
}

/// `added_tokens_decoder` of the config has the last word on added tokens.
fn apply_config(added: &mut Vec<Added>, config: &Value) -> Result<()> {
    let Some(entries) = config.get("added_tokens_decoder").and_then(Value::as_object) else {
        return Ok(());
    };
    let mut places: HashMap<String, usize> = HashMap::with_capacity(added.len() + entries.len());
    for (place, known) in added.iter().enumerate() {
        places.entry(known.token.content.clone()).or_insert(place);
    }
    for (id, entry) in entries {
        let wrong = |reason: &dyn fmt::Display| {
            Error::invalid_file(
                "tokenizer_config.json",
                format_args!("added_tokens_decoder[{id:?}]: {reason}"),
            )
        };
        let id: u32 = id.parse().map_err(|error| wrong(&error))?;
        let entry = AddedInConfig::deserialize(entry).map_err(|error| wrong(&error))?;
        let token = AddedToken {
            content: entry.content,
            single_word: entry.single_word,
            lstrip: entry.lstrip,
            rstrip: entry.rstrip,
            normalized: entry.normalized.unwrap_or(!entry.special),
            special: entry.special,
        };
        match places.get(&token.content).and_then(|place| added.get_mut(*place)) {
            Some(known) => known.token = token,
            None => {
                places.insert(token.content.clone(), added.len());
                added.push(Added { id, token });
            }
        }
    }
    Ok(())
}

fn use_config_template(parts: &mut Parts, config: &Value, added: &[Added]) -> Result<()> {
    let class = config.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
    if !TEMPLATE_FROM_CONFIG.contains(&class) {
        return Ok(());
    }
    let switch =
        |key: &str, default: bool| config.get(key).and_then(Value::as_bool).unwrap_or(default);
    let id_of = |role: &str| {
        let token = parts.special.get(role)?;
        let id = added.iter().find(|entry| entry.token.content == token).map(|entry| entry.id);
        id.or_else(|| model_id(&parts.model, token))
    };
    let bos = if switch("add_bos_token", true) { id_of("bos_token") } else { None };
    let eos = if switch("add_eos_token", false) { id_of("eos_token") } else { None };
    parts.around = Around::tokens(bos, eos);
    Ok(())
}

fn model_id(model: &ModelWrapper, token: &str) -> Option<u32> {
    use tokenizers::Model;
    model.token_to_id(token)
}

fn around(processor: Option<Value>) -> Result<Around, String> {
    let Some(value) = processor.filter(|value| !value.is_null()) else {
        return Ok(Around::default());
    };
    let processor: Result<PostProcessorWrapper, _> = guarded(|| serde_json::from_value(value))?;
    Around::new(Some(&processor.map_err(|error| error.to_string())?))
}

/// Checks that a template names only tokens that it describes: the library relies on it.
fn check_template(processor: Option<&Value>) -> Result<(), String> {
    let Some(processor) = processor else { return Ok(()) };
    if let Some(parts) = processor.get("processors").and_then(Value::as_array) {
        parts.iter().try_for_each(|part| check_template(Some(part)))?;
    }
    for pieces in [processor.get("single"), processor.get("pair")] {
        for piece in pieces.and_then(Value::as_array).into_iter().flatten() {
            let id = piece.get("SpecialToken").and_then(|token| token.get("id")?.as_str());
            let known =
                |id| processor.get("special_tokens").is_some_and(|all| all.get(id).is_some());
            if let Some(id) = id.filter(|id| !known(*id)) {
                return Err(format!("special_tokens does not describe {id:?}"));
            }
        }
    }
    Ok(())
}

fn damaged(field: &str, reason: impl fmt::Display) -> Error {
    if field.is_empty() {
        Error::invalid_file(FILE, reason)
    } else {
        Error::invalid_file(FILE, format_args!("{field}: {reason}"))
    }
}

impl<'de> Deserialize<'de> for VocabList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Tokens;
        impl<'de> Visitor<'de> for Tokens {
            type Value = VocabList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tokens and ids")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabList, A::Error> {
                let mut tokens = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    tokens.push(entry);
                }
                Ok(VocabList(tokens))
            }
        }
        deserializer.deserialize_map(Tokens)
    }
}

impl<'de> Deserialize<'de> for VocabKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Kind;
        impl<'de> Visitor<'de> for Kind {
            type Value = VocabKind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list or an object of tokens")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<VocabKind, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(VocabKind(false))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<VocabKind, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(VocabKind(true))
            }
        }
        deserializer.deserialize_any(Kind)
    }
}

impl<'de> Deserialize<'de> for Merge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pair;
        impl<'de> Visitor<'de> for Pair {
            type Value = Merge;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge: \"left right\" or [\"left\", \"right\"]")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Merge, E> {
                match text.split_once(' ') {
                    Some((left, right)) if !right.contains(' ') => {
                        Ok(Merge(left.to_owned(), right.to_owned()))
                    }
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Merge, A::Error> {
                use serde::de::Error as _;
                match (pair.next_element()?, pair.next_element()?) {
                    (Some(left), Some(right)) => Ok(Merge(left, right)),
                    _ => Err(A::Error::custom("a merge has two tokens")),
                }
            }
        }
        deserializer.deserialize_any(Pair)
    }
}
