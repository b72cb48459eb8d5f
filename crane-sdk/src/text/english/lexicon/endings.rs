//! Regular endings: -s, -ed and -ing on words that the dictionaries know, with the sounds that they take.

use super::{Accent, Lexicon};
use crate::text::english::token::Context;

/// American sounds after which t before a vowel becomes a flap.
const FLAP_AFTER: &str = "AIOWYiuæɑəɛɪɹʊʌ";

impl Lexicon {
    pub(super) fn with_s(
        &self,
        word: &str,
        tag: Option<&str>,
        level: Option<f32>,
        context: Option<Context>,
    ) -> Option<String> {
        let length = word.chars().count();
        let stem = word.strip_suffix('s').filter(|_| length > 2)?;
        let known = |stem: &str| self.knows(stem).then(|| stem.to_owned());
        let without_es = || {
            let possessive = word.strip_suffix("'s");
            possessive.or_else(|| {
                word.strip_suffix("es").filter(|_| length > 4 && !word.ends_with("ies"))
            })
        };
        let stem = None
            .or_else(|| if stem.ends_with('s') { None } else { known(stem) })
            .or_else(|| known(without_es()?))
            .or_else(|| known(&format!("{}y", word.strip_suffix("ies").filter(|_| length > 4)?)))?;
        self.add_s(&self.look_up(&stem, tag, level, context)?)
    }

    pub(super) fn with_ed(
        &self,
        word: &str,
        tag: Option<&str>,
        level: Option<f32>,
        context: Option<Context>,
    ) -> Option<String> {
        let length = word.chars().count();
        let short = word.strip_suffix('d').filter(|_| length > 3)?;
        let stem = if !short.ends_with('d') && self.knows(short) {
            short
        } else {
            let stem = word.strip_suffix("ed").filter(|stem| length > 4 && !stem.ends_with('e'))?;
            self.knows(stem).then_some(stem)?
        };
        self.add_ed(&self.look_up(stem, tag, level, context)?)
    }

    pub(super) fn with_ing(
        &self,
        word: &str,
        tag: Option<&str>,
        level: Option<f32>,
        context: Option<Context>,
    ) -> Option<String> {
        let length = word.chars().count();
        let short = word.strip_suffix("ing").filter(|_| length > 4)?;
        let known = |stem: &str| self.knows(stem).then(|| stem.to_owned());
        let stem = None
            .or_else(|| if length > 5 { known(short) } else { None })
            .or_else(|| known(&format!("{short}e")))
            .or_else(|| if length > 5 { known(undoubled(short)?) } else { None })?;
        self.add_ing(&self.look_up(&stem, tag, level, context)?)
    }

    /// The plural or third person of phonemes; `None` for no phonemes.
    pub(super) fn add_s(&self, stem: &str) -> Option<String> {
        let last = stem.chars().next_back()?;
        Some(match last {
            'p' | 't' | 'k' | 'f' | 'θ' => format!("{stem}s"),
            's' | 'z' | 'ʃ' | 'ʒ' | 'ʧ' | 'ʤ' => format!("{stem}{}z", self.weak_vowel()),
            _ => format!("{stem}z"),
        })
    }

    /// The past of phonemes; `None` for no phonemes.
    pub(super) fn add_ed(&self, stem: &str) -> Option<String> {
        let mut sounds = stem.chars();
        let last = sounds.next_back()?;
        Some(match last {
            'p' | 'k' | 'f' | 'θ' | 'ʃ' | 's' | 'ʧ' => format!("{stem}t"),
            'd' => format!("{stem}{}d", self.weak_vowel()),
            't' if self.accent == Accent::British => format!("{stem}ɪd"),
            't' => match sounds.clone().next_back() {
                None => format!("{stem}ɪd"),
                Some(before) if FLAP_AFTER.contains(before) => format!("{}ɾᵻd", sounds.as_str()),
                Some(_) => format!("{stem}ᵻd"),
            },
            _ => format!("{stem}d"),
        })
    }

    /// The -ing form of phonemes; `None` for no phonemes, and for British stems that would need a linking r.
    pub(super) fn add_ing(&self, stem: &str) -> Option<String> {
        let mut sounds = stem.chars();
        let last = sounds.next_back()?;
        match self.accent {
            Accent::British => (!matches!(last, 'ə' | 'ː')).then(|| format!("{stem}ɪŋ")),
            Accent::American => {
                let flaps = sounds.clone().next_back().is_some_and(|c| FLAP_AFTER.contains(c));
                let stem = if last == 't' && flaps {
                    format!("{}ɾ", sounds.as_str())
                } else {
                    stem.to_owned()
                };
                Some(stem + "ɪŋ")
            }
        }
    }

    fn weak_vowel(&self) -> char {
        match self.accent {
            Accent::American => 'ᵻ',
            Accent::British => 'ɪ',
        }
    }
}

/// A stem whose last consonant was doubled before the ending, or whose c took a k.
fn undoubled(stem: &str) -> Option<&str> {
    let shorter = stem.get(..stem.len().checked_sub(1)?)?;
    let (last, before) = (stem.chars().next_back()?, shorter.chars().next_back()?);
    let doubled = last == before && "bcdgklmnprstvxz".contains(last);
    (doubled || stem.ends_with("ck")).then_some(shorter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lexicon(accent: Accent) -> Lexicon {
        let words = r#"{"cat": "kˈæt", "wish": "wˈɪʃ", "try": "tɹˈI", "stop": "stˈɑp", "wait": "wˈAt", "make": "mˈAk"}"#;
        let dictionary = |json| serde_json::from_str(json).unwrap();
        Lexicon { gold: dictionary(words), silver: dictionary("{}"), accent }
    }

    #[test]
    fn endings_take_their_sounds() {
        let lexicon = lexicon(Accent::American);
        let s = |word| lexicon.with_s(word, None, None, None);
        assert_eq!(s("cats").as_deref(), Some("kˈæts"));
        assert_eq!(s("wishes").as_deref(), Some("wˈɪʃᵻz"));
        assert_eq!(s("tries").as_deref(), Some("tɹˈIz"));
        assert_eq!(s("cat's").as_deref(), Some("kˈæts"));
        assert_eq!(s("dogs"), None);
        assert_eq!(lexicon.with_ed("waited", None, None, None).as_deref(), Some("wˈAɾᵻd"));
        assert_eq!(lexicon.with_ed("wished", None, None, None).as_deref(), Some("wˈɪʃt"));
        assert_eq!(lexicon.with_ing("stopping", None, None, None).as_deref(), Some("stˈɑpɪŋ"));
        assert_eq!(lexicon.with_ing("making", None, None, None).as_deref(), Some("mˈAkɪŋ"));
    }

    #[test]
    fn british_english_has_other_vowels_and_no_flap() {
        let lexicon = lexicon(Accent::British);
        assert_eq!(lexicon.with_s("wishes", None, None, None).as_deref(), Some("wˈɪʃɪz"));
        assert_eq!(lexicon.with_ed("waited", None, None, None).as_deref(), Some("wˈAtɪd"));
        assert_eq!(lexicon.with_ing("waiting", None, None, None).as_deref(), Some("wˈAtɪŋ"));
    }
}
