//! Hands a grammar that was weighed to llguidance, within bounds that it does not keep by itself.

use std::panic::AssertUnwindSafe;

use llguidance::api::{GrammarInit, TopLevelGrammar};
use llguidance::earley::lexerspec::LexerSpec;
use llguidance::{Matcher, ParserFactory, panic_utils};

use super::Limits;
use super::budget::most;
use crate::generate::CancelToken;
use crate::{Error, Result};

/// A lexeme of this weight is run against the whole vocabulary when the lexer is made; so many are, at most, and where there are
/// more, masks take longer instead.
const HEAVY: u32 = 1000;
const HEAVY_LEXEMES: usize = 32;

/// The library goes over all symbols once for each part of a row that may be empty; so many looks it may take.
const LOOKS: usize = 36_000_000;
/// So much is told of what the library says, which may hold the whole of a pattern.
const TOLD: usize = 800;

/// Compiles a grammar to where every reply begins; `row` is the longest row or chain of its parts that may be empty.
pub(super) fn assemble(
    factory: &ParserFactory,
    grammar: TopLevelGrammar,
    row: usize,
    limits: &Limits,
    cancel: &CancelToken,
) -> Result<Matcher> {
    let check = || cancel.check("compiling the grammar");
    check()?;
    let environment = Some(factory.tok_env().clone());
    let init = GrammarInit::Serialized(grammar);
    let mut settings = factory.limits().clone();
    let (grammar, lexer) = caught(|| init.to_internal(environment, settings.clone()))?;
    most("symbols", "symbols when compiled", grammar.num_symbols(), limits.symbols)?;
    let looks = row.saturating_mul(grammar.num_symbols());
    if looks > LOOKS {
        let reason = format_args!(
            "has {row} optional properties of one object, or rules in a chain, among {} symbols: their product is {looks}, and \
             at most {LOOKS} is taken; require properties, or split the object",
            grammar.num_symbols()
        );
        return Err(Error::argument("grammar", reason));
    }
    check()?;
    settings.precompute_large_lexemes = try_lexer(&lexer, limits, factory)? <= HEAVY_LEXEMES;
    check()?;
    let parser = caught(|| {
        let init = GrammarInit::Internal(grammar, lexer);
        let logger = llguidance::Logger::new(0, 0);
        factory.create_parser_from_init_ext(init, logger, Default::default(), settings)
    })?;
    let matcher = caught(|| Ok::<_, Error>(Matcher::new(Ok(parser))))?;
    match matcher.get_error() {
        Some(error) => Err(refused(&error)),
        None => Ok(matcher),
    }
}

/// Makes the lexer once with its steps counted, since the library takes its first steps without a bound; the number of heavy
/// lexemes.
fn try_lexer(spec: &LexerSpec, limits: &Limits, factory: &ParserFactory) -> Result<usize> {
    let mut settings = factory.limits().clone();
    let mut lexer = caught(|| spec.to_regex_vec(&mut settings))?;
    let heavy = caught(|| {
        lexer.set_fuel(limits.lexer_steps);
        let start = lexer.initial_state(&spec.all_lexemes());
        for byte in 0..=255 {
            lexer.transition(start, byte);
            if lexer.has_error() {
                return Ok::<_, Error>(None);
            }
        }
        let heavy = spec.lexemes.iter().enumerate().filter(|(index, _)| {
            lexer.lexeme_weight(llguidance::earley::lexerspec::LexemeIdx::new(*index)) > HEAVY
        });
        Ok(Some(heavy.count()))
    })?;
    heavy.ok_or_else(|| {
        Error::argument(
            "grammar",
            format_args!(
                "takes more than {} steps to make a lexer of, the limit lexer_steps: take simpler patterns, a smaller \
                 multipleOf, or fewer values",
                limits.lexer_steps
            ),
        )
    })
}

/// Calls the library; what panics in it is its error.
pub(super) fn caught<T, E: std::fmt::Display>(call: impl FnOnce() -> Result<T, E>) -> Result<T> {
    match panic_utils::catch_unwind(AssertUnwindSafe(|| Ok(call()))) {
        Ok(result) => result.map_err(|error| refused(&error)),
        Err(panic) => Err(refused(&panic)),
    }
}

/// The library's own words, without where in its code it was.
pub(super) fn refused(error: &dyn std::fmt::Display) -> Error {
    let text = error.to_string();
    let told = text.split("<backtrace>").next().unwrap_or_default().trim();
    // An option of the library's own is none of ours.
    let told = told.split(" Enable '").next().unwrap_or(told);
    let told: &str = &match told.char_indices().nth(TOLD) {
        Some((end, _)) => format!("{}…", told.get(..end).unwrap_or_default()),
        None => told.to_owned(),
    };
    match told.strip_prefix("panic: ") {
        None => Error::argument("grammar", told),
        Some(panic) => {
            let reason = format_args!("is more than its library can compile: {panic}");
            Error::argument("grammar", reason)
        }
    }
}
