//! The model that turns pieces of text into ids, with pieces that are bounded: the library's models take memory and time by
//! the piece.

use std::collections::HashSet;
use std::sync::OnceLock;

use tokenizers::models::bpe::BPE;
use tokenizers::{Model as _, ModelWrapper};

use crate::{Error, Result};

/// Longest piece, in bytes: a byte-pair model takes some hundred bytes of memory for each of them.
const MAX_PIECE: usize = 2 << 20;
/// A longer piece is parted where that changes no id.
const LONG_PIECE: usize = 2048;
/// Longest token of a unigram model, in bytes: the library's trie recurses into it.
const MAX_UNIGRAM_TOKEN: usize = 1024;
/// Most bytes of tokens that begin alike, each the beginning of the next, for a unigram model: it copies them at each
/// place of a text.
const MAX_NESTED: usize = 8192;
/// Most steps of a unigram model in one piece.
const MAX_UNIGRAM_STEPS: usize = 1 << 28;
/// Most characters of a word that a word-piece model looks up: its time grows with their third power.
const MAX_WORD: usize = 1000;

/// A model of the library, and what its pieces may cost.
pub(super) struct Model {
    inner: ModelWrapper,
    max_piece: usize,
    /// What a byte-pair vocabulary joins; read when the first long piece comes.
    joined: OnceLock<Joined>,
}

/// The pairs of characters that stand side by side in tokens, and the longest token's bytes.
struct Joined {
    pairs: HashSet<(char, char)>,
    longest: usize,
}

/// The error of a piece that is too long.
pub(super) fn too_long(most: usize) -> Error {
    let reason = format!(
        "it has a run of more than {most} bytes that the tokenizer does not cut; break it with spaces or newlines"
    );
    Error::argument("text", reason)
}

impl Model {
    /// Checks a model.
    ///
    /// # Errors
    /// A sentence that names the token or setting that would take too much time or memory.
    pub(super) fn new(inner: ModelWrapper) -> Result<Self, String> {
        let mut max_piece = MAX_PIECE;
        match &inner {
            ModelWrapper::Unigram(unigram) => {
                let tokens: Vec<&str> = unigram.iter().map(|(token, _)| token.as_str()).collect();
                let nested = nested_bytes(tokens)?;
                max_piece = (MAX_UNIGRAM_STEPS / nested.max(1)).min(MAX_PIECE);
            }
            ModelWrapper::WordPiece(words) if words.max_input_chars_per_word > MAX_WORD => {
                return Err(format!(
                    "max_input_chars_per_word is {}, more than {MAX_WORD}",
                    words.max_input_chars_per_word
                ));
            }
            ModelWrapper::BPE(_) | ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_) => {}
        }
        Ok(Self { inner, max_piece, joined: OnceLock::new() })
    }

    pub(super) fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    pub(super) fn vocab(&self) -> std::collections::HashMap<String, u32> {
        self.inner.get_vocab()
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size()
    }

    /// Adds the ids of a piece.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if it is too long, [`Error::Tokenizer`] if it cannot be expressed in the vocabulary.
    pub(super) fn tokenize(&self, piece: &str, ids: &mut Vec<u32>) -> Result<()> {
        let mut rest = piece;
        if let (true, ModelWrapper::BPE(bpe)) = (piece.len() > LONG_PIECE, &self.inner) {
            while let Some(end) = self.parting(bpe, rest) {
                let (part, after) = rest.split_at(end);
                self.tokenize_whole(part, ids)?;
                rest = after;
            }
        }
        self.tokenize_whole(rest, ids)
    }

    fn tokenize_whole(&self, piece: &str, ids: &mut Vec<u32>) -> Result<()> {
        let looked_up =
            matches!(self.inner, ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_));
        if piece.len() > self.max_piece && !looked_up {
            return Err(too_long(self.max_piece));
        }
        let tokens =
            self.inner.tokenize(piece).map_err(|error| Error::Tokenizer(error.to_string()))?;
        ids.extend(tokens.iter().map(|token| token.id));
        Ok(())
    }

    /// Where a long piece can be parted: between two characters that the vocabulary has and that stand side by side in
    /// none of its tokens, so that no merge joins what is left and right of the place.
    fn parting(&self, bpe: &BPE, piece: &str) -> Option<usize> {
        let plain = bpe.dropout.unwrap_or_default() == 0.0
            && bpe.end_of_word_suffix.is_none()
            && bpe.continuing_subword_prefix.is_none();
        if !plain || piece.len() < 2 * LONG_PIECE {
            return None;
        }
        let Joined { pairs, longest } = self.joined.get_or_init(|| {
            let vocab = bpe.get_vocab();
            let tokens = vocab.keys();
            Joined {
                pairs: tokens
                    .clone()
                    .flat_map(|token| token.chars().zip(token.chars().skip(1)))
                    .collect(),
                longest: tokens.map(String::len).max().unwrap_or_default(),
            }
        });
        // A part must be no token of its own where those go before merges.
        let least = LONG_PIECE.max(longest + 1);
        if piece.len() < 2 * least {
            return None;
        }
        let known =
            |character: char| self.inner.token_to_id(character.encode_utf8(&mut [0; 4])).is_some();
        let mut start = least;
        while !piece.is_char_boundary(start) {
            start += 1;
        }
        let (head, tail) = piece.split_at(start);
        let mut before = head.chars().next_back()?;
        for (at, next) in tail.char_indices() {
            if tail.len() - at < least {
                return None;
            }
            if !pairs.contains(&(before, next)) && known(before) && known(next) {
                return Some(start + at);
            }
            before = next;
        }
        None
    }
}

/// The most bytes that a unigram model copies at one place of a text: of the tokens that begin another, with that one.
///
/// # Errors
/// A sentence if a token is too long, or too many nest.
pub(super) fn nested_bytes(mut tokens: Vec<&str>) -> Result<usize, String> {
    tokens.sort_unstable();
    let mut open: Vec<&str> = Vec::new();
    let (mut bytes, mut most) = (0, 0);
    for token in tokens {
        if token.len() > MAX_UNIGRAM_TOKEN {
            return Err(format!(
                "a token has {} bytes, more than {MAX_UNIGRAM_TOKEN}",
                token.len()
            ));
        }
        while let Some(shorter) = open.last().filter(|shorter| !token.starts_with(**shorter)) {
            bytes -= shorter.len();
            open.pop();
        }
        open.push(token);
        bytes += token.len();
        most = most.max(bytes);
        if bytes > MAX_NESTED {
            return Err(format!(
                "{} tokens begin one another up to one of {} bytes, {bytes} bytes in all, more than {MAX_NESTED}",
                open.len(),
                token.len()
            ));
        }
    }
    Ok(most)
}
