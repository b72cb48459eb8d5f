//! What a transfer tells while it runs, and a terminal that shows it.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Mutex;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::terminal;

/// How far the transfer of one file is.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Transfer<'a> {
    /// The file's name in its repository.
    pub file: &'a str,
    /// Bytes on disk, those of an earlier try included.
    pub loaded: u64,
    /// Bytes that the file has.
    pub total: u64,
    /// Bytes a second since this try began.
    pub bytes_per_second: f64,
}

/// Something that the user may want to see.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The files that will be fetched are known; cached ones are not counted.
    Planned {
        /// How many files will be fetched.
        files: usize,
        /// How many bytes they have together.
        bytes: u64,
    },
    /// A transfer begins; `loaded` bytes are there from an earlier try.
    Started(Transfer<'a>),
    /// A transfer went on. Comes a few times a second.
    Advanced(Transfer<'a>),
    /// A file is complete, verified and in its place.
    Finished(Transfer<'a>),
    /// A sentence for the user: which model answers, what is tried again.
    Notice(&'a str),
}

/// Receives the events of a transfer, and can stop it.
///
/// Any `Fn(Event)` is one that never stops it.
pub trait Progress: Sync {
    /// Takes note of an event.
    fn report(&self, event: Event<'_>);

    /// Whether the transfer should stop: asked several times a second. What was loaded is kept.
    fn cancelled(&self) -> bool {
        false
    }
}

impl<F: Fn(Event<'_>) + Sync> Progress for F {
    fn report(&self, event: Event<'_>) {
        self(event);
    }
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _event: Event<'_>) {}
}

/// Shows a bar a file on stderr, or a line a file where stderr is not a terminal.
///
/// Stdout stays untouched: it carries answers alone.
#[derive(Debug)]
pub struct TerminalProgress {
    bars: MultiProgress,
    running: Mutex<HashMap<String, ProgressBar>>,
    interactive: bool,
}

impl Default for TerminalProgress {
    fn default() -> Self {
        Self::new()
    }
}

impl TerminalProgress {
    /// Bars on stderr.
    pub fn new() -> Self {
        Self {
            bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)),
            running: Mutex::default(),
            interactive: std::io::stderr().is_terminal(),
        }
    }

    fn say(&self, line: &str) {
        // Names of files and what a server says are strangers' texts.
        let line = terminal::line(line);
        // A closed stderr is no reason to stop a transfer.
        if !self.interactive || self.bars.println(&line).is_err() {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    fn bar(&self, transfer: Transfer<'_>) -> ProgressBar {
        let template =
            "{msg:32!} {bar:24} {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4}";
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("=> ");
        let bar = self.bars.add(ProgressBar::new(transfer.total).with_style(style));
        bar.set_message(terminal::line(transfer.file).into_owned());
        bar.set_position(transfer.loaded);
        bar.reset_eta();
        bar
    }
}

impl Progress for TerminalProgress {
    fn report(&self, event: Event<'_>) {
        let Ok(mut running) = self.running.lock() else { return };
        match event {
            Event::Planned { files: 0, .. } => {}
            Event::Planned { files, bytes } => {
                let plural = if files == 1 { "file" } else { "files" };
                self.say(&format!("fetching {files} {plural}, {}", size(bytes)));
            }
            Event::Started(transfer) => {
                if self.interactive {
                    running.insert(transfer.file.to_owned(), self.bar(transfer));
                } else if transfer.loaded > 0 {
                    let (loaded, total) = (size(transfer.loaded), size(transfer.total));
                    self.say(&format!("  {} resumes at {loaded} of {total}", transfer.file));
                }
            }
            Event::Advanced(transfer) => {
                if let Some(bar) = running.get(transfer.file) {
                    bar.set_position(transfer.loaded);
                }
            }
            Event::Finished(transfer) => {
                if let Some(bar) = running.remove(transfer.file) {
                    bar.finish_and_clear();
                    self.bars.remove(&bar);
                }
                let speed = size(transfer.bytes_per_second as u64);
                self.say(&format!("  {} {} ({speed}/s)", transfer.file, size(transfer.total)));
            }
            Event::Notice(sentence) => self.say(sentence),
        }
    }
}

/// A size for people, in powers of ten as disks and networks count: `98.4 MB`.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for next in ["kB", "MB", "GB", "TB"] {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (98_362_432, "98.4 MB"),
            (999_960_000, "1.0 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
