//! The tokens that a model wants around a text, read off the library's post-processor once.

use tokenizers::{Encoding, PostProcessor as _, PostProcessorWrapper, Token};

use super::guard::guarded;

/// Most tokens around a text.
const MAX_TOKENS: usize = 1024;
/// Stands for the text's ids while the post-processor is asked.
const TEXT: u32 = u32::MAX;

/// What stands before and after a text's ids, without special tokens and with them.
#[derive(Debug)]
pub(super) struct Around {
    plain: Vec<u32>,
    special: Vec<u32>,
}

impl Default for Around {
    fn default() -> Self {
        Self { plain: vec![TEXT], special: vec![TEXT] }
    }
}

impl Around {
    /// Asks a post-processor.
    ///
    /// # Errors
    /// A sentence if it fails, repeats the text, or adds more than a thousand tokens.
    pub(super) fn new(processor: Option<&PostProcessorWrapper>) -> Result<Self, String> {
        let Some(processor) = processor else { return Ok(Self::default()) };
        let ask = |special: bool| {
            let text = Encoding::from_tokens(vec![Token::new(TEXT, String::new(), (0, 0))], 0);
            let ids = guarded(|| {
                processor
                    .process(text, None, special)
                    .map(|encoding| encoding.get_ids().to_vec())
                    .map_err(|error| error.to_string())
            })??;
            if ids.len() > MAX_TOKENS {
                return Err(format!(
                    "it puts {} tokens around a text, more than {MAX_TOKENS}",
                    ids.len() - 1
                ));
            }
            if ids.iter().filter(|id| **id == TEXT).count() > 1 {
                return Err("it writes a text more than once".to_owned());
            }
            Ok(ids)
        };
        Ok(Self { plain: ask(false)?, special: ask(true)? })
    }

    /// `first` before a text and `last` after it.
    pub(super) fn tokens(first: Option<u32>, last: Option<u32>) -> Self {
        let special = first.into_iter().chain([TEXT]).chain(last).collect();
        Self { plain: vec![TEXT], special }
    }

    /// The ids of a text with what stands around them.
    pub(super) fn put(&self, ids: Vec<u32>, special: bool) -> Vec<u32> {
        let around = if special { &self.special } else { &self.plain };
        match around.as_slice() {
            [TEXT] => ids,
            around => {
                let mut out = Vec::with_capacity(ids.len() + around.len());
                for id in around {
                    if *id == TEXT {
                        out.extend_from_slice(&ids);
                    } else {
                        out.push(*id);
                    }
                }
                out
            }
        }
    }
}
