//! From flags (and a chat's `/set`) to the options of generation.

use std::fmt::Display;
use std::str::FromStr;

use crane_sdk::sample::SamplingParams;

use super::args::{GenerationArgs, LastN, Limit, SamplingArgs, Seed, top_k};
use super::exit::{Failure, Result};
use super::form;
use super::twins;

impl SamplingArgs {
    /// Puts what was asked for in the place of the model's own defaults.
    pub(super) fn apply(&self, params: &mut SamplingParams) {
        fn put<T: Copy>(place: &mut T, value: Option<T>) {
            if let Some(value) = value {
                *place = value;
            }
        }
        put(&mut params.temperature, self.temp);
        put(&mut params.top_k, self.top_k);
        put(&mut params.top_p, self.top_p);
        put(&mut params.min_p, self.min_p);
        put(&mut params.typical_p, self.typical_p);
        put(&mut params.repetition_penalty, self.repeat_penalty);
        put(&mut params.presence_penalty, self.presence_penalty);
        put(&mut params.frequency_penalty, self.frequency_penalty);
        match self.repeat_last_n {
            None => {}
            // A window of no tokens.
            Some(LastN(Some(0))) => params.without_penalties(),
            Some(LastN(last)) => params.penalty_last_n = last,
        }
        put(&mut params.seed, self.seed.map(|Seed(seed)| seed));
        params.logit_bias.extend(self.logit_bias.iter().map(|bias| (bias.id, bias.bias)));
    }

    /// Checks the ranges before any model is loaded.
    ///
    /// # Errors
    /// [`Failure::Usage`] that names the flag.
    pub(super) fn check(&self) -> Result {
        let mut params = SamplingParams::default();
        self.apply(&mut params);
        Ok(params.validate()?)
    }

    /// The flags that were given and that only act on a draw.
    pub(super) fn draw_flags(&self) -> Vec<&'static str> {
        [
            ("--top-k", self.top_k.is_some()),
            ("--top-p", self.top_p.is_some()),
            ("--min-p", self.min_p.is_some()),
            ("--typical-p", self.typical_p.is_some()),
            ("--seed", self.seed.is_some()),
        ]
        .into_iter()
        .filter_map(|(flag, given)| given.then_some(flag))
        .collect()
    }
}

/// The options that a chat can change as it goes.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings {
    /// How tokens are drawn.
    pub sampling: SamplingArgs,
    /// The longest reply.
    pub max_tokens: Option<Limit>,
    /// Where replies end.
    pub stop: Vec<String>,
}

impl Settings {
    /// The options that the command line gives, checked before any model is loaded.
    ///
    /// # Errors
    /// [`Failure::Usage`] that names the flag.
    pub(super) fn new(sampling: &SamplingArgs, generation: &GenerationArgs) -> Result<Self> {
        sampling.check().map_err(|failure| match failure {
            Failure::Usage(message) => Failure::Usage(twins::named(message)),
            failure => failure,
        })?;
        form::grammar(generation)?;
        Ok(Settings {
            sampling: sampling.clone(),
            max_tokens: generation.max_tokens,
            // An empty text ends nothing: so scripts say that there is none.
            stop: generation.stop.iter().filter(|stop| !stop.is_empty()).cloned().collect(),
        })
    }

    /// `/set NAME VALUE`; the value `default` takes the option back.
    ///
    /// # Errors
    /// What is wrong with the name or the value; nothing is changed then.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result {
        let mut new = self.clone();
        let sampling = &mut new.sampling;
        match name {
            "temp" | "temperature" => sampling.temp = parse(name, value)?,
            "top-k" => sampling.top_k = parse_by(name, value, top_k)?,
            "top-p" => sampling.top_p = parse(name, value)?,
            "min-p" => sampling.min_p = parse(name, value)?,
            "typical-p" => sampling.typical_p = parse(name, value)?,
            "repeat-penalty" => sampling.repeat_penalty = parse(name, value)?,
            "repeat-last-n" => sampling.repeat_last_n = parse(name, value)?,
            "presence-penalty" => sampling.presence_penalty = parse(name, value)?,
            "frequency-penalty" => sampling.frequency_penalty = parse(name, value)?,
            "seed" => sampling.seed = parse(name, value)?,
            "max-tokens" => new.max_tokens = parse(name, value)?,
            "stop" if value == "default" => new.stop.clear(),
            "stop" => new.stop.push(value.to_owned()),
            _ => {
                return Err(Failure::Usage(format!("there is no option {name}; /help lists them")));
            }
        }
        new.sampling.check()?;
        *self = new;
        Ok(())
    }

    /// The options that differ from the model's defaults, for `/set` alone.
    pub(super) fn listed(&self) -> Vec<String> {
        fn item<T: Display>(name: &str, value: Option<T>) -> Option<String> {
            value.map(|value| format!("{name} {value}"))
        }
        let sampling = &self.sampling;
        [
            item("temp", sampling.temp),
            item("top-k", sampling.top_k),
            item("top-p", sampling.top_p),
            item("min-p", sampling.min_p),
            item("typical-p", sampling.typical_p),
            item("repeat-penalty", sampling.repeat_penalty),
            item("repeat-last-n", sampling.repeat_last_n),
            item("presence-penalty", sampling.presence_penalty),
            item("frequency-penalty", sampling.frequency_penalty),
            item("seed", sampling.seed),
            item("max-tokens", self.max_tokens),
        ]
        .into_iter()
        .flatten()
        .chain(self.stop.iter().map(|stop| format!("stop {stop:?}")))
        .collect()
    }
}

fn parse<T: FromStr<Err: Display>>(name: &str, value: &str) -> Result<Option<T>> {
    parse_by(name, value, T::from_str)
}

fn parse_by<T, E: Display>(
    name: &str,
    value: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<Option<T>> {
    match value {
        "default" => Ok(None),
        value => parse(value)
            .map(Some)
            .map_err(|error| Failure::Usage(format!("{name}: {value:?}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(result: Result) -> String {
        result.unwrap_err().message().unwrap()
    }

    #[test]
    fn options_are_set_shown_and_taken_back() {
        let mut settings = Settings::default();
        for (name, value) in
            [("temp", "0.5"), ("top-k", "40"), ("max-tokens", "9"), ("stop", "\\n")]
        {
            settings.set(name, value).unwrap();
        }
        assert_eq!(settings.listed(), ["temp 0.5", "top-k 40", "max-tokens 9", "stop \"\\\\n\""]);
        let mut params = SamplingParams::default();
        settings.sampling.apply(&mut params);
        assert_eq!((params.temperature, params.top_k), (0.5, 40));
        for name in ["temp", "top-k", "max-tokens", "stop"] {
            settings.set(name, "default").unwrap();
        }
        assert!(settings.listed().is_empty());
    }

    #[test]
    fn mistakes_change_nothing() {
        let mut settings = Settings::default();
        assert!(refusal(settings.set("warmth", "1")).contains("warmth"));
        assert!(refusal(settings.set("temp", "hot")).contains("hot"));
        assert!(refusal(settings.set("top-p", "2")).contains("--top-p"));
        assert!(refusal(settings.set("temp", "-1")).contains("--temp"));
        assert!(settings.listed().is_empty());
    }
}
