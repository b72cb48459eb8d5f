//! Which files of a source the model is read from.

use super::{Source, find_gguf};
use crate::{Error, Result};

const CONFIG: &str = "config.json";

/// The GGUF file that a source's model is read from; `None` if it is `config.json` with safetensors,
/// or there is none.
///
/// A `config.json` beside a GGUF file alone, as converters leave it, describes the same model: the
/// file has all that it says.
///
/// # Errors
/// [`Error::InvalidArgument`] if there are several that are not one set.
pub fn model_gguf(source: &dyn Source) -> Result<Option<String>> {
    if source.contains(CONFIG)? && has_safetensors(&source.files()?) {
        return Ok(None);
    }
    find_gguf(source)
}

/// Refuses a source in which there is no model at all, such as a folder of other files.
///
/// # Errors
/// [`Error::NotFound`] that says what a model would have; as [`model_gguf`].
pub fn check_model(source: &dyn Source) -> Result<()> {
    if source.contains(CONFIG)? || find_gguf(source)?.is_some() {
        return Ok(());
    }
    let magic = match source.files()?.as_slice() {
        [only] => format!(", and {only} does not begin with the magic of GGUF"),
        _ => String::new(),
    };
    Err(Error::NotFound {
        what: "a model".to_owned(),
        place: source.label(),
        hint: format!(
            "it has no config.json and no .gguf file{magic}; name a folder or a file that is a model"
        ),
    })
}

fn has_safetensors(files: &[String]) -> bool {
    files
        .iter()
        .filter_map(|file| file.strip_prefix("model"))
        .any(|rest| rest.ends_with(".safetensors") || rest.ends_with(".safetensors.index.json"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemorySource;

    fn source(files: &[&str]) -> MemorySource {
        let source = MemorySource::new("m");
        let bytes = |name: &str| if name == CONFIG { b"{}".to_vec() } else { b"GGUF".to_vec() };
        files.iter().fold(source, |source, name| source.with(*name, bytes(name)))
    }

    fn found(files: &[&str]) -> Result<Option<String>> {
        let source = source(files);
        assert!(check_model(&source).is_ok() || files.len() > 2);
        model_gguf(&source)
    }

    #[test]
    fn a_config_counts_where_its_weights_are() {
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(found(&["config.json", "model.safetensors", "m.gguf"]).unwrap(), None);
        assert_eq!(
            found(&["config.json", "model.safetensors.index.json", "m.gguf"]).unwrap(),
            None
        );
        assert_eq!(found(&["config.json"]).unwrap(), None);
        assert_eq!(found(&["config.json", "m.gguf"]).unwrap(), some("m.gguf"));
        assert_eq!(found(&["config.json", "M.GGUF"]).unwrap(), some("M.GGUF"));
        assert_eq!(found(&["config.json", "x.safetensors", "m.gguf"]).unwrap(), some("m.gguf"));
        assert_eq!(found(&["README.md", "m.gguf"]).unwrap(), some("m.gguf"));
        assert!(found(&["config.json", "a.gguf", "b.gguf"]).is_err());
    }

    #[test]
    fn a_file_alone_is_known_by_its_magic() {
        assert_eq!(found(&["sha256-abc"]).unwrap(), Some("sha256-abc".to_owned()));
        let text = MemorySource::new("notes").with("notes", b"Hello".to_vec());
        assert_eq!(model_gguf(&text).unwrap(), None);
        let refusal = check_model(&text).unwrap_err().to_string();
        assert!(refusal.contains("notes") && refusal.contains("magic of GGUF"), "{refusal}");
    }

    #[test]
    fn a_source_without_a_model_says_so() {
        for files in [&[][..], &["passwd", "hosts"]] {
            let refusal = check_model(&source(files)).unwrap_err().to_string();
            assert!(refusal.contains("no config.json") && refusal.contains(".gguf"), "{refusal}");
        }
    }
}
