//! Ctrl-C: it stops the reply in progress, and ends the program where there is none.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crane_sdk::generate::CancelToken;

use super::exit::{Failure, Result, code};

static REPLY: Mutex<Option<CancelToken>> = Mutex::new(None);
static PRESSED: AtomicBool = AtomicBool::new(false);

/// Takes over the interrupt signal for the life of the process.
///
/// # Errors
/// [`Failure::Other`] if the system has no signal to give.
pub(super) fn install() -> Result {
    ctrlc::set_handler(|| {
        let mut reply = REPLY.lock().unwrap_or_else(PoisonError::into_inner);
        match reply.take() {
            Some(token) => {
                PRESSED.store(true, Ordering::SeqCst);
                token.cancel();
            }
            // No reply to stop, or it is being stopped and somebody is impatient.
            None => std::process::exit(i32::from(code::INTERRUPTED)),
        }
    })
    .map_err(|error| Failure::Other(format!("cannot listen for Ctrl-C: {error}")))
}

/// A reply that Ctrl-C can stop for as long as this guard lives.
#[derive(Debug)]
pub(super) struct Interruptible {
    token: CancelToken,
}

impl Interruptible {
    /// From now on Ctrl-C cancels [`Interruptible::token`].
    pub(super) fn new() -> Self {
        let token = CancelToken::new();
        PRESSED.store(false, Ordering::SeqCst);
        *REPLY.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Interruptible { token }
    }

    /// What generation looks at.
    pub(super) fn token(&self) -> &CancelToken {
        &self.token
    }

    /// Whether Ctrl-C was pressed since the guard was made.
    pub(super) fn pressed(&self) -> bool {
        PRESSED.load(Ordering::SeqCst)
    }
}

impl Drop for Interruptible {
    fn drop(&mut self) {
        *REPLY.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
