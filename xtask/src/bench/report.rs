//! Tables of what was measured: `docs/bench/README.md` with everything, a summary in the README.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{Outcome, Record};
use crate::models::with_table;
use crate::process;

const BEGIN: &str = "<!-- bench: written by `cargo xtask bench` from docs/bench -->";
const END: &str = "<!-- /bench -->";
/// What is compared in the README.
const SUMMARY: [&str; 2] = ["pp512", "tg128"];
/// The same of browsers, where other programs take minutes for more.
const WEB_SUMMARY: [&str; 2] = ["pp128", "tg64"];

/// Where results are kept.
pub(super) fn folder() -> PathBuf {
    process::root().join("docs/bench")
}

/// Every test with every contender's speed, and how many times as fast Crane is.
pub(super) fn table(results: &[Outcome]) -> String {
    let mut programs: Vec<&str> = Vec::new();
    let mut rows: Vec<(usize, &str)> = Vec::new();
    for outcome in results {
        if !programs.contains(&outcome.program.as_str()) {
            programs.push(&outcome.program);
        }
        if !rows.contains(&(outcome.threads, &outcome.test)) {
            rows.push((outcome.threads, &outcome.test));
        }
    }
    let mut text = String::from("| threads | test |");
    programs.iter().for_each(|program| text += &format!(" {program} |"));
    text += "\n| ---: | --- |";
    programs.iter().for_each(|_| text += " ---: |");
    for (threads, test) in rows {
        let _ = write!(text, "\n| {threads} | {test} |");
        let find = |program: &str| {
            let is = |outcome: &&Outcome| {
                outcome.threads == threads && outcome.test == test && outcome.program == program
            };
            results.iter().find(is).map(|outcome| outcome.speed)
        };
        let own = find("Crane");
        for program in &programs {
            let cell = match (find(program), own) {
                (None, _) => String::new(),
                (Some(speed), Some(own)) if !program.starts_with("Crane") => {
                    format!("{speed:.1} (Crane {:.2}x)", own / speed)
                }
                (Some(speed), _) => format!("{speed:.1}"),
            };
            let _ = write!(text, " {cell} |");
        }
    }
    text
}

/// A line that says how soon each program gives its first token; empty where nothing was measured.
pub(super) fn starts(results: &[Outcome]) -> String {
    let mut times: Vec<String> = Vec::new();
    for Outcome { program, threads, first_token_ms, .. } in results {
        if let Some(ms) = first_token_ms {
            let count =
                if *threads == 1 { "one thread".into() } else { format!("{threads} threads") };
            let time = format!("{program} {:.2} s ({count})", ms / 1e3);
            if !times.contains(&time) {
                times.push(time);
            }
        }
    }
    match times.is_empty() {
        true => String::new(),
        false => {
            format!("From an open page, weights stored, to the first token: {}.", times.join(", "))
        }
    }
}

/// Writes both tables from `docs/bench/*.json`, or, with `check`, only demands that they are right.
pub fn write(check: bool) -> Result<()> {
    let records = records()?;
    let files = [
        (folder().join("README.md"), full(&records)),
        (process::root().join("README.md"), {
            let readme = std::fs::read_to_string(process::root().join("README.md"))
                .context("reading README.md")?;
            with_table(&readme, &summary(&records), BEGIN, END)?
        }),
    ];
    for (file, text) in files {
        let before = std::fs::read_to_string(&file).unwrap_or_default();
        if before == text {
            continue;
        }
        if check {
            bail!("{} is out of date; run `cargo xtask models`", file.display());
        }
        std::fs::write(&file, text).with_context(|| format!("writing {}", file.display()))?;
        println!("{} is written", file.display());
    }
    Ok(())
}

fn records() -> Result<Vec<(String, Record)>> {
    let mut records = Vec::new();
    for entry in std::fs::read_dir(folder()).context("reading docs/bench")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let text = std::fs::read_to_string(&path)?;
            let record = serde_json::from_str(&text)
                .with_context(|| format!("reading {}", path.display()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            records.push((name, record));
        }
    }
    records.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(records)
}

fn full(records: &[(String, Record)]) -> String {
    let mut text = String::from(
        "# Measurements\n\nTokens a second, medians of alternating runs on one machine; in brackets how many times as \
         fast Crane is in the same test.\nMachines here are shared, so ratios count and absolute numbers do not. Written \
         by `cargo xtask bench` from the JSON files beside this page, which hold every sample.\nWhat was measured of speech stands in \
         `docs/speech.md`.\n",
    );
    for (name, record) in records {
        let Record { model, date, commit, processor, cores, browser, rounds, results } = record;
        let place =
            browser.as_ref().map_or(String::new(), |browser| format!("{browser}, headless; "));
        let _ = write!(
            text,
            "\n## {name}\n\n{model}; {place}{processor}, {cores} cores; commit {commit}, {date}; {rounds} rounds.\n\n{}\n",
            table(results)
        );
        let starts = starts(results);
        if !starts.is_empty() {
            let _ = write!(text, "\n{starts}\n");
        }
        let mut peaks: Vec<String> = Vec::new();
        for outcome in results {
            if let Some(bytes) = outcome.peak_rss {
                let peak = format!("{} {} MiB", outcome.program, bytes >> 20);
                if !peaks.contains(&peak) {
                    peaks.push(peak);
                }
            }
        }
        if !peaks.is_empty() {
            let what = if browser.is_some() { "WebAssembly memory" } else { "Peak memory" };
            let _ = write!(text, "\n{what}: {}.\n", peaks.join(", "));
        }
    }
    text
}

/// One line a model, thread count and test, where a peer ran the same.
fn summary(records: &[(String, Record)]) -> String {
    let mut text = String::from(
        "| weights | threads | test | Crane | beside |\n| --- | ---: | --- | ---: | --- |",
    );
    for (_, record) in records {
        for own in record.results.iter().filter(|outcome| outcome.program == "Crane") {
            let same = |other: &&Outcome| {
                other.threads == own.threads
                    && other.test == own.test
                    && !other.program.starts_with("Crane")
            };
            let peers: Vec<String> = record
                .results
                .iter()
                .filter(same)
                .map(|peer| {
                    format!("{} {:.0} ({:.1}x)", peer.program, peer.speed, own.speed / peer.speed)
                })
                .collect();
            let (tests, place) = match record.browser {
                Some(_) => (WEB_SUMMARY, " in Chromium"),
                None => (SUMMARY, ""),
            };
            if tests.contains(&own.test.as_str()) && !peers.is_empty() {
                let (threads, test) = (own.threads, &own.test);
                let _ = write!(
                    text,
                    "\n| {}{place} | {threads} | {test} | {:.0} | {} |",
                    record.model,
                    own.speed,
                    peers.join(", ")
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(program: &str, test: &str, speed: f64) -> Outcome {
        Outcome {
            program: program.into(),
            threads: 1,
            test: test.into(),
            speed,
            samples: vec![speed],
            peak_rss: None,
            first_token_ms: None,
        }
    }

    #[test]
    fn tables_say_how_many_times_as_fast() {
        let results = [
            outcome("Crane", "pp512", 300.0),
            outcome("Crane", "tg128 x4", 90.0),
            outcome("llama.cpp", "pp512", 100.0),
        ];
        let expected = "| threads | test | Crane | llama.cpp |\n| ---: | --- | ---: | ---: |\n\
            | 1 | pp512 | 300.0 | 100.0 (Crane 3.00x) |\n| 1 | tg128 x4 | 90.0 |  |";
        assert_eq!(table(&results), expected);
        let record = Record {
            model: "m.gguf".into(),
            date: String::new(),
            commit: String::new(),
            processor: String::new(),
            cores: 2,
            browser: None,
            rounds: 1,
            results: results.to_vec(),
        };
        let text = summary(&[("m".into(), record)]);
        assert!(text.ends_with("\n| m.gguf | 1 | pp512 | 300 | llama.cpp 100 (3.0x) |"), "{text}");
    }
}
