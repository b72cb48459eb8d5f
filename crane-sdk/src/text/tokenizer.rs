//! The tokenizer's face: text to ids, ids to text, and what each token is.

use serde_json::Value;
use tokenizers::{AddedToken, ModelWrapper};

use super::added::{AddedTokens, Guards, Part};
use super::around::Around;
use super::budget::{Budget, Interrupt};
use super::cutter::Cutter;
use super::decoder::{Decoder, DecoderState};
use super::guard::guarded;
use super::model::Model;
use super::normalizer::Normalizer;
use super::special_tokens::SpecialTokens;
use super::template::RenderedChat;
use super::{from_gguf, from_json};
use crate::source::{Gguf, Metadata, Source, find_gguf, impostor, without_bom};
use crate::{Error, Result};

/// Largest id that is believed: a table is kept with an entry for each id, of 24 bytes.
const MAX_ID: u32 = (1 << 24) - 1;
/// Ids that a small vocabulary may leave out.
const MAX_HOLES: usize = 1 << 20;
/// Longest text that is encoded at once, in bytes.
const MAX_TEXT: usize = 64 << 20;

/// A model's tokenizer; shared by any number of threads.
///
/// ```
/// use crane_sdk::text::Tokenizer;
/// let json = br#"{"model": {"type": "BPE", "vocab": {"h": 0, "i": 1, "hi": 2}, "merges": ["h i"]},
///                 "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false}}"#;
/// let tokenizer = Tokenizer::from_json(json, None)?;
/// assert_eq!(tokenizer.encode("hih", true)?, [2, 0]);
/// assert_eq!(tokenizer.decode(&[2, 0], true)?, "hih");
/// # Ok::<(), crane_sdk::Error>(())
/// ```
///
/// Texts and ids are those of `transformers`, but for one switch: a `clean_up_tokenization_spaces`
/// of the config is not applied, because it changes text that the model wrote.
pub struct Tokenizer {
    model: Model,
    normalizer: Normalizer,
    cutter: Cutter,
    around: Around,
    added: AddedTokens,
    decoder: Decoder,
    table: Table,
    special: SpecialTokens,
    warnings: Vec<String>,
}

/// What a reader of some format found out; [`Tokenizer::assemble`] builds from it.
pub(super) struct Parts {
    pub(super) model: ModelWrapper,
    pub(super) normalizer: Normalizer,
    pub(super) cutter: Cutter,
    pub(super) around: Around,
    pub(super) decoder: Decoder,
    pub(super) added: Vec<AddedToken>,
    pub(super) special: SpecialTokens,
    /// Ids that share their token with a smaller id.
    pub(super) repeated: Vec<Repeated>,
    /// What of the files is odd and was read all the same.
    pub(super) warnings: Vec<String>,
}

/// An id that no text gets, since another id has the same token.
pub(super) struct Repeated {
    pub(super) id: u32,
    pub(super) token: String,
    pub(super) special: bool,
}

/// The tokens by id, in one buffer.
#[derive(Default)]
struct Table {
    text: String,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    start: usize,
    end: usize,
    special: bool,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`, and the special tokens of a `tokenizer_config.json`.
    ///
    /// The file's `truncation` and `padding` are batch settings of its maker and have no effect.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a file cannot be understood; the message names the field.
    pub fn from_json(tokenizer_json: &[u8], tokenizer_config: Option<&[u8]>) -> Result<Self> {
        let config = tokenizer_config.map(|bytes| parse_object("tokenizer_config.json", bytes));
        Self::assemble(from_json::read(tokenizer_json, config.transpose()?.as_ref(), None)?)
    }

    /// Rebuilds the tokenizer of a GGUF file from its vocabulary, merges and the name of its
    /// pre-tokenizer.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if a key is missing or does not fit the others,
    /// [`Error::Unsupported`] if the kind of tokenizer or its pre-tokenizer is unknown.
    pub fn from_gguf(meta: &Metadata) -> Result<Self> {
        Self::assemble(from_gguf::read(meta)?)
    }

    /// Reads the tokenizer of a model: `tokenizer.json` with `tokenizer_config.json` and
    /// `special_tokens_map.json` if they are there, else the metadata of its GGUF file.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is neither, and as [`Tokenizer::from_json`] and
    /// [`Tokenizer::from_gguf`].
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        if source.contains("tokenizer.json")? {
            let config = json_file(source, "tokenizer_config.json")?;
            let map = json_file(source, "special_tokens_map.json")?;
            let blob = source.open("tokenizer.json")?;
            let json = blob.read_all()?;
            return Self::assemble(from_json::read(&json, config.as_ref(), map.as_ref())?);
        }
        if let Some(name) = find_gguf(source)? {
            return Self::from_gguf(Gguf::open(source, &name)?.metadata());
        }
        let hint = if source.contains("tokenizer.model")? {
            "a SentencePiece tokenizer.model cannot be read; take a GGUF file of the model, or \
             convert it: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)"
        } else {
            "add tokenizer.json to the model, or use a GGUF file, which holds its tokenizer"
        };
        Err(Error::NotFound {
            what: "tokenizer.json".to_owned(),
            place: source.label(),
            hint: hint.to_owned(),
        })
    }

    fn assemble(parts: Parts) -> Result<Self> {
        let Parts {
            model,
            normalizer,
            cutter,
            around,
            decoder,
            added,
            special,
            repeated,
            warnings,
        } = parts;
        let model = Model::new(model).map_err(Error::Tokenizer)?;
        let added = AddedTokens::new(added, &model, &normalizer)?;
        let table = Table::new(&model, &added, &repeated)?;
        Ok(Self { model, normalizer, cutter, around, added, decoder, table, special, warnings })
    }

    /// The ids of a text.
    ///
    /// Special tokens written in the text (`<|im_start|>`) become their ids. With
    /// `add_special_tokens` the tokens that the model wants around a text (`<s>`) are added too; a
    /// rendered chat template has them already.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a text cannot be expressed in the vocabulary, [`Error::InvalidArgument`] if it has more than
    /// 64 MiB, or a run of more than two megabytes that the tokenizer does not cut or that its patterns reach a limit on.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        self.encode_with(text, add_special_tokens, None)
    }

    /// As [`Tokenizer::encode`]; the work ends early when `interrupt` is set.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`], and [`Error::Unsupported`] if it was interrupted.
    pub fn encode_with(
        &self,
        text: &str,
        add_special_tokens: bool,
        interrupt: Option<&Interrupt>,
    ) -> Result<Vec<u32>> {
        let ids = self.encode_guarded(text, &[], interrupt)?;
        Ok(self.around.put(ids, add_special_tokens))
    }

    /// The ids of a rendered conversation, in which the template alone writes control tokens.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_with`].
    pub fn encode_rendered(
        &self,
        chat: &RenderedChat,
        interrupt: Option<&Interrupt>,
    ) -> Result<Vec<u32>> {
        let ids = self.encode_guarded(&chat.text, &chat.guards, interrupt)?;
        Ok(self.around.put(ids, false))
    }

    fn encode_guarded(
        &self,
        text: &str,
        guards: &[usize],
        interrupt: Option<&Interrupt>,
    ) -> Result<Vec<u32>> {
        if text.len() > MAX_TEXT {
            let reason = format!(
                "it has {} bytes, more than the {MAX_TEXT} that are encoded at once; encode it in parts",
                text.len()
            );
            return Err(Error::argument("text", reason));
        }
        let budget = Budget::new(text.len(), interrupt);
        // The library's models and normalizers see nothing that is not checked, but are not ours.
        guarded(|| self.encode_parts(text, guards, &budget)).map_err(Error::Tokenizer)?
    }

    /// The control tokens that a text spells out.
    pub(super) fn control_tokens(&self) -> impl Iterator<Item = &str> {
        self.added.controls()
    }

    /// The control tokens in a text, none of them across a guard.
    pub(super) fn controls(&self, text: &str, guards: &[usize]) -> Vec<u32> {
        let (budget, mut ids) = (Budget::new(text.len(), None), Vec::new());
        let found = self.added.in_plain(text, &budget, Guards::At(guards), |part| {
            match part {
                Part::Token(id) if self.added.is_control(id) => ids.push(id),
                Part::Token(_) => {}
                Part::Text(part) => {
                    let guards = inside(text, part, guards);
                    self.added.in_late(part, &budget, Guards::At(&guards), |part| {
                        if let Part::Token(id) = part {
                            ids.push(id);
                        }
                        Ok(())
                    })?;
                }
            }
            Ok(())
        });
        // Nothing above fails.
        let _ = found;
        ids
    }

    fn encode_parts(&self, text: &str, guards: &[usize], budget: &Budget<'_>) -> Result<Vec<u32>> {
        // A token of ordinary text has some four bytes.
        let mut ids = Vec::with_capacity(text.len() / 4 + 8);
        self.added.in_plain(text, budget, Guards::At(guards), |part| match part {
            Part::Token(id) => {
                ids.push(id);
                Ok(())
            }
            Part::Text(part) => {
                let begins = std::ptr::eq(part.as_ptr(), text.as_ptr());
                let guards = inside(text, part, guards);
                if guards.is_empty() {
                    return self.encode_part(part, begins, Guards::NONE, budget, &mut ids);
                }
                self.added.in_late(part, budget, Guards::At(&guards), |part| match part {
                    Part::Token(id) => {
                        ids.push(id);
                        Ok(())
                    }
                    Part::Text(part) => {
                        let begins = std::ptr::eq(part.as_ptr(), text.as_ptr());
                        self.encode_part(part, begins, Guards::Everywhere, budget, &mut ids)
                    }
                })
            }
        })?;
        Ok(ids)
    }

    /// A stretch without added tokens; it `begins` the whole text or stands further on.
    fn encode_part(
        &self,
        text: &str,
        begins: bool,
        guards: Guards<'_>,
        budget: &Budget<'_>,
        ids: &mut Vec<u32>,
    ) -> Result<()> {
        let normalized = self.normalizer.apply(text, budget)?;
        let text = &*normalized.text;
        self.added.in_normalized(text, budget, guards, |part| match part {
            Part::Token(id) => {
                ids.push(id);
                Ok(())
            }
            Part::Text(part) => {
                let first =
                    begins && normalized.keeps_start && std::ptr::eq(part.as_ptr(), text.as_ptr());
                self.cutter.cut(part, first, budget, &mut |piece| self.model.tokenize(piece, ids))
            }
        })
    }

    /// The text of ids. Ids outside the vocabulary (padding rows of the model) have no text, and
    /// bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a pattern of the decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special_tokens: bool) -> Result<String> {
        let mut state = self.decoder.start();
        let mut text = String::with_capacity(ids.len() * 4);
        for &id in ids {
            self.decode_next(&mut state, id, skip_special_tokens, &mut text)?;
        }
        self.decoder.finish(&mut state, &mut text)?;
        Ok(text)
    }

    /// The id of a token, as the vocabulary spells it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.added.id(token).or_else(|| self.model.token_to_id(token))
    }

    /// The token of an id, as the vocabulary spells it (`Ġthe`, `▁the`).
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.table.token(id).map(|(token, _)| token.to_owned())
    }

    /// One more than the largest id. A model may have more rows, which are padding.
    pub fn vocab_size(&self) -> usize {
        self.table.entries.len()
    }

    /// Whether an id is a control token, which decoding can hide.
    pub fn is_special(&self, id: u32) -> bool {
        self.table.token(id).is_some_and(|(_, special)| special)
    }

    /// The id of the token that begins a text.
    pub fn bos_id(&self) -> Option<u32> {
        self.role_id("bos_token")
    }

    /// The id of the token that ends a text, as the tokenizer's config names it. A model may stop
    /// at others too: see its generation config.
    pub fn eos_id(&self) -> Option<u32> {
        self.role_id("eos_token")
    }

    /// The id of the token that fills up a batch.
    pub fn pad_id(&self) -> Option<u32> {
        self.role_id("pad_token")
    }

    /// The id of the token for what the vocabulary cannot express.
    pub fn unk_id(&self) -> Option<u32> {
        self.role_id("unk_token")
    }

    /// The tokens that have a name.
    pub fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// What of the model's files is odd and was read all the same, such as the id of a special token that the vocabulary
    /// does not have.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The bytes that a token adds in the middle of a text; empty for an id outside the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        self.table.token(id).map(|(token, _)| self.decoder.token_bytes(token)).unwrap_or_default()
    }

    pub(super) fn decoder_start(&self) -> DecoderState {
        self.decoder.start()
    }

    pub(super) fn decode_next(
        &self,
        state: &mut DecoderState,
        id: u32,
        skip_special: bool,
        out: &mut String,
    ) -> Result<()> {
        match self.table.token(id) {
            Some((token, special)) if !(special && skip_special) => {
                self.decoder.push(state, token, out)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn decode_end(&self, state: &mut DecoderState, out: &mut String) -> Result<()> {
        self.decoder.finish(state, out)
    }

    fn role_id(&self, role: &str) -> Option<u32> {
        self.special.get(role).and_then(|token| self.token_to_id(token))
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("special", &self.special)
            .finish_non_exhaustive()
    }
}

impl Table {
    fn new(model: &Model, added: &AddedTokens, repeated: &[Repeated]) -> Result<Self> {
        let mut vocab = model.vocab();
        vocab.extend(added.ids().map(|(token, id)| (token.to_owned(), id)));
        let again = repeated.iter().map(|repeated| repeated.id);
        let largest = vocab.values().copied().chain(again).max();
        let most = vocab.len().saturating_mul(8).saturating_add(MAX_HOLES);
        if let Some(id) = largest.filter(|&id| id > MAX_ID || id as usize > most) {
            return Err(Error::Tokenizer(format!(
                "an id is {id}; ids above {} are not believed of a vocabulary of {} tokens (a damaged file?)",
                most.min(MAX_ID as usize),
                vocab.len()
            )));
        }
        let absent = Entry { start: 0, end: 0, special: false };
        let mut table = Table {
            text: String::with_capacity(vocab.keys().map(String::len).sum()),
            entries: vec![absent; largest.map_or(0, |id| id as usize + 1)],
        };
        for (token, id) in &vocab {
            table.set(*id, token, false);
        }
        for (id, token, special) in added.decoded() {
            table.set(id, token, special);
        }
        for Repeated { id, token, special } in repeated {
            table.set(*id, token, *special);
        }
        Ok(table)
    }

    fn set(&mut self, id: u32, token: &str, special: bool) {
        if let Some(entry) = self.entries.get_mut(id as usize) {
            let start = self.text.len();
            self.text.push_str(token);
            *entry = Entry { start, end: self.text.len(), special };
        }
    }

    /// The token and whether it is special. An entry without text is an id that is not used.
    fn token(&self, id: u32) -> Option<(&str, bool)> {
        let entry = self.entries.get(id as usize)?;
        let token = self.text.get(entry.start..entry.end)?;
        (!token.is_empty()).then_some((token, entry.special))
    }
}

/// The guards inside a part of a text, counted from its beginning.
fn inside(text: &str, part: &str, guards: &[usize]) -> Vec<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let from = guards.partition_point(|place| *place <= start);
    let rest = guards.get(from..).unwrap_or_default().iter().map(|place| place - start);
    rest.take_while(|place| *place < part.len()).collect()
}

/// An error of the `tokenizers` library in this library's type.
pub(super) fn library_error(error: impl std::fmt::Display) -> Error {
    Error::Tokenizer(error.to_string())
}

/// The JSON object of a file, if the source has the file.
pub(super) fn json_file(source: &dyn Source, name: &str) -> Result<Option<Value>> {
    if !source.contains(name)? {
        return Ok(None);
    }
    parse_object(name, &source.open(name)?.read_all()?).map(Some)
}

fn parse_object(name: &str, bytes: &[u8]) -> Result<Value> {
    let value: Value = serde_json::from_slice(without_bom(bytes)).map_err(|error| {
        match impostor::what(bytes) {
            Some(what) => Error::invalid_file(name, what),
            None => Error::invalid_file(name, error),
        }
    })?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(Error::invalid_file(name, "it should hold a JSON object"))
    }
}
