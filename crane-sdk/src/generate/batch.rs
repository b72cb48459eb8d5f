//! Several sessions through one forward pass.

use std::sync::Arc;

use super::session::copy_row;
use super::{CancelToken, Prepared, Session, Step};
use crate::models::LogitsRows;
use crate::{Error, Result};

/// Makes one step of every session through a single pass over the weights.
///
/// Each running session adds its own segment: a chunk of its prompt, or one token. Sessions may join
/// and leave between two calls, and those that are not running give [`Step::Done`]. A session's
/// tokens are those that it would have chosen alone. The results are in the order of the sessions; an
/// error among them ended that session's generation only.
///
/// ```
/// use std::sync::Arc;
///
/// use crane_sdk::generate::{CancelToken, GenerationConfig, Session, step_together};
/// use crane_sdk::models::{LoadOptions, load};
/// use crane_sdk::text::Tokenizer;
/// # let file = |name: &str| std::fs::read(format!("tests/fixtures/qwen2_tied/{name}")).unwrap_or_default();
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", file("config.json"))
/// #     .with("model.safetensors", file("model.safetensors"))
/// #     .with("tokenizer.json", file("tokenizer.json"));
///
/// let tokenizer = Arc::new(Tokenizer::from_source(&source)?);
/// let model = load(&source, &LoadOptions::default())?.model;
/// let config = GenerationConfig { max_new_tokens: Some(4), ..GenerationConfig::default() };
/// let mut one = Session::new(model.clone(), tokenizer.clone(), 128)?;
/// let mut two = Session::new(model, tokenizer.clone(), 128)?;
/// one.begin(&tokenizer.encode("The quick", true)?, &config, &CancelToken::new())?;
/// two.begin(&tokenizer.encode("Hello", true)?, &config, &CancelToken::new())?;
/// while one.is_running() || two.is_running() {
///     for step in step_together(&mut [&mut one, &mut two])? {
///         step?;
///     }
/// }
/// assert!(one.finish().is_some() && two.finish().is_some());
/// # Ok::<(), crane_sdk::Error>(())
/// ```
///
/// # Errors
/// [`Error::InvalidArgument`] if the sessions do not share one model; whatever the forward pass
/// returns. Every session is then as it was before the call, still running.
pub fn step_together(sessions: &mut [&mut Session]) -> Result<Vec<Result<Step>>> {
    let Some(model) = sessions.first().map(|session| session.model().clone()) else {
        return Ok(Vec::new());
    };
    if sessions.iter().any(|session| !Arc::ptr_eq(session.model(), &model)) {
        return Err(Error::argument("sessions", "do not all share one model"));
    }
    let prepared: Vec<Result<Prepared>> =
        sessions.iter_mut().map(|session| session.sequence.prepare()).collect();
    let feeds = |index: usize| matches!(prepared.get(index), Some(Ok(Prepared::Feed)));

    let cached: Vec<usize> = sessions.iter().map(|session| session.cached()).collect();
    let fed = sessions.iter().enumerate().filter(|(index, _)| feeds(*index));
    let tokens: Vec<CancelToken> =
        fed.map(|(_, session)| session.sequence.cancel_token()).collect();
    let first = tokens.first().cloned().unwrap_or_default();
    let mut batch = Vec::new();
    for (index, session) in sessions.iter_mut().enumerate() {
        if feeds(index) {
            batch.push(session.sequence.segment());
        }
    }
    let wanted: Vec<bool> =
        batch.iter().map(|segment| segment.logits == LogitsRows::Last).collect();
    // The pass goes on for as long as anybody waits for it: the numbers of the others do not depend on who has left.
    let mut cancelled = false;
    let forward = match batch.is_empty() {
        true => Ok(None),
        false => model
            .forward_observed(&mut batch, &mut |_, _| {
                cancelled = tokens.iter().all(CancelToken::is_cancelled);
                if cancelled { first.check("the rest of a step") } else { Ok(()) }
            })
            .map(Some),
    };
    drop(batch);

    let mut wanted = wanted.into_iter();
    let mut rows = 0..;
    let copied = forward.and_then(|logits| {
        let mut has_row = vec![false; sessions.len()];
        for (index, session) in sessions.iter_mut().enumerate() {
            if feeds(index)
                && wanted.next() == Some(true)
                && let (Some(logits), Some(row)) = (&logits, rows.next())
            {
                copy_row(logits, row, &mut session.row)?;
                has_row[index] = true;
            }
        }
        Ok(has_row)
    });
    let has_row = match copied {
        Ok(has_row) => has_row,
        Err(error) => {
            for (session, cached) in sessions.iter_mut().zip(cached) {
                session.sequence.rollback(cached);
            }
            if cancelled {
                return Ok(sessions.iter_mut().zip(prepared).map(left).collect());
            }
            return Err(error);
        }
    };
    let steps = sessions.iter_mut().zip(prepared).zip(has_row).map(|((session, prepared), row)| {
        match prepared? {
            Prepared::Ended(piece) => Ok(piece.map_or(Step::Done, Step::Piece)),
            Prepared::Feed => {
                let step = session.sequence.accept(row.then_some(session.row.as_mut_slice()));
                step.map_err(|error| session.located(error))
            }
        }
    });
    Ok(steps.collect())
}

/// A session's step in a pass that was left because all who took part in it were cancelled.
fn left((session, prepared): (&mut &mut Session, Result<Prepared>)) -> Result<Step> {
    match prepared? {
        Prepared::Ended(piece) => Ok(piece.map_or(Step::Done, Step::Piece)),
        Prepared::Feed => session.sequence.cancelled(),
    }
}
