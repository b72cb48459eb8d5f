//! What is left of a compilation's limits while a grammar is read.

use super::Limits;
use crate::generate::CancelToken;
use crate::{Error, Result};

/// So many steps are taken between two looks at the token that cancels.
const GLANCE: u64 = 1024;

/// Counts what reading a grammar takes.
pub(super) struct Budget<'a> {
    pub(super) limits: &'a Limits,
    cancel: &'a CancelToken,
    steps: u64,
    looked: u64,
    bytes: usize,
    row: usize,
}

impl<'a> Budget<'a> {
    /// A full one.
    pub(super) fn new(limits: &'a Limits, cancel: &'a CancelToken) -> Self {
        Self { limits, cancel, steps: 0, looked: 0, bytes: 0, row: 0 }
    }

    /// Takes steps.
    pub(super) fn step(&mut self, count: u64) -> Result<()> {
        self.steps = self.steps.saturating_add(count);
        if self.steps > self.limits.steps {
            return Err(Error::argument(
                "grammar",
                format_args!(
                    "takes more than {} steps to read, the limit steps: make it smaller, or combine fewer schemas with \
                     allOf, anyOf, oneOf and $ref",
                    self.limits.steps
                ),
            ));
        }
        if self.steps - self.looked >= GLANCE {
            self.looked = self.steps;
            self.cancel.check("compiling the grammar")?;
        }
        Ok(())
    }

    /// Takes bytes of text.
    pub(super) fn bytes(&mut self, count: usize) -> Result<()> {
        self.bytes = self.bytes.saturating_add(count);
        most("bytes", "bytes of text", self.bytes, self.limits.bytes)
    }

    /// Takes a regular expression.
    pub(super) fn pattern(&mut self, text: &str) -> Result<()> {
        let what = "bytes in a regular expression";
        most("pattern_bytes", what, text.len(), self.limits.pattern_bytes)?;
        self.step(32 + 4 * text.len() as u64)
    }

    /// Notes a row or a chain of parts that may each be empty.
    pub(super) fn row(&mut self, count: usize) {
        self.row = self.row.max(count);
    }

    /// The longest that was noted.
    pub(super) fn longest_row(&self) -> usize {
        self.row
    }

    /// Looks at the token that cancels.
    pub(super) fn check(&self) -> Result<()> {
        self.cancel.check("compiling the grammar")
    }
}

/// Refuses what is over a limit, by the limit's name.
pub(super) fn most(limit: &str, what: &str, count: usize, most: usize) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    Err(Error::argument("grammar", format_args!("has {count} {what}; the limit {limit} is {most}")))
}
