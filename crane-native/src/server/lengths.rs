//! Texts to tokens, once it is clear that they may fit.

use crane_sdk::generate::CancelToken;
use crane_sdk::text::{RenderedChat, Tokenizer};

use super::wire::{ApiError, PromptInput};
use super::work::most_text;

/// A text of fewer bytes is tokenised without a look at the vocabulary.
const SHORT: usize = 64 << 10;
/// What a tokenizer may shorten, at most, beyond its longest token: spaces, marks, letters that it does not know.
const PROBES: [&str; 10] =
    [" ", "\n", "\t", "a", "字", "e\u{301}", "\u{1}", "\u{200b}", "\u{ffff}", "\u{10fffd}"];
/// Bytes of a probe.
const PROBE: usize = 4096;

/// How long a text may be that is tokenised for a model.
#[derive(Debug)]
pub struct Lengths {
    context: usize,
    longest: std::sync::OnceLock<Option<usize>>,
}

impl Lengths {
    /// For a model with a context of so many tokens.
    pub fn new(context: usize) -> Self {
        Self { context, longest: Default::default() }
    }

    /// Refuses a text of so many bytes that tokenising it would take long, whatever is in it.
    ///
    /// # Errors
    /// 400 that names `param`.
    pub fn check_bytes(&self, param: impl std::fmt::Display, text: &str) -> Result<(), ApiError> {
        let most = most_text(self.context);
        if text.len() <= most {
            return Ok(());
        }
        let reason =
            format_args!("has {} bytes; at most {most} are tokenised at a time", text.len());
        Err(ApiError::value(param, reason))
    }

    /// The tokens of a rendered conversation, if they fit.
    ///
    /// # Errors
    /// 400 if there are more than the context holds; without tokenising the text where its bytes tell.
    pub fn chat(
        &self,
        tokenizer: &Tokenizer,
        chat: &RenderedChat,
        cancel: &CancelToken,
    ) -> Result<Vec<u32>, ApiError> {
        self.check_prompt(tokenizer, &chat.text)?;
        go_on(cancel)?;
        let ids = tokenizer.encode_rendered(chat, Some(&cancel.interrupt()))?;
        self.check_tokens(ids.len())?;
        if ids.is_empty() {
            let reason = "the model's chat template writes nothing for them, so there is nothing to answer; \
                          /v1/completions takes text without it";
            return Err(ApiError::value("messages", reason));
        }
        Ok(ids)
    }

    /// A prompt's tokens, behind the token that begins texts (once).
    ///
    /// # Errors
    /// As [`Lengths::chat`].
    pub fn beginning(
        &self,
        tokenizer: &Tokenizer,
        prompt: PromptInput,
        cancel: &CancelToken,
    ) -> Result<Vec<u32>, ApiError> {
        let ids = match prompt {
            PromptInput::Ids(ids) => ids,
            PromptInput::Text(text) => {
                self.check_prompt(tokenizer, &text)?;
                encode(tokenizer, &text, cancel)?
            }
        };
        self.check_tokens(ids.len())?;
        Ok(ids)
    }

    fn check_tokens(&self, tokens: usize) -> Result<(), ApiError> {
        if tokens > self.context {
            return Err(ApiError::overflow(tokens, self.context));
        }
        Ok(())
    }

    /// Refuses a prompt whose bytes say that it does not fit.
    fn check_prompt(&self, tokenizer: &Tokenizer, text: &str) -> Result<(), ApiError> {
        if text.len() <= SHORT {
            return Ok(());
        }
        let longest = self.longest.get_or_init(|| longest(tokenizer));
        if let Some(longest) = longest
            && text.len().div_ceil(*longest) > self.context
        {
            let least = text.len().div_ceil(*longest);
            return Err(ApiError::overflow_of_bytes(text.len(), least, self.context));
        }
        let most = most_text(self.context);
        if text.len() > most {
            return Err(ApiError::text_too_long(text.len(), most));
        }
        Ok(())
    }
}

/// A text's tokens, behind the token that begins texts (once).
///
/// # Errors
/// As [`tokenized`].
pub fn encode(
    tokenizer: &Tokenizer,
    text: &str,
    cancel: &CancelToken,
) -> Result<Vec<u32>, ApiError> {
    let ids = tokenized(tokenizer, text, true, cancel)?;
    let is_bos = |id: Option<&u32>| id.is_some() && id.copied() == tokenizer.bos_id();
    // Whether the text brings the token itself is seen behind the one that was put before it.
    let added = usize::from(is_bos(tokenizer.encode("", true)?.first()));
    match is_bos(ids.get(added)) {
        true => tokenized(tokenizer, text, false, cancel),
        false => Ok(ids),
    }
}

/// A text's tokens, with those that the tokenizer puts around a text if `special`.
///
/// # Errors
/// As [`Tokenizer::encode`]; that it was cancelled, which nobody reads.
pub fn tokenized(
    tokenizer: &Tokenizer,
    text: &str,
    special: bool,
    cancel: &CancelToken,
) -> Result<Vec<u32>, ApiError> {
    go_on(cancel)?;
    Ok(tokenizer.encode_with(text, special, Some(&cancel.interrupt()))?)
}

/// Bytes of the longest token, if no text becomes fewer tokens than its bytes divided by that.
fn longest(tokenizer: &Tokenizer) -> Option<usize> {
    let ids = 0..u32::try_from(tokenizer.vocab_size()).ok()?;
    let longest =
        ids.map(|id| tokenizer.token_bytes(id).len()).max().filter(|longest| *longest > 0)?;
    let keeps = |probe: &str| {
        let text = probe.repeat(PROBE.max(4 * longest) / probe.len());
        let ids = tokenizer.encode(&text, false);
        ids.is_ok_and(|ids| ids.len().saturating_mul(longest) >= text.len())
    };
    PROBES.iter().all(|probe| keeps(probe)).then_some(longest)
}

/// Ends work that nobody waits for any more.
///
/// # Errors
/// If it was cancelled. Nobody reads it.
pub fn go_on(cancel: &CancelToken) -> Result<(), ApiError> {
    match cancel.is_cancelled() {
        true => Err(ApiError::internal("nobody waits for the answer any more")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokenizer(model: &str) -> Tokenizer {
        Tokenizer::from_json(model.as_bytes(), None).unwrap()
    }

    fn bytes() -> Tokenizer {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../crane-sdk/tests/fixtures/qwen2_tied/tokenizer.json"
        );
        Tokenizer::from_json(&std::fs::read(path).unwrap(), None).unwrap()
    }

    fn chat(lengths: &Lengths, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, ApiError> {
        lengths.chat(tokenizer, &RenderedChat::trusted(text.to_owned()), &CancelToken::new())
    }

    #[test]
    fn a_prompt_whose_bytes_cannot_fit_is_not_tokenised() {
        let (tokenizer, lengths) = (bytes(), Lengths::new(64));
        let longest = longest(&tokenizer).unwrap();
        let code = |text: &str| {
            let error = chat(&lengths, &tokenizer, text).unwrap_err().json();
            assert_eq!(error["error"]["code"], "context_length_exceeded");
            error["error"]["message"].as_str().unwrap().to_owned()
        };
        assert!(code(&"ab ".repeat(SHORT)).contains("bytes"));
        assert!(code(&"ab ".repeat(100)).contains("the prompt has 2"));
        assert!(chat(&lengths, &tokenizer, "a b c").is_ok());
        // What just might fit is counted.
        let wide = Lengths::new(SHORT.div_ceil(longest) + 1);
        let text = "q".repeat(SHORT + 1);
        assert!(
            chat(&wide, &tokenizer, &text).unwrap_err().json().to_string().contains(" tokens and")
        );
    }

    #[test]
    fn a_tokenizer_that_shortens_texts_is_asked() {
        let words = r#"{"model": {"type": "WordLevel", "vocab": {"a": 0, "[UNK]": 1}, "unk_token": "[UNK]"},
            "pre_tokenizer": {"type": "Whitespace"}}"#;
        assert_eq!(longest(&tokenizer(words)), None);
        let stripped = r#"{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": []},
            "normalizer": {"type": "Strip", "strip_left": true, "strip_right": true}}"#;
        assert_eq!(longest(&tokenizer(stripped)), None);
    }

    #[test]
    fn the_token_that_begins_texts_is_there_once() {
        let json = r#"{"model": {"type": "BPE", "vocab": {"<s>": 0, "a": 1}, "merges": []},
            "added_tokens": [{"id": 0, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true}],
            "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}}], "pair": [],
                "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}}"#;
        let config = br#"{"bos_token": "<s>"}"#;
        let tokenizer = Tokenizer::from_json(json.as_bytes(), Some(config)).unwrap();
        for (text, ids) in [("a", [0, 1].as_slice()), ("<s>a", &[0, 1]), ("", &[0]), ("<s>", &[0])]
        {
            assert_eq!(encode(&tokenizer, text, &CancelToken::new()).unwrap(), ids, "{text:?}");
        }
        assert_eq!(
            encode(&bytes(), "", &CancelToken::new()).unwrap(),
            bytes().encode("", true).unwrap()
        );
    }

    #[test]
    fn more_bytes_than_are_tokenised_at_a_time_are_refused() {
        let lengths = Lengths::new(10);
        assert!(lengths.check_bytes("x", &"a".repeat(most_text(10))).is_ok());
        let error = lengths.check_bytes("x", &"a".repeat(most_text(10) + 1)).unwrap_err();
        assert_eq!(error.json()["error"]["param"], "x");
    }
}
