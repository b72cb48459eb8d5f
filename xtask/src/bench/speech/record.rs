//! What was measured of speech: kept in `docs/bench/speech`, told in `docs/speech.md`.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::super::{median, processor};
use crate::models::with_table;
use crate::process;

const BEGIN: &str = "<!-- speech: written by `cargo xtask bench-speech` from docs/bench/speech -->";
const END: &str = "<!-- /speech -->";

/// What a number should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reach {
    AtMost(f64),
    AtLeast(f64),
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measure {
    /// What was measured, and its unit.
    what: String,
    reach: Reach,
    /// Every turn; none where sounds that are compared are the same to the last bit.
    samples: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    beside: Option<Beside>,
}

/// Another program's turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Beside {
    program: String,
    samples: Vec<f64>,
}

/// A file of `docs/bench/speech`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    date: String,
    commit: String,
    processor: String,
    cores: usize,
    browser: String,
    rounds: usize,
    measures: Vec<Measure>,
}

impl Measure {
    pub(super) fn new(what: &str, reach: Reach, samples: Vec<f64>) -> Self {
        // Six digits: more say nothing, and keep the files long.
        let samples = samples.into_iter().map(|sample| (sample * 1e6).round() / 1e6).collect();
        Self { what: what.to_owned(), reach, samples, beside: None }
    }

    pub(super) fn beside(mut self, program: &str, samples: Vec<f64>) -> Self {
        let other = Measure::new(&self.what, self.reach, samples);
        self.beside = Some(Beside { program: program.to_owned(), samples: other.samples });
        self
    }

    fn row(&self) -> String {
        let sign = if matches!(self.reach, Reach::AtMost(_)) { "≤" } else { "≥" };
        let (Reach::AtMost(bound) | Reach::AtLeast(bound)) = self.reach;
        let found = median(self.samples.clone());
        let (found, kept) = match (self.samples.is_empty(), self.reach) {
            (true, _) => ("the same to the last bit".to_owned(), true),
            (false, Reach::AtMost(_)) => (number(found), found <= bound),
            (false, Reach::AtLeast(_)) => (number(found), found >= bound),
        };
        let missed = if kept { "" } else { " **missed**" };
        let beside = self.beside.as_ref().map_or(String::new(), |other| {
            format!("; {} {}", other.program, number(median(other.samples.clone())))
        });
        format!("| {} | {sign} {} | {found}{missed}{beside} |", self.what, number(bound))
    }
}

/// Three digits.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        100.0.. => 0,
        10.0.. => 1,
        1.0.. => 2,
        0.0 => 0,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

impl Record {
    pub(super) fn of(rounds: usize, browser: String, measures: Vec<Measure>) -> Result<Self> {
        let git = |words: &[&str]| process::output(process::command("git").args(words));
        Ok(Self {
            date: process::output(process::command("date").args(["-u", "+%F"]))?,
            commit: git(&["rev-parse", "--short", "HEAD"])?,
            processor: processor(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            browser: browser.trim().to_owned(),
            rounds,
            measures,
        })
    }

    pub(super) fn table(&self) -> String {
        let mut text = String::from("| what | reach | found |\n| --- | ---: | --- |");
        for measure in &self.measures {
            let _ = write!(text, "\n{}", measure.row());
        }
        text
    }

    /// Writes `docs/bench/speech/NAME.json` and the table of `docs/speech.md`.
    pub(super) fn keep(&self, name: &str) -> Result<()> {
        std::fs::create_dir_all(folder()).context("making docs/bench/speech")?;
        let file = folder().join(format!("{name}.json"));
        std::fs::write(&file, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("writing {}", file.display()))?;
        write(false)
    }
}

fn folder() -> PathBuf {
    process::root().join("docs/bench/speech")
}

/// Writes the tables of `docs/speech.md` from the records, or, with `check`, only demands that they are right.
pub fn write(check: bool) -> Result<()> {
    let mut files = Vec::new();
    // Nothing has been kept before the first record.
    if folder().is_dir() {
        for entry in std::fs::read_dir(folder()).context("reading docs/bench/speech")? {
            files.push(entry?.path());
        }
    }
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    let mut tables = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path)?;
        let record: Record =
            serde_json::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        let Record { date, commit, processor, cores, browser, rounds, .. } = &record;
        tables.push(format!(
            "{processor}, {cores} cores; {browser}, headless; commit {commit}, {date}; medians of {rounds} rounds.\n\n{}",
            record.table()
        ));
    }
    let file = process::root().join("docs/speech.md");
    let before = std::fs::read_to_string(&file).context("reading docs/speech.md")?;
    let text = with_table(&before, &tables.join("\n\n"), BEGIN, END)?;
    if before == text {
        return Ok(());
    }
    if check {
        bail!("docs/speech.md is out of date; run `cargo xtask models`");
    }
    std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
    println!("{} is written", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_say_what_was_reached_and_what_was_missed() {
        let measure = Measure::new("factor", Reach::AtMost(0.03), vec![0.007, 0.01, 0.0068]);
        assert_eq!(measure.row(), "| factor | ≤ 0.03 | 0.007 |");
        let measure = measure.beside("other", vec![0.5]);
        assert_eq!(measure.row(), "| factor | ≤ 0.03 | 0.007; other 0.5 |");
        let measure = Measure::new("joins, dB", Reach::AtLeast(60.0), vec![12.25]);
        assert_eq!(measure.row(), "| joins, dB | ≥ 60 | 12.2 **missed** |");
        let measure = Measure::new("joins, dB", Reach::AtLeast(60.0), Vec::new());
        assert_eq!(measure.row(), "| joins, dB | ≥ 60 | the same to the last bit |");
        let measure = Measure::new("gaps", Reach::AtMost(0.0), vec![0.0]);
        assert_eq!(measure.row(), "| gaps | ≤ 0 | 0 |");
        assert_eq!([1000.0, 9.96, 250.0].map(number), ["1000", "9.96", "250"]);
    }
}
