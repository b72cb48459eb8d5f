//! What the requests of Ollama's API have in common: `options`, `format`, `think`, `keep_alive`.

use crane_sdk::generate::GenerationConfig;
use crane_sdk::grammar::Grammar;
use crane_sdk::text::ChatTemplate;
use serde_json::{Map, Value};

use super::keep_alive;
use crate::server::fleet::{About, Stay};
use crate::server::wire::fields::{Neutral, wrong_type};
use crate::server::wire::{ApiError, Asked, Fields, Form};

/// Options that act, as the OpenAPI document lists them. Those of OpenAI's routes which Ollama does not have act, too.
pub const KNOWN_OPTIONS: [&str; 17] = [
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "repeat_last_n",
    "seed",
    "num_predict",
    "stop",
    "logit_bias",
    "ignore_eos",
    "grammar",
    "cache_salt",
];

/// Options of how a model is run: that is decided when the server starts, and what a reply says does not depend on it.
pub const OF_THE_SERVER: [&str; 17] = [
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "use_mmap",
    "use_mlock",
    "low_vram",
    "f16_kv",
    "numa",
    "vocab_only",
    "logits_all",
    "embedding_only",
    "num_keep",
    "draft_num_predict",
    "mirostat_tau",
    "mirostat_eta",
    "num_gqa",
];

/// Options that are taken where they ask for nothing.
pub const OPTIONS_NOT_DONE: &[Neutral] = &[
    Neutral { name: "mirostat", values: &["0"], reason: "mirostat is not done; leave it out" },
    Neutral { name: "tfs_z", values: &["1", "1.0"], reason: "tail-free sampling is not done" },
    Neutral {
        name: "penalize_newline",
        values: &["true"],
        reason: "a new line is a token like another one to the penalties",
    },
];

/// What is asked for besides the text.
#[derive(Debug)]
pub struct Common {
    /// How the reply is generated.
    pub asked: Asked,
    /// How long the model stays in memory.
    pub stay: Option<Stay>,
    /// Whether the model is to think first.
    pub think: Option<Think>,
    /// How many tokens the client wants the context to hold.
    pub num_ctx: Option<usize>,
    /// Options that were given and have no effect here.
    pub idle: Vec<String>,
    /// Unknown options, if they are borne.
    pub unknown: Vec<String>,
}

/// Whether a model is to think before it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Think {
    /// It is not.
    Off,
    /// It is.
    On,
    /// It is, this much: `low`, `medium`, `high`.
    Level(String),
}

impl Common {
    /// Takes the fields that chats and texts share.
    ///
    /// # Errors
    /// The field or option that cannot act.
    pub(super) fn take(
        fields: &mut Fields,
        defaults: &GenerationConfig,
        lenient: bool,
    ) -> Result<Self, ApiError> {
        let mut common = Self::options(fields, defaults, lenient)?;
        common.asked.stream = fields.boolean("stream")?.unwrap_or(true);
        common.think = Think::take(fields)?;
        let format = fields.take("format").map(format).transpose()?.flatten();
        common.asked.form = Form::either(format, common.asked.form.take())?;
        let wanted = fields.boolean("logprobs")?.unwrap_or(false);
        let top = fields.integer("top_logprobs", 0..=20)?;
        common.asked.config.logprobs = match (wanted, top) {
            (true, top) => Some(top.unwrap_or(0) as usize),
            (false, None | Some(0)) => None,
            (false, Some(_)) => {
                return Err(ApiError::value("top_logprobs", "acts only with logprobs: true"));
            }
        };
        Ok(common)
    }

    /// Takes `options` and `keep_alive`.
    ///
    /// # Errors
    /// The option that cannot act.
    pub(super) fn options(
        fields: &mut Fields,
        defaults: &GenerationConfig,
        lenient: bool,
    ) -> Result<Self, ApiError> {
        let stay = keep_alive::take(fields)?;
        let mut given = fields.object("options")?.unwrap_or_default();
        // Clients send every option that they know, most of them null.
        given.retain(|_, value| !value.is_null());
        let mut options = Fields::of("options", Value::Object(given))?;
        if options.copy("stream").is_some() {
            let reason = "stands outside of options";
            return Err(ApiError::field("options.stream", "unknown_parameter", reason));
        }
        let mut take_if = |name: &str, values: &[i64]| {
            let number = options.copy(name).and_then(|value| value.as_i64());
            let found = number.filter(|number| values.contains(number));
            found.inspect(|_| drop(options.take(name)))
        };
        // What these mean is said by a number that is none of their range.
        let draws_anew = take_if("seed", &[-1]).is_some();
        let all_tokens = take_if("top_k", &[-1]).is_some();
        let window = take_if("repeat_last_n", &[-1, 0]);
        let no_limit = take_if("num_predict", &[-2, -1, 0]).is_some();
        if options.copy("stop").is_some_and(|stop| stop == "") {
            options.take("stop");
        }
        let mut asked = Asked::bare(&mut options, defaults)?;
        asked.stop(&mut options, "stop")?;
        let limit = options.count("num_predict")?;
        asked.config.max_new_tokens = match no_limit {
            true => None,
            false => limit.or(asked.config.max_new_tokens),
        };
        let sampling = &mut asked.config.sampling;
        if draws_anew {
            sampling.seed = None;
        }
        if all_tokens {
            sampling.top_k = 0;
        }
        match window {
            // All that the context holds.
            Some(-1) => sampling.penalty_last_n = None,
            Some(_) => {
                (sampling.repetition_penalty, sampling.penalty_last_n) = (1.0, None);
                (sampling.presence_penalty, sampling.frequency_penalty) = (0.0, 0.0);
            }
            None => {}
        }
        let num_ctx = options.count("num_ctx")?;
        options.only_neutral(OPTIONS_NOT_DONE)?;
        let of_the_server = OF_THE_SERVER.into_iter();
        let idle = of_the_server.filter(|name| options.take(name).is_some());
        let idle = idle.map(|name| format!("options.{name}")).collect();
        let unknown = options.finish(lenient)?;
        Ok(Self { asked, stay, think: None, num_ctx, idle, unknown })
    }
}

/// `format`: `json`, or a schema.
fn format(value: Value) -> Result<Option<Form>, ApiError> {
    let grammar = match value {
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) if text == "json" => Grammar::JsonObject,
        Value::Object(_) => Grammar::JsonSchema(value),
        Value::String(text) => {
            let reason = format_args!("is {text:?}; it is \"json\" or a JSON schema");
            return Err(ApiError::value("format", reason));
        }
        other => return Err(wrong_type("format", "\"json\" or a JSON schema", &other)),
    };
    Ok(Some(Form { grammar, param: "format" }))
}

impl Think {
    fn take(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        match fields.take("think") {
            None => Ok(None),
            Some(Value::Bool(false)) => Ok(Some(Think::Off)),
            Some(Value::Bool(true)) => Ok(Some(Think::On)),
            Some(Value::String(level)) if ["low", "medium", "high", "max"].contains(&&*level) => {
                Ok(Some(Think::Level(level)))
            }
            Some(Value::String(level)) => {
                let reason =
                    format_args!("is {level:?}; it is true, false, low, medium, high or max");
                Err(ApiError::value("think", reason))
            }
            Some(other) => Err(wrong_type("think", "true, false or a level", &other)),
        }
    }

    /// Whether a template has a place for thoughts.
    pub fn is_known(template: &ChatTemplate) -> bool {
        template.texts().any(|(_, text)| About::has_thoughts(text))
    }

    /// Says it to a template by the variables that it reads.
    ///
    /// # Errors
    /// 400 if the model does not think, and is asked to.
    pub fn tell(
        &self,
        template: &ChatTemplate,
        variables: &mut Map<String, Value>,
    ) -> Result<(), ApiError> {
        let reads = |name: &str| template.texts().any(|(_, text)| text.contains(name));
        if *self != Think::Off && !Self::is_known(template) {
            let reason = "the model does not think before it answers: its chat template has no place for thoughts";
            return Err(ApiError::unsupported("think", reason));
        }
        if reads("enable_thinking") {
            variables.insert("enable_thinking".to_owned(), (*self != Think::Off).into());
        }
        if let Think::Level(level) = self
            && reads("reasoning_effort")
        {
            variables.insert("reasoning_effort".to_owned(), level.as_str().into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(options: Value) -> Result<Common, ApiError> {
        let mut fields = Fields::parse(json!({ "options": options }).to_string().as_bytes())?;
        Common::take(&mut fields, &GenerationConfig::default(), false)
    }

    fn param(error: ApiError) -> String {
        error.json()["error"]["param"].as_str().unwrap_or_default().to_owned()
    }

    #[test]
    fn options_act_by_the_numbers_that_ollama_gives_them() {
        let common = read(json!({ "temperature": 0.5, "top_k": 7, "seed": 3, "num_predict": 9,
            "repeat_last_n": 64, "repeat_penalty": 1.2, "stop": ["a", "b"], "num_ctx": 512 }))
        .unwrap();
        let config = &common.asked.config;
        assert_eq!(
            (config.max_new_tokens, config.stop.len(), common.num_ctx),
            (Some(9), 2, Some(512))
        );
        assert_eq!((config.sampling.top_k, config.sampling.seed), (7, Some(3)));
        assert_eq!((config.sampling.penalty_last_n, config.sampling.temperature), (Some(64), 0.5));
        assert!(common.asked.stream, "streams are the rule");

        let common =
            read(json!({ "top_k": -1, "seed": -1, "repeat_last_n": -1, "stop": "" })).unwrap();
        let sampling = &common.asked.config.sampling;
        assert_eq!((sampling.top_k, sampling.seed, sampling.penalty_last_n), (0, None, None));
        let off =
            read(json!({ "repeat_last_n": 0, "repeat_penalty": 1.5, "frequency_penalty": 1 }));
        let sampling = off.unwrap().asked.config.sampling;
        assert_eq!((sampling.repetition_penalty, sampling.frequency_penalty), (1.0, 0.0));
        for limit in [-2, -1, 0] {
            let common = read(json!({ "num_predict": limit })).unwrap();
            assert_eq!(common.asked.config.max_new_tokens, None, "{limit}");
        }
        assert_eq!(common.asked.config.stop, [""; 0]);
    }

    #[test]
    fn what_cannot_act_is_refused_and_what_needs_no_act_is_told() {
        for (options, name) in [
            (json!({ "temperature": 9 }), "options.temperature"),
            (json!({ "top_k": -2 }), "options.top_k"),
            (json!({ "num_predict": -3 }), "options.num_predict"),
            (json!({ "num_ctx": 0 }), "options.num_ctx"),
            (json!({ "mirostat": 2 }), "options.mirostat"),
            (json!({ "warmth": 1 }), "options.warmth"),
            (json!({ "stream": true }), "options.stream"),
            (json!(3), "options"),
        ] {
            assert_eq!(param(read(options.clone()).unwrap_err()), name, "{options}");
        }
        let common = read(json!({ "num_gpu": 1, "num_thread": 4, "use_mmap": null, "mirostat": 0,
            "tfs_z": 1.0, "anything": null }))
        .unwrap();
        assert_eq!(common.idle, ["options.num_gpu", "options.num_thread"]);
    }

    #[test]
    fn forms_and_thoughts_are_read() {
        let take = |body: Value| {
            let mut fields = Fields::parse(body.to_string().as_bytes()).unwrap();
            Common::take(&mut fields, &GenerationConfig::default(), false)
        };
        let schema = json!({ "type": "integer" });
        for (format, grammar) in [
            (json!(null), None),
            (json!(""), None),
            (json!("json"), Some(Grammar::JsonObject)),
            (schema.clone(), Some(Grammar::JsonSchema(schema.clone()))),
        ] {
            let form = take(json!({ "format": format })).unwrap().asked.form;
            assert_eq!(form.map(|form| form.grammar), grammar);
        }
        for (think, wanted) in [
            (json!(null), None),
            (json!(false), Some(Think::Off)),
            (json!(true), Some(Think::On)),
            (json!("high"), Some(Think::Level("high".to_owned()))),
        ] {
            assert_eq!(take(json!({ "think": think })).unwrap().think, wanted);
        }
        for (body, name) in [
            (json!({ "format": "xml" }), "format"),
            (json!({ "format": ["json"] }), "format"),
            (json!({ "think": "much" }), "think"),
            (json!({ "think": 1 }), "think"),
            (json!({ "top_logprobs": 2 }), "top_logprobs"),
            (json!({ "keep_alive": "soon" }), "keep_alive"),
        ] {
            assert_eq!(param(take(body.clone()).unwrap_err()), name, "{body}");
        }
        let counted = take(json!({ "logprobs": true, "top_logprobs": 2 })).unwrap();
        assert_eq!(counted.asked.config.logprobs, Some(2));
    }
}
