//! Tokens back to text one at a time, with the result of decoding them all at once.
//!
//! A decoder is a chain of stages, as `tokenizer.json` describes it. Each stage keeps what it must
//! know of the tokens before (unfinished bytes, whether a token was the first), so that a token
//! costs the same wherever in a text it stands.

use serde_json::Value;
use tokenizers::{Decoder as _, DecoderWrapper};

use super::budget::Budget;
use super::guard::guarded;
use super::normalizer::read_pattern;
use super::pattern::Pattern;
use crate::{Error, Result};

/// Most stages of a chain: each is a call deeper.
const MAX_STAGES: usize = 64;
/// Bytes beyond which a stage may not grow a token.
const MAX_GROWN_TOKEN: usize = 4 << 10;
/// Bytes beyond which a stage may not grow the whole text.
const MAX_GROWN_TEXT: usize = 64 << 20;

/// A chain of stages, shared by every text that is decoded.
#[derive(Debug)]
pub(super) struct Decoder {
    stages: Vec<Stage>,
}

/// What a [`Decoder`] remembers of one text.
#[derive(Debug, Clone)]
pub(super) struct DecoderState(Vec<StageState>);

impl DecoderState {
    /// Forgets a last character of which bytes are missing.
    pub(super) fn leave_out_unfinished(&mut self) {
        for StageState { bytes, .. } in &mut self.0 {
            let unfinished = std::str::from_utf8(bytes).err().filter(|e| e.error_len().is_none());
            if let Some(error) = unfinished {
                bytes.truncate(error.valid_up_to());
            }
        }
    }
}

#[derive(Debug)]
enum Stage {
    /// Characters of the byte-level alphabet become bytes, and the bytes text.
    ByteLevel,
    /// `<0xE4>` is a byte; a run of such tokens is text if it is valid UTF-8.
    ByteFallback,
    /// From here on the tokens are one string.
    Fuse,
    /// Removes up to `start` leading and `stop` trailing `content` characters, of each token or
    /// (`whole`) of the fused string.
    Strip { content: char, start: usize, stop: usize, whole: bool },
    /// In every token a pattern is replaced.
    Replace(Pattern, String),
    /// The first token is treated differently.
    AfterFirst(DecoderWrapper),
    /// The last token is treated differently: a suffix marks the end of a word.
    WordSuffix(String),
    /// Tokens are words: the model has no decoder.
    Spaces,
    /// A pattern is replaced in the fused string.
    CollectReplace(Pattern, String),
    /// All tokens are needed before the first can be decoded.
    Collect { decoder: DecoderWrapper, whole: bool },
}

#[derive(Debug, Clone, Default)]
struct StageState {
    started: bool,
    count: usize,
    bytes: Vec<u8>,
    held: Option<String>,
    tokens: Vec<String>,
}

impl Decoder {
    /// The decoder of byte-level models.
    pub(super) fn byte_level() -> Self {
        Self { stages: vec![Stage::ByteLevel] }
    }

    /// The chain that a `decoder` field describes.
    ///
    /// # Errors
    /// A sentence if the description is not one that the `tokenizers` library knows.
    pub(super) fn from_json(description: Option<&Value>) -> Result<Self, String> {
        let Some(description) = description.filter(|value| !value.is_null()) else {
            return Ok(Self { stages: vec![Stage::Spaces] });
        };
        let mut stages = Vec::new();
        let mut whole = false;
        add_stages(description, &mut stages, &mut whole)?;
        Ok(Self { stages })
    }

    /// The state before the first token.
    pub(super) fn start(&self) -> DecoderState {
        DecoderState(vec![StageState::default(); self.stages.len()])
    }

    /// Decodes the next token; text that is complete is added to `out`.
    pub(super) fn push(
        &self,
        state: &mut DecoderState,
        token: &str,
        out: &mut String,
    ) -> Result<()> {
        feed(&self.stages, &mut state.0, token, out)
    }

    /// Ends the text: what was held back is added to `out`, and the state is new again.
    pub(super) fn finish(&self, state: &mut DecoderState, out: &mut String) -> Result<()> {
        close(&self.stages, &mut state.0, out)?;
        state.0.fill_with(StageState::default);
        Ok(())
    }

    /// The bytes that a token adds in the middle of a text.
    pub(super) fn token_bytes(&self, token: &str) -> Vec<u8> {
        let mut text = token.to_owned();
        for stage in &self.stages {
            match stage {
                Stage::ByteLevel => return byte_level_bytes(&text),
                Stage::ByteFallback => {
                    if let Some(byte) = fallback_byte(&text) {
                        return vec![byte];
                    }
                }
                Stage::Replace(pattern, content) => {
                    if let Ok(replaced) = replace(pattern, content, &text, MAX_GROWN_TOKEN) {
                        text = replaced;
                    }
                }
                Stage::AfterFirst(decoder) => {
                    if let Ok(mut tokens) = decoder.decode_chain(vec![String::new(), text.clone()])
                    {
                        text = tokens.pop().unwrap_or_default();
                    }
                }
                _ => {}
            }
        }
        text.into_bytes()
    }
}

fn add_stages(
    description: &Value,
    stages: &mut Vec<Stage>,
    whole: &mut bool,
) -> Result<(), String> {
    let kind = description.get("type").and_then(Value::as_str).unwrap_or_default();
    if kind == "Sequence" {
        let parts = description.get("decoders").and_then(Value::as_array);
        let parts = parts.ok_or("a Sequence needs a list `decoders`")?;
        return parts.iter().try_for_each(|part| add_stages(part, stages, whole));
    }
    if stages.len() >= MAX_STAGES {
        return Err(format!("it has more than {MAX_STAGES} stages"));
    }
    let replaces = kind.is_empty() && description.get("pattern").is_some();
    if kind == "Replace" || replaces {
        let pattern = read_pattern(description.get("pattern"))?;
        let content = description.get("content").and_then(Value::as_str);
        let content = content.ok_or("a Replace needs `content`")?.to_owned();
        stages.push(if *whole {
            Stage::CollectReplace(pattern, content)
        } else {
            Stage::Replace(pattern, content)
        });
        return Ok(());
    }
    let decoder: DecoderWrapper = guarded(|| {
        serde_json::from_value(description.clone()).map_err(|error| error.to_string())
    })??;
    stages.push(match decoder {
        DecoderWrapper::ByteLevel(_) => {
            *whole = true;
            Stage::ByteLevel
        }
        DecoderWrapper::Fuse(_) => {
            *whole = true;
            Stage::Fuse
        }
        DecoderWrapper::Strip(strip) => Stage::Strip {
            content: strip.content,
            start: strip.start,
            stop: strip.stop,
            whole: *whole,
        },
        DecoderWrapper::Replace(_) | DecoderWrapper::Sequence(_) => {
            return Err("a stage has no `type`".to_owned());
        }
        decoder if *whole => Stage::Collect { decoder, whole: true },
        DecoderWrapper::ByteFallback(_) => Stage::ByteFallback,
        DecoderWrapper::BPE(bpe) => Stage::WordSuffix(bpe.suffix),
        decoder @ (DecoderWrapper::Metaspace(_) | DecoderWrapper::WordPiece(_)) => {
            Stage::AfterFirst(decoder)
        }
        decoder => Stage::Collect { decoder, whole: false },
    });
    Ok(())
}

fn feed(stages: &[Stage], states: &mut [StageState], token: &str, out: &mut String) -> Result<()> {
    let (Some((stage, stages)), Some((state, states))) =
        (stages.split_first(), states.split_first_mut())
    else {
        out.push_str(token);
        return Ok(());
    };
    match stage {
        Stage::ByteLevel => {
            push_byte_level(token, &mut state.bytes);
            let text = take_text(&mut state.bytes, false);
            if text.is_empty() { Ok(()) } else { feed(stages, states, &text, out) }
        }
        Stage::ByteFallback => {
            if let Some(byte) = fallback_byte(token) {
                state.bytes.push(byte);
                return Ok(());
            }
            end_byte_run(stages, state, states, out)?;
            feed(stages, states, token, out)
        }
        Stage::Fuse => feed(stages, states, token, out),
        Stage::Strip { content, start, stop, whole } => {
            if *whole {
                let text = strip_chunk(token, state, *content, *start, *stop);
                feed(stages, states, &text, out)
            } else {
                let mut alone = StageState::default();
                let text = strip_chunk(token, &mut alone, *content, *start, *stop);
                feed(stages, states, &text, out)
            }
        }
        Stage::Replace(pattern, content) => {
            feed(stages, states, &replace(pattern, content, token, MAX_GROWN_TOKEN)?, out)
        }
        Stage::AfterFirst(decoder) => {
            if std::mem::replace(&mut state.started, true) {
                let pair = vec![String::new(), token.to_owned()];
                decode_all(decoder, pair, 1, stages, states, out)
            } else {
                decode_all(decoder, vec![token.to_owned()], 0, stages, states, out)
            }
        }
        Stage::WordSuffix(suffix) => match state.held.replace(token.to_owned()) {
            Some(before) => feed(stages, states, &replace_suffix(&before, suffix, " "), out),
            None => Ok(()),
        },
        Stage::Spaces => {
            if std::mem::replace(&mut state.started, true) {
                feed(stages, states, " ", out)?;
            }
            feed(stages, states, token, out)
        }
        Stage::Collect { .. } | Stage::CollectReplace(..) => {
            state.tokens.push(token.to_owned());
            Ok(())
        }
    }
}

fn close(stages: &[Stage], states: &mut [StageState], out: &mut String) -> Result<()> {
    let (Some((stage, stages)), Some((state, states))) =
        (stages.split_first(), states.split_first_mut())
    else {
        return Ok(());
    };
    match stage {
        Stage::ByteLevel => {
            let text = take_text(&mut state.bytes, true);
            feed(stages, states, &text, out)?;
        }
        Stage::ByteFallback => end_byte_run(stages, state, states, out)?,
        Stage::WordSuffix(suffix) => {
            if let Some(last) = state.held.take() {
                feed(stages, states, &replace_suffix(&last, suffix, ""), out)?;
            }
        }
        Stage::Collect { decoder, whole } => {
            let mut tokens = std::mem::take(&mut state.tokens);
            if *whole {
                tokens = vec![tokens.concat()];
            }
            if !tokens.is_empty() {
                decode_all(decoder, tokens, 0, stages, states, out)?;
            }
        }
        Stage::CollectReplace(pattern, content) => {
            let text = std::mem::take(&mut state.tokens).concat();
            if !text.is_empty() {
                feed(stages, states, &replace(pattern, content, &text, MAX_GROWN_TEXT)?, out)?;
            }
        }
        Stage::Fuse
        | Stage::Strip { .. }
        | Stage::Replace(..)
        | Stage::AfterFirst(_)
        | Stage::Spaces => {}
    }
    close(stages, states, out)
}

fn replace(pattern: &Pattern, content: &str, text: &str, most: usize) -> Result<String> {
    let most = most.max(text.len());
    pattern.replace(text, content, most, &Budget::new(text.len(), None))
}

/// Decodes `tokens` with a stateless decoder and passes on those after the first `skip`.
fn decode_all(
    decoder: &DecoderWrapper,
    tokens: Vec<String>,
    skip: usize,
    stages: &[Stage],
    states: &mut [StageState],
    out: &mut String,
) -> Result<()> {
    let tokens =
        decoder.decode_chain(tokens).map_err(|error| Error::Tokenizer(error.to_string()))?;
    tokens.iter().skip(skip).try_for_each(|token| feed(stages, states, token, out))
}

fn end_byte_run(
    stages: &[Stage],
    state: &mut StageState,
    states: &mut [StageState],
    out: &mut String,
) -> Result<()> {
    let bytes = std::mem::take(&mut state.bytes);
    match std::str::from_utf8(&bytes) {
        Ok("") => Ok(()),
        Ok(text) => feed(stages, states, text, out),
        // One bad byte spoils its run: that is how the models' own decoder reads it.
        Err(_) => bytes.iter().try_for_each(|_| feed(stages, states, "\u{FFFD}", out)),
    }
}

fn strip_chunk(
    chunk: &str,
    state: &mut StageState,
    content: char,
    start: usize,
    stop: usize,
) -> String {
    let mut rest = chunk;
    while !state.started && !rest.is_empty() {
        match rest.strip_prefix(content) {
            Some(after) if state.count < start => {
                state.count += 1;
                rest = after;
            }
            _ => state.started = true,
        }
    }
    let mut text = state.held.take().unwrap_or_default();
    text.push_str(rest);
    let trailing = text.chars().rev().take(stop).take_while(|&c| c == content).count();
    let held = text.split_off(text.len() - trailing * content.len_utf8());
    state.held = Some(held);
    text
}

fn replace_suffix(token: &str, suffix: &str, with: &str) -> String {
    token.replace(suffix, with)
}

fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    if digits.len() == 2 { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// The byte that a character of GPT-2's byte-level alphabet stands for.
///
/// Printable bytes stand for themselves; the other 68 are the characters from U+0100 on, in order.
fn byte_of(character: char) -> Option<u8> {
    match u32::from(character) {
        code @ (33..=126 | 161..=172 | 174..=255) => u8::try_from(code).ok(),
        code @ 256..=288 => u8::try_from(code - 256).ok(),
        code @ 289..=322 => u8::try_from(code - 289 + 127).ok(),
        323 => Some(173),
        _ => None,
    }
}

fn push_byte_level(token: &str, bytes: &mut Vec<u8>) {
    let before = bytes.len();
    for character in token.chars() {
        match byte_of(character) {
            Some(byte) => bytes.push(byte),
            None => {
                // A token with a character outside the alphabet was never byte-level: it is text.
                bytes.truncate(before);
                bytes.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

fn byte_level_bytes(token: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(token.len());
    push_byte_level(token, &mut bytes);
    bytes
}

/// Takes the text off the front of `bytes`, U+FFFD for what can never become text. A character
/// whose last bytes are missing stays, unless this is the `end`.
fn take_text(bytes: &mut Vec<u8>, end: bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    let mut kept = 0;
    loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                break;
            }
            Err(error) => {
                let (valid, bad) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                match error.error_len() {
                    Some(len) => {
                        text.push('\u{FFFD}');
                        rest = bad.get(len..).unwrap_or_default();
                    }
                    None => {
                        if end {
                            text.push('\u{FFFD}');
                        } else {
                            kept = bad.len();
                        }
                        break;
                    }
                }
            }
        }
    }
    bytes.drain(..bytes.len() - kept);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn decode(decoder: &Decoder, tokens: &[&str]) -> String {
        let mut state = decoder.start();
        let mut text = String::new();
        for token in tokens {
            decoder.push(&mut state, token, &mut text).unwrap();
        }
        decoder.finish(&mut state, &mut text).unwrap();
        text
    }

    #[test]
    fn the_byte_alphabet_is_the_librarys() {
        let decoder = tokenizers::decoders::byte_level::ByteLevel::default();
        for code in 0..0x400 {
            let character = char::from_u32(code).unwrap();
            // A plain letter on either side shows a lone continuation byte as U+FFFD.
            let token = format!("a{character}a");
            let expected = decoder.decode_chain(vec![token.clone()]).unwrap().concat();
            assert_eq!(String::from_utf8_lossy(&byte_level_bytes(&token)), expected, "{code}");
        }
    }

    /// Every stage against the library, which decodes all tokens at once.
    #[test]
    fn one_by_one_equals_all_at_once() {
        let replace = json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "});
        let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
        let metaspace =
            json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"});
        let decoders = [
            json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true}),
            json!({"type": "Sequence", "decoders": [
                replace, {"type": "ByteFallback"}, {"type": "Fuse"}, strip]}),
            json!({"type": "Sequence", "decoders": [replace, strip]}),
            json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace]}),
            json!({"type": "Sequence", "decoders": [{"type": "Fuse"}, replace, strip]}),
            json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
            json!({"type": "BPEDecoder", "suffix": "</w>"}),
            json!({"type": "CTC", "pad_token": "a", "word_delimiter_token": "▁", "cleanup": true}),
            metaspace,
        ];
        let tokens = [
            "▁",
            "▁Hi",
            "Hi",
            "##s",
            "a</w>",
            "a",
            "<0xE4>",
            "<0xBD>",
            "<0xA0>",
            "<0xFF>",
            "ä½ł",
            "ðŁĺ",
            "Ģ",
            " ",
            "  x",
            ".",
            "<0x0A>",
            "<|im_end|>",
            "é",
            "你",
        ];
        let mut seed = 7u64;
        for description in decoders {
            let library: DecoderWrapper = serde_json::from_value(description.clone()).unwrap();
            let ours = Decoder::from_json(Some(&description)).unwrap();
            for length in 1..60 {
                let sequence: Vec<&str> = (0..length)
                    .map(|_| {
                        seed = seed
                            .wrapping_mul(6364136223846793005)
                            .wrapping_add(1442695040888963407);
                        tokens[(seed >> 33) as usize % tokens.len()]
                    })
                    .collect();
                let owned = sequence.iter().map(|token| (*token).to_owned()).collect();
                let expected = library.decode_chain(owned).unwrap().concat();
                assert_eq!(decode(&ours, &sequence), expected, "{description} {sequence:?}");
            }
        }
    }

    #[test]
    fn a_strip_longer_than_its_token_is_no_panic() {
        let strip = json!({"type": "Strip", "content": " ", "start": 3, "stop": 9});
        let decoder = Decoder::from_json(Some(&strip)).unwrap();
        assert_eq!(decode(&decoder, &["a", "  ", "", "     b  "]), "a  b");
    }

    #[test]
    fn no_decoder_joins_with_spaces() {
        let decoder = Decoder::from_json(None).unwrap();
        assert_eq!(decode(&decoder, &["a", "b"]), "a b");
    }
}
