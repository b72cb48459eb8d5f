//! `cargo xtask bench-speech`: what the speech models should reach and what they do, by one command.

mod record;
mod turns;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use crate::python::Environment;
use crate::{listening, process, setup};
pub use record::write as write_report;
use record::{Measure, Reach, Record};

/// hibari's own pipeline.
const PEER: Environment =
    Environment { name: "speech-peer", requirements: "xtask/peers/speech-requirements.txt" };
/// Twenty sentences, one a line.
const SENTENCES: &str = "xtask/listening/sentences.txt";
/// Twenty words.
const SENTENCE: &str = "The small dog ran across the green field and barked at the old man who was walking by the river.";

/// How speech is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// Keep the results in docs/bench/speech/NAME.json and write the table made from it
    #[arg(long)]
    name: Option<String>,
    /// Times that each contender has its turn
    #[arg(short, long, default_value_t = 3)]
    rounds: usize,
}

/// What the codec benchmark prints.
#[derive(Debug, Deserialize)]
struct Codecs {
    codecs: Vec<CodecRun>,
    hibari: HibariRun,
}

#[derive(Debug, Deserialize)]
struct CodecRun {
    name: String,
    factors: Vec<f64>,
    joins_db: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct HibariRun {
    joins_db: Option<f64>,
}

/// Builds everything, measures it and prints a table.
pub fn run(options: &Options) -> Result<()> {
    if options.rounds == 0 {
        bail!("--rounds must be 1 or more");
    }
    process::run(&mut process::cargo("build --release --package crane-native --bin crane"))?;
    crate::wasm::package(false, crate::wasm::Names::Removed)?;
    process::run(process::command("npm").args(["--prefix", "npm", "run", "build"]))?;
    PEER.install()?;
    listening::install()?;
    let scratch = process::target_dir()?.join("bench-speech");
    let [hibari, whisper] = listening::models()?;

    let native = scratch.join("native");
    std::fs::create_dir_all(&native).with_context(|| format!("making {}", native.display()))?;
    let text = std::fs::read_to_string(process::root().join(SENTENCES)).context(SENTENCES)?;
    for (index, sentence) in text.lines().enumerate() {
        let mut crane = turns::crane(&hibari)?;
        crane.args([sentence, "-o"]).arg(native.join(format!("{index:02}.wav")));
        process::output(&mut crane)?;
    }

    let mut measures = turns::run(&hibari, options.rounds)?;
    eprintln!("the page's samples, and a minute of speech");
    let page = scratch.join("page");
    let found = turns::page_samples(&native, &page)?;
    measures.push(Measure::new(
        "the page's samples beside the native program's, dB",
        Reach::AtLeast(40.0),
        vec![found.snr_db],
    ));
    let gaps = format!("underruns in {:.0} s of speech in Chromium", found.seconds);
    measures.push(Measure::new(&gaps, Reach::AtMost(0.0), vec![found.underruns]));
    eprintln!("codecs");
    measures.extend(codecs(&hibari)?);
    eprintln!("word error rates");
    measures.extend(word_errors(&whisper, [&native, &page])?);

    let record = Record::of(options.rounds, browser()?, measures)?;
    println!("{}", record.table());
    match &options.name {
        Some(name) => record.keep(name),
        None => Ok(()),
    }
}

fn browser() -> Result<String> {
    match setup::chromium() {
        Some(program) => process::output(process::command(program).arg("--version")),
        None => bail!("no Chromium was found; run `cargo xtask setup` or set CHROMIUM"),
    }
}

/// SNAC and BiCodec at their real sizes with two threads, and what joins of pieces cost.
fn codecs(hibari: &Path) -> Result<Vec<Measure>> {
    let mut bench = process::cargo("bench --package crane-sdk --bench codec -- --json --hibari");
    bench.arg(hibari).env("RAYON_NUM_THREADS", "2");
    let text = process::output(&mut bench)?;
    let found: Codecs = serde_json::from_str(&text).context("reading the codecs' JSON")?;
    let joins = |name: &str, db: Option<f64>| {
        let what = format!("{name}: pieces beside the whole, dB");
        Measure::new(&what, Reach::AtLeast(60.0), db.into_iter().collect())
    };
    let mut measures = Vec::new();
    for codec in found.codecs {
        let most = if codec.name.starts_with("SNAC") { 0.15 } else { 0.3 };
        let what =
            format!("{}: real-time factor of decoding, random weights, 2 threads", codec.name);
        measures.push(Measure::new(&what, Reach::AtMost(most), codec.factors));
        measures.push(joins(&codec.name, codec.joins_db));
    }
    measures.push(joins("hibari", found.hibari.joins_db));
    Ok(measures)
}

/// Words of a hundred that Whisper base hears as others.
fn word_errors(whisper: &Path, folders: [&PathBuf; 2]) -> Result<Vec<Measure>> {
    let rates = listening::rates(whisper, &folders)?;
    let names = ["natively", "in Chromium"];
    let measures = names.into_iter().zip(rates).map(|(name, rate)| {
        let what = format!("word error rate of twenty sentences, {name}, %");
        Measure::new(&what, Reach::AtMost(4.0), vec![100.0 * rate])
    });
    Ok(measures.collect())
}
