//! What the encoding of one text may take: a time for its length, and whoever asked may end it.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use web_time::Instant;

use crate::{Error, Result};

/// Asked in the midst of work whether the work should end: a client has left, a deadline has passed.
///
/// ```
/// use crane_sdk::text::Interrupt;
/// let token = crane_sdk::generate::CancelToken::new();
/// let interrupt = Interrupt::new({
///     let token = token.clone();
///     move || token.is_cancelled()
/// });
/// assert!(!interrupt.is_set());
/// token.cancel();
/// assert!(interrupt.is_set());
/// ```
#[derive(Clone)]
pub struct Interrupt(Arc<dyn Fn() -> bool + Send + Sync>);

impl Interrupt {
    /// `ended` says whether the work should end; it is asked often and must be cheap.
    pub fn new(ended: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(ended))
    }

    /// Whether the work should end.
    pub fn is_set(&self) -> bool {
        (self.0)()
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Interrupt").finish_non_exhaustive()
    }
}

/// Time for any text, however short.
const BASE: Duration = Duration::from_secs(5);
/// Time for each byte: some hundred times what an ordinary tokenizer takes, so that only a hostile one reaches it.
const PER_BYTE: Duration = Duration::from_micros(20);
/// Steps between two looks at the clock.
const STEPS: u32 = 16;

/// The budget of one call.
pub(super) struct Budget<'a> {
    bytes: usize,
    started: Instant,
    interrupt: Option<&'a Interrupt>,
    steps: Cell<u32>,
}

impl<'a> Budget<'a> {
    /// For a text of so many bytes.
    pub(super) fn new(bytes: usize, interrupt: Option<&'a Interrupt>) -> Self {
        Self { bytes, started: Instant::now(), interrupt, steps: Cell::new(0) }
    }

    /// To be called at each step (a match, a token): few of them take longer than some milliseconds.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the work was interrupted, [`Error::Tokenizer`] if it takes far too long.
    pub(super) fn check(&self) -> Result<()> {
        if self.interrupt.is_some_and(Interrupt::is_set) {
            return Err(Error::Unsupported {
                what: "the text's encoding".to_owned(),
                hint: "it was cancelled".to_owned(),
            });
        }
        let steps = self.steps.get().wrapping_add(1);
        self.steps.set(steps);
        if steps.is_multiple_of(STEPS) {
            let bytes = u32::try_from(self.bytes).unwrap_or(u32::MAX);
            let most = BASE.saturating_add(PER_BYTE.saturating_mul(bytes));
            if self.started.elapsed() > most {
                return Err(Error::Tokenizer(format!(
                    "the tokenizer took longer than {} s for a text of {bytes} bytes; its patterns or its \
                     vocabulary are hostile or damaged",
                    most.as_secs()
                )));
            }
        }
        Ok(())
    }
}
