//! Where a reply is in its grammar.

use llguidance::Matcher;
use llguidance::toktrie::SimpleVob;

use crate::{Error, Result};

/// Walks with a reply through its grammar.
pub(crate) struct Follower {
    matcher: Matcher,
    allowed: SimpleVob,
    /// Lexer steps that are left, and how many there were.
    steps: u64,
    most: u64,
}

impl Follower {
    /// At the beginning of a reply that may take so many lexer steps.
    pub(super) fn new(matcher: Matcher, most: u64) -> Self {
        Self { matcher, allowed: SimpleVob::new(), steps: most, most }
    }

    /// The tokens that may come next, bit i % 32 of word i / 32 for token i; `ends` among them where the text may
    /// end here.
    pub(crate) fn allowed(&mut self, ends: &[u32]) -> Result<&[u32]> {
        let may_end = self.matcher.is_accepting().map_err(|error| failed(&error))?;
        self.allowed = self.matcher.compute_mask().map_err(|error| failed(&error))?;
        let taken = self.matcher.last_step_stats().map_or(0, |stats| stats.lexer_cost);
        // The lexer keeps what each step made, so steps bound its memory, too.
        self.steps = self.steps.checked_sub(taken).ok_or_else(|| {
            failed(&format_args!(
                "the reply takes more than {} steps of the lexer, the limit reply_steps; take simpler patterns",
                self.most
            ))
        })?;
        // The library knows one token that ends texts; which ones do is the config's to say.
        if let Ok(environment) = self.matcher.tok_env() {
            let eos = environment.tok_trie().eos_token();
            if (eos as usize) < self.allowed.len() {
                self.allowed.disallow_token(eos);
            }
        }
        for &id in ends.iter().filter(|_| may_end) {
            if (id as usize) < self.allowed.len() {
                self.allowed.allow_token(id);
            }
        }
        Ok(self.allowed.as_slice())
    }

    /// Takes the chosen token; whether the text is whole, so that nothing can follow.
    pub(crate) fn take(&mut self, id: u32) -> Result<bool> {
        self.matcher.consume_token(id).map_err(|error| failed(&error))?;
        Ok(self.matcher.is_stopped())
    }
}

/// A grammar that is too large to be followed, or an error of the library that follows it; without where in its code it was.
fn failed(error: &dyn std::fmt::Display) -> Error {
    let text = error.to_string();
    let told = text.split("<backtrace>").next().unwrap_or_default().trim();
    // Of a rule that leads to nothing but itself the library says no more than this.
    if let Some("NoExtensionBias" | "NoExtension") = told.split_whitespace().next() {
        let reason = "no text is of this form (does a rule or a $ref lead to nothing but itself?)";
        return Error::argument("grammar", reason);
    }
    Error::argument(
        "grammar",
        format_args!("the form of the reply cannot be followed further: {told}"),
    )
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Follower")
    }
}
