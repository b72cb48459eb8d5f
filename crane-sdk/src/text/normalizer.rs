//! What a tokenizer does to a text before it cuts it: the steps of `tokenizer.json`, with ids equal to the library's, in
//! memory and time that the text bounds.
//!
//! The library keeps 16 bytes of alignment for each byte of a text and copies them at every step. What treats each
//! character for itself runs here over a few kilobytes at a time.

use std::borrow::Cow;

use serde_json::Value;
use tokenizers::normalizers::Precompiled;
use tokenizers::{NormalizedString, Normalizer as _, NormalizerWrapper};

use super::budget::Budget;
use super::charsmap;
use super::guard::guarded;
use super::model::too_long;
use super::pattern::Pattern;
use super::tokenizer::library_error;
use crate::{Error, Result};

/// How much a text may grow: a step of its own makes 11 times of a text at most (NFKC).
const GROWTH: usize = 16;
const GROWTH_BASE: usize = 64 << 10;
/// Bytes that the library normalizes at once.
const CHUNK: usize = 4096;
/// Most bytes without a place where they can be parted.
const MAX_UNBROKEN: usize = 4 << 20;
/// Most steps of a chain.
const MAX_STEPS: usize = 256;

/// A chain of steps.
#[derive(Debug, Default)]
pub(super) struct Normalizer {
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    /// Each character is treated for itself (with the marks that follow it).
    Characters(NormalizerWrapper),
    Replace(Pattern, String),
    Prepend(String),
    Strip {
        left: bool,
        right: bool,
    },
}

/// A normalized text.
pub(super) struct Normalized<'t> {
    pub(super) text: Cow<'t, str>,
    /// Whether its first character comes from the first one of the text.
    pub(super) keeps_start: bool,
}

impl Normalizer {
    /// Unicode's composition, NFC.
    pub(super) fn nfc() -> Self {
        Self::characters(NormalizerWrapper::NFC(tokenizers::normalizers::NFC))
    }

    /// One step of the library, which treats each character for itself.
    pub(super) fn characters(step: NormalizerWrapper) -> Self {
        Self { steps: vec![Step::Characters(step)] }
    }

    /// SentencePiece's: spaces become `▁`, and a text begins with one if `prefix`.
    pub(super) fn sentence_piece(prefix: bool) -> Self {
        let spaces = Step::Replace(Pattern::Text(" ".to_owned()), "▁".to_owned());
        let prefix = prefix.then(|| Step::Prepend("▁".to_owned()));
        Self { steps: prefix.into_iter().chain([spaces]).collect() }
    }

    /// Reads the `normalizer` of a `tokenizer.json`.
    ///
    /// # Errors
    /// A sentence that says which part cannot be understood or which limit it passes.
    pub(super) fn from_json(value: Option<&Value>) -> Result<Self, String> {
        let mut steps = Vec::new();
        if let Some(value) = value.filter(|value| !value.is_null()) {
            read(value, &mut steps)?;
        }
        Ok(Self { steps })
    }

    /// Normalizes a text.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if it grows beyond 16 times its size and 64 KiB, or a pattern reaches its limit.
    pub(super) fn apply<'t>(&self, text: &'t str, budget: &Budget<'_>) -> Result<Normalized<'t>> {
        let most = text.len().saturating_mul(GROWTH).saturating_add(GROWTH_BASE);
        let mut text = Cow::Borrowed(text);
        let mut keeps_start = true;
        for step in &self.steps {
            match step {
                Step::Characters(step) => {
                    if let Some(changed) = characters(step, &text, most, &mut keeps_start, budget)?
                    {
                        text = Cow::Owned(changed);
                    }
                }
                Step::Replace(pattern, content) => {
                    // The library ascribes a replacement to the last character that it replaces.
                    pattern_at_start(pattern, content, &text, &mut keeps_start, budget)?;
                    text = Cow::Owned(pattern.replace(&text, content, most, budget)?);
                }
                Step::Prepend(prefix) => {
                    if !text.is_empty() {
                        text.to_mut().insert_str(0, prefix);
                    }
                }
                Step::Strip { left, right } => {
                    keeps_start &= !(*left && text.starts_with(char::is_whitespace));
                    let kept = if *left { text.trim_start() } else { &text };
                    let kept = if *right { kept.trim_end() } else { kept };
                    if kept.len() < text.len() {
                        text = Cow::Owned(kept.to_owned());
                    }
                }
            }
            if text.len() > most {
                return Err(too_large(most));
            }
        }
        Ok(Normalized { text, keeps_start })
    }
}

fn too_large(most: usize) -> Error {
    Error::Tokenizer(format!(
        "the normalizer grows a text to more than {most} bytes (16 times its size and 64 KiB); the tokenizer is \
         hostile or damaged"
    ))
}

fn read(value: &Value, steps: &mut Vec<Step>) -> Result<(), String> {
    let field = |name: &str| value.get(name);
    let kind = field("type").and_then(Value::as_str);
    let is = |name: &str, has: &str| kind == Some(name) || (kind.is_none() && field(has).is_some());
    if is("Sequence", "normalizers") {
        let parts = field("normalizers").and_then(Value::as_array);
        let parts = parts.ok_or("a Sequence needs a list `normalizers`")?;
        return parts.iter().try_for_each(|part| read(part, steps));
    }
    if steps.len() >= MAX_STEPS {
        return Err(format!("it has more than {MAX_STEPS} steps"));
    }
    if kind == Some("Precompiled") {
        let bytes = field("precompiled_charsmap").and_then(Value::as_str);
        let bytes = bytes.ok_or("a Precompiled needs a text `precompiled_charsmap`")?;
        let bytes = charsmap::read(bytes)?;
        let precompiled =
            guarded(|| Precompiled::from(&bytes).map_err(|error| error.to_string()))??;
        steps.push(Step::Characters(NormalizerWrapper::Precompiled(precompiled)));
        return Ok(());
    }
    if is("Replace", "pattern") {
        let pattern = read_pattern(field("pattern"))?;
        let content =
            field("content").and_then(Value::as_str).ok_or("a Replace needs `content`")?;
        steps.push(Step::Replace(pattern, content.to_owned()));
        return Ok(());
    }
    let library =
        guarded(|| serde_json::from_value(value.clone()).map_err(|error| error.to_string()))??;
    steps.push(match library {
        NormalizerWrapper::Prepend(prepend) => Step::Prepend(prepend.prepend),
        NormalizerWrapper::StripNormalizer(strip) => {
            Step::Strip { left: strip.strip_left, right: strip.strip_right }
        }
        NormalizerWrapper::Sequence(_)
        | NormalizerWrapper::Replace(_)
        | NormalizerWrapper::Precompiled(_) => return Err("a step has no `type`".to_owned()),
        library => Step::Characters(library),
    });
    Ok(())
}

/// `{"String": ".."}` or `{"Regex": ".."}`.
///
/// # Errors
/// A sentence if it is neither, or the regular expression is none or too large.
pub(super) fn read_pattern(value: Option<&Value>) -> Result<Pattern, String> {
    let text = |name: &str| value.and_then(|value| value.get(name)).and_then(Value::as_str);
    match (text("String"), text("Regex")) {
        (Some(text), None) => Ok(Pattern::Text(text.to_owned())),
        (None, Some(regex)) => Pattern::regex(regex),
        _ => Err("a pattern is {\"String\": ..} or {\"Regex\": ..}".to_owned()),
    }
}

fn pattern_at_start(
    pattern: &Pattern,
    content: &str,
    text: &str,
    keeps_start: &mut bool,
    budget: &Budget<'_>,
) -> Result<()> {
    let mut replaced = |end: usize| {
        let first = text.chars().next().map_or(0, char::len_utf8);
        *keeps_start &= first == end && !content.is_empty();
    };
    if let Pattern::Text(word) = pattern {
        if !word.is_empty() && text.starts_with(word.as_str()) {
            replaced(word.len());
        }
        return Ok(());
    }
    // A kilobyte tells whether the text's first character is replaced.
    let mut end = text.len().min(1024);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    pattern.each(text.get(..end).unwrap_or_default(), budget, |start, end| {
        if start == 0 && end > 0 {
            replaced(end);
        }
        Ok(())
    })
}

/// The text after a step that treats each character for itself; `None` if it stays as it is.
fn characters(
    step: &NormalizerWrapper,
    text: &str,
    most: usize,
    keeps_start: &mut bool,
    budget: &Budget<'_>,
) -> Result<Option<String>> {
    let is_form = matches!(
        step,
        NormalizerWrapper::NFC(_)
            | NormalizerWrapper::NFD(_)
            | NormalizerWrapper::NFKC(_)
            | NormalizerWrapper::NFKD(_)
            | NormalizerWrapper::StripAccents(_)
    );
    if is_form && text.is_ascii() {
        return Ok(None);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut begins = true;
    while !rest.is_empty() {
        budget.check()?;
        let (chunk, after) = rest.split_at(chunk_end(rest)?);
        if is_form && chunk.is_ascii() {
            out.push_str(chunk);
        } else {
            let mut normalized = NormalizedString::from(chunk);
            step.normalize(&mut normalized).map_err(library_error)?;
            if begins {
                let first = normalized.get().chars().next().map_or(0, char::len_utf8);
                let origin =
                    normalized.convert_offsets(tokenizers::normalizer::Range::Normalized(0..first));
                *keeps_start &= origin.is_some_and(|origin| origin.start == 0);
            }
            out.push_str(normalized.get());
        }
        begins = false;
        if out.len() > most {
            return Err(too_large(most));
        }
        rest = after;
    }
    Ok(Some(out))
}

/// The end of the next chunk: the first place after [`CHUNK`] bytes where no step sees across.
fn chunk_end(text: &str) -> Result<usize> {
    if text.len() <= CHUNK {
        return Ok(text.len());
    }
    let mut start = CHUNK - 4;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    let mut before = None;
    for (at, next) in text.get(start..).unwrap_or_default().char_indices() {
        if before.is_some_and(|before| parts(before, next)) {
            return Ok(start + at);
        }
        if at > MAX_UNBROKEN {
            return Err(too_long(MAX_UNBROKEN));
        }
        before = Some(next);
    }
    Ok(text.len())
}

/// Whether a text may be parted between two characters: they never compose, and are no one grapheme.
fn parts(before: char, next: char) -> bool {
    let han = |c| matches!(c, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}');
    let hangul = |c| matches!(c, '\u{AC00}'..='\u{D7A3}');
    let kana = |c| matches!(c, '\u{3041}'..='\u{3096}' | '\u{30A1}'..='\u{30FA}');
    // Letters after which a grapheme ends where ASCII begins.
    let letter = |c: char| {
        let plain = c < '\u{D00}' || ('\u{E00}'..'\u{1100}').contains(&c);
        (plain || han(c) || hangul(c) || kana(c)) && c.is_alphabetic()
    };
    if next.is_ascii() {
        return next != '\n' && (before.is_ascii() || letter(before));
    }
    (han(before) || kana(before) || hangul(before)) && (han(next) || hangul(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn apply(description: &Value, text: &str) -> Result<String> {
        let normalizer = Normalizer::from_json(Some(description)).map_err(library_error)?;
        let normalized = normalizer.apply(text, &Budget::new(text.len(), None))?;
        Ok(normalized.text.into_owned())
    }

    #[test]
    fn chains_that_double_a_text_are_refused() {
        let step = json!({"type": "Replace", "pattern": {"String": " "}, "content": "  "});
        let chain = json!({"type": "Sequence", "normalizers": vec![step; 40]});
        let error = apply(&chain, "a b").unwrap_err().to_string();
        assert!(error.contains("grows a text"), "{error}");
        let step = json!({"type": "Replace", "pattern": {"Regex": ""}, "content": "xxxx"});
        let chain = json!({"type": "Sequence", "normalizers": vec![step; 40]});
        assert!(apply(&chain, "a b").unwrap_err().to_string().contains("grows a text"));
        let prepend = json!({"type": "Prepend", "prepend": "x".repeat(1000)});
        let chain = json!({"type": "Sequence", "normalizers": vec![prepend.clone(); 200]});
        assert!(apply(&chain, "a b").unwrap_err().to_string().contains("grows a text"));
        let chain = json!({"type": "Sequence", "normalizers": vec![prepend; 300]});
        assert!(apply(&chain, "a b").unwrap_err().to_string().contains("256 steps"));
        assert_eq!(apply(&json!({"type": "Prepend", "prepend": "x"}), "a").unwrap(), "xa");
    }

    /// Chunks against the library, which normalizes a text at once.
    #[test]
    fn chunks_normalize_as_the_whole_does() {
        let alphabets = [
            "ab \n\r\tZé e\u{301}\u{302}\u{fb01}™ﷺ①",
            "漢字かな\u{3099}カタカナ。、한국어\u{1100}\u{1161}\u{11a8} ",
            "ไทยกำ\u{e33}\u{e49} हिन्दी\u{94d} العربية\u{600} \u{627}\u{653}",
            "a\u{301} \u{301}\u{200d}👨\u{200d}👩🏽 \r\n\n\u{feff}\u{ad}ΣςẞİI",
        ];
        let steps = ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Nmt", "StripAccents", "ByteLevel"]
            .map(|kind| json!({"type": kind}));
        let bert = json!({"type": "BertNormalizer", "clean_text": true,
            "handle_chinese_chars": true, "strip_accents": null, "lowercase": true});
        let mut seed = 3u64;
        let mut next = |bound: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % bound
        };
        for description in steps.into_iter().chain([bert]) {
            let library: NormalizerWrapper = serde_json::from_value(description.clone()).unwrap();
            for round in 0..24 {
                let alphabet: Vec<char> = alphabets[round % 4].chars().collect();
                let length = 3000 + next(8000);
                let text: String = (0..length).map(|_| alphabet[next(alphabet.len())]).collect();
                let mut expected = NormalizedString::from(text.as_str());
                library.normalize(&mut expected).unwrap();
                assert!(
                    apply(&description, &text).unwrap() == expected.get(),
                    "{description} {round}"
                );
            }
        }
    }
}
