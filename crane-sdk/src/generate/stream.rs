//! A generation as a stream, for asynchronous callers.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::{Generation, Output, Piece, Step};
use crate::Result;

/// A reply under way: a stream of [`Piece`]s.
///
/// Each poll makes one step on the polling thread and never waits. A step that only evaluates a chunk
/// of the prompt wakes the task and returns, so that other tasks run between chunks; a caller whose
/// executor must not be held up for the length of a step runs it on a thread of its own.
#[derive(Debug)]
pub struct GenerationStream<'a> {
    generation: Generation<'a>,
}

impl<'a> GenerationStream<'a> {
    pub(super) fn new(generation: Generation<'a>) -> Self {
        Self { generation }
    }

    /// The whole, as far as it came: if it has not ended, it is cancelled here.
    pub fn finish(self) -> Output {
        self.generation.finish()
    }
}

impl Stream for GenerationStream<'_> {
    type Item = Result<Piece>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.generation.step() {
            Ok(Step::Piece(piece)) => Poll::Ready(Some(Ok(piece))),
            Ok(Step::Prefill { .. }) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Ok(Step::Done) => Poll::Ready(None),
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }
}
