//! hibari by `crane tts`, by its own pipeline and in a page, one after the other, so that a noisy machine is noisy for all.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::record::{Measure, Reach};
use super::{PEER, SENTENCE, SENTENCES};
use crate::{process, setup};

/// One contender's turn.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Turn {
    /// Of twenty sentences as one text: time by duration.
    factor: f64,
    /// From the text, a sentence of twenty words, to its first samples.
    first_ms: f64,
}

/// What a page made.
#[derive(Debug, Deserialize)]
pub(super) struct Samples {
    pub snr_db: f64,
    pub underruns: f64,
    pub seconds: f64,
}

/// `crane tts` with this voice on one thread.
pub(super) fn crane(hibari: &Path) -> Result<Command> {
    let mut crane = process::command(process::target_dir()?.join("release/crane"));
    crane.arg("tts").arg("-m").arg(hibari).args(["-t", "1"]);
    Ok(crane)
}

/// Every contender's turns.
pub(super) fn run(hibari: &Path, rounds: usize) -> Result<Vec<Measure>> {
    let (mut own, mut peer, mut page) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        eprintln!("round {round} of {rounds}");
        own.push(native(hibari)?);
        peer.push(original()?);
        page.push(in_page()?);
    }
    let factors = |turns: &[Turn]| turns.iter().map(|turn| turn.factor).collect::<Vec<f64>>();
    let firsts = |turns: &[Turn]| turns.iter().map(|turn| turn.first_ms).collect::<Vec<f64>>();
    let name = "its own pipeline (onnxruntime)";
    let measure = |what: &str, most: f64, samples| Measure::new(what, Reach::AtMost(most), samples);
    Ok(vec![
        measure("hibari: real-time factor, native, 1 thread", 0.03, factors(&own))
            .beside(name, factors(&peer)),
        measure("hibari: first sound of 20 words after loading, native, ms", 60.0, firsts(&own))
            .beside(name, firsts(&peer)),
        measure("hibari: real-time factor, Chromium, 1 thread", 0.1, factors(&page)),
        measure(
            "hibari: first sound of 20 words after loading, Chromium, ms",
            250.0,
            firsts(&page),
        ),
    ])
}

fn native(hibari: &Path) -> Result<Turn> {
    let mut whole = crane(hibari)?;
    whole.args(["-", "-o"]).arg(process::target_dir()?.join("bench-speech/all.wav"));
    let mut sentence = crane(hibari)?;
    sentence.args([SENTENCE, "--stream", "-"]);
    Ok(Turn {
        factor: noted(&mut whole, "real-time factor ")?,
        first_ms: noted(&mut sentence, "first sound after ")?,
    })
}

/// A number of the line that `crane tts` writes to stderr.
fn noted(crane: &mut Command, label: &str) -> Result<f64> {
    let output = crane.stdin(sentences()?).stdout(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    number_after(&said, label)
        .with_context(|| format!("{} did not say its {label}: {said}", process::spell(crane)))
}

fn number_after(text: &str, label: &str) -> Option<f64> {
    let (_, rest) = text.split_once(label)?;
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    rest.get(..end)?.parse().ok()
}

fn sentences() -> Result<std::fs::File> {
    std::fs::File::open(process::root().join(SENTENCES)).context(SENTENCES)
}

fn original() -> Result<Turn> {
    let mut python = process::command(PEER.program()?);
    python.args(["xtask/peers/hibari_bench.py", SENTENCE]).stdin(sentences()?);
    serde_json::from_str(&process::output(&mut python)?).context("reading the pipeline's JSON")
}

fn in_page() -> Result<Turn> {
    let mut node = page();
    node.args(["turn", SENTENCE, SENTENCES]);
    serde_json::from_str(&process::output(&mut node)?).context("reading the page's JSON")
}

/// Says every sentence in a page, into wav files, and plays a minute of speech.
pub(super) fn page_samples(native: &Path, out: &Path) -> Result<Samples> {
    let mut node = page();
    node.arg("samples").arg(native).arg(out).arg(SENTENCES);
    serde_json::from_str(&process::output(&mut node)?).context("reading the page's JSON")
}

fn page() -> Command {
    let mut node = process::command("node");
    node.arg("xtask/peers/speech_bench.mjs");
    if let Some(chromium) = setup::chromium() {
        node.env("CHROMIUM", chromium);
    }
    node
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_after_their_labels() {
        let line = "hibari (heart): 2.00 s of speech in 0.014 s, real-time factor 0.0068, first sound after 9 ms; 1 threads\n";
        assert_eq!(number_after(line, "real-time factor "), Some(0.0068));
        assert_eq!(number_after(line, "first sound after "), Some(9.0));
        assert_eq!(number_after(line, "tokens "), None);
    }
}
