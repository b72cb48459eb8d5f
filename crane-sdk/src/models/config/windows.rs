//! Which layers see everything and which only a window, as configs say it.

use serde_json::Value as Json;

use super::{Config, FILE};
use crate::{Error, Result};

/// What a family's own fields say of attention windows; `layer_types` says more where it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sliding {
    /// What a sliding layer sees, in tokens; `None` if none slides.
    pub window: Option<usize>,
    /// The first layer that slides; all behind it do.
    pub first: usize,
}

impl Sliding {
    /// Every layer sees everything.
    pub const OFF: Self = Self { window: None, first: 0 };

    /// As Qwen2 and Qwen3 say it: `use_sliding_window`, `sliding_window`, `max_window_layers`. Absent
    /// fields have the defaults of transformers' `Qwen2Config` and `Qwen3Config`.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if a field has the wrong type.
    pub fn qwen(config: &Config) -> Result<Self> {
        if !config.switch("use_sliding_window", false)? {
            return Ok(Self::OFF);
        }
        let first = config.opt_usize("max_window_layers")?.unwrap_or(28);
        Ok(Self { window: config.window_or(4096)?, first })
    }

    /// As Mistral says it: `sliding_window` alone, and 4096 where the field is absent, as in
    /// transformers' `MistralConfig`.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the field has the wrong type.
    pub fn mistral(config: &Config) -> Result<Self> {
        Ok(Self { window: config.window_or(4096)?, first: 0 })
    }
}

impl Config {
    /// `sliding_window` of a `config.json`: null is none, an absent field is the default.
    fn window_or(&self, default: usize) -> Result<Option<usize>> {
        match self {
            Config::Json(json) if json.get("sliding_window").is_none() => Ok(Some(default)),
            _ => match self.opt_usize("sliding_window")? {
                Some(0) => Err(Error::invalid_file(self.file(), "sliding_window is 0")),
                window => Ok(window),
            },
        }
    }

    /// Each layer's window.
    pub(super) fn windows(&self, layers: usize, sliding: Sliding) -> Result<Vec<Option<usize>>> {
        let by_number =
            (0..layers.min(1 << 12)).map(|layer| sliding.window.filter(|_| layer >= sliding.first));
        let Config::Json(json) = self else { return Ok(by_number.collect()) };
        let types = match &json["layer_types"] {
            Json::Null => return Ok(by_number.collect()),
            Json::Array(types) => types,
            other => return Err(self.mismatch("layer_types", "a list", other)),
        };
        if types.len() != layers {
            let count = types.len();
            let reason = format_args!("layer_types has {count} entries for {layers} layers");
            return Err(Error::invalid_file(FILE, reason));
        }
        types.iter().enumerate().map(|(layer, kind)| self.window(layer, kind, sliding)).collect()
    }

    /// The window of one entry of `layer_types`.
    fn window(&self, layer: usize, kind: &Json, sliding: Sliding) -> Result<Option<usize>> {
        match kind.as_str() {
            Some("full_attention") => Ok(None),
            Some("sliding_attention") => match sliding.window {
                None => Err(Error::invalid_file(
                    FILE,
                    format_args!(
                        "layer_types makes layer {layer} sliding_attention, but sliding_window (or \
                         use_sliding_window) gives no window"
                    ),
                )),
                window => Ok(window),
            },
            Some(other) => Err(Error::Unsupported {
                what: format!("{other:?} in layer_types of {FILE}"),
                hint: "full_attention and sliding_attention are".to_owned(),
            }),
            None => Err(self.mismatch(&format!("layer_types[{layer}]"), "a name", kind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn windows(json: Json, family: fn(&Config) -> Result<Sliding>) -> Result<Vec<Option<usize>>> {
        let config = Config::Json(json);
        config.windows(3, family(&config)?)
    }

    #[test]
    fn fields_and_their_defaults_are_those_of_transformers() {
        let on = |more: Json| {
            let mut json = json!({"use_sliding_window": true, "sliding_window": 9});
            json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            windows(json, Sliding::qwen).unwrap()
        };
        assert_eq!(on(json!({})), [None; 3], "the first 28 layers see everything");
        assert_eq!(on(json!({"max_window_layers": 1})), [None, Some(9), Some(9)]);
        assert_eq!(on(json!({"max_window_layers": 0, "sliding_window": null})), [None; 3]);
        let off = json!({"sliding_window": 9, "max_window_layers": 0});
        assert_eq!(windows(off, Sliding::qwen).unwrap(), [None; 3]);
        let bare = json!({"use_sliding_window": true, "max_window_layers": 2});
        assert_eq!(windows(bare, Sliding::qwen).unwrap(), [None, None, Some(4096)]);

        assert_eq!(windows(json!({}), Sliding::mistral).unwrap(), [Some(4096); 3]);
        let none = json!({"sliding_window": null});
        assert_eq!(windows(none, Sliding::mistral).unwrap(), [None; 3]);
    }

    #[test]
    fn layer_types_say_which_layers_slide() {
        let types = json!(["sliding_attention", "full_attention", "sliding_attention"]);
        let config = json!({"use_sliding_window": true, "sliding_window": 9, "layer_types": types});
        assert_eq!(windows(config, Sliding::qwen).unwrap(), [Some(9), None, Some(9)]);
        let full = json!({"layer_types": ["full_attention", "full_attention", "full_attention"]});
        assert_eq!(windows(full, |_| Ok(Sliding::OFF)).unwrap(), [None; 3]);
    }

    #[test]
    fn layer_types_that_cannot_be_are_named() {
        for (types, part) in [
            (json!("full_attention"), "layer_types should be a list"),
            (json!(["full_attention"]), "1 entries for 3 layers"),
            (json!(["full_attention", "full_attention", "sliding_attention"]), "layer 2"),
            (json!(["chunked_attention", "x", "x"]), "chunked_attention"),
            (json!([1, 2, 3]), "layer_types[0]"),
        ] {
            let refusal = windows(json!({"layer_types": types}), Sliding::qwen);
            let refusal = refusal.unwrap_err().to_string();
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
    }
}
