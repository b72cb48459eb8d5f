//! The fields that all completions share, as the options of a generation.

use crane_sdk::generate::GenerationConfig;
use crane_sdk::sample::LogprobsOf;
use serde_json::{Map, Value};

use super::fields::{Fields, wrong_type};
use super::{ApiError, Form};

/// The most replies to one prompt, and stop strings of one request.
const MOST: u64 = 128;
const MOST_STOPS: usize = 16;
/// The longest of them, in bytes: each token of a reply is compared with them.
const LONGEST_STOP: usize = 4096;
/// The most tokens with a bias: each of `n` replies has its own.
const MOST_BIASES: usize = 10_000;

/// What a request asks for besides its prompt.
#[derive(Debug)]
pub struct Asked {
    /// How replies are generated; `logprobs` is set by the endpoint, which counts them in its own way.
    pub config: GenerationConfig,
    /// The form that replies must have; the handler compiles it.
    pub form: Option<Form>,
    /// Replies to one prompt.
    pub n: usize,
    /// Tokens as they are chosen.
    pub stream: bool,
    /// A last chunk that tells the usage.
    pub include_usage: bool,
    /// Who asks, for a fair turn.
    pub user: Option<String>,
    /// Who alone may share what is evaluated of the prompt.
    pub cache_salt: Option<String>,
    /// Whether the token that ends a reply is told with its log-probability.
    pub tells_end: bool,
}

impl Asked {
    /// Takes the fields of OpenAI's completions; what is not given comes from the model's own options.
    ///
    /// # Errors
    /// That a field has the wrong type or a value out of range.
    pub fn take(fields: &mut Fields, defaults: &GenerationConfig) -> Result<Self, ApiError> {
        let mut asked = Self::bare(fields, defaults)?;
        asked.form = Form::either(Form::take_format(fields)?, asked.form)?;
        asked.stop(fields, "stop")?;
        asked.n = fields.integer("n", 1..=MOST)?.unwrap_or(1) as usize;
        asked.stream_options(fields)?;
        asked.user(fields)?;
        Ok(asked)
    }

    /// Takes the fields that all APIs share.
    ///
    /// # Errors
    /// That a field has the wrong type or a value out of range.
    pub fn bare(fields: &mut Fields, defaults: &GenerationConfig) -> Result<Self, ApiError> {
        let mut config = defaults.clone();
        config.logprobs_of = LogprobsOf::Model;
        let sampling = &mut config.sampling;
        fn put<T>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        put(&mut sampling.temperature, fields.number("temperature", 0.0..=2.0)?);
        put(&mut sampling.top_p, fields.number("top_p", 0.0..=1.0)?);
        put(&mut sampling.min_p, fields.number("min_p", 0.0..=1.0)?);
        put(&mut sampling.typical_p, fields.number("typical_p", f64::MIN_POSITIVE..=1.0)?);
        let top_k = fields.or_none("top_k", 0..=u64::from(u32::MAX), &[-1])?;
        put(&mut sampling.top_k, top_k.map(|top_k| top_k.unwrap_or(0) as usize));
        let both = |fields: &mut Fields, one: &str, two: &str| {
            let range = || f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX);
            let (a, b) = (fields.number(one, range())?, fields.number(two, range())?);
            match (a, b) {
                (Some(_), Some(_)) => {
                    Err(ApiError::value(two, format_args!("means {one}; give one")))
                }
                (a, b) => Ok(a.or(b)),
            }
        };
        let penalty = both(fields, "repeat_penalty", "repetition_penalty")?;
        put(&mut sampling.repetition_penalty, penalty);
        put(&mut sampling.presence_penalty, fields.number("presence_penalty", -2.0..=2.0)?);
        put(&mut sampling.frequency_penalty, fields.number("frequency_penalty", -2.0..=2.0)?);
        match fields.or_none("repeat_last_n", 0..=u64::from(u32::MAX), &[-1])? {
            None => {}
            // A window of no tokens.
            Some(Some(0)) => sampling.without_penalties(),
            Some(last) => sampling.penalty_last_n = last.map(|last| last as usize),
        }
        put(&mut sampling.seed, fields.seed("seed")?);
        if let Some(biases) = fields.object("logit_bias")? {
            if biases.len() > MOST_BIASES {
                let reason =
                    format_args!("has {} tokens; at most {MOST_BIASES} are taken", biases.len());
                return Err(ApiError::value("logit_bias", reason));
            }
            for (id, bias) in biases {
                let (id, bias) = logit_bias(&id, &bias)?;
                sampling.logit_bias.insert(id, bias);
            }
        }
        put(&mut config.ignore_eos, fields.boolean("ignore_eos")?);
        let form = Form::take_grammar(fields)?;
        let stream = fields.boolean("stream")?.unwrap_or(false);
        let cache_salt = fields.string("cache_salt")?;
        Ok(Self {
            config,
            form,
            n: 1,
            stream,
            include_usage: false,
            user: None,
            cache_salt,
            tells_end: false,
        })
    }

    /// Bounds replies to so many tokens, or to the end of the context; without either as the model's authors do.
    pub fn at_most(&mut self, limit: Option<Option<usize>>) {
        if let Some(limit) = limit {
            self.config.max_new_tokens = limit;
            self.config.max_length = None;
        }
    }

    /// Takes stop strings from the field of this name.
    ///
    /// # Errors
    /// What of them is wrong.
    pub fn stop(&mut self, fields: &mut Fields, name: &str) -> Result<(), ApiError> {
        if let Some(stop) = fields.take(name) {
            self.config.stop.extend(stops(name, stop)?);
        }
        Ok(())
    }

    /// Takes `stream_options`.
    ///
    /// # Errors
    /// What of them is wrong.
    pub fn stream_options(&mut self, fields: &mut Fields) -> Result<(), ApiError> {
        let options = fields.object("stream_options")?;
        if options.is_some() && !self.stream {
            return Err(ApiError::value("stream_options", "acts only with stream: true"));
        }
        self.include_usage = stream_options(fields, options.unwrap_or_default())?;
        Ok(())
    }

    /// Takes who asks.
    ///
    /// # Errors
    /// That it is no string.
    pub fn user(&mut self, fields: &mut Fields) -> Result<(), ApiError> {
        let (user, same) = (fields.string("user")?, fields.string("safety_identifier")?);
        self.user = user.or(same);
        Ok(())
    }

    /// The options of the reply with this number: the same seed would give the same reply.
    pub fn config_of(&self, index: usize) -> GenerationConfig {
        let mut config = self.config.clone();
        if let Some(seed) = &mut config.sampling.seed {
            *seed = seed.wrapping_add(index as u64);
        }
        config
    }
}

fn logit_bias(id: &str, bias: &Value) -> Result<(u32, f32), ApiError> {
    let param = format!("logit_bias.{id}");
    let Ok(token) = id.parse() else {
        return Err(ApiError::value(param, "the names are token ids, such as \"1234\""));
    };
    let Some(number) = bias.as_f64() else {
        return Err(wrong_type(param, "a number", bias));
    };
    if !(-100.0..=100.0).contains(&number) {
        let reason = format_args!("is {number}; it must be from -100 to 100");
        return Err(ApiError::value(param, reason));
    }
    // The ends of OpenAI's scale forbid a token.
    Ok((token, if number == -100.0 { f32::NEG_INFINITY } else { number as f32 }))
}

fn stops(name: &str, stop: Value) -> Result<Vec<String>, ApiError> {
    let list = match stop {
        Value::String(stop) => vec![Value::String(stop)],
        Value::Array(stops) => stops,
        other => return Err(wrong_type(name, "a string or a list of strings", &other)),
    };
    if list.len() > MOST_STOPS {
        let reason = format_args!("has {} strings; at most {MOST_STOPS} are taken", list.len());
        return Err(ApiError::value(name, reason));
    }
    let string = |(index, value)| match value {
        Value::String(stop) if stop.len() > LONGEST_STOP => {
            let reason = format_args!("has {} bytes; at most {LONGEST_STOP} are taken", stop.len());
            Err(ApiError::value(format_args!("{name}[{index}]"), reason))
        }
        Value::String(stop) => Ok(stop),
        other => Err(wrong_type(format_args!("{name}[{index}]"), "a string", &other)),
    };
    let stops: Result<Vec<String>, ApiError> = list.into_iter().enumerate().map(string).collect();
    // An empty one ends nothing: so clients say that there is none.
    Ok(stops?.into_iter().filter(|stop| !stop.is_empty()).collect())
}

/// Whether the usage is told at the end of a stream.
fn stream_options(parent: &Fields, options: Map<String, Value>) -> Result<bool, ApiError> {
    let mut options = parent.within("stream_options", Value::Object(options))?;
    let include_usage = options.boolean("include_usage")?.unwrap_or(false);
    if options.copy("include_obfuscation") == Some(Value::Bool(true)) {
        options.wish("include_obfuscation", "chunks are not padded here; leave it out")?;
    }
    options.boolean("include_obfuscation")?;
    options.finish(false)?;
    Ok(include_usage)
}
