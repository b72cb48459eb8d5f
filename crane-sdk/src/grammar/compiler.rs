//! From a grammar to what a sampler can ask: which tokens may come next.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{
    ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie,
};
use llguidance::{Matcher, ParserFactory};
use serde_json::json;

use super::assemble::{assemble, caught};
use super::budget::Budget;
use super::stack::on_known_stack;
use super::{Enforceable, Follower, Grammar, Limits, laid_out, lark, schema};
use crate::generate::CancelToken;
use crate::text::Tokenizer;
use crate::{Error, Result};

/// Compiles grammars for one vocabulary. Making one takes a tenth of a second for a large vocabulary; compiling takes
/// milliseconds for most grammars.
pub struct Compiler {
    factory: ParserFactory,
    vocab_size: usize,
    limits: Limits,
}

/// A compiled grammar, for any number of replies.
#[derive(Clone)]
pub struct Constraint(Arc<Compiled>);

struct Compiled {
    /// Where every reply begins.
    start: Matcher,
    vocab_size: usize,
    warnings: Vec<String>,
    /// Lexer steps of one reply.
    reply_steps: u64,
}

impl Compiler {
    /// A compiler for replies in this tokenizer's tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the vocabulary cannot be used.
    pub fn new(tokenizer: &Tokenizer) -> Result<Self> {
        let vocab_size = tokenizer.vocab_size();
        // A control token has no text: it is spelled behind a byte that is in none.
        let word = |id: u32| match tokenizer.is_special(id) {
            true => tokenizer.id_to_token(id).map_or(Vec::new(), |token| {
                [&[TokTrie::SPECIAL_TOKEN_MARKER], token.as_bytes()].concat()
            }),
            false => tokenizer.token_bytes(id),
        };
        let words: Vec<Vec<u8>> = (0..vocab_size as u32).map(word).collect();
        let eos = tokenizer.eos_id().unwrap_or(INVALID_TOKEN);
        let trie = TokTrie::from(&TokRxInfo::new(vocab_size as u32, eos), &words);
        let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new(
            &environment,
            InferenceCapabilities::default(),
            &llguidance::earley::SlicedBiasComputer::general_slices(),
        )
        .map_err(|error| Error::Tokenizer(format!("its vocabulary: {error}")))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Self { factory, vocab_size, limits: Limits::default() }.with_limits(Limits::default()))
    }

    /// Takes grammars up to these limits.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        let settings = self.factory.limits_mut();
        settings.initial_lexer_fuel = limits.lexer_steps;
        settings.step_lexer_fuel = limits.token_steps;
        settings.max_lexer_states = limits.lexer_states;
        settings.max_grammar_size = limits.symbols;
        settings.max_items_in_row = limits.row_items;
        self.limits = limits;
        self
    }

    /// Compiles a grammar.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] that says what of the grammar is wrong or cannot be kept, or which of the [`Limits`] it is
    /// over.
    pub fn compile(&self, grammar: &Grammar) -> Result<Constraint> {
        self.compile_until(grammar, &CancelToken::new())
    }

    /// As [`Compiler::compile`], and ends when the token is cancelled: at once while the grammar is read, and between the parts of
    /// the library's work, each of which is short for a grammar within the limits.
    ///
    /// # Errors
    /// As [`Compiler::compile`], and [`Error::Unsupported`] that says it was cancelled.
    pub fn compile_until(&self, grammar: &Grammar, cancel: &CancelToken) -> Result<Constraint> {
        let mut start = on_known_stack(self.limits.stack, || {
            let mut budget = Budget::new(&self.limits, cancel);
            let grammar = weighed(grammar, &mut budget)?;
            assemble(&self.factory, grammar, budget.longest_row(), &self.limits, cancel)
        })?;
        let warnings = start.grammar_warnings();
        let (vocab_size, reply_steps) = (self.vocab_size, self.limits.reply_steps);
        // A form that no text has shows with the first token, and is told here, where the grammar has a name.
        let first = caught(|| Ok::<_, Error>(start.deep_clone()))?;
        Follower::new(first, reply_steps).allowed(&[])?;
        Ok(Constraint(Arc::new(Compiled { start, vocab_size, warnings, reply_steps })))
    }
}

/// The grammar for the library, once it is known to be within the limits.
fn weighed(grammar: &Grammar, budget: &mut Budget) -> Result<TopLevelGrammar> {
    Ok(match grammar {
        Grammar::JsonObject => {
            TopLevelGrammar::from_json_schema(laid_out(&json!({ "type": "object" }))?)
        }
        Grammar::JsonSchema(value) => {
            schema::bytes(value, budget)?;
            let value = Enforceable::whole(value)?;
            schema::weigh(&value, budget)?;
            TopLevelGrammar::from_json_schema(laid_out(&value)?)
        }
        Grammar::Regex(regex) => {
            budget.bytes(regex.len())?;
            budget.pattern(regex)?;
            TopLevelGrammar::from_regex(regex)
        }
        Grammar::Lark(text) => {
            lark::weigh(text, budget)?;
            TopLevelGrammar::from_lark(text.clone())
        }
    })
}

impl Constraint {
    /// What of the grammar may not mean what its author thinks.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
    }

    /// The same for a reply that goes on with a text of these tokens.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if nothing of this form begins with them; [`Error::Unsupported`] if it was cancelled.
    pub fn after(&self, tokens: &[u32], cancel: &CancelToken) -> Result<Self> {
        let Compiled { vocab_size, reply_steps, .. } = *self.0;
        let mut start = caught(|| Ok::<_, Error>(self.0.start.deep_clone()))?;
        for chunk in tokens.chunks(64) {
            cancel.check("the rest of a constraint")?;
            let taken = start.validate_tokens(chunk).is_ok_and(|taken| taken == chunk.len());
            if !taken || start.consume_tokens(chunk).is_err() {
                let reason = "what the reply goes on with is no beginning of a text of this form";
                return Err(Error::argument("constraint", reason));
            }
        }
        let warnings = self.0.warnings.clone();
        Ok(Self(Arc::new(Compiled { start, vocab_size, warnings, reply_steps })))
    }

    /// The beginning of a reply; `vocab_size` is the model's.
    pub(crate) fn follow(&self, vocab_size: usize) -> Result<Follower> {
        if self.0.vocab_size > vocab_size {
            return Err(Error::argument(
                "constraint",
                format_args!(
                    "was compiled for a vocabulary of {} tokens, and the model knows {vocab_size}",
                    self.0.vocab_size
                ),
            ));
        }
        let matcher = caught(|| Ok::<_, Error>(self.0.start.deep_clone()))?;
        Ok(Follower::new(matcher, self.0.reply_steps))
    }
}

impl std::fmt::Debug for Compiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compiler").field("vocab_size", &self.vocab_size).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint").field("warnings", &self.0.warnings).finish_non_exhaustive()
    }
}

/// One constraint is equal to its clones.
impl PartialEq for Constraint {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
