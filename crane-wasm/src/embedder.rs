//! A loaded model that makes vectors of texts.

use crane_sdk::generate::{CancelToken, Pooling};
use crane_sdk::kernels::quant;
use crane_sdk::models::LoadOptions;
use crane_sdk::pipeline;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::*;

use crate::failure::{Outcome, argument, failure};
use crate::files::FileSet;
use crate::options;

/// A model that makes vectors of texts.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Embedder {
    embedder: pipeline::Embedder,
}

/// How it is loaded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Loading {
    /// The type that dense matrices are quantised to, tensor by tensor; as stored by default.
    quantize: Option<String>,
}

/// How texts become vectors; what is left out is as the model's authors say.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    pooling: Option<Pooling>,
    truncate: Option<bool>,
}

/// What was loaded, as JavaScript sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    architecture: &'a str,
    parameters: usize,
    weight_bytes: usize,
    dimensions: usize,
    max_tokens: usize,
    pooling: Pooling,
    instruction_set: &'a str,
}

#[wasm_bindgen]
impl Embedder {
    /// Loads a model from its files, which are let go of at the end, whether it succeeds or not. `options`: `{ quantize?: string }`.
    ///
    /// # Errors
    /// Every failure of the library, as an `Error` with a `code`.
    pub fn load(files: FileSet, options: JsValue) -> Outcome<Embedder> {
        let Loading { quantize } = options::read("loadEmbedder", options)?;
        let quantize = quantize.map(|name| name.parse()).transpose().map_err(failure)?;
        let options = LoadOptions { quantize, ..LoadOptions::default() };
        let embedder = pipeline::Embedder::load_within(&files, &options, &mut |_| Ok(()));
        Ok(Embedder { embedder: embedder.map_err(failure)? })
    }

    /// What was loaded.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn info(&self) -> Outcome<JsValue> {
        let info = self.embedder.info();
        options::write(&Info {
            architecture: info.architecture,
            parameters: info.parameters,
            weight_bytes: info.weight_bytes,
            dimensions: info.hidden_size,
            max_tokens: self.embedder.max_tokens(),
            pooling: self.embedder.pooling(),
            instruction_set: quant::instruction_set(),
        })
    }

    /// The vectors of texts, one after the other, each of length 1. `options`: `{ pooling?, truncate? }`. `first` is the number
    /// of the first of them, for messages.
    ///
    /// # Errors
    /// `invalid_argument` for a text that is too long or has no tokens, `unsupported` for a pooling that the model has not.
    pub fn embed(&self, texts: Vec<String>, options: JsValue, first: usize) -> Outcome<Vec<f32>> {
        let Options { pooling, truncate } = options::read("embed", options)?;
        let most = self.embedder.max_tokens();
        let mut tokens = Vec::with_capacity(texts.len());
        for (index, text) in texts.iter().enumerate() {
            let mut ids = self.embedder.tokenizer().encode(text, true).map_err(failure)?;
            if truncate == Some(true) {
                ids = self.embedder.shortened(ids);
            }
            let count = ids.len();
            if count == 0 || count > most {
                let cut = if count > most { "; truncate: true cuts it" } else { "" };
                let reason = format_args!("has {count} tokens; this model takes 1 to {most}{cut}")
                    .to_string();
                return Err(argument(&format!("texts[{}]", first + index), &reason));
            }
            tokens.push(ids);
        }
        let pooling = pooling.unwrap_or_else(|| self.embedder.pooling());
        let vectors = self.embedder.embed_tokens(&tokens, pooling, &CancelToken::new());
        Ok(vectors.map_err(failure)?.concat())
    }
}
