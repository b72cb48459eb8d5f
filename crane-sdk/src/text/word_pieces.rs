//! BERT's word pieces from the metadata of a GGUF file.

use serde_json::json;
use tokenizers::models::bpe::Vocab;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::{ModelWrapper, NormalizerWrapper};

use super::around::Around;
use super::cutter::Cutter;
use super::decoder::Decoder;
use super::from_gguf::Vocabulary;
use super::normalizer::Normalizer;
use super::special_tokens::SpecialTokens;
use super::tokenizer::{Parts, library_error};
use crate::{Error, Result};

/// What marks a piece that begins a word in GGUF.
const BEGINS: char = '▁';
/// What marks one that goes on with a word in the vocabularies of BERT.
const GOES_ON: &str = "##";

/// Reads the tokenizer: pieces are spelt as BERT spells them, and `[CLS]` and `[SEP]` stand around every text.
pub(super) fn read(vocabulary: &Vocabulary<'_>) -> Result<Parts> {
    let meta = vocabulary.meta;
    let (special, warnings) = SpecialTokens::from_gguf(meta, vocabulary.tokens, &[])?;
    let spelt = |token: &str, normal: bool| match (normal, token.strip_prefix(BEGINS)) {
        (true, Some(word)) => word.to_owned(),
        (true, None) => format!("{GOES_ON}{token}"),
        (false, _) => token.to_owned(),
    };
    let pieces = vocabulary.entries().filter(|(_, token, _)| !token.is_empty());
    let vocab: Vocab =
        pieces.map(|(id, token, kind)| (spelt(token, kind.is_normal()), id as u32)).collect();
    let unknown = special.get("unk_token").unwrap_or("[UNK]").to_owned();
    if !vocab.contains_key(&unknown) {
        let reason = format_args!("the unknown token {unknown:?} is not in its vocabulary");
        return Err(Error::invalid_file(meta.label(), reason));
    }
    let model = WordPiece::builder()
        .vocab(vocab)
        .unk_token(unknown)
        .continuing_subword_prefix(GOES_ON.to_owned())
        .build()
        .map_err(library_error)?;
    let lowercase = meta.opt_bool("tokenizer.ggml.normalizer.lowercase")?.unwrap_or(true);
    let named = |roles: [&str; 2], usual: &str| {
        let token = roles.into_iter().find_map(|role| special.get(role)).unwrap_or(usual);
        let id = vocabulary.tokens.iter().position(|known| known == token);
        match id.and_then(|id| u32::try_from(id).ok()) {
            Some(id) => Ok(id),
            None => {
                let reason =
                    format_args!("the token {token:?} around texts is not in its vocabulary");
                Err(Error::invalid_file(meta.label(), reason))
            }
        }
    };
    let first = Some(named(["cls_token", "bos_token"], "[CLS]")?);
    let last = Some(named(["sep_token", "eos_token"], "[SEP]")?);
    let decoder = json!({"type": "WordPiece", "prefix": GOES_ON, "cleanup": true});
    Ok(Parts {
        model: ModelWrapper::WordPiece(model),
        normalizer: Normalizer::characters(NormalizerWrapper::BertNormalizer(BertNormalizer::new(
            true, true, None, lowercase,
        ))),
        cutter: Cutter::bert(),
        around: Around::tokens(first, last),
        decoder: Decoder::from_json(Some(&decoder)).map_err(library_error)?,
        added: vocabulary.added(),
        special,
        repeated: vocabulary.repeated(),
        warnings: vocabulary.warnings(warnings),
    })
}
