//! Which positional argument is the model and which is the text, and what of it comes on stdin.

use std::io::{self, IsTerminal};
use std::path::Path;

use super::exit::{Failure, Result};
use super::output::Console;
use super::stdin;
use crate::file_url;

/// The positional arguments of `run` and `tokenize`, told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// The model, by position or by flag.
    pub model: Option<String>,
    /// The text, where it is not on stdin.
    pub text: Option<String>,
}

/// Tells `[MODEL] TEXT` apart: two words are both, one is the text.
///
/// One word that is spelt like a model's file or folder, there or mistyped, is the model: nobody asks a model
/// about the text `model.gguf`, and the text is then on stdin. A word without a slash is a text even where a folder has
/// its name: what lies in the current folder does not decide what a word means.
///
/// # Errors
/// [`Failure::Usage`] if the model is named twice.
pub(super) fn split(words: Vec<String>, flag: Option<String>) -> Result<Words> {
    let mut words = words.into_iter();
    Ok(match (words.next(), words.next()) {
        (Some(_), Some(_)) if flag.is_some() => {
            return Err(Failure::Usage(
                "the model is named twice, by -m and by position; leave one out".to_owned(),
            ));
        }
        (Some(model), Some(text)) => Words { model: Some(model), text: Some(text) },
        (Some(word), None) if flag.is_none() && is_model(&word) => {
            Words { model: Some(word), text: None }
        }
        (Some(text), None) => Words { model: flag, text: Some(text) },
        (None, _) => Words { model: flag, text: None },
    })
}

fn is_model(word: &str) -> bool {
    spells_path(word)
        || (word.contains(std::path::is_separator) && is_model_folder(Path::new(word)))
}

/// Whether a folder has a model's config or a GGUF file.
fn is_model_folder(folder: &Path) -> bool {
    let gguf = |path: &Path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gguf"));
    folder.join("config.json").is_file()
        || std::fs::read_dir(folder)
            .is_ok_and(|entries| entries.flatten().any(|entry| gguf(&entry.path())))
}

/// Whether a word is spelt like a model's path, whatever lies there.
fn spells_path(word: &str) -> bool {
    let path = Path::new(word);
    let gguf = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf"));
    let begins = ["./", "../", "/", "~"].iter().any(|start| word.starts_with(start));
    let begins = begins || path.is_absolute() || file_url::is_one(word);
    match word.contains(char::is_whitespace) {
        false => gguf || begins,
        // A sentence may begin so, and may speak of a file; a model's file that is there is meant.
        true => begins && ((gguf && path.is_file()) || is_model_folder(path)),
    }
}

/// The text itself: the word, or stdin where the word is `-` or there is none.
///
/// # Errors
/// [`Failure::Usage`] if there is no text, or stdin holds something that is not text.
pub(super) fn text(console: Console, word: Option<String>, what: &str) -> Result<String> {
    let text = match word.as_deref() {
        Some("-") => stdin::text(console)?,
        Some(text) => text.to_owned(),
        None if io::stdin().is_terminal() => String::new(),
        None => stdin::text(console)?,
    };
    something(text, what)
}

/// As [`text`], of a prompt: what is piped in beside it is what it is about, and comes after it.
///
/// # Errors
/// As [`text`].
pub(super) fn prompt(console: Console, word: Option<String>) -> Result<String> {
    let given = word.as_deref().is_some_and(|word| word != "-" && !word.trim().is_empty());
    let prompt = text(console, word, "prompt")?;
    Ok(match if given { stdin::beside(console)? } else { None } {
        Some(text) => stdin::together(&prompt, &text),
        None => prompt,
    })
}

fn something(text: String, what: &str) -> Result<String> {
    match text.trim() {
        "" => Err(Failure::Usage(format!(
            "there is no {what}: give it as an argument, or `-` and text on stdin"
        ))),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str], flag: Option<&str>) -> Option<(Option<String>, Option<String>)> {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        split(words, flag.map(str::to_owned)).ok().map(|words| (words.model, words.text))
    }

    #[test]
    fn position_tells_model_from_text() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(words(&[], None), Some((None, None)));
        assert_eq!(words(&["hi"], None), Some((None, some("hi"))));
        assert_eq!(words(&["hi"], Some("m")), Some((some("m"), some("hi"))));
        assert_eq!(words(&["m", "hi"], None), Some((some("m"), some("hi"))));
        assert_eq!(words(&["m", "-"], None), Some((some("m"), some("-"))));
        assert_eq!(words(&["a", "hi"], Some("m")), None);
    }

    #[test]
    fn a_word_that_is_spelt_like_a_path_is_not_a_prompt() {
        for word in [
            "missing.gguf",
            "M.GGUF",
            "./folder",
            "../m",
            "/m",
            "~/m",
            "org/name:q.gguf",
            "file:///m%FF",
        ] {
            assert_eq!(words(&[word], None), Some((Some(word.into()), None)), "{word}");
            assert_eq!(words(&[word], Some("m")), Some((Some("m".into()), Some(word.into()))));
        }
        for word in ["what is a.gguf", "/ is which folder?", "a/b", ".gguf", "~ and home", "..."] {
            assert_eq!(words(&[word], None), Some((None, Some(word.into()))), "{word}");
        }
    }

    #[test]
    fn a_model_on_disk_is_not_a_prompt() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.gguf");
        std::fs::write(&file, "").unwrap();
        let file = file.display().to_string();
        assert_eq!(words(&[&file], None), Some((Some(file.clone()), None)));
        assert_eq!(words(&[&file], Some("m")), Some((Some("m".into()), Some(file))));
        let spaced = folder.path().join("my own: model@1.gguf");
        std::fs::write(&spaced, "").unwrap();
        let spaced = spaced.display().to_string();
        assert_eq!(words(&[&spaced], None), Some((Some(spaced.clone()), None)));
        let missing = format!("{spaced} is what?");
        assert_eq!(words(&[&missing], None), Some((None, Some(missing.clone()))));
        assert!(is_model_folder(folder.path()));
        assert!(!is_model_folder(tempfile::tempdir().unwrap().path()));
    }
}
