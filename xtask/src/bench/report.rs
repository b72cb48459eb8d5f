//! Tables of what was measured: `docs/bench/README.md` with everything, a summary in the README.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{Machine, Outcome, Record, Start};
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
        // Where the cache has several types, the first stands for Crane.
        let own = programs.iter().find(|program| program.starts_with("Crane"));
        let own = own.and_then(|program| find(program));
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

/// Lines that say how near Crane is to the machine's limits, and how soon programs start; none where nothing was measured.
pub(super) fn machine(machine: &Machine, results: &[Outcome]) -> Vec<String> {
    let mut lines = Vec::new();
    let threads = |count: usize| match count {
        1 => "one thread".to_owned(),
        count => format!("{count} threads"),
    };
    if let Some(work) = machine.work {
        let mut reads = Vec::new();
        let mut products = Vec::new();
        for limits in &machine.limits {
            let own = results
                .iter()
                .filter(|outcome| outcome.program == "Crane" && outcome.threads == limits.threads);
            // One sequence from an empty cache: with more, weights are not all that is read.
            for Outcome { test, speed, .. } in own.filter(|outcome| !outcome.test.contains(' ')) {
                let (unit, done, limit, list) =
                    match (test.starts_with("tg"), limits.byte_products_g_s) {
                        (true, _) => ("GB", work.weight_bytes, limits.read_gb_s, &mut reads),
                        (false, Some(limit)) => ("G", work.multiply_adds, limit, &mut products),
                        (false, None) => continue,
                    };
                let rate = speed * done as f64 / 1e9;
                let share = 100.0 * rate / limit;
                let count = threads(limits.threads);
                list.push(format!(
                    "{test} {rate:.1} of {limit:.1} {unit}/s ({share:.0} %, {count})"
                ));
            }
        }
        for (what, list) in [
            ("Weights that Crane reads, of what the machine's memory gives", reads),
            (
                "Multiply-adds that Crane makes, of the bytes that the processor multiplies",
                products,
            ),
        ] {
            if !list.is_empty() {
                lines.push(format!("{what}: {}.", list.join(", ")));
            }
        }
    }
    if !machine.starts.is_empty() {
        let start = |start: &Start| {
            let Start { program, ms, peak_rss, .. } = start;
            format!("{program} {ms:.0} ms, {} MiB ({})", peak_rss >> 20, threads(start.threads))
        };
        let list: Vec<String> = machine.starts.iter().map(start).collect();
        let what = "From the command to its end after one token, weights in the page cache, and the most memory held";
        lines.push(format!("{what}: {}.", list.join("; ")));
    }
    lines
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
        "# Measurements\n\nTokens (of `texts`: texts) a second, medians of alternating runs on one machine; in brackets how many times as \
         fast Crane is in the same test.\nMachines here are shared, so ratios count and absolute numbers do not. Written \
         by `cargo xtask bench` from the JSON files beside this page, which hold every sample.\nWhat was measured of speech stands in \
         `docs/speech.md`.\n",
    );
    for (name, record) in records {
        let Record { model, date, commit, processor, cores, browser, rounds, results, machine } =
            record;
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
        for line in self::machine(machine, results) {
            let _ = write!(text, "\n{line}\n");
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

/// The programs whose users look for Crane's speed in the README; records without them are in `docs/bench` alone.
const SUMMARY_PEERS: [&str; 2] = ["llama.cpp", "wllama"];

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
            let known = |peer: &String| SUMMARY_PEERS.iter().any(|name| peer.starts_with(name));
            if tests.contains(&own.test.as_str()) && peers.iter().any(known) {
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
    use super::super::{Limits, Work};
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
            machine: Machine::default(),
        };
        let text = summary(&[("m".into(), record)]);
        assert!(text.ends_with("\n| m.gguf | 1 | pp512 | 300 | llama.cpp 100 (3.0x) |"), "{text}");
    }

    #[test]
    fn lines_say_how_near_the_limits_are() {
        let machine = Machine {
            limits: vec![Limits { threads: 1, read_gb_s: 20.0, byte_products_g_s: Some(100.0) }],
            work: Some(Work { weight_bytes: 500_000_000, multiply_adds: 100_000_000 }),
            starts: vec![Start {
                program: "Crane".into(),
                threads: 2,
                ms: 300.4,
                samples: vec![300.4],
                peak_rss: 5 << 20,
            }],
        };
        let results = [outcome("Crane", "pp512", 300.0), outcome("Crane", "tg128", 30.0)];
        let lines = super::machine(&machine, &results);
        assert!(lines[0].ends_with(": tg128 15.0 of 20.0 GB/s (75 %, one thread)."), "{lines:?}");
        assert!(lines[1].ends_with(": pp512 30.0 of 100.0 G/s (30 %, one thread)."), "{lines:?}");
        assert!(lines[2].ends_with(": Crane 300 ms, 5 MiB (2 threads)."), "{lines:?}");
        assert!(super::machine(&machine, &[])[0].contains("300 ms"));
    }
}
