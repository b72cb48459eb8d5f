//! Rebuilds a tokenizer from the metadata of a GGUF file.

use std::collections::{BTreeSet, HashMap, HashSet};

use tokenizers::{AddedToken, ModelWrapper};

use super::around::Around;
use super::bpe::Bpe;
use super::cutter::Cutter;
use super::decoder::Decoder;
use super::normalizer::Normalizer;
use super::pre_tokenizer::PreTokenizer;
use super::special_tokens::SpecialTokens;
use super::token_id::TokenId;
use super::tokenizer::{Parts, Repeated, library_error};
use super::word_pieces;
use crate::source::Metadata;
use crate::{Error, Result};

const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const SCORES: &str = "tokenizer.ggml.scores";

/// Longest token of a SentencePiece vocabulary, in bytes: it is looked up at each place where it can be cut.
const MAX_TOKEN: usize = 2048;
/// What a merge takes besides its two tokens.
const MERGE_BYTES: usize = 128;
/// Bytes that the merges of any vocabulary may take.
const MERGES_BASE: usize = 64 << 20;

/// What `tokenizer.ggml.token_type` says of a token (GGUF specification).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    Unknown,
    Control,
    UserDefined,
    Unused,
    Byte,
}

pub(super) struct Vocabulary<'a> {
    pub(super) meta: &'a Metadata,
    pub(super) tokens: &'a [String],
    kinds: Vec<Kind>,
    /// Ids whose token a smaller id has too: reserved tokens are often spelt alike.
    repeated: BTreeSet<usize>,
}

/// Reads the tokenizer.
pub(super) fn read(meta: &Metadata) -> Result<Parts> {
    let model = meta.str("tokenizer.ggml.model")?;
    let vocabulary = Vocabulary::read(meta)?;
    match model {
        "gpt2" => byte_level(&vocabulary),
        "llama" => sentence_piece(&vocabulary),
        "bert" => word_pieces::read(&vocabulary),
        _ => Err(Error::Unsupported {
            what: format!("the tokenizer kind {model:?} (tokenizer.ggml.model)"),
            hint:
                "byte-level BPE (gpt2), SentencePiece BPE (llama) and word pieces (bert) are read from \
                   GGUF; put the model's tokenizer.json beside the file for another kind"
                    .to_owned(),
        }),
    }
}

fn byte_level(vocabulary: &Vocabulary<'_>) -> Result<Parts> {
    let meta = vocabulary.meta;
    let pre = PreTokenizer::named(meta.opt_str("tokenizer.ggml.pre")?.unwrap_or("default"))?;
    let mut bpe = Bpe { ignore_merges: pre.ignore_merges, ..vocabulary.bpe() };
    for (rank, merge) in meta.strings(MERGES)?.iter().enumerate() {
        let Some((left, right)) = merge.split_once(' ') else {
            let reason = format_args!("{MERGES}[{rank}] is {merge:?}, not two tokens");
            return Err(Error::invalid_file(meta.label(), reason));
        };
        bpe.merges.push((left.to_owned(), right.to_owned()));
    }
    let (special, warnings) = SpecialTokens::from_gguf(meta, vocabulary.tokens, &[])?;
    Ok(Parts {
        model: vocabulary.build(bpe, MERGES)?,
        normalizer: pre.normalizer(),
        cutter: pre.build()?,
        around: vocabulary.around(&special, pre.add_bos)?,
        decoder: Decoder::byte_level(),
        added: vocabulary.added(),
        special,
        repeated: vocabulary.repeated(),
        warnings: vocabulary.warnings(warnings),
    })
}

/// SentencePiece's BPE: pieces are joined in the order of their scores, spaces are `▁`, and what
/// no piece covers becomes bytes.
fn sentence_piece(vocabulary: &Vocabulary<'_>) -> Result<Parts> {
    let meta = vocabulary.meta;
    let scores = meta.floats(SCORES)?;
    if scores.len() < vocabulary.tokens.len() {
        let (have, need) = (scores.len(), vocabulary.tokens.len());
        let reason = format_args!("{SCORES} has {have} entries, {TOKENS} has {need}");
        return Err(Error::invalid_file(meta.label(), reason));
    }
    let usual = [("unk_token", 0), ("bos_token", 1), ("eos_token", 2)];
    let (special, warnings) = SpecialTokens::from_gguf(meta, vocabulary.tokens, &usual)?;
    let bpe = Bpe {
        merges: merges_by_score(vocabulary, scores)?,
        unk_token: special.get("unk_token").map(str::to_owned),
        fuse_unk: true,
        byte_fallback: true,
        ..vocabulary.bpe()
    };
    let add_space = meta.opt_bool("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let mut stages = vec![
        serde_json::json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        serde_json::json!({"type": "ByteFallback"}),
        serde_json::json!({"type": "Fuse"}),
    ];
    if add_space {
        stages.push(serde_json::json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    let decoder = serde_json::json!({"type": "Sequence", "decoders": stages});
    Ok(Parts {
        model: vocabulary.build(bpe, TOKENS)?,
        normalizer: Normalizer::sentence_piece(add_space),
        cutter: Cutter::default(),
        around: vocabulary.around(&special, true)?,
        decoder: Decoder::from_json(Some(&decoder)).map_err(library_error)?,
        added: vocabulary.added(),
        special,
        repeated: vocabulary.repeated(),
        warnings: vocabulary.warnings(warnings),
    })
}

/// The merges that a vocabulary with scores implies: each way to cut a piece into two pieces, the
/// best score first.
///
/// # Errors
/// [`Error::InvalidFile`] if a token is too long to be cut everywhere, or tokens consist of one another so often that the
/// merges would take far more memory than the vocabulary.
fn merges_by_score(vocabulary: &Vocabulary<'_>, scores: &[f64]) -> Result<Vec<(String, String)>> {
    let refused = |reason: std::fmt::Arguments<'_>| {
        Err(Error::invalid_file(vocabulary.meta.label(), format_args!("{TOKENS}: {reason}")))
    };
    let ids: HashMap<&str, usize> = vocabulary
        .entries()
        .filter(|(_, _, kind)| *kind == Kind::Normal)
        .map(|(id, token, _)| (token, id))
        .collect();
    let all: usize = ids.keys().map(|token| token.len()).sum();
    let most = all.saturating_mul(4).saturating_add(MERGES_BASE);
    let mut bytes = 0usize;
    let mut merges = Vec::new();
    for (id, token, kind) in vocabulary.entries() {
        if kind != Kind::Normal {
            continue;
        }
        if token.len() > MAX_TOKEN {
            return refused(format_args!(
                "token {id} has {} bytes, more than {MAX_TOKEN}",
                token.len()
            ));
        }
        let score = scores.get(id).copied().unwrap_or_default();
        for (at, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(at);
            if let (Some(&first), Some(&second)) = (ids.get(left), ids.get(right)) {
                bytes = bytes.saturating_add(token.len() + MERGE_BYTES);
                if bytes > most {
                    return refused(format_args!(
                        "the merges of its tokens, which consist of one another, take more than {most} bytes \
                         (4 times the vocabulary and 64 MiB)"
                    ));
                }
                merges.push((score, first, second, left, right));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
    Ok(merges.into_iter().map(|(.., left, right)| (left.to_owned(), right.to_owned())).collect())
}

impl<'a> Vocabulary<'a> {
    fn read(meta: &'a Metadata) -> Result<Self> {
        let tokens = meta.strings(TOKENS)?;
        if tokens.is_empty() {
            return Err(Error::invalid_file(meta.label(), format_args!("{TOKENS} is empty")));
        }
        let kinds = match meta.opt_integers(TYPES)? {
            None => vec![Kind::Normal; tokens.len()],
            Some(types) if types.len() < tokens.len() => {
                let (have, need) = (types.len(), tokens.len());
                let reason = format_args!("{TYPES} has {have} entries, {TOKENS} has {need}");
                return Err(Error::invalid_file(meta.label(), reason));
            }
            Some(types) => types.iter().map(Kind::from_number).collect(),
        };
        let mut seen = HashSet::with_capacity(tokens.len());
        let mut repeated = BTreeSet::new();
        for (id, (token, kind)) in tokens.iter().zip(&kinds).enumerate() {
            let used = !token.is_empty() && *kind != Kind::Unused;
            if used && !seen.insert(token.as_str()) {
                repeated.insert(id);
            }
        }
        Ok(Self { meta, tokens, kinds, repeated })
    }

    /// Each token with the first id that has it.
    pub(super) fn entries(&self) -> impl Iterator<Item = (usize, &'a str, Kind)> {
        self.rows().filter(|(id, ..)| !self.repeated.contains(id))
    }

    fn rows(&self) -> impl Iterator<Item = (usize, &'a str, Kind)> {
        let tokens = self.tokens.iter().map(String::as_str);
        tokens.zip(&self.kinds).enumerate().map(|(id, (token, &kind))| (id, token, kind))
    }

    /// The ids that no text gets, since a smaller id has the same token; a model may write them.
    pub(super) fn repeated(&self) -> Vec<Repeated> {
        let rows = self.rows().filter(|(id, ..)| self.repeated.contains(id));
        rows.map(|(id, token, kind)| Repeated {
            id: id as u32,
            token: token.to_owned(),
            special: matches!(kind, Kind::Control | Kind::Unknown),
        })
        .collect()
    }

    /// What is odd about the vocabulary, after what is odd about its special tokens.
    pub(super) fn warnings(&self, mut warnings: Vec<String>) -> Vec<String> {
        // Reserved tokens stand for nothing: of words it matters which id a text gets.
        let mut words =
            self.rows().filter(|(id, _, kind)| kind.is_normal() && self.repeated.contains(id));
        if let Some((id, token, _)) = words.next() {
            warnings.push(format!(
                "{}: {TOKENS}[{id}] is {token:?} again ({} such); texts get the smallest id",
                self.meta.label(),
                1 + words.count()
            ));
        }
        warnings
    }

    /// All tokens but padding rows, which belong to the embedding alone.
    fn bpe(&self) -> Bpe {
        let used =
            self.entries().filter(|(_, token, kind)| *kind != Kind::Unused && !token.is_empty());
        Bpe {
            vocab: used.map(|(id, token, _)| (token.to_owned(), id as u32)).collect(),
            ..Bpe::default()
        }
    }

    fn build(&self, bpe: Bpe, field: &str) -> Result<ModelWrapper> {
        let model = bpe.build().map_err(|reason| {
            Error::invalid_file(self.meta.label(), format_args!("{field}: {reason}"))
        })?;
        Ok(ModelWrapper::BPE(model))
    }

    /// Tokens that are found in a text before anything else: control tokens can be hidden when
    /// decoding, user-defined ones are text.
    pub(super) fn added(&self) -> Vec<AddedToken> {
        self.entries()
            .filter(|(_, token, _)| !token.is_empty())
            .filter_map(|(_, token, kind)| match kind {
                Kind::Control | Kind::Unknown => Some(AddedToken::from(token, true)),
                Kind::UserDefined => Some(AddedToken::from(token, false).normalized(false)),
                Kind::Normal | Kind::Unused | Kind::Byte => None,
            })
            .collect()
    }

    fn around(&self, special: &SpecialTokens, add_bos: bool) -> Result<Around> {
        let named = |role: &str, usual: bool| -> Result<Option<u32>> {
            let add = format!("tokenizer.ggml.add_{role}");
            let asked = self.meta.opt_bool(&add)?;
            if !asked.unwrap_or(usual) {
                return Ok(None);
            }
            let token = special.get(role);
            let id = token.and_then(|token| self.tokens.iter().position(|known| known == token));
            let key = format!("tokenizer.ggml.{role}_id");
            let named = TokenId::read(self.meta, &key, self.tokens.len())?;
            match named.and_then(TokenId::fault) {
                // Without a token that it wants around every text, a model writes nonsense.
                Some(fault) if id.is_none() && asked == Some(true) => {
                    let reason = format_args!("{fault}, and {add} asks for that token");
                    Err(Error::invalid_file(self.meta.label(), reason))
                }
                _ => Ok(id.and_then(|id| u32::try_from(id).ok())),
            }
        };
        Ok(Around::tokens(named("bos_token", add_bos)?, named("eos_token", false)?))
    }
}

impl Kind {
    pub(super) fn is_normal(self) -> bool {
        self == Kind::Normal
    }

    fn from_number(number: i64) -> Self {
        match number {
            2 => Kind::Unknown,
            3 => Kind::Control,
            4 => Kind::UserDefined,
            5 => Kind::Unused,
            6 => Kind::Byte,
            _ => Kind::Normal,
        }
    }
}
