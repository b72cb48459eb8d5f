//! Text on stdin that is still being written.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::cli::exit::{Failure, Result};

/// The most bytes that are taken at a time.
const PIECE: usize = 4096;

/// What has been read so far.
#[derive(Default)]
struct Seen {
    text: String,
    waited: Duration,
    failure: Option<Failure>,
}

/// Watches a [`Reader`].
#[derive(Clone, Default)]
pub(super) struct Watch(Arc<Mutex<Seen>>);

impl Watch {
    fn with<T>(&self, body: impl FnOnce(&mut Seen) -> T) -> T {
        body(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long reading has waited so far.
    pub(super) fn waited(&self) -> Duration {
        self.with(|seen| seen.waited)
    }

    /// All text, once it has ended.
    ///
    /// # Errors
    /// [`Failure::Usage`] if it is not UTF-8, [`Failure::Other`] if it could not be read.
    pub(super) fn finish(self) -> Result<String> {
        self.with(|seen| match seen.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(std::mem::take(&mut seen.text)),
        })
    }
}

/// Text as it comes; it ends at the first failure, which the watch keeps.
pub(super) struct Reader<R> {
    from: R,
    /// The beginning of a character.
    part: Vec<u8>,
    watch: Watch,
    begun: bool,
    ended: bool,
}

/// Reads from `from`, and what watches it.
pub(super) fn read<R: Read>(from: R) -> (Reader<R>, Watch) {
    let watch = Watch::default();
    (Reader { from, part: Vec::new(), watch: watch.clone(), begun: false, ended: false }, watch)
}

impl<R: Read> Reader<R> {
    fn more(&mut self) -> Result<Option<String>> {
        let mut room = [0u8; PIECE];
        let count = loop {
            match self.from.read(&mut room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => {
                    break result
                        .map_err(|error| Failure::Other(format!("cannot read stdin: {error}")))?;
                }
            }
        };
        let mut bytes = std::mem::take(&mut self.part);
        bytes.extend_from_slice(room.get(..count).unwrap_or_default());
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(error) if error.error_len().is_none() && count > 0 => {
                let (whole, part) = bytes.split_at(error.valid_up_to());
                self.part = part.to_vec();
                std::str::from_utf8(whole).unwrap_or_default()
            }
            Err(error) => {
                return Err(Failure::Usage(format!("stdin is not UTF-8 text: {error}")));
            }
        };
        // An editor's mark of the encoding is no text.
        let mark = if self.begun { None } else { text.strip_prefix('\u{feff}') };
        self.begun |= !text.is_empty();
        Ok((count > 0).then(|| mark.unwrap_or(text).to_owned()))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        let start = Instant::now();
        let text = self.more();
        self.watch.with(|seen| {
            seen.waited += start.elapsed();
            match text {
                Ok(text) => {
                    self.ended = text.is_none();
                    seen.text.push_str(text.as_deref().unwrap_or_default());
                    text
                }
                Err(failure) => {
                    self.ended = true;
                    seen.failure = Some(failure);
                    None
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// Gives a byte at a time.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(1);
            room[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn characters_stay_whole() {
        let text = "Grüße, 世界. 🙂";
        for given in [text.to_owned(), format!("\u{feff}{text}")] {
            let (reader, watch) = read(Slow(given.as_bytes()));
            assert_eq!(reader.collect::<String>(), text);
            assert_eq!(watch.finish().unwrap(), text);
        }
    }

    #[test]
    fn what_is_not_text_is_an_error_after_what_is() {
        for bad in [&b"Hi. \xff you"[..], b"Hi. \xe4\xb8"] {
            let (reader, watch) = read(Slow(bad));
            assert_eq!(reader.collect::<String>(), "Hi. ");
            let Err(Failure::Usage(message)) = watch.finish() else { unreachable!() };
            assert!(message.contains("not UTF-8"), "{message}");
        }
    }
}
