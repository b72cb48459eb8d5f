//! Text as it is generated: whole characters only, at a constant cost a token.

use std::sync::Arc;

use super::decoder::DecoderState;
use super::tokenizer::Tokenizer;
use crate::Result;

/// Turns a stream of ids into pieces of text.
///
/// The pieces together are what [`Tokenizer::decode`] makes of all ids at once. A piece never ends
/// inside a character: its bytes wait until it is complete, and bytes that can never become text
/// are U+FFFD. A decoder that joins byte tokens (`<0xE4>`) holds a run of them until it ends.
///
/// ```
/// use std::sync::Arc;
/// use crane_sdk::text::{StreamDecoder, Tokenizer};
/// // The two tokens are the two bytes of "é", in the byte-level alphabet.
/// let json = r#"{"model": {"type": "BPE", "vocab": {"Ã": 0, "©": 1}, "merges": []},
///                "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false}}"#;
/// let tokenizer = Arc::new(Tokenizer::from_json(json.as_bytes(), None)?);
/// let mut decoder = StreamDecoder::new(tokenizer, true);
/// assert_eq!(decoder.push(0)?, "");
/// assert_eq!(decoder.push(1)?, "é");
/// assert_eq!(decoder.finish()?, "");
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    tokenizer: Arc<Tokenizer>,
    skip_special: bool,
    state: DecoderState,
}

impl StreamDecoder {
    /// A decoder at the start of a text; `skip_special` hides special tokens such as `<|im_end|>`.
    pub fn new(tokenizer: Arc<Tokenizer>, skip_special: bool) -> Self {
        let state = tokenizer.decoder_start();
        Self { tokenizer, skip_special, state }
    }

    /// The text that the next token completes: empty while a character is incomplete, for a hidden
    /// token, and for an id outside the vocabulary (a padding row of the model).
    ///
    /// # Errors
    /// [`crate::Error::Tokenizer`] if a pattern of the decoder fails on the token.
    pub fn push(&mut self, id: u32) -> Result<String> {
        let mut piece = String::new();
        self.tokenizer.decode_next(&mut self.state, id, self.skip_special, &mut piece)?;
        Ok(piece)
    }

    /// As [`StreamDecoder::finish`] for a text that a limit has cut: a last character of which bytes are missing is left out.
    ///
    /// # Errors
    /// As [`StreamDecoder::push`].
    pub fn finish_cut(&mut self) -> Result<String> {
        self.state.leave_out_unfinished();
        self.finish()
    }

    /// Ends the text and returns what was held back; the decoder starts anew after it.
    ///
    /// # Errors
    /// As [`StreamDecoder::push`].
    pub fn finish(&mut self) -> Result<String> {
        let mut piece = String::new();
        self.tokenizer.decode_end(&mut self.state, &mut piece)?;
        Ok(piece)
    }
}
