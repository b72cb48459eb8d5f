//! Byte-pair models from a vocabulary and merges, checked before the `tokenizers` library sees them.

use std::collections::{HashMap, HashSet};

use tokenizers::models::bpe::{BPE, BpeBuilder, Vocab};

/// A vocabulary and its merges, as a file gives them.
#[derive(Debug, Default)]
pub(super) struct Bpe {
    pub(super) vocab: Vec<(String, u32)>,
    pub(super) merges: Vec<(String, String)>,
    pub(super) unk_token: Option<String>,
    pub(super) continuing_subword_prefix: Option<String>,
    pub(super) end_of_word_suffix: Option<String>,
    pub(super) dropout: Option<f32>,
    pub(super) fuse_unk: bool,
    pub(super) byte_fallback: bool,
    pub(super) ignore_merges: bool,
}

impl Bpe {
    /// Adds a token with the id that its file gives it, unless the vocabulary lists the token.
    ///
    /// # Errors
    /// A sentence if another token has the id.
    pub(super) fn add_tokens<'a>(
        &mut self,
        added: impl Iterator<Item = (u32, &'a str)>,
    ) -> Result<(), String> {
        let mut missing: Vec<(&str, u32)> = added.map(|(id, token)| (token, id)).collect();
        let names: HashSet<&str> = missing.iter().map(|(token, _)| *token).collect();
        let ids: HashSet<u32> = missing.iter().map(|(_, id)| *id).collect();
        let mut listed = HashSet::new();
        let mut owners: HashMap<u32, &str> = HashMap::new();
        for (token, id) in &self.vocab {
            if names.contains(token.as_str()) {
                listed.insert(token.as_str());
            }
            if ids.contains(id) {
                owners.insert(*id, token);
            }
        }
        missing.retain(|(token, _)| !listed.contains(token));
        for (token, id) in &missing {
            if let Some(other) = owners.insert(*id, token).filter(|other| other != token) {
                return Err(format!("the tokens {other:?} and {token:?} both have the id {id}"));
            }
        }
        let missing: Vec<_> =
            missing.into_iter().map(|(token, id)| (token.to_owned(), id)).collect();
        self.vocab.extend(missing);
        Ok(())
    }

    /// Builds the model.
    ///
    /// # Errors
    /// A sentence that names the merge or token that does not fit the others.
    pub(super) fn build(self) -> Result<BPE, String> {
        let longest = self.vocab.iter().map(|(token, _)| token.len()).max().unwrap_or_default();
        let prefix = self.continuing_subword_prefix.as_deref().unwrap_or_default();
        for (rank, (left, right)) in self.merges.iter().enumerate() {
            // The library copies the merged token into a buffer of the longest token's size.
            let fits =
                right.strip_prefix(prefix).is_some_and(|right| left.len() + right.len() <= longest);
            if !fits {
                return Err(format!(
                    "merge {rank} ({left:?} with {right:?}) makes a token that the vocabulary \
                     does not list"
                ));
            }
        }
        let unk_known = |unk: &String| self.vocab.iter().any(|(token, _)| token == unk);
        if let Some(unk) = self.unk_token.as_ref().filter(|unk| !unk_known(unk)) {
            return Err(format!("unk_token {unk:?} is not in the vocabulary"));
        }
        let vocab: Vocab = self.vocab.into_iter().collect();
        let mut builder = BpeBuilder::new()
            .vocab_and_merges(vocab, self.merges)
            .fuse_unk(self.fuse_unk)
            .byte_fallback(self.byte_fallback)
            .ignore_merges(self.ignore_merges);
        if let Some(unk) = self.unk_token {
            builder = builder.unk_token(unk);
        }
        if let Some(prefix) = self.continuing_subword_prefix {
            builder = builder.continuing_subword_prefix(prefix);
        }
        if let Some(suffix) = self.end_of_word_suffix {
            builder = builder.end_of_word_suffix(suffix);
        }
        if let Some(dropout) = self.dropout {
            builder = builder.dropout(dropout);
        }
        builder.build().map_err(|error| format!("{error} (named by a merge)"))
    }
}
