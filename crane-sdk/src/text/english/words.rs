//! Tagged words to phonemes, from the last to the first, since a word may sound otherwise before a vowel.

use super::READING;
use super::lexicon::Lexicon;
use super::lexicon::is_currency;
use super::pattern::Pattern;
use super::sentences::in_parts;
use super::spelling::Speller;
use super::stress;
use super::token::{Context, Token};
use crate::Result;
use crate::generate::CancelToken;

/// Characters in a word that have no sound.
const SILENT: &str = "',-._‘’/";
/// Bytes of the longest run of parts that is looked up as one word: more than any word of several parts has.
const MOST_KNOWN: usize = 64;
/// Marks that the phoneme strings keep.
const MARKS: &str = ";:,.!?—…\"“”";

/// What takes words apart and reads the parts.
#[derive(Debug)]
pub(super) struct WordReader {
    lexicon: Lexicon,
    speller: Speller,
    parts: Pattern,
    pieces: Pattern,
}

impl WordReader {
    pub(super) fn new(lexicon: Lexicon, speller: Speller) -> Result<Self> {
        let (upper, lower) = ("A-ZÀ-ÖØ-Þ", "a-zß-öø-ÿ");
        let letter = r"[^\W\d_]";
        Ok(Self {
            lexicon,
            speller,
            // Apostrophes, a capital that ends an abbreviation, numbers, hyphens, camel-case parts, words, signs.
            parts: Pattern::new(&format!(
                r"^['‘’]+|[{upper}](?=[{upper}][{lower}])|(?:^-)?(?:\d?[,.]?\d)+|[-_]+|['‘’]{{2,}}|{letter}*?(?:['‘’]{letter})*?[{lower}](?=[{upper}])|{letter}+(?:['‘’]{letter})*|[^\w\-'‘’]|['‘’]+$"
            ))?,
            pieces: Pattern::new(&format!(
                r"{letter}+(?:['’]{letter}+)*|\d+(?:[,.]\d+)*|[^\w\s]+"
            ))?,
        })
    }

    /// The phonemes of a sentence.
    pub(super) fn read(&self, tokens: Vec<Token>, cancel: &CancelToken) -> Result<String> {
        let mut words = self.take_apart(tokens, cancel)?;
        let mut context = Context::default();
        for word in words.iter_mut().rev() {
            cancel.check(READING)?;
            match word.as_mut_slice() {
                [single] => {
                    if single.phonemes.is_none() {
                        single.phonemes = self.lexicon.read(single, context);
                    }
                    if single.phonemes.is_none() {
                        single.phonemes = Some(self.fall_back(&single.text, cancel)?);
                    }
                    context = follow(context, single.phonemes.as_deref(), single);
                }
                parts => context = self.read_parts(parts, context, cancel)?,
            }
        }
        let mut out = String::new();
        for word in &words {
            let start = out.len();
            for part in word {
                let phonemes = part.phonemes.as_deref().unwrap_or_default();
                let joined = out.len() == start || out.ends_with(char::is_whitespace);
                if part.set_apart && !joined && !phonemes.is_empty() {
                    out.push(' ');
                }
                out.extend(phonemes.chars().map(|c| match c {
                    'ɾ' => 'T',
                    'ʔ' => 't',
                    c => c,
                }));
            }
            if word.last().is_some_and(|part| part.spaced) {
                out.push(' ');
            }
        }
        Ok(out.trim().to_owned())
    }

    /// A word by its letters alone.
    pub(super) fn spell(&self, word: &str) -> Result<String> {
        self.speller.spell(word)
    }

    pub(super) fn knows_letter(&self, letter: char) -> bool {
        letter.is_ascii() || self.speller.knows(letter)
    }

    /// Words as lists of parts: camel case, digits, hyphens and apostrophes divide them.
    fn take_apart(&self, tokens: Vec<Token>, cancel: &CancelToken) -> Result<Vec<Vec<Token>>> {
        let mut words: Vec<Vec<Token>> = Vec::new();
        // Whether the last word may be continued.
        let mut open = false;
        let mut currency = None;
        for (index, token) in tokens.iter().enumerate() {
            cancel.check(READING)?;
            let mut parts = if token.is_settled() {
                vec![token.clone()]
            } else {
                let part = |(from, to)| Token {
                    text: token.text.get(from..to).unwrap_or_default().to_owned(),
                    tag: token.tag.clone(),
                    is_head: true,
                    ..Token::default()
                };
                self.parts.find_all(&token.text)?.into_iter().map(part).collect()
            };
            if let Some(last) = parts.last_mut() {
                last.spaced = token.spaced;
            }
            let texts: Vec<String> = parts.iter().map(|part| part.text.clone()).collect();
            let number_follows = tokens.get(index + 1).is_some_and(|next| next.tag == "CD");
            for (place, mut part) in parts.into_iter().enumerate() {
                let last = place + 1 == texts.len();
                if !part.is_settled() {
                    settle_mark(&mut part, &mut currency, last && !number_follows);
                    if currency.is_none() && !part.is_settled() && part.text == "2" && place > 0 {
                        let letters = |text: Option<&String>, end: bool| {
                            let mut chars = text.map_or("", |text| text).chars();
                            let c = if end { chars.next_back() } else { chars.next() };
                            c.is_some_and(char::is_alphabetic)
                        };
                        if letters(texts.get(place - 1), true)
                            && letters(texts.get(place + 1), false)
                        {
                            part.alias = Some("to");
                        }
                    }
                }
                if part.is_settled() {
                    words.push(vec![part]);
                    open = false;
                } else {
                    let spaced = part.spaced;
                    match words.last_mut() {
                        Some(word) if open => {
                            part.is_head = false;
                            word.push(part);
                        }
                        _ => words.push(vec![part]),
                    }
                    open = !spaced;
                }
            }
        }
        Ok(words)
    }

    /// Reads a word of several parts: the longest runs of parts that the lexicon knows, from the end.
    fn read_parts(
        &self,
        parts: &mut [Token],
        mut context: Context,
        cancel: &CancelToken,
    ) -> Result<Context> {
        let mut right = parts.len();
        let mut left = first_of_run(parts, right);
        while left < right {
            cancel.check(READING)?;
            let run = parts.get(left..right).unwrap_or_default();
            let merged = (!run.iter().any(Token::is_settled)).then(|| Token::merged(run));
            let found =
                merged.and_then(|merged| Some((self.lexicon.read(&merged, context)?, merged)));
            if let Some((phonemes, merged)) = found {
                context = follow(context, Some(&phonemes), &merged);
                for part in parts.iter_mut().take(right).skip(left) {
                    part.phonemes = Some(String::new());
                }
                if let Some(first) = parts.get_mut(left) {
                    first.phonemes = Some(phonemes);
                }
                right = left;
                left = first_of_run(parts, right);
            } else if left + 1 < right {
                left += 1;
            } else {
                right -= 1;
                left = first_of_run(parts, right);
                let Some(part) = parts.get_mut(right).filter(|part| part.phonemes.is_none()) else {
                    continue;
                };
                if part.text.chars().all(|c| SILENT.contains(c)) {
                    part.phonemes = Some(String::new());
                } else {
                    let whole = self.fall_back(&Token::merged(parts).text, cancel)?;
                    for part in parts.iter_mut() {
                        part.phonemes = Some(String::new());
                    }
                    if let Some(first) = parts.first_mut() {
                        first.phonemes = Some(whole);
                    }
                    return Ok(context);
                }
            }
        }
        settle_stress(parts);
        Ok(context)
    }

    /// A word that the lexicon does not know: letters by the network, digits as a number, signs by name.
    fn fall_back(&self, text: &str, cancel: &CancelToken) -> Result<String> {
        let mut out: Vec<String> = Vec::new();
        for (from, to) in self.pieces.find_all(text)? {
            let piece = text.get(from..to).unwrap_or_default();
            cancel.check(READING)?;
            let phonemes = if piece.starts_with(char::is_alphabetic) {
                // The network hears so many letters at a time.
                let mut sounds = String::new();
                for part in in_parts(piece, self.speller.most()) {
                    cancel.check(READING)?;
                    sounds.push_str(&self.speller.spell(part)?);
                }
                sounds
            } else if piece.starts_with(char::is_numeric) {
                self.lexicon.number(piece, None, false).unwrap_or_default()
            } else {
                piece.chars().map(sign_name).collect()
            };
            if !phonemes.is_empty() {
                out.push(phonemes);
            }
        }
        Ok(out.join(" "))
    }
}

/// The first part of the longest run up to `right` that a dictionary may hold as one word.
fn first_of_run(parts: &[Token], right: usize) -> usize {
    let mut length = 0;
    let run = parts.get(..right).unwrap_or_default().iter().rev().take_while(|part| {
        length += part.text.len() + usize::from(part.spaced);
        length <= MOST_KNOWN
    });
    // One part alone is asked for, however long it is.
    right.saturating_sub(run.count().max(1))
}

/// Gives marks and currency signs what they sound as, and a number after a currency sign its unit if it `ends` the
/// amount.
fn settle_mark(part: &mut Token, currency: &mut Option<char>, ends: bool) {
    let tag = part.tag.as_str();
    if tag == "$"
        && let Some(sign) = is_currency(&part.text)
    {
        *currency = Some(sign);
        part.phonemes = Some(String::new());
    } else if tag == ":" && matches!(part.text.as_str(), "-" | "–") {
        part.phonemes = Some("—".to_owned());
    } else if is_mark_tag(tag) && !part.text.chars().all(|c| c.is_ascii_alphabetic()) {
        let fixed = match tag {
            "-LRB-" => Some("("),
            "-RRB-" => Some(")"),
            "``" => Some("“"),
            "\"\"" | "''" => Some("”"),
            _ => None,
        };
        let kept = || part.text.chars().filter(|c| MARKS.contains(*c)).collect();
        part.phonemes = Some(fixed.map_or_else(kept, str::to_owned));
    } else if currency.is_some() {
        if tag != "CD" {
            *currency = None;
        } else if ends {
            part.currency = *currency;
        }
    }
}

fn is_mark_tag(tag: &str) -> bool {
    matches!(tag, "." | "," | "-LRB-" | "-RRB-" | "``" | "\"\"" | "''" | ":" | "$" | "#" | "NFP")
}

/// What the word before `token` is followed by.
fn follow(context: Context, phonemes: Option<&str>, token: &Token) -> Context {
    let sound = |c: char| match c {
        ';' | ':' | ',' | '.' | '!' | '?' | '—' | '…' => Some(None),
        c if stress::is_vowel(c) => Some(Some(true)),
        c if stress::is_consonant(c) => Some(Some(false)),
        _ => None,
    };
    let future_to = match token.text.as_str() {
        "to" | "To" => true,
        "TO" => matches!(token.tag.as_str(), "TO" | "IN"),
        _ => false,
    };
    let first = phonemes.unwrap_or_default().chars().find_map(sound);
    Context { future_vowel: first.unwrap_or(context.future_vowel), future_to }
}

/// Stress within a word of several parts: parts of different kinds are set apart, others share one main stress.
fn settle_stress(parts: &mut [Token]) {
    let text = Token::merged(parts).text;
    let kind = |c: char| match c {
        c if c.is_alphabetic() => 0,
        c if c.is_ascii_digit() => 1,
        _ => 2,
    };
    let mut kinds: Vec<u8> = text.chars().filter(|c| !SILENT.contains(*c)).map(kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let set_apart = text.contains([' ', '/']) || kinds.len() > 1;
    let count = parts.len();
    for (index, part) in parts.iter_mut().enumerate() {
        if part.phonemes.is_some() {
            part.set_apart = index > 0 && set_apart;
        } else if index + 1 == count
            && part.text.chars().all(|c| MARKS.contains(c) && !"\"“”".contains(c))
        {
            part.phonemes = Some(part.text.clone());
        } else if part.text.chars().all(|c| SILENT.contains(c)) {
            part.phonemes = Some(String::new());
        }
    }
    if set_apart {
        return;
    }
    let mut spoken: Vec<(bool, usize, usize)> = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        if let Some(phonemes) = part.phonemes.as_deref().filter(|phonemes| !phonemes.is_empty()) {
            spoken.push((phonemes.contains(stress::PRIMARY), stress::weight(phonemes), index));
        }
    }
    let stressed = spoken.iter().filter(|(stressed, ..)| *stressed).count();
    let one_letter =
        |index: usize| parts.get(index).is_some_and(|part| part.text.chars().count() == 1);
    let weak: Vec<usize> = match *spoken.as_slice() {
        [(.., first), (.., second)] if one_letter(first) => vec![second],
        ref all if all.len() < 2 || stressed <= all.len().div_ceil(2) => Vec::new(),
        _ => {
            spoken.sort_unstable();
            spoken.iter().take(spoken.len() / 2).map(|(.., index)| *index).collect()
        }
    };
    for index in weak {
        if let Some(part) = parts.get_mut(index) {
            part.phonemes =
                part.phonemes.as_deref().map(|phonemes| stress::apply(phonemes, Some(-0.5)));
        }
    }
}

/// The sound of a sign that stands for a word.
fn sign_name(sign: char) -> &'static str {
    match sign {
        '/' => "slˈæʃ",
        '=' => "ˈikwᵊlz",
        '+' => "plˈʌs",
        '&' => "ænd",
        '@' => "æt",
        '%' => "pəɹsˈɛnt",
        '#' => "hˈæʃ",
        '*' => "ˈæstəɹˌɪsk",
        '~' => "tˈɪldə",
        '^' => "kˈɛɹət",
        '<' => "lˈɛs ðən",
        '>' => "ɡɹˈATəɹ ðən",
        '—' => "—",
        _ => "",
    }
}
