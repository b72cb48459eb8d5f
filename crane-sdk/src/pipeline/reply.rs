//! A chat's reply under way.

use std::ops::ControlFlow;

use super::Chat;
use crate::Result;
use crate::generate::{Output, Piece, Step};
use crate::text::Message;

/// A reply under way: an iterator of [`Piece`]s, as [`Generation`](crate::generate::Generation).
///
/// However it ends, run to the end, cancelled, failed or dropped, the chat remembers it as far as it
/// was said.
#[derive(Debug)]
pub struct Reply<'a> {
    chat: &'a mut Chat,
}

impl<'a> Reply<'a> {
    pub(super) fn new(chat: &'a mut Chat) -> Self {
        Self { chat }
    }

    /// Makes one step: a chunk of the prompt, or a token. The iterator skips the chunks.
    ///
    /// # Errors
    /// As [`Session::step`](crate::generate::Session::step).
    pub fn step(&mut self) -> Result<Step> {
        self.chat.session.step()
    }

    /// Calls `each` with every piece, to the end or until it breaks, which cancels the rest.
    ///
    /// # Errors
    /// As [`Reply::step`].
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
    /// As [`Reply::step`].
    pub fn complete(self) -> Result<Output> {
        self.run(|_| ControlFlow::Continue(()))
    }

    /// The whole, as far as it came: if it has not ended, it is cancelled here.
    pub fn finish(mut self) -> Output {
        // Only this and the drop take the output, so that it is there.
        self.remember().unwrap_or_else(|| Output::nothing(0))
    }

    /// Takes the output once and adds it to what was said.
    fn remember(&mut self) -> Option<Output> {
        let output = self.chat.session.finish()?;
        self.chat.messages.push(Message::assistant(output.text.clone()));
        Some(output)
    }
}

impl Iterator for Reply<'_> {
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

impl Drop for Reply<'_> {
    fn drop(&mut self) {
        self.remember();
    }
}
