//! How a normalized text is cut into the pieces that the model sees: the pre-tokenizer's steps, one piece at a time.
//!
//! Only the piece at hand is kept. The library keeps all pieces of a text, with 16 bytes of alignment for each of their bytes.

use serde_json::Value;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::{
    OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer as _, PreTokenizerWrapper,
    SplitDelimiterBehavior,
};

use super::budget::Budget;
use super::guard::guarded;
use super::model::too_long;
use super::normalizer::read_pattern;
use super::pattern::Pattern;
use super::split::Splitter;
use super::tokenizer::library_error;
use crate::Result;

/// GPT-2's pattern, which byte-level steps apply unless they say otherwise.
pub(super) const GPT2: &str =
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// Most steps of a chain: each is a call deeper.
const MAX_STEPS: usize = 64;
/// Bytes of which a step of the library sees the pieces at once.
const WINDOW: usize = 16 << 10;
/// Longest piece of a step of the library, in bytes.
const MAX_WINDOW: usize = 4 << 20;

/// A chain of steps.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Split {
        pattern: Pattern,
        behavior: SplitDelimiterBehavior,
        invert: bool,
    },
    /// Bytes become characters, after GPT-2's pattern has cut the text (if there is one).
    ByteLevel {
        prefix_space: bool,
        pattern: Option<Pattern>,
    },
    Digits {
        single: bool,
    },
    Metaspace {
        replacement: char,
        prepend: PrependScheme,
        split: bool,
    },
    /// A step of the library whose cuts depend on the characters around them alone.
    Library(PreTokenizerWrapper),
}

/// Receives the pieces.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&str) -> Result<()>;

impl Cutter {
    /// A chain of patterns that isolate their matches, and bytes as characters.
    ///
    /// # Errors
    /// A sentence if a pattern is none.
    pub(super) fn byte_level(patterns: &[&str]) -> Result<Self, String> {
        let split = |pattern: &&str| {
            let behavior = SplitDelimiterBehavior::Isolated;
            Ok::<_, String>(Step::Split {
                pattern: Pattern::regex(pattern)?,
                behavior,
                invert: false,
            })
        };
        let mut steps = patterns.iter().map(split).collect::<Result<Vec<_>, _>>()?;
        steps.push(Step::ByteLevel { prefix_space: false, pattern: None });
        Ok(Self { steps })
    }

    /// BERT's words and punctuation.
    pub(super) fn bert() -> Self {
        let step = tokenizers::pre_tokenizers::bert::BertPreTokenizer;
        Self { steps: vec![Step::Library(PreTokenizerWrapper::BertPreTokenizer(step))] }
    }

    /// Reads the `pre_tokenizer` of a `tokenizer.json`.
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

    /// Gives the pieces of a text to `sink`; `first` says that it begins the whole text.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) if a pattern reaches its limit, and what `sink` returns.
    pub(super) fn cut(
        &self,
        text: &str,
        first: bool,
        budget: &Budget<'_>,
        sink: Sink<'_>,
    ) -> Result<()> {
        run(&self.steps, text, first, budget, sink)
    }
}

fn read(value: &Value, steps: &mut Vec<Step>) -> Result<(), String> {
    let field = |name: &str| value.get(name);
    let kind = field("type").and_then(Value::as_str);
    let is = |name: &str, has: &str| kind == Some(name) || (kind.is_none() && field(has).is_some());
    if is("Sequence", "pretokenizers") {
        let parts = field("pretokenizers").and_then(Value::as_array);
        let parts = parts.ok_or("a Sequence needs a list `pretokenizers`")?;
        return parts.iter().try_for_each(|part| read(part, steps));
    }
    if steps.len() >= MAX_STEPS {
        return Err(format!("it has more than {MAX_STEPS} steps"));
    }
    if is("Split", "pattern") {
        let behavior = field("behavior").cloned().unwrap_or_default();
        steps.push(Step::Split {
            pattern: read_pattern(field("pattern"))?,
            behavior: serde_json::from_value(behavior).map_err(|error| error.to_string())?,
            invert: field("invert").and_then(Value::as_bool).ok_or("a Split needs `invert`")?,
        });
        return Ok(());
    }
    let library =
        guarded(|| serde_json::from_value(value.clone()).map_err(|error| error.to_string()))??;
    steps.push(match library {
        PreTokenizerWrapper::ByteLevel(step) => {
            let pattern = step.use_regex.then(|| Pattern::regex(GPT2)).transpose()?;
            Step::ByteLevel { prefix_space: step.add_prefix_space, pattern }
        }
        PreTokenizerWrapper::Digits(step) => Step::Digits { single: step.individual_digits },
        PreTokenizerWrapper::Metaspace(step) => Step::Metaspace {
            replacement: step.get_replacement(),
            prepend: step.prepend_scheme,
            split: step.split,
        },
        PreTokenizerWrapper::FixedLength(step) if step.length == 0 => {
            return Err("FixedLength has length 0".to_owned());
        }
        PreTokenizerWrapper::Sequence(_) | PreTokenizerWrapper::Split(_) => {
            return Err("a step has no `type`".to_owned());
        }
        library => Step::Library(library),
    });
    Ok(())
}

fn run(steps: &[Step], text: &str, first: bool, budget: &Budget<'_>, sink: Sink<'_>) -> Result<()> {
    let Some((step, rest)) = steps.split_first() else {
        budget.check()?;
        return if text.is_empty() { Ok(()) } else { sink(text) };
    };
    // A piece begins the whole text if nothing of it came before.
    let start = text.as_ptr();
    let mut next =
        |piece: &str| run(rest, piece, first && std::ptr::eq(piece.as_ptr(), start), budget, sink);
    match step {
        Step::Split { pattern, behavior, invert } => {
            let mut splitter = Splitter::new(text, *behavior, *invert, next);
            pattern.each(text, budget, |start, end| splitter.matched(start, end))?;
            splitter.finish()
        }
        Step::Digits { single } => {
            let behavior = if *single {
                SplitDelimiterBehavior::Isolated
            } else {
                SplitDelimiterBehavior::Contiguous
            };
            let mut splitter = Splitter::new(text, behavior, false, next);
            for (at, digit) in text.match_indices(char::is_numeric) {
                splitter.matched(at, at + digit.len())?;
            }
            splitter.finish()
        }
        Step::ByteLevel { prefix_space, pattern } => {
            let prefixed = (*prefix_space && !text.starts_with(' ')).then(|| format!(" {text}"));
            let text = prefixed.as_deref().unwrap_or(text);
            let mut mapped = String::new();
            let mut at_start = first;
            let mut to_bytes = |piece: &str| {
                mapped.clear();
                mapped.extend(piece.bytes().map(byte_character));
                run(rest, &mapped, std::mem::take(&mut at_start), budget, sink)
            };
            match pattern {
                None => to_bytes(text),
                Some(pattern) => {
                    let mut splitter =
                        Splitter::new(text, SplitDelimiterBehavior::Isolated, false, to_bytes);
                    pattern.each(text, budget, |start, end| splitter.matched(start, end))?;
                    splitter.finish()
                }
            }
        }
        Step::Metaspace { replacement, prepend, split } => {
            let mut spaced = String::with_capacity(text.len() + 4);
            let prepends = match prepend {
                PrependScheme::Always => true,
                PrependScheme::First => first,
                PrependScheme::Never => false,
            };
            let begins = |c: char| c == *replacement || c == ' ';
            if prepends && !text.starts_with(begins) {
                spaced.push(*replacement);
            }
            spaced.extend(text.chars().map(|c| if c == ' ' { *replacement } else { c }));
            let mut at_start = first;
            let mut each =
                |piece: &str| run(rest, piece, std::mem::take(&mut at_start), budget, sink);
            if !*split {
                return each(&spaced);
            }
            let behavior = SplitDelimiterBehavior::MergedWithNext;
            let mut splitter = Splitter::new(&spaced, behavior, false, each);
            for (at, space) in spaced.match_indices(*replacement) {
                splitter.matched(at, at + space.len())?;
            }
            splitter.finish()
        }
        Step::Library(library) => windows(library, text, budget, &mut next),
    }
}

/// Cuts with a step of the library, over a window at a time: the last piece of a window may go on in the next.
fn windows(
    library: &PreTokenizerWrapper,
    text: &str,
    budget: &Budget<'_>,
    sink: Sink<'_>,
) -> Result<()> {
    let mut rest = text;
    let mut window = WINDOW;
    while !rest.is_empty() {
        budget.check()?;
        let mut end = window.min(rest.len());
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        let (seen, _) = rest.split_at(end);
        let mut pieces = PreTokenizedString::from(seen);
        library.pre_tokenize(&mut pieces).map_err(library_error)?;
        let all = end == rest.len();
        let pieces: Vec<(usize, usize)> = pieces
            .get_splits(OffsetReferential::Original, OffsetType::Byte)
            .into_iter()
            .map(|(_, offsets, _)| offsets)
            .collect();
        if pieces.is_empty() {
            // All of it parts pieces, each character for itself.
            rest = rest.get(end..).unwrap_or_default();
            continue;
        }
        // The last two may be cut otherwise where more follows.
        let kept = if all { pieces.len() } else { pieces.len().saturating_sub(2) };
        for (start, end) in pieces.iter().take(kept) {
            if let Some(piece) = rest.get(*start..*end) {
                sink(piece)?;
            }
        }
        if all {
            break;
        }
        match pieces.get(kept) {
            Some((start, _)) if *start > 0 => {
                rest = rest.get(*start..).unwrap_or_default();
                window = WINDOW;
            }
            _ if window >= MAX_WINDOW => return Err(too_long(MAX_WINDOW)),
            _ => window = window.saturating_mul(2),
        }
    }
    Ok(())
}

/// The character that stands for a byte in GPT-2's byte-level alphabet: printable bytes stand for themselves, the other
/// 68 are the characters from U+0100 on, in order.
fn byte_character(byte: u8) -> char {
    let code = u32::from(byte);
    let code = match code {
        33..=126 | 161..=172 | 174..=255 => code,
        0..=32 => 256 + code,
        127..=160 => 289 + code - 127,
        _ => 323,
    };
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}
