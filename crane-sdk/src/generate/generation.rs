//! The faces of one generation: an iterator, a callback, and the way to a stream.

use std::ops::ControlFlow;

use super::{GenerationStream, Output, Piece, Session, Step};
use crate::Result;

/// A reply under way: an iterator of [`Piece`]s.
///
/// It yields one piece for each chosen token (its text may be empty), an error at most once, and then
/// nothing more. Dropping it midway gives the reply up; the session stays of use.
#[derive(Debug)]
pub struct Generation<'a> {
    session: &'a mut Session,
}

impl<'a> Generation<'a> {
    pub(super) fn new(session: &'a mut Session) -> Self {
        Self { session }
    }

    /// Makes one step: a chunk of the prompt, or a token. The iterator skips the chunks.
    ///
    /// # Errors
    /// As [`Session::step`].
    pub fn step(&mut self) -> Result<Step> {
        self.session.step()
    }

    /// Whether it has not ended.
    pub fn is_running(&self) -> bool {
        self.session.is_running()
    }

    /// The tokens in the window: before the first step, those of the prompt that the context policy
    /// left.
    pub fn tokens(&self) -> &[u32] {
        self.session.tokens()
    }

    /// Calls `each` with every piece, to the end or until it breaks, which cancels the rest.
    ///
    /// # Errors
    /// As [`Session::step`].
    pub fn run(mut self, mut each: impl FnMut(Piece) -> ControlFlow<()>) -> Result<Output> {
        for piece in &mut self {
            if each(piece?).is_break() {
                break;
            }
        }
        Ok(self.finish())
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// As [`Session::step`].
    pub fn complete(self) -> Result<Output> {
        self.run(|_| ControlFlow::Continue(()))
    }

    /// The whole, as far as it came: if it has not ended, it is cancelled here.
    pub fn finish(self) -> Output {
        // Only this and the drop take the output, so that it is there.
        self.session.finish().unwrap_or_else(|| Output::nothing(0))
    }

    /// The same as a stream; each poll makes one step.
    pub fn into_stream(self) -> GenerationStream<'a> {
        GenerationStream::new(self)
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Ok(Step::Piece(piece)) => return Some(Ok(piece)),
                Ok(Step::Prefill { .. }) => {}
                Ok(Step::Done) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Drop for Generation<'_> {
    fn drop(&mut self) {
        self.session.finish();
    }
}
