//! What becomes of the matches of a splitting pattern: pieces of text, as `SplitDelimiterBehavior` of `tokenizers` defines them.

use tokenizers::SplitDelimiterBehavior;

use crate::Result;

/// Turns matches and what lies between them into pieces, one at a time.
pub(super) struct Splitter<'t, F> {
    text: &'t str,
    behavior: SplitDelimiterBehavior,
    /// Matches are what is kept apart, and what lies between them is the delimiter.
    invert: bool,
    /// The end of the last match.
    end: usize,
    /// A piece that may still grow.
    held: Option<(usize, usize)>,
    previous: bool,
    sink: F,
}

impl<'t, F: FnMut(&'t str) -> Result<()>> Splitter<'t, F> {
    /// A splitter of `text` that gives its pieces to `sink`.
    pub(super) fn new(
        text: &'t str,
        behavior: SplitDelimiterBehavior,
        invert: bool,
        sink: F,
    ) -> Self {
        Self { text, behavior, invert, end: 0, held: None, previous: false, sink }
    }

    /// The next match.
    pub(super) fn matched(&mut self, start: usize, end: usize) -> Result<()> {
        if self.end != start {
            self.part(self.end, start, self.invert)?;
        }
        self.part(start, end, !self.invert)?;
        self.end = end;
        Ok(())
    }

    /// The end of the text.
    pub(super) fn finish(mut self) -> Result<()> {
        if self.end != self.text.len() {
            self.part(self.end, self.text.len(), self.invert)?;
        }
        self.flush()
    }

    fn part(&mut self, start: usize, end: usize, delimiter: bool) -> Result<()> {
        use SplitDelimiterBehavior::{
            Contiguous, Isolated, MergedWithNext, MergedWithPrevious, Removed,
        };
        let previous = std::mem::replace(&mut self.previous, delimiter);
        match self.behavior {
            Isolated => self.emit(start, end),
            Removed if delimiter => Ok(()),
            Removed => self.emit(start, end),
            Contiguous if delimiter == previous => self.grow(start, end),
            MergedWithPrevious if delimiter && !previous => self.grow(start, end),
            MergedWithNext if !delimiter => {
                let start = self.held.take().map_or(start, |(start, _)| start);
                self.emit(start, end)
            }
            Contiguous | MergedWithPrevious | MergedWithNext => {
                self.flush()?;
                self.held = Some((start, end));
                Ok(())
            }
        }
    }

    fn grow(&mut self, start: usize, end: usize) -> Result<()> {
        self.held = Some((self.held.map_or(start, |(start, _)| start), end));
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        match self.held.take() {
            Some((start, end)) => self.emit(start, end),
            None => Ok(()),
        }
    }

    fn emit(&mut self, start: usize, end: usize) -> Result<()> {
        match self.text.get(start..end) {
            Some(piece) if !piece.is_empty() => (self.sink)(piece),
            _ => Ok(()),
        }
    }
}
