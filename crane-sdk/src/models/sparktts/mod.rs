//! Spark-TTS: a Qwen2 that says first who speaks, in global tokens, and then what is said, in semantic tokens of BiCodec.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use crate::text::Tokenizer;
use crate::{Error, Result};

/// Who can be asked for.
pub const GENDERS: [&str; 2] = ["female", "male"];

/// How high or how fast, in the model's own steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Level {
    VeryLow,
    Low,
    #[default]
    Moderate,
    High,
    VeryHigh,
}

impl Level {
    /// The step that comes nearest to a speed of 0.5 to 2 times the usual one.
    pub fn of_speed(speed: f32) -> Self {
        match speed {
            ..0.7 => Level::VeryLow,
            ..0.9 => Level::Low,
            ..1.15 => Level::Moderate,
            ..1.5 => Level::High,
            _ => Level::VeryHigh,
        }
    }
}

/// What a token means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// A token of the speaker.
    Global(u32),
    /// A code of what is said.
    Semantic(u32),
    /// Anything else, which makes no sound.
    Other,
}

/// The ids of the model's own tokens.
#[derive(Debug, Clone)]
pub struct Vocabulary {
    codes: HashMap<u32, Spoken>,
    end_of_turn: u32,
}

impl Vocabulary {
    /// Finds the tokens of so many semantic and global codes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] that names a token which the tokenizer does not have.
    pub fn find(tokenizer: &Tokenizer, semantic: u32, global: u32) -> Result<Self> {
        let id = |token: &str| {
            tokenizer.token_to_id(token).ok_or_else(|| Error::Unsupported {
                what: format!("a tokenizer without {token}"),
                hint: "Spark-TTS's own is needed, in its folder LLM".to_owned(),
            })
        };
        let mut codes = HashMap::new();
        for code in 0..semantic {
            codes.insert(id(&format!("<|bicodec_semantic_{code}|>"))?, Spoken::Semantic(code));
        }
        for code in 0..global {
            codes.insert(id(&format!("<|bicodec_global_{code}|>"))?, Spoken::Global(code));
        }
        Ok(Self { codes, end_of_turn: id("<|im_end|>")? })
    }

    /// The token that ends speech.
    pub fn end_id(&self) -> u32 {
        self.end_of_turn
    }

    /// What an id means.
    pub fn meaning(&self, id: u32) -> Spoken {
        self.codes.get(&id).copied().unwrap_or(Spoken::Other)
    }

    /// What makes the model choose a speaker, one of [`GENDERS`] by its number, and read a text aloud.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the text holds one of the model's own tokens, [`Error::Tokenizer`] if it cannot be
    /// expressed.
    pub fn controlled(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        gender: usize,
        [pitch, speed]: [Level; 2],
    ) -> Result<Vec<u32>> {
        plain(text)?;
        let prompt = format!(
            "<|task_controllable_tts|><|start_content|>{text}<|end_content|><|start_style_label|><|gender_{gender}|>\
             <|pitch_label_{}|><|speed_label_{}|><|end_style_label|>",
            pitch as u8, speed as u8
        );
        tokenizer.encode(&prompt, false)
    }

    /// What makes the model read a text aloud with the voice of a speaker's tokens, and after the manner of what `said` says in
    /// words and in semantic codes, if that is known.
    ///
    /// # Errors
    /// As [`Vocabulary::controlled`].
    pub fn cloned(
        &self,
        tokenizer: &Tokenizer,
        text: &str,
        speaker: &[u32],
        said: Option<(&str, &[u32])>,
    ) -> Result<Vec<u32>> {
        plain(text)?;
        let (before, codes) = said.unwrap_or_default();
        plain(before)?;
        let speaker: String =
            speaker.iter().map(|token| format!("<|bicodec_global_{token}|>")).collect();
        let mut prompt = format!(
            "<|task_tts|><|start_content|>{before}{text}<|end_content|><|start_global_token|>{speaker}<|end_global_token|>"
        );
        if said.is_some() {
            prompt.push_str("<|start_semantic_token|>");
            prompt.extend(codes.iter().map(|code| format!("<|bicodec_semantic_{code}|>")));
        }
        tokenizer.encode(&prompt, false)
    }
}

/// Refuses a text with the model's own tokens: they are all written so, and text is not.
fn plain(text: &str) -> Result<()> {
    if text.contains("<|") {
        let reason = "\"<|\" begins a control token of the model; leave it out";
        return Err(Error::argument("text", reason));
    }
    Ok(())
}
