//! Text on stdin: read to its end, but not without a word about what is waited for, and not without a limit.

use std::io::{self, IsTerminal, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::exit::{Failure, Result};
use super::output::Console;
use crate::plain_text;

/// The most that is read, in bytes: no tokenizer takes a longer text.
const MOST: usize = 64 << 20;
/// How long reading may take before it is said.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a pipe that has nothing now is left alone, where reading does not wait by itself.
const LOOK: Duration = Duration::from_millis(10);

/// All of stdin, without the line end that closes it.
///
/// # Errors
/// [`Failure::Usage`] if it is no text or has more than 64 MiB, [`Failure::Other`] if it cannot be read.
pub(super) fn text(console: Console) -> Result<String> {
    let bytes = to_end(console, &mut io::stdin().lock(), io::stdin().is_terminal())?;
    without_line_end(bytes)
}

/// The text that is piped in beside a prompt. A terminal has none, nor has a stdin that is closed or empty.
///
/// # Errors
/// As [`text`]; one that cannot be read is warned of.
pub(super) fn beside(console: Console) -> Result<Option<String>> {
    if io::stdin().is_terminal() {
        return Ok(None);
    }
    let text = match to_end(console, &mut io::stdin().lock(), false) {
        Ok(bytes) => without_line_end(bytes)?,
        Err(Failure::Other(reason)) => {
            console.warn(format_args!("{reason}; the prompt is used alone"));
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    };
    Ok(Some(text).filter(|text| !text.trim().is_empty()))
}

/// A prompt with the text that it is about, the prompt first.
pub(super) fn together(prompt: &str, text: &str) -> String {
    format!("{prompt}\n\n{text}")
}

fn without_line_end(bytes: Vec<u8>) -> Result<String> {
    let mut text =
        plain_text::decode(bytes).map_err(|reason| Failure::Usage(format!("stdin {reason}")))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// A person at a terminal knows what they are typing; nobody is behind a pipe that stays open.
fn to_end(console: Console, from: &mut impl Read, typed: bool) -> Result<Vec<u8>> {
    let seen = Arc::new(AtomicUsize::new(0));
    let (done, waiting) = mpsc::channel::<()>();
    if !typed {
        let seen = seen.clone();
        // Without a thread for it nothing is said, and the text is read all the same.
        let _ = thread::Builder::new().name("crane-stdin".to_owned()).spawn(move || {
            if waiting.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                // Not hidden by --quiet: this may take for ever.
                console.tell(format_args!(
                    "waiting for the end of stdin ({} bytes so far); `< /dev/null` says that there is no text",
                    seen.load(Ordering::Relaxed)
                ));
            }
        });
    }
    let bytes = limited(from, MOST, &seen);
    drop(done);
    bytes
}

fn limited(from: &mut impl Read, most: usize, seen: &AtomicUsize) -> Result<Vec<u8>> {
    let (mut bytes, mut room) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match from.read(&mut room) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(room.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The other end may have made the pipe one that does not wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(LOOK),
            Err(error) => return Err(Failure::Other(format!("cannot read stdin: {error}"))),
        }
        if bytes.len() > most {
            return Err(Failure::Usage(format!(
                "stdin has more than {most} bytes, the most that is read as one text; give it in parts"
            )));
        }
        seen.store(bytes.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, and between them what a pipe may say.
    struct Odd(u8);

    impl Read for Odd {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            self.0 += 1;
            match self.0 {
                1 | 5 => Err(io::ErrorKind::WouldBlock.into()),
                2 => Err(io::ErrorKind::Interrupted.into()),
                3 | 4 => {
                    room[0] = self.0;
                    Ok(1)
                }
                _ => Ok(0),
            }
        }
    }

    #[test]
    fn a_pipe_is_read_to_its_end_and_not_beyond_the_limit() {
        let seen = AtomicUsize::new(0);
        assert_eq!(limited(&mut Odd(0), 2, &seen).unwrap(), [3, 4]);
        assert_eq!(seen.load(Ordering::Relaxed), 2);
        assert!(matches!(limited(&mut Odd(0), 1, &seen), Err(Failure::Usage(_))));
        assert!(matches!(limited(&mut io::repeat(0), 9, &seen), Err(Failure::Usage(_))));
    }
}
