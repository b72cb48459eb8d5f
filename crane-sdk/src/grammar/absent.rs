//! In the place of constraints where the library is built without the feature `grammar`: there are none.

use crate::Result;

/// A compiled grammar; none can be made without the feature `grammar`.
#[derive(Debug, Clone, PartialEq)]
pub enum Constraint {}

/// Where a reply is in its grammar.
#[derive(Debug)]
pub(crate) enum Follower {}

impl Constraint {
    pub(crate) fn follow(&self, _vocab_size: usize) -> Result<Follower> {
        match *self {}
    }
}

impl Follower {
    pub(crate) fn allowed(&mut self, _ends: &[u32]) -> Result<&[u32]> {
        match *self {}
    }

    pub(crate) fn take(&mut self, _id: u32) -> Result<bool> {
        match *self {}
    }
}
