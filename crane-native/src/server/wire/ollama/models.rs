//! `/api/tags`, `/api/ps` and `/api/show`: what is there, as Ollama's API tells it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::time::rfc3339;
use crate::server::fleet::{Kind, Standing, State};
use crate::server::wire::{ApiError, Fields};

/// What stands for a time that never comes.
const NEVER: &str = "9999-12-31T23:59:59Z";

/// A model about which more is to be told.
#[derive(Debug, PartialEq)]
pub struct OllamaShow {
    /// Its name; without one the only model that writes is meant.
    pub model: Option<String>,
}

impl OllamaShow {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(mut fields: Fields, lenient: bool) -> Result<(Self, Vec<String>), ApiError> {
        let (model, older) = (fields.string("model")?, fields.string("name")?);
        // All that is known is always told: there are no lists of tokens to be left out.
        fields.boolean("verbose")?;
        for name in ["system", "template"] {
            if fields.string(name)?.is_some_and(|text| !text.is_empty()) {
                let reason = "a model is told as it is served; it cannot be shown as another one";
                return Err(ApiError::unsupported(name, reason));
            }
        }
        let options = fields.object("options")?.unwrap_or_default();
        if let Some((name, _)) = options.iter().find(|(_, value)| !value.is_null()) {
            let reason = "a model is told as it is served; it cannot be shown as another one";
            return Err(ApiError::unsupported(format_args!("options.{name}"), reason));
        }
        let unknown = fields.finish(lenient)?;
        let model = model.or(older).filter(|name| !name.is_empty());
        Ok((Self { model }, unknown))
    }
}

/// Whether clients of Ollama's API are told of a model: those that speak have no place there.
pub fn is_listed(standing: &Standing<'_>) -> bool {
    !matches!(standing.card.kind, Kind::Voice { .. })
}

/// What a model can do, in Ollama's words.
fn capabilities(standing: &Standing<'_>) -> Vec<&'static str> {
    let about = &standing.card.about;
    match standing.card.kind {
        Kind::Text { .. } => {
            let more = [("tools", about.calls_tools), ("thinking", about.thinks())];
            let more = more.into_iter().filter(|(_, can)| *can).map(|(name, _)| name);
            ["completion"].into_iter().chain(more).collect()
        }
        Kind::Embedding { .. } => vec!["embedding"],
        Kind::Voice { .. } | Kind::Unknown => Vec::new(),
    }
}

fn details(standing: &Standing<'_>) -> Value {
    let about = &standing.card.about;
    let families = Vec::from_iter((!about.family.is_empty()).then_some(&about.family));
    json!({
        "parent_model": "",
        "format": about.format,
        "family": about.family,
        "families": families,
        "parameter_size": size(about.parameters),
        "quantization_level": about.quantization,
    })
}

/// A number of weights as Ollama writes it: `134.5M`, `7.6B`.
fn size(parameters: u64) -> String {
    match parameters {
        0 => String::new(),
        1_000_000_000.. => format!("{:.1}B", parameters as f64 / 1e9),
        1_000_000.. => format!("{:.1}M", parameters as f64 / 1e6),
        1000.. => format!("{:.1}K", parameters as f64 / 1e3),
        _ => parameters.to_string(),
    }
}

/// What was read of a model's files where they could be read at all.
fn modified(standing: &Standing<'_>) -> String {
    rfc3339(standing.card.about.modified.unwrap_or(UNIX_EPOCH))
}

/// A model in the list of all; where it is, and why it has failed, are fields that Ollama does not have.
pub fn tagged(name: &str, standing: &Standing<'_>) -> Value {
    let about = &standing.card.about;
    let mut tag = json!({
        "name": name,
        "model": name,
        "modified_at": modified(standing),
        "size": about.bytes,
        "digest": about.digest,
        "details": details(standing),
        "capabilities": capabilities(standing),
        "state": standing.state.word(),
    });
    if let Some(reason) = &standing.failure {
        tag["reason"] = reason.as_str().into();
    }
    tag
}

/// A model in the list of those in memory; nothing where it is in none.
pub fn running(standing: &Standing<'_>) -> Option<Value> {
    if standing.state != State::Loaded || !is_listed(standing) {
        return None;
    }
    let name = standing.card.name();
    let left = |end: Instant| end.saturating_duration_since(Instant::now());
    let end = standing.expires.and_then(|end| SystemTime::now().checked_add(left(end)));
    // The year 10000 has one digit too many.
    let is_soon = |end: &SystemTime| {
        end.duration_since(UNIX_EPOCH)
            .is_ok_and(|since| since < Duration::from_secs(253_402_300_800))
    };
    let mut model = json!({
        "name": name,
        "model": name,
        "size": standing.bytes,
        "digest": standing.card.about.digest,
        "details": details(standing),
        "expires_at": end.filter(is_soon).map_or_else(|| NEVER.to_owned(), rfc3339),
        "size_vram": if standing.on_gpu { standing.bytes } else { 0 },
    });
    if let Some(context) = context(standing) {
        model["context_length"] = context.into();
    }
    Some(model)
}

/// Tokens that a slot holds, or a text may have.
fn context(standing: &Standing<'_>) -> Option<usize> {
    match standing.card.kind {
        Kind::Text { limits } => Some(limits.context),
        _ => standing.card.about.context,
    }
}

/// All that is known of a model.
pub fn shown(standing: &Standing<'_>) -> Value {
    let about = &standing.card.about;
    let family = &about.family;
    let mut info = Map::new();
    info.insert("general.architecture".to_owned(), family.as_str().into());
    info.insert("general.parameter_count".to_owned(), about.parameters.into());
    for (name, value) in [("context_length", about.context), ("embedding_length", about.width)] {
        if let Some(value) = value {
            info.insert(format!("{family}.{name}"), value.into());
        }
    }
    let mut answer = json!({
        "modelfile": format!("FROM {}\n", standing.card.name()),
        "parameters": parameters(standing),
        "template": about.template.as_deref().unwrap_or_default(),
        "details": details(standing),
        "model_info": info,
        "capabilities": capabilities(standing),
        "modified_at": modified(standing),
        "state": standing.state.word(),
    });
    if let Some(reason) = &standing.failure {
        answer["reason"] = reason.as_str().into();
    }
    answer
}

/// How replies are generated where a request does not say, one option a line.
fn parameters(standing: &Standing<'_>) -> String {
    let Kind::Text { limits } = standing.card.kind else { return String::new() };
    let config = &standing.card.defaults;
    let sampling = &config.sampling;
    let mut lines = vec![("num_ctx", limits.context.to_string())];
    lines.push(("temperature", sampling.temperature.to_string()));
    lines.push(("top_k", sampling.top_k.to_string()));
    lines.push(("top_p", sampling.top_p.to_string()));
    lines.push(("min_p", sampling.min_p.to_string()));
    lines.push(("repeat_penalty", sampling.repetition_penalty.to_string()));
    if let Some(most) = config.max_new_tokens {
        lines.push(("num_predict", most.to_string()));
    }
    lines.extend(config.stop.iter().map(|stop| ("stop", format!("{stop:?}"))));
    let lines = lines.into_iter().map(|(name, value)| format!("{name:<30} {value}"));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_ollama_writes_them() {
        for (parameters, text) in [
            (0, ""),
            (900, "900"),
            (12_345, "12.3K"),
            (134_515_008, "134.5M"),
            (7_615_616_512, "7.6B"),
        ] {
            assert_eq!(size(parameters), text);
        }
    }

    #[test]
    fn a_model_is_shown_as_it_is() {
        let read = |body: Value| {
            let fields = Fields::parse(body.to_string().as_bytes()).unwrap();
            OllamaShow::read(fields, false).map(|(request, _)| request.model)
        };
        assert_eq!(read(json!({ "model": "a", "verbose": true })).unwrap().as_deref(), Some("a"));
        assert_eq!(read(json!({ "name": "a", "system": "" })).unwrap().as_deref(), Some("a"));
        assert_eq!(read(json!({ "options": { "top_k": null } })).unwrap(), None);
        for (body, name) in [
            (json!({ "system": "x" }), "system"),
            (json!({ "template": "x" }), "template"),
            (json!({ "options": { "top_k": 1 } }), "options.top_k"),
            (json!({ "verbose": 1 }), "verbose"),
        ] {
            assert_eq!(read(body).unwrap_err().json()["error"]["param"], name);
        }
    }
}
