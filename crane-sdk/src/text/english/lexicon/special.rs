//! Words whose sound depends on what comes next or on their part of speech in a way of their own.

use super::dictionary::parent;
use super::{Lexicon, stress};
use crate::text::english::token::Context;

/// The word that a sign is read as.
pub(super) fn symbol(sign: &str) -> Option<&'static str> {
    Some(match sign {
        "%" => "percent",
        "&" => "and",
        "+" => "plus",
        "@" => "at",
        _ => return None,
    })
}

impl Lexicon {
    pub(super) fn special(
        &self,
        word: &str,
        tag: &str,
        level: Option<f32>,
        context: Context,
    ) -> Option<String> {
        let gold = |word: &str, tag: Option<&str>| {
            Some(self.gold.get(word)?.reading(tag, false)?.to_owned())
        };
        let next = context.future_vowel;
        match (word, tag) {
            (".", "ADD") => return self.look_up("dot", None, Some(-0.5), Some(context)),
            ("/", "ADD") => return self.look_up("slash", None, Some(-0.5), Some(context)),
            _ => {}
        }
        if let Some(name) = symbol(word) {
            return self.look_up(name, None, None, Some(context));
        }
        if is_dotted_initials(word) {
            return self.spell(word);
        }
        match word {
            // Nothing follows the article: it is the letter.
            "a" | "A" if tag == "DT" && next.is_some() => Some("ɐ".to_owned()),
            "a" | "A" => Some("ˈA".to_owned()),
            "am" | "Am" | "AM" if tag.starts_with("NN") => self.spell(word),
            "am" if next.is_some() && !level.is_some_and(|level| level > 0.0) => {
                Some("ɐm".to_owned())
            }
            "am" | "Am" | "AM" => gold("am", None),
            "AN" if tag.starts_with("NN") => self.spell(word),
            "an" | "An" | "AN" => Some("ɐn".to_owned()),
            "I" if tag == "PRP" => Some(format!("{}I", stress::SECONDARY)),
            "by" | "By" | "BY" if parent(tag) == "ADV" => Some("bˈI".to_owned()),
            "TO" if !matches!(tag, "TO" | "IN") => None,
            "to" | "To" | "TO" => match next {
                None => gold("to", None),
                Some(false) => Some("tə".to_owned()),
                Some(true) => Some("tʊ".to_owned()),
            },
            "IN" if tag == "NNP" => None,
            "in" | "In" | "IN" if next.is_none() || tag != "IN" => Some("ˈɪn".to_owned()),
            "in" | "In" | "IN" => Some("ɪn".to_owned()),
            "THE" if tag != "DT" => None,
            "the" | "The" | "THE" => Some(if next == Some(true) { "ði" } else { "ðə" }.to_owned()),
            "used" | "Used" | "USED" => {
                let habit = matches!(tag, "VBD" | "JJ") && context.future_to;
                gold("used", habit.then_some("VBD"))
            }
            _ if tag == "IN" && matches!(word.to_lowercase().as_str(), "vs" | "vs.") => {
                self.look_up("versus", None, None, Some(context))
            }
            _ => None,
        }
    }
}

/// "U.S.", "a.m": short pieces of letters between periods.
fn is_dotted_initials(word: &str) -> bool {
    let letters = word.replace('.', "");
    word.trim_matches('.').contains('.')
        && !letters.is_empty()
        && letters.chars().all(char::is_alphabetic)
        && word.split('.').all(|piece| piece.chars().count() < 3)
}
