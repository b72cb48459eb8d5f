//! From a grammar to what a sampler can ask: which tokens may come next.

use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{
    ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie,
};
use llguidance::{Matcher, ParserFactory};
use serde_json::json;

use super::{Follower, Grammar, laid_out};
use crate::text::Tokenizer;
use crate::{Error, Result};

/// Compiles grammars for one vocabulary. Making one takes a tenth of a second for a large vocabulary; compiling takes
/// milliseconds for most grammars.
pub struct Compiler {
    factory: ParserFactory,
    vocab_size: usize,
}

/// A compiled grammar, for any number of replies.
#[derive(Clone)]
pub struct Constraint(Arc<Compiled>);

struct Compiled {
    /// Where every reply begins.
    start: Matcher,
    vocab_size: usize,
    warnings: Vec<String>,
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
        Ok(Self { factory, vocab_size })
    }

    /// Compiles a grammar.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] that says what of the grammar is wrong or cannot be kept.
    pub fn compile(&self, grammar: &Grammar) -> Result<Constraint> {
        let grammar = match grammar {
            Grammar::JsonObject => {
                TopLevelGrammar::from_json_schema(laid_out(&json!({ "type": "object" }))?)
            }
            Grammar::JsonSchema(value) => TopLevelGrammar::from_json_schema(laid_out(value)?),
            Grammar::Regex(regex) => TopLevelGrammar::from_regex(regex),
            Grammar::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
        };
        let mut start = Matcher::new(self.factory.create_parser(grammar));
        if let Some(error) = start.get_error() {
            return Err(Error::argument("grammar", error.trim()));
        }
        let warnings = start.grammar_warnings();
        Ok(Constraint(Arc::new(Compiled { start, vocab_size: self.vocab_size, warnings })))
    }
}

impl Constraint {
    /// What of the grammar may not mean what its author thinks.
    pub fn warnings(&self) -> &[String] {
        &self.0.warnings
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
        Ok(Follower::new(self.0.start.deep_clone()))
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
