//! How a caller on another thread (or in a signal handler) ends a generation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::text::Interrupt;
use crate::{Error, Result};

/// What is cancelled where a text is read aloud.
pub(crate) const SPEECH: &str = "the rest of a speech";

/// A flag that ends the generations it was given to; clones share it.
///
/// It is looked at before each step, between two tokens and between two chunks of a long prompt, and within a step between two
/// layers.
///
/// ```
/// use crane_sdk::generate::CancelToken;
///
/// let cancel = CancelToken::new();
/// let button = cancel.clone();
/// std::thread::spawn(move || button.cancel()).join().ok();
/// // A generation that was given `cancel` ends at its next step.
/// assert!(cancel.is_cancelled());
/// ```
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that has not been cancelled.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends the generations; for good, until [`CancelToken::reset`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has been cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// For what is done with texts: it ends when this is cancelled.
    ///
    /// ```
    /// use crane_sdk::generate::CancelToken;
    /// use crane_sdk::text::RenderOptions;
    ///
    /// let cancel = CancelToken::new();
    /// let options = RenderOptions { interrupt: Some(cancel.interrupt()), ..RenderOptions::default() };
    /// # let _ = options;
    /// ```
    pub fn interrupt(&self) -> Interrupt {
        let token = self.clone();
        Interrupt::new(move || token.is_cancelled())
    }

    /// Ends work that is not a generation; `what` there is not then.
    pub(crate) fn check(&self, what: &str) -> Result<()> {
        if self.is_cancelled() {
            let hint = "it was cancelled".to_owned();
            return Err(Error::Unsupported { what: what.to_owned(), hint });
        }
        Ok(())
    }

    /// Makes it of use for the next generation.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
