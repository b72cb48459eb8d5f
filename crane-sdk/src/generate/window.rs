//! What happens when the tokens do not fit into the context window.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What to do when prompt and reply do not fit into the context window.
///
/// What a policy drops is told by [`Output::dropped_tokens`](super::Output::dropped_tokens). Tokens are
/// dropped by halves of the window beyond `keep`, so that the next turn of the same conversation
/// drops the same ones and finds the rest in the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "snake_case", deny_unknown_fields)]
pub enum ContextPolicy {
    /// A prompt that does not fit is an error; a reply that reaches the end of the window finishes with
    /// [`FinishReason::Length`](super::FinishReason::Length).
    #[default]
    Error,
    /// The oldest tokens after the first `keep` make room, for a long prompt and as often as the reply
    /// reaches the end of the window: the oldest half is dropped and the rest is evaluated anew, which
    /// is exact for any model.
    Shift {
        /// Tokens at the beginning that always stay, at most half of the window.
        #[serde(default)]
        keep: usize,
    },
    /// A long prompt loses its oldest tokens after the first `keep`; a reply that reaches the end of
    /// the window finishes.
    TruncateOldest {
        /// Tokens at the beginning that always stay, at most half of the window.
        #[serde(default)]
        keep: usize,
    },
}

impl ContextPolicy {
    /// How many tokens, from the `keep`th on, a prompt must lose, and `keep`.
    ///
    /// # Errors
    /// [`Error::ContextOverflow`] if it does not fit and no policy was chosen,
    /// [`Error::InvalidArgument`] if `keep` is more than half of the window.
    pub(super) fn fit(
        self,
        prompt: usize,
        capacity: usize,
        max_new_tokens: Option<usize>,
    ) -> Result<(usize, usize)> {
        let (keep, half, room) = match self {
            ContextPolicy::Error if prompt > capacity => {
                return Err(Error::ContextOverflow { prompt, context: capacity });
            }
            ContextPolicy::Error => return Ok((0, 0)),
            ContextPolicy::Shift { keep } => (keep, half(keep, capacity)?, 1),
            ContextPolicy::TruncateOldest { keep } => {
                // Room for the reply, but never more than a quarter of what may move.
                let half = half(keep, capacity)?;
                (keep, half, max_new_tokens.unwrap_or(usize::MAX).min(half / 2).max(1))
            }
        };
        let excess = prompt.saturating_add(room).saturating_sub(capacity);
        Ok((keep, excess.div_ceil(half) * half))
    }

    /// How many of `tokens`, from the `keep`th on, make room when the reply has filled the window, and
    /// `keep`; `None` if the reply ends there.
    pub(super) fn shift(self, tokens: usize) -> Option<(usize, usize)> {
        match self {
            ContextPolicy::Shift { keep } => {
                Some((keep, tokens.saturating_sub(keep).div_ceil(2))).filter(|shift| shift.1 > 0)
            }
            ContextPolicy::Error | ContextPolicy::TruncateOldest { .. } => None,
        }
    }
}

/// Half of what is not kept.
fn half(keep: usize, capacity: usize) -> Result<usize> {
    if keep > capacity / 2 || capacity < 2 {
        return Err(Error::argument(
            "context policy",
            format_args!(
                "keeps {keep} tokens of a context of {capacity}; it must leave at least half of it, \
                 and one token, free to move"
            ),
        ));
    }
    Ok(((capacity - keep) / 2).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_left_fits_and_is_not_empty(
            capacity in 2usize..600, keep in 0usize..300, prompt in 1usize..3000,
            max in proptest::option::of(1usize..100),
        ) {
            prop_assume!(keep <= capacity / 2);
            for policy in [ContextPolicy::Shift { keep }, ContextPolicy::TruncateOldest { keep }] {
                let (kept, dropped) = policy.fit(prompt, capacity, max).unwrap();
                prop_assert_eq!(kept, keep);
                let left = prompt - dropped;
                prop_assert!(left < capacity, "{} of {}", left, capacity);
                prop_assert!(left > 0 && (dropped == 0 || left >= keep));
                let shifts = matches!(policy, ContextPolicy::Shift { .. });
                prop_assert!(!shifts || prompt >= capacity || dropped == 0);
            }
        }
    }

    #[test]
    fn without_a_policy_it_is_an_error() {
        assert_eq!(ContextPolicy::Error.fit(10, 10, None).unwrap(), (0, 0));
        assert!(matches!(
            ContextPolicy::Error.fit(11, 10, None),
            Err(Error::ContextOverflow { prompt: 11, context: 10 })
        ));
        assert!(ContextPolicy::Shift { keep: 6 }.fit(3, 10, None).is_err());
        let json = r#"{"policy":"shift","keep":4}"#;
        let policy: ContextPolicy = serde_json::from_str(json).unwrap();
        assert_eq!(policy, ContextPolicy::Shift { keep: 4 });
        assert!(serde_json::from_str::<ContextPolicy>(r#"{"policy":"shift","kept":4}"#).is_err());
    }
}
