//! What takes the player's place in a program built without the feature `play`: it cannot be opened.

use crate::cli::exit::{Failure, Result};

/// There is none.
#[derive(Debug)]
pub(in crate::cli) enum Player {}

impl Player {
    /// # Errors
    /// Always.
    pub(super) fn open(_: u32) -> Result<Self> {
        Err(Failure::Other("this program was built without sound output".to_owned()))
    }

    pub(super) fn write(&mut self, _: &[f32], _: &dyn Fn() -> bool) -> Result {
        match *self {}
    }

    pub(super) fn drain(&mut self, _: &dyn Fn() -> bool) -> Result {
        match *self {}
    }
}
