//! Orpheus-TTS: a Llama whose tokens are SNAC codes, seven a frame.
//!
//! The vocabulary of Llama 3 is followed by `<custom_token_0>`, `<custom_token_1>` and so on. A few steer the model; from number 10
//! on they are codes: the token at place i of a frame has the number 10 + 4096 · i + code.

mod frames;
#[cfg(test)]
mod tests;

use crate::text::Tokenizer;
use crate::{Error, Result};

pub use frames::Frames;

/// The voices of the English model.
pub const VOICES: [&str; 8] = ["tara", "leah", "jess", "leo", "dan", "mia", "zac", "zoe"];
/// What may stand in a text for a sound.
pub const SOUNDS: [&str; 8] =
    ["<laugh>", "<chuckle>", "<sigh>", "<cough>", "<sniffle>", "<groan>", "<yawn>", "<gasp>"];
/// Tokens of a frame.
pub const FRAME: usize = 7;
/// Values of a code.
pub const CODES: u32 = 4096;

/// Numbers of the custom tokens that steer the model.
const START_OF_SPEECH: u32 = 1;
const END_OF_SPEECH: u32 = 2;
const START_OF_HUMAN: u32 = 3;
const END_OF_HUMAN: u32 = 4;
const START_OF_AI: u32 = 5;
const FIRST_CODE: u32 = 10;

/// The ids of the model's own tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vocabulary {
    /// The id of `<custom_token_0>`.
    first: u32,
    begin_of_text: u32,
    end_of_turn: u32,
}

impl Vocabulary {
    /// Finds the tokens; `None` if the tokenizer is not Orpheus's.
    pub fn find(tokenizer: &Tokenizer) -> Option<Self> {
        let first = tokenizer.token_to_id("<custom_token_0>")?;
        // The ids are counted on from the first.
        let in_order = (START_OF_SPEECH..=FIRST_CODE).all(|number| {
            tokenizer.token_to_id(&format!("<custom_token_{number}>")) == first.checked_add(number)
        });
        let begin_of_text = tokenizer.token_to_id("<|begin_of_text|>")?;
        let end_of_turn = tokenizer.token_to_id("<|eot_id|>")?;
        in_order.then_some(Self { first, begin_of_text, end_of_turn })
    }

    /// One more than the last code's id: a model with fewer rows cannot speak.
    pub fn end(&self) -> u32 {
        self.first.saturating_add(FIRST_CODE + FRAME as u32 * CODES)
    }

    /// The tokens that end speech.
    pub fn end_ids(&self) -> [u32; 2] {
        [self.first + END_OF_SPEECH, self.end_of_turn]
    }

    /// What makes the model read a text aloud.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the text holds a control token, [`Error::Tokenizer`] if it cannot be expressed.
    pub fn prompt(
        &self,
        tokenizer: &Tokenizer,
        voice: Option<&str>,
        text: &str,
    ) -> Result<Vec<u32>> {
        let text = match voice {
            Some(voice) => format!("{voice}: {text}"),
            None => text.to_owned(),
        };
        let ids = tokenizer.encode(&text, false)?;
        if let Some(id) = ids.iter().find(|id| **id >= self.first || tokenizer.is_special(**id)) {
            let token = tokenizer.id_to_token(*id).unwrap_or_default();
            let reason = format_args!("{token} is a control token of the model; leave it out");
            return Err(Error::argument("text", reason));
        }
        let steer = |number: u32| self.first + number;
        let mut prompt = vec![steer(START_OF_HUMAN), self.begin_of_text];
        prompt.extend(ids);
        prompt.extend([
            self.end_of_turn,
            steer(END_OF_HUMAN),
            steer(START_OF_AI),
            steer(START_OF_SPEECH),
        ]);
        Ok(prompt)
    }

    /// The place in a frame and the code that an id stands for; `None` for other tokens.
    pub fn code(&self, id: u32) -> Option<(usize, u32)> {
        let number = id.checked_sub(self.first)?.checked_sub(FIRST_CODE)?;
        let place = (number / CODES) as usize;
        (place < FRAME).then_some((place, number % CODES))
    }
}
