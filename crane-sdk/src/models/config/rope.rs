//! The rotary embedding of a config, in the spellings of several years.

use serde_json::Value as Json;

use super::{Config, FILE};
use crate::nn::RopeScaling;
use crate::{Error, Result};

const SCALING: &str = "rope_scaling";
/// Where transformers 5 writes all of it.
const PARAMETERS: &str = "rope_parameters";

impl Config {
    /// A number at the top of the config or, as transformers 5 writes it, in `rope_parameters`.
    pub(super) fn rope_number(&self, key: &str) -> Result<Option<f64>> {
        let top = self.opt_f64(key)?;
        let Config::Json(json) = self else { return Ok(top) };
        let inner = match object(json, PARAMETERS)?.map(|parameters| &parameters[key]) {
            None | Some(Json::Null) => return Ok(top),
            Some(value) => value
                .as_f64()
                .ok_or_else(|| self.mismatch(&format!("{PARAMETERS}.{key}"), "a number", value))?,
        };
        match top {
            Some(top) if top != inner => Err(Error::invalid_file(
                FILE,
                format_args!("{key} is {top}, and {PARAMETERS}.{key} is {inner}"),
            )),
            _ => Ok(Some(inner)),
        }
    }

    pub(super) fn rope_scaling(&self) -> Result<RopeScaling> {
        match self {
            Config::Json(json) => match object(json, SCALING)? {
                Some(scaling) => json_scaling(SCALING, scaling),
                None => match object(json, PARAMETERS)? {
                    Some(parameters) => json_scaling(PARAMETERS, parameters),
                    None => Ok(RopeScaling::None),
                },
            },
            Config::Gguf { metadata, .. } => {
                let arch = metadata.str("general.architecture")?;
                let factor = match metadata.opt_f64(&format!("{arch}.rope.scaling.factor"))? {
                    // The older name.
                    None => metadata.opt_f64(&format!("{arch}.rope.scale_linear"))?,
                    factor => factor,
                };
                match metadata.opt_str(&format!("{arch}.rope.scaling.type"))? {
                    Some("none") => Ok(RopeScaling::None),
                    // llama.cpp takes a factor without a type as linear.
                    None | Some("linear") => match factor.filter(|factor| *factor != 0.0) {
                        Some(factor) if factor > 0.0 && factor.is_finite() => {
                            Ok(RopeScaling::Linear { factor })
                        }
                        Some(factor) => {
                            let reason = format_args!("its factor of RoPE scaling is {factor}");
                            Err(Error::invalid_file(self.file(), reason))
                        }
                        None => Ok(RopeScaling::None),
                    },
                    Some(other) => Err(unknown_scaling(other)),
                }
            }
        }
    }
}

/// A field that is an object, absent or null.
fn object<'a>(json: &'a Json, name: &str) -> Result<Option<&'a Json>> {
    match &json[name] {
        Json::Null => Ok(None),
        value if !value.is_object() => {
            let reason = format_args!("{name} should be an object, it is {value}");
            Err(Error::invalid_file(FILE, reason))
        }
        value
            if ["full_attention", "sliding_attention"]
                .iter()
                .any(|kind| value[kind].is_object()) =>
        {
            Err(Error::Unsupported {
                what: format!("{name} that differ from layer to layer"),
                hint: format!("{FILE} must give one rotary embedding for all layers"),
            })
        }
        value => Ok(Some(value)),
    }
}

fn json_scaling(name: &str, scaling: &Json) -> Result<RopeScaling> {
    let invalid = |reason: String| Error::invalid_file(FILE, format_args!("{name} {reason}"));
    let number = |key: &str| {
        let number = scaling[key].as_f64().filter(|number| *number > 0.0);
        number.ok_or_else(|| invalid(format!("has no positive {key}")))
    };
    // Older configs say "type".
    let kind = match &scaling["rope_type"] {
        Json::Null => &scaling["type"],
        kind => kind,
    };
    match kind {
        Json::String(kind) => match kind.as_str() {
            "default" => Ok(RopeScaling::None),
            "linear" => Ok(RopeScaling::Linear { factor: number("factor")? }),
            "llama3" => {
                let (low, high) = (number("low_freq_factor")?, number("high_freq_factor")?);
                // What lies between them is blended by a division by their difference.
                if low >= high {
                    return Err(invalid(format!(
                        "has a low_freq_factor of {low}, not below its high_freq_factor of {high}"
                    )));
                }
                let original_context = number("original_max_position_embeddings")?;
                Ok(RopeScaling::Llama3 { factor: number("factor")?, low, high, original_context })
            }
            other => Err(unknown_scaling(other)),
        },
        // There it may be that nothing is scaled.
        Json::Null if name == PARAMETERS && scaling["factor"].is_null() => Ok(RopeScaling::None),
        Json::Null => {
            Err(invalid("has no rope_type; default, linear and llama3 are known".to_owned()))
        }
        other => Err(invalid(format!("has a rope_type that should be a name, it is {other}"))),
    }
}

fn unknown_scaling(name: &str) -> Error {
    Error::Unsupported {
        what: format!("RoPE scaling {name:?}"),
        hint: "default, linear and llama3 are".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(json: Json) -> Result<(Option<f64>, RopeScaling)> {
        let config = Config::Json(json);
        Ok((config.rope_number("rope_theta")?, config.rope_scaling()?))
    }

    #[test]
    fn both_spellings_are_read() {
        let linear = RopeScaling::Linear { factor: 2.0 };
        for (json, expected) in [
            (json!({}), (None, RopeScaling::None)),
            (json!({"rope_theta": 5, "rope_scaling": null}), (Some(5.0), RopeScaling::None)),
            (json!({"rope_scaling": {"type": "linear", "factor": 2}}), (None, linear.clone())),
            (json!({"rope_parameters": {"rope_theta": 5.0}}), (Some(5.0), RopeScaling::None)),
            (
                json!({"rope_parameters": {"rope_theta": 5, "rope_type": "linear", "factor": 2}}),
                (Some(5.0), linear),
            ),
        ] {
            assert_eq!(read(json.clone()).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (json, part) in [
            (json!({"rope_theta": "5"}), "rope_theta should be a number"),
            (json!({"rope_parameters": {"rope_theta": "5"}}), "rope_parameters.rope_theta"),
            (json!({"rope_parameters": 5}), "rope_parameters should be an object"),
            (json!({"rope_theta": 5, "rope_parameters": {"rope_theta": 6}}), "is 5, and"),
            (json!({"rope_scaling": "linear"}), "rope_scaling should be an object"),
            (json!({"rope_scaling": {"factor": 2.0}}), "rope_scaling has no rope_type"),
            (json!({"rope_scaling": {"rope_type": 3}}), "rope_type"),
            (json!({"rope_scaling": {"rope_type": "yarn"}}), "yarn"),
            (json!({"rope_scaling": {"rope_type": "linear"}}), "no positive factor"),
            (json!({"rope_parameters": {"factor": 2.0}}), "rope_parameters has no rope_type"),
            (json!({"rope_scaling": {"rope_type": "linear", "factor": -2}}), "no positive factor"),
            (
                json!({"rope_scaling": {"rope_type": "llama3", "factor": 8, "low_freq_factor": 4,
                    "high_freq_factor": 4, "original_max_position_embeddings": 8192}}),
                "not below its high_freq_factor",
            ),
            (json!({"rope_parameters": {"full_attention": {}}}), "from layer to layer"),
        ] {
            let refusal = read(json.clone()).unwrap_err().to_string();
            assert!(refusal.contains(part), "{json}: {refusal}");
        }
    }
}
