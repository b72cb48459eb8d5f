//! `--alias NAME=VOICE`: other names of the voices that are served.

use crane_sdk::models::orpheus::VOICES;
use crane_sdk::models::sparktts::GENDERS;
use serde_json::{Map, Value};

use super::models::Found;
use crate::cli::exit::Result;
use crate::server::VoiceNames;

/// The voice that an alias means: its name, and the voice's own. `None` if it means a model, or nothing.
///
/// # Errors
/// If a model's list of voices cannot be read.
pub(super) fn alias(models: &[Found], alias: &str) -> Result<Option<(String, String)>> {
    let Some((name, of)) = alias.split_once('=') else { return Ok(None) };
    if name.is_empty() || models.iter().any(|model| model.name() == of) {
        return Ok(None);
    }
    for model in models {
        if let Some(voice) = voices(model)?.into_iter().find(|voice| voice.eq_ignore_ascii_case(of))
        {
            return Ok(Some((name.to_owned(), voice)));
        }
    }
    Ok(None)
}

/// All of them that mean voices.
///
/// # Errors
/// As [`alias`].
pub(super) fn names(models: &[Found], aliases: &[String]) -> Result<VoiceNames> {
    let mut names = Vec::new();
    for text in aliases {
        names.extend(alias(models, text)?);
    }
    Ok(VoiceNames::new(names))
}

/// The voices of a model, as its files list them; none of one that does not speak.
///
/// # Errors
/// If the list cannot be read.
pub(super) fn voices(model: &Found) -> Result<Vec<String>> {
    let Some(source) = model.speaks() else { return Ok(Vec::new()) };
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    if source.contains("voices.json")? {
        let bytes = source.open("voices.json")?.read_all()?.into_owned();
        let listed: Map<String, Value> =
            serde_json::from_slice(&bytes).map_err(|error| crane_sdk::Error::InvalidFile {
                file: "voices.json".to_owned(),
                reason: error.to_string(),
            })?;
        return Ok(listed.keys().cloned().collect());
    }
    Ok(match source.contains("BiCodec/config.yaml")? {
        true => owned(&GENDERS),
        false => owned(&VOICES),
    })
}
