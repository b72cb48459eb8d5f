//! The name of a model on the Hub: `org/name`, with a revision and a file where the user says so.

use std::fmt;
use std::str::FromStr;

use crate::folder::is_relative;
use crate::{Error, Result};

/// A repository on the Hub, and what of it: `org/name[@revision][:file]`.
///
/// The file is a name (`model-q4_0.gguf`) or the tag of a quantisation (`Q4_K_M`); without one,
/// the weights as published are meant, or the usual quantisation of a GGUF repository. The
/// address of a repository on the web works too.
///
/// ```
/// use crane_native::hub::ModelId;
///
/// let id: ModelId = "Qwen/Qwen2.5-0.5B-Instruct-GGUF@main:Q4_K_M".parse()?;
/// assert_eq!(id.repo, "Qwen/Qwen2.5-0.5B-Instruct-GGUF");
/// assert_eq!(id.revision.as_deref(), Some("main"));
/// assert_eq!(id.file.as_deref(), Some("Q4_K_M"));
/// # Ok::<(), crane_native::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelId {
    /// `org/name`.
    pub repo: String,
    /// A branch, tag, pull request (`refs/pr/1`) or commit; `main` if none is named.
    pub revision: Option<String>,
    /// A `.gguf` file or the tag of a quantisation.
    pub file: Option<String>,
}

impl ModelId {
    /// The revision that is meant.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// Whether a text has the shape of a hub id; it need not exist.
    pub fn looks_like(text: &str) -> bool {
        text.parse::<Self>().is_ok()
    }
}

impl FromStr for ModelId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut rest = text;
        for address in ["https://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf.co/"] {
            rest = rest.strip_prefix(address).unwrap_or(rest);
        }
        let (repo, mut tail) = rest.split_at(rest.find(['@', ':']).unwrap_or(rest.len()));
        let (mut revision, mut file) = (None, None);
        // Either order: `@revision:file` and `:file@revision`.
        while let Some(mark) = tail.chars().next() {
            let body = tail.get(1..).unwrap_or_default();
            let other = if mark == '@' { ':' } else { '@' };
            let (value, next) = body.split_at(body.find(other).unwrap_or(body.len()));
            let slot = if mark == '@' { &mut revision } else { &mut file };
            if !is_relative(value) || slot.replace(value.to_owned()).is_some() {
                return Err(malformed(text));
            }
            tail = next;
        }
        let mut parts = repo.trim_end_matches('/').split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(org), Some(name), None) if is_name(org) && is_name(name) => {
                Ok(Self { repo: format!("{org}/{name}"), revision, file })
            }
            _ => Err(malformed(text)),
        }
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repo)?;
        if let Some(revision) = &self.revision {
            write!(f, "@{revision}")?;
        }
        if let Some(file) = &self.file {
            write!(f, ":{file}")?;
        }
        Ok(())
    }
}

/// The Hub's own rule for names: letters, digits, `-`, `_`, `.`, no `--` or `..`, at most 96.
fn is_name(name: &str) -> bool {
    (1..=96).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !name.contains("--")
        && !name.contains("..")
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
}

fn malformed(text: &str) -> Error {
    Error::Usage(format!(
        "{text:?} is not a model's name; use org/name, org/name@revision, org/name:file.gguf, \
         a folder or a .gguf file"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, Option<String>, Option<String>) {
        let id: ModelId = text.parse().unwrap();
        (id.repo, id.revision, id.file)
    }

    #[test]
    fn every_spelling_is_read() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parts("a/b"), ("a/b".into(), None, None));
        assert_eq!(parts("a/b@v1.0"), ("a/b".into(), some("v1.0"), None));
        assert_eq!(parts("a/b@refs/pr/3"), ("a/b".into(), some("refs/pr/3"), None));
        assert_eq!(parts("a/b:x.gguf"), ("a/b".into(), None, some("x.gguf")));
        assert_eq!(parts("a/b:q/x.gguf@r"), ("a/b".into(), some("r"), some("q/x.gguf")));
        assert_eq!(parts("a/b@r:Q4_0"), ("a/b".into(), some("r"), some("Q4_0")));
        assert_eq!(parts("https://huggingface.co/a/b"), ("a/b".into(), None, None));
        assert_eq!("a/b@r:Q4_0".parse::<ModelId>().unwrap().to_string(), "a/b@r:Q4_0");
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "a",
            "a/b/c",
            "/a/b",
            "../b",
            "a/..",
            "a/b@",
            "a/b:",
            "a/b:../x",
            "a--b/c",
            "a b/c",
            "a/b@x:y@z",
            "a/é",
        ] {
            assert_eq!(text.parse::<ModelId>().map_err(|e| e.exit_code()), Err(2), "{text:?}");
        }
    }
}
