//! The tokens that have a name: `bos_token`, `eos_token` and the others of a tokenizer's config.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::token_id::TokenId;
use crate::source::Metadata;
use crate::{Error, Result};

/// The roles that `tokenizer_config.json` and `special_tokens_map.json` name.
const ROLES: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];
const ADDITIONAL: &str = "additional_special_tokens";

/// Named special tokens; a chat template sees each as a variable.
///
/// ```
/// use crane_sdk::text::SpecialTokens;
/// let tokens = SpecialTokens::new().with("bos_token", "<s>");
/// assert_eq!(tokens.get("bos_token"), Some("<s>"));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpecialTokens {
    roles: BTreeMap<String, String>,
    additional: Vec<String>,
}

impl SpecialTokens {
    /// No tokens.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the token of a role (`"bos_token"`, `"eos_token"`, ...).
    #[must_use]
    pub fn with(mut self, role: impl Into<String>, token: impl Into<String>) -> Self {
        self.roles.insert(role.into(), token.into());
        self
    }

    /// The token of a role.
    pub fn get(&self, role: &str) -> Option<&str> {
        self.roles.get(role).map(String::as_str)
    }

    /// Roles and their tokens.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.roles.iter().map(|(role, token)| (role.as_str(), token.as_str()))
    }

    /// The tokens of `additional_special_tokens`.
    pub fn additional(&self) -> &[String] {
        &self.additional
    }

    /// The tokens of `tokenizer_config.json`, and of `special_tokens_map.json` where the config is
    /// silent.
    pub(super) fn from_files(map: Option<&Value>, config: Option<&Value>) -> Result<Self> {
        let mut tokens = Self::new();
        for (name, file) in [("special_tokens_map.json", map), ("tokenizer_config.json", config)] {
            if let Some(object) = file.and_then(Value::as_object) {
                tokens.read(name, object)?;
            }
        }
        Ok(tokens)
    }

    /// Reads a config object; a token is a string or an object with `content`. What the object
    /// does not name keeps its value.
    fn read(&mut self, file: &str, config: &Map<String, Value>) -> Result<()> {
        for role in ROLES {
            if let Some(token) = token_text(file, role, config.get(role))? {
                self.roles.insert(role.to_owned(), token);
            }
        }
        // A model's own roles (image_token, ...); other extras are settings, not tokens.
        if let Some(extra) = config.get("extra_special_tokens").and_then(Value::as_object) {
            for (role, value) in extra {
                if let Some(token) = token_text(file, role, Some(value))? {
                    self.roles.insert(role.clone(), token);
                }
            }
        }
        if let Some(tokens) = config.get(ADDITIONAL).and_then(Value::as_array) {
            self.additional = tokens
                .iter()
                .filter_map(|token| token_text(file, ADDITIONAL, Some(token)).transpose())
                .collect::<Result<_>>()?;
        }
        Ok(())
    }

    /// The tokens that GGUF metadata names by id, and a warning for each id that names none.
    ///
    /// `usual` are the ids that a kind of tokenizer has where the file names none.
    pub(super) fn from_gguf(
        meta: &Metadata,
        tokens: &[String],
        usual: &[(&str, usize)],
    ) -> Result<(Self, Vec<String>)> {
        const KEYS: [(&str, &str); 7] = [
            ("bos_token", "tokenizer.ggml.bos_token_id"),
            ("eos_token", "tokenizer.ggml.eos_token_id"),
            ("unk_token", "tokenizer.ggml.unknown_token_id"),
            ("sep_token", "tokenizer.ggml.seperator_token_id"),
            ("pad_token", "tokenizer.ggml.padding_token_id"),
            ("cls_token", "tokenizer.ggml.cls_token_id"),
            ("mask_token", "tokenizer.ggml.mask_token_id"),
        ];
        let (mut special, mut warnings) = (Self::new(), Vec::new());
        for (role, key) in KEYS {
            let named = TokenId::read(meta, key, tokens.len())?;
            let usual = usual.iter().find(|(usual, _)| *usual == role).map(|(_, id)| *id);
            let token = match &named {
                Some(TokenId::Known(id)) => tokens.get(*id as usize),
                _ => usual.and_then(|id| tokens.get(id)),
            };
            if let Some(fault) = named.and_then(TokenId::fault) {
                let instead = match token {
                    Some(token) => format!("{token:?} is taken instead"),
                    None => "the model is taken to have none".to_owned(),
                };
                warnings.push(format!("{}: {fault}; {instead}", meta.label()));
            }
            special.roles.extend(token.map(|token| (role.to_owned(), token.clone())));
        }
        Ok((special, warnings))
    }
}

fn token_text(file: &str, field: &str, value: Option<&Value>) -> Result<Option<String>> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(token)) => Ok(Some(token.clone())),
        Some(Value::Object(token)) => match token.get("content").and_then(Value::as_str) {
            Some(content) => Ok(Some(content.to_owned())),
            None => Err(Error::invalid_file(file, format_args!("{field} has no `content`"))),
        },
        Some(_) => Err(Error::invalid_file(
            file,
            format_args!("{field} should be a string or an object with `content`"),
        )),
    }
}
