//! English text to phonemes, for voices that speak misaki's alphabet (hibari, Kokoro).
//!
//! A sentence is normalised, cut into words, tagged with parts of speech and read from its end: dictionaries first, then
//! endings and numbers, and a small network for words that are in none. The tables are files beside the voice: Apache-2.0
//! lexicons of misaki and MIT tables of spaCy, named in the NOTICE that comes with them.

mod lexicon;
mod normalize;
mod number_words;
mod pattern;
mod sentences;
mod spelling;
mod stress;
mod tagger;
mod token;
mod tokenize;
mod words;
mod written;

use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;

use serde::de::DeserializeOwned;

use crate::generate::CancelToken;
use crate::source::{OnnxCheckpoint, Source};
use crate::{Error, Result};
pub use lexicon::Accent;
use lexicon::Lexicon;
use normalize::Normalizer;
use pattern::Pattern;
pub(crate) use sentences::split as split_sentences;
use spelling::Speller;
use tagger::Tagger;
use token::Token;
use tokenize::WordSplitter;
use words::WordReader;

/// What is cancelled here.
const READING: &str = "the rest of a text that is read";
/// The largest table once unpacked: several times what is published.
const MAX_TABLE: u64 = 64 << 20;
/// The most signs of a text of which it is found out whether they are read.
const MOST_SIGNS: usize = 32;
/// How many times as long as its file a table may be: text of words shrinks to a quarter, and only repetition by hundreds.
const MAX_RATIO: u64 = 100;
/// The most values of a table; the largest published one has 400,000. Each takes up to a hundred bytes of memory, and as few as two in the text.
const MAX_VALUES: usize = 1 << 19;

/// Reads English aloud, on paper.
///
/// ```no_run
/// # fn example(source: &dyn crane_sdk::source::Source) -> crane_sdk::Result<()> {
/// use crane_sdk::text::english::{Accent, English};
///
/// let english = English::from_source(source, Accent::American)?;
/// assert_eq!(english.phonemes("Hello there.")?, "həlˈO ðˈɛɹ.");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct English {
    normalizer: Normalizer,
    splitter: WordSplitter,
    tagger: Tagger,
    reader: WordReader,
    override_link: Pattern,
}

impl English {
    /// Reads `normalize.json`, `tokenizer_exceptions.json`, `tagger.json.gz` and, for American English,
    /// `lexicon_us_gold.json.gz`, `lexicon_us_silver.json.gz`, `oov.json` and `oov.onnx`; for British English
    /// `lexicon_gb_gold.json.gz`, `lexicon_gb_silver.json.gz`, `oov_gb.json` and `oov_gb.onnx`.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a missing file, [`Error::InvalidFile`] and [`Error::Weights`] for a damaged one.
    pub fn from_source(source: &dyn Source, accent: Accent) -> Result<Self> {
        let (variety, network) = match accent {
            Accent::American => ("us", "oov"),
            Accent::British => ("gb", "oov_gb"),
        };
        let dictionary = |kind| table(source, &format!("lexicon_{variety}_{kind}.json.gz"));
        let lexicon = Lexicon { gold: dictionary("gold")?, silver: dictionary("silver")?, accent };
        let weights = OnnxCheckpoint::read(source.open(&format!("{network}.onnx"))?.as_ref())?;
        let speller = Speller::new(&weights, table(source, &format!("{network}.json"))?)?;
        let special: HashMap<String, Vec<String>> = table(source, "tokenizer_exceptions.json")?;
        let words = source.open("normalize.json")?;
        Ok(Self {
            normalizer: Normalizer::new(&words.read_all()?)?
                .map_err(|error| Error::invalid_file("normalize.json", error))?,
            splitter: WordSplitter::new(special)?,
            tagger: table(source, "tagger.json.gz")?,
            reader: WordReader::new(lexicon, speller)?,
            override_link: Pattern::new(r"\[([^\]]+)\]\(([^\)]*)\)")?,
        })
    }

    /// The sentences of a text.
    pub fn sentences(&self, text: &str) -> Vec<String> {
        sentences::split(text, |word| self.normalizer.is_title(word))
    }

    /// A sentence with its numbers, dates, units and abbreviations as words where the lexicon does not read them itself.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a pattern fails on the text.
    pub fn normalize(&self, sentence: &str) -> Result<String> {
        self.normalized(sentence, &CancelToken::new())
    }

    fn normalized(&self, sentence: &str, cancel: &CancelToken) -> Result<String> {
        cancel.check(READING)?;
        self.normalizer.normalize(&written::say(sentence, self.normalizer.units()), cancel)
    }

    /// The phonemes of a sentence, with its punctuation. `[word](/phonemes/)` says how a word sounds. Empty if there is
    /// nothing to say.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if a pattern fails on the text.
    pub fn phonemes(&self, sentence: &str) -> Result<String> {
        self.phonemes_until(sentence, &CancelToken::new())
    }

    /// As [`English::phonemes`], until it is cancelled.
    ///
    /// # Errors
    /// As [`English::phonemes`]; [`Error::Unsupported`] if it was cancelled.
    pub fn phonemes_until(&self, sentence: &str, cancel: &CancelToken) -> Result<String> {
        cancel.check(READING)?;
        let text = self.normalized(sentence, cancel)?;
        let mut tokens = Vec::new();
        let mut done = 0;
        for link in self.override_link.parts(&text)? {
            let (start, end) = link.range();
            self.tokens(text.get(done..start).unwrap_or_default(), &mut tokens, cancel)?;
            let target = link.part(2).strip_prefix('/').and_then(|target| target.strip_suffix('/'));
            tokens.push(Token {
                text: link.part(1).to_owned(),
                tag: "NN".to_owned(),
                spaced: text.get(end..).is_some_and(|rest| rest.starts_with(char::is_whitespace)),
                phonemes: target.map(str::to_owned),
                is_head: true,
                ..Token::default()
            });
            done = end;
        }
        self.tokens(text.get(done..).unwrap_or_default(), &mut tokens, cancel)?;
        self.reader.read(tokens, cancel)
    }

    /// The phonemes of a sentence in pieces of at most `most` characters, cut after clauses.
    ///
    /// # Errors
    /// As [`English::phonemes`].
    pub fn clauses(&self, sentence: &str, most: usize) -> Result<Vec<String>> {
        self.clauses_until(sentence, most, &CancelToken::new())
    }

    /// As [`English::clauses`], until it is cancelled.
    ///
    /// # Errors
    /// As [`English::phonemes_until`].
    pub fn clauses_until(
        &self,
        sentence: &str,
        most: usize,
        cancel: &CancelToken,
    ) -> Result<Vec<String>> {
        Ok(sentences::clauses(&self.phonemes_until(sentence, cancel)?, most))
    }

    /// The phonemes of a word that no dictionary has, as the network reads its letters.
    ///
    /// # Errors
    /// As [`English::phonemes`].
    pub fn spell(&self, word: &str) -> Result<String> {
        self.reader.spell(word)
    }

    /// Whether phonemes have a sound: marks and stress alone have none.
    pub fn has_sound(phonemes: &str) -> bool {
        phonemes.contains(|c| c == 'ɐ' || stress::is_vowel(c) || stress::is_consonant(c))
    }

    /// The letters, digits and signs of a text that have no reading here and are left out; of signs, the first 32 by their
    /// code points. Pictures and ornaments are not what a text says.
    pub fn unreadable(&self, text: &str) -> BTreeSet<char> {
        let (letters, others): (BTreeSet<char>, BTreeSet<char>) =
            text.chars().partition(|c| c.is_alphabetic());
        let signs = others.into_iter().filter(|&c| says_something(c)).take(MOST_SIGNS);
        let unknown = letters.into_iter().filter(|&letter| !self.reader.knows_letter(letter));
        unknown.chain(self.silent(signs.collect())).collect()
    }

    /// The signs that are read between two numbers as if there were none.
    fn silent(&self, mut signs: Vec<char>) -> Vec<char> {
        if signs.is_empty() {
            return signs;
        }
        // Spaces and marks aside.
        let sounds = |read: String| read.chars().filter(|c| c.is_alphabetic()).collect::<String>();
        let read = |text: &str| self.phonemes(text).ok().map(sounds);
        let without = read("3 4");
        signs.retain(|sign| read(&format!("3 {sign} 4")) == without);
        signs
    }

    fn tokens(&self, text: &str, tokens: &mut Vec<Token>, cancel: &CancelToken) -> Result<()> {
        let words = self.splitter.split(text, cancel)?;
        let texts: Vec<&str> = words.iter().map(|(word, _)| word.as_str()).collect();
        for ((text, spaced), tag) in words.iter().zip(self.tagger.tag(&texts)) {
            tokens.push(Token {
                text: text.clone(),
                tag: tag.to_owned(),
                spaced: *spaced,
                is_head: true,
                ..Token::default()
            });
        }
        Ok(())
    }
}

/// Whether a sign stands for words: digits of any script, currencies, letterlike signs, arrows and those of mathematics.
fn says_something(sign: char) -> bool {
    // ™ and its like are not read aloud by people either.
    const MARKS: [char; 3] = ['\u{2117}', '\u{2120}', '\u{2122}'];
    let is_sign = matches!(sign, '\u{a2}'..='\u{a5}' | '\u{b0}'..='\u{b1}' | '\u{d7}' | '\u{f7}')
        || matches!(sign, '\u{20a0}'..='\u{214f}' | '\u{2190}'..='\u{22ff}' | '\u{2a00}'..='\u{2aff}');
    (is_sign || (sign.is_numeric() && !sign.is_ascii())) && !MARKS.contains(&sign)
}

/// A table of JSON, unpacked if its name ends in `.gz`.
fn table<T: DeserializeOwned>(source: &dyn Source, name: &str) -> Result<T> {
    let blob = source.open(name)?;
    let stored = blob.read_all()?;
    let invalid = |reason: String| Error::invalid_file(blob.label(), reason);
    let mut unpacked = Vec::new();
    let json = if name.ends_with(".gz") {
        let most = blob.len().saturating_mul(MAX_RATIO).min(MAX_TABLE);
        let reader = flate2::read::GzDecoder::new(stored.as_ref());
        let read = reader.take(most + 1).read_to_end(&mut unpacked);
        read.map_err(|error| invalid(error.to_string()))?;
        if unpacked.len() as u64 > most {
            return Err(invalid(format!(
                "its {} bytes unpack to more than {most}: {MAX_RATIO} times as many, and at most {MAX_TABLE}, are read",
                blob.len()
            )));
        }
        &unpacked
    } else {
        stored.as_ref()
    };
    if json.len() as u64 > MAX_TABLE {
        return Err(invalid(format!("it has {} bytes, {MAX_TABLE} are the most", json.len())));
    }
    // As many as there are at most; marks within texts count too.
    let values = json.iter().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
    if values > MAX_VALUES {
        return Err(invalid(format!("it has some {values} values, {MAX_VALUES} are the most")));
    }
    serde_json::from_slice(json).map_err(|error| invalid(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::io::Write as _;

    use super::*;
    use crate::source::MemorySource;

    fn packed(text: &str) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        writer.write_all(text.as_bytes()).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn tables_that_grow_a_hundredfold_are_refused() {
        let read = |text: &str| -> Result<HashMap<String, String>> {
            table(&MemorySource::new("m").with("t.json.gz", packed(text)), "t.json.gz")
        };
        let words = (0..5000).map(|i| format!("\"w{i}\":\"p{}\"", i * 7919 % 5000));
        let words = format!("{{{}}}", words.collect::<Vec<_>>().join(","));
        assert_eq!(read(&words).unwrap().len(), 5000);
        for (text, part) in [
            (format!("{{\"a\":\"{}\"}}", "b".repeat(4 << 20)), "100 times as many"),
            (format!("{{{}}}", ",".repeat(100)), "key must be a string"),
        ] {
            let refusal = read(&text).unwrap_err().to_string();
            assert!(refusal.contains(part) && refusal.contains("t.json.gz"), "{refusal}");
        }
        let many = format!("[{}0]", "0,".repeat(MAX_VALUES + 1));
        let source = MemorySource::new("m").with("t.json", many.into_bytes());
        let refusal = table::<Vec<u8>>(&source, "t.json").unwrap_err().to_string();
        assert!(refusal.contains("524288 are the most"), "{refusal}");
        // A second member of the stream is not read either.
        let twice = [packed("{}"), packed("{}")].concat();
        let source = MemorySource::new("m").with("t.json.gz", twice);
        assert!(table::<HashMap<String, String>>(&source, "t.json.gz").is_ok());
    }
}
