//! By which names clients may ask for a voice: its own, an alias, or one of OpenAI's, which every client knows.

use std::collections::BTreeMap;

/// OpenAI's voices; clients ask for the first where nobody has chosen one.
const OPENAI: [&str; 13] = [
    "alloy", "ash", "ballad", "coral", "echo", "fable", "nova", "onyx", "sage", "shimmer", "verse",
    "marin", "cedar",
];

/// Further names of voices.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VoiceNames(BTreeMap<String, String>);

impl VoiceNames {
    /// Names, each with the voice that it means.
    pub fn new(aliases: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(aliases.into_iter().collect())
    }

    /// The voice that is meant, of those that are there, the default one among them; `None` if it is none of them. A voice's own name
    /// and aliases come first; OpenAI's names mean the voices that are there, in turn.
    pub fn meant(&self, name: &str, voices: &[&str], default: &str) -> Option<String> {
        let name = self.0.get(name).map_or(name, String::as_str);
        let known = |name: &str| voices.iter().find(|voice| voice.eq_ignore_ascii_case(name));
        if let Some(voice) = known(name) {
            return Some((*voice).to_owned());
        }
        let number = OPENAI.iter().position(|voice| voice.eq_ignore_ascii_case(name))?;
        let others = voices.iter().copied().filter(|voice| *voice != default);
        let turn: Vec<&str> = std::iter::once(default).chain(others).collect();
        turn.get(number % turn.len()).map(|voice| (*voice).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voice_is_found_by_its_own_name_by_an_alias_and_by_openais() {
        let names = VoiceNames::new([("narrator".to_owned(), "leo".to_owned())]);
        let voices = ["leo", "tara", "zoe"];
        let meant = |name: &str| names.meant(name, &voices, "tara");
        for (name, voice) in [
            ("zoe", "zoe"),
            ("Zoe", "zoe"),
            ("narrator", "leo"),
            ("alloy", "tara"),
            ("ash", "leo"),
            ("ballad", "zoe"),
            ("coral", "tara"),
        ] {
            assert_eq!(meant(name).as_deref(), Some(voice), "{name}");
        }
        assert_eq!(meant("nobody"), None);
        // A voice that has such a name of its own keeps it, and an alias may give it to another.
        assert_eq!(names.meant("echo", &["heart", "echo"], "heart").as_deref(), Some("echo"));
        let alloy = VoiceNames::new([("alloy".to_owned(), "zoe".to_owned())]);
        assert_eq!(alloy.meant("alloy", &voices, "tara").as_deref(), Some("zoe"));
        assert!(OPENAI.iter().all(|name| names.meant(name, &["heart"], "heart").is_some()));
    }
}
