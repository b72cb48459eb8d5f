//! How much a model should think, in the words of its chat template.

use serde_json::{Map, Value};

use super::{ApiError, Fields};

/// What OpenAI's API may ask for, the least first.
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
/// Of them those that ask for no thoughts.
const NONE: [&str; 2] = ["none", "minimal"];

/// How much a model should think, and the field that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effort {
    param: String,
    value: String,
}

impl Effort {
    /// Takes the field of this name.
    ///
    /// # Errors
    /// That it says nothing that OpenAI's API knows.
    pub fn take(fields: &mut Fields, name: &str) -> Result<Option<Self>, ApiError> {
        let param = fields.name(name);
        match fields.string(name)? {
            None => Ok(None),
            Some(value) if EFFORTS.contains(&value.as_str()) => Ok(Some(Self { param, value })),
            Some(value) => {
                let reason = format_args!("is {value:?}; it is one of {}", EFFORTS.join(", "));
                Err(ApiError::value(param, reason))
            }
        }
    }

    /// Tells the template, by the variable that it knows: `reasoning_effort` or `enable_thinking`, unless `variables` has it. The
    /// field's name is returned where it has no effect and that is no error.
    ///
    /// # Errors
    /// That the template knows neither, unless nothing was asked for, or `lenient`.
    pub fn tell(
        &self,
        variables: &mut Map<String, Value>,
        known: impl Fn(&str) -> bool,
        lenient: bool,
    ) -> Result<Option<String>, ApiError> {
        let thinks = !NONE.contains(&self.value.as_str());
        let mut told = false;
        let values: [(&str, Value); 2] =
            [("reasoning_effort", self.value.as_str().into()), ("enable_thinking", thinks.into())];
        for (name, value) in values {
            if known(name) {
                variables.entry(name).or_insert(value);
                told = true;
            }
        }
        match told || !thinks {
            true => Ok(None),
            false if lenient => Ok(Some(self.param.clone())),
            false => Err(ApiError::unsupported(
                &self.param,
                "the model's chat template has no switch for thoughts (reasoning_effort, enable_thinking); leave it out",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_template_is_told_in_its_own_words() {
        let tell = |value: &str, known: &[&str], lenient: bool| {
            let mut fields = Fields::parse(json!({ "e": value }).to_string().as_bytes()).unwrap();
            let effort = Effort::take(&mut fields, "e").unwrap().unwrap();
            let mut variables = Map::new();
            let told = effort.tell(&mut variables, |name| known.contains(&name), lenient);
            told.map(|ignored| (Value::from(variables), ignored))
        };
        let (gpt, qwen) = (["reasoning_effort"], ["enable_thinking"]);
        assert_eq!(tell("low", &gpt, false).unwrap().0, json!({ "reasoning_effort": "low" }));
        assert_eq!(tell("high", &qwen, false).unwrap().0, json!({ "enable_thinking": true }));
        assert_eq!(tell("none", &qwen, false).unwrap().0, json!({ "enable_thinking": false }));
        assert_eq!(tell("none", &[], false).unwrap(), (json!({}), None));
        assert_eq!(tell("high", &[], false).unwrap_err().json()["error"]["param"], "e");
        assert_eq!(tell("high", &[], true).unwrap().1.as_deref(), Some("e"));
    }
}
