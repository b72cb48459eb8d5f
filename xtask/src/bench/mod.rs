//! `cargo xtask bench`: Crane beside its peers, in turns, so that a noisy machine is noisy for all.

mod contenders;
pub mod embed;
mod limits;
mod report;
pub mod speech;
mod start;
pub mod web;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::process;
use limits::Limits;
pub use report::write as write_report;
use start::Start;

/// What is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// A GGUF file or a folder of safetensors
    model: PathBuf,
    /// Keep the results in docs/bench/NAME.json and write the tables made from it
    #[arg(long)]
    name: Option<String>,
    /// The same weights as a folder of safetensors, for PyTorch
    #[arg(long)]
    hf: Option<PathBuf>,
    /// Quantise a folder's weights while loading (Crane alone)
    #[arg(long)]
    quant: Option<String>,
    /// Threads for every contender
    #[arg(short, long, default_values_t = [1, 2], value_delimiter = ',')]
    threads: Vec<usize>,
    /// Times that each contender has its turn
    #[arg(short, long, default_value_t = 3)]
    rounds: usize,
    /// Tokens of the prompts that are timed
    #[arg(short = 'p', long, default_values_t = [128, 512], value_delimiter = ',')]
    prompt: Vec<usize>,
    /// Tokens of the generations that are timed
    #[arg(short = 'n', long, default_values_t = [128], value_delimiter = ',')]
    generate: Vec<usize>,
    /// Tokens in the cache before a test begins (Crane and llama.cpp)
    #[arg(short = 'd', long, default_values_t = [0], value_delimiter = ',')]
    depth: Vec<usize>,
    /// Sequences that generate together (Crane alone)
    #[arg(long, default_values_t = [1], value_delimiter = ',')]
    sequences: Vec<usize>,
    /// Types of the key/value cache, each a contender of its own: f32, f16, q8_0
    #[arg(long, default_values_t = ["f32".to_owned()], value_delimiter = ',')]
    kv_type: Vec<String>,
}

/// What was measured, as it is kept in `docs/bench`.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Weights that were run.
    model: String,
    date: String,
    commit: String,
    processor: String,
    cores: usize,
    /// The browser that everything ran in, if it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    browser: Option<String>,
    /// Turns that each contender had.
    rounds: usize,
    results: Vec<Outcome>,
    #[serde(flatten)]
    machine: Machine,
}

/// What a native run measures beside the contenders' speeds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Machine {
    /// What the machine gave in this run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    limits: Vec<Limits>,
    /// What Crane has to read and to multiply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    work: Option<Work>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    starts: Vec<Start>,
}

/// What a model asks of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Work {
    /// Bytes of the weights as Crane holds them; decoding reads them for every token.
    weight_bytes: u64,
    /// Multiply-adds for each token of a prompt: the weights of the layers.
    multiply_adds: u64,
}

/// One test of one contender.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Outcome {
    program: String,
    threads: usize,
    /// `pp512`, `tg128`, `tg128 @ d4096`, `tg128 x4`.
    test: String,
    /// Tokens a second: the median of the turns.
    speed: f64,
    /// Every turn's tokens a second.
    samples: Vec<f64>,
    /// The most memory that the program held, in bytes, where it tells; in a browser WebAssembly's alone.
    peak_rss: Option<u64>,
    /// In a browser: milliseconds from an open page, with the weights stored, to the first token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_token_ms: Option<f64>,
}

/// Tokens a second for each test.
type Speeds = BTreeMap<String, f64>;

/// Runs every contender that there is and prints medians, and each median as a part of Crane's.
pub fn run(options: &Options) -> Result<()> {
    process::run(&mut process::cargo("build --release --package crane-native --bin crane"))?;
    let mut results = Vec::new();
    let mut machine = Machine::default();
    // First: the system counts what this program held when it started another among what that one held.
    if options.depth == [0] && options.quant.is_none() {
        for &threads in &options.threads {
            machine.starts.extend(start::measure(options, threads)?);
        }
    }
    for &threads in &options.threads {
        machine.limits.push(Limits::measure(threads));
        let mut contenders = contenders::all(options, threads)?;
        let mut samples: Vec<BTreeMap<String, Vec<f64>>> = vec![BTreeMap::new(); contenders.len()];
        let mut peaks = vec![None; contenders.len()];
        for round in 1..=options.rounds {
            for (index, contender) in contenders.iter_mut().enumerate() {
                eprintln!(
                    "{threads} threads, round {round} of {}: {}",
                    options.rounds, contender.name
                );
                let text = process::output(&mut contender.command)?;
                let (speeds, peak) = (contender.read)(&text)?;
                machine.work = machine.work.or_else(|| contenders::work(&text));
                peaks[index] = peak.max(peaks[index]);
                for (test, speed) in speeds {
                    samples[index].entry(test).or_default().push(speed);
                }
            }
        }
        for ((contender, tests), peak_rss) in contenders.iter().zip(samples).zip(peaks) {
            results.extend(tests.into_iter().map(|(test, samples)| Outcome {
                program: contender.name.clone(),
                threads,
                test,
                speed: round(median(samples.clone())),
                samples: samples.into_iter().map(round).collect(),
                peak_rss,
                first_token_ms: None,
            }));
        }
    }
    println!("{}", report::table(&results));
    report::machine(&machine, &results).iter().for_each(|line| println!("\n{line}"));
    let Some(name) = &options.name else { return Ok(()) };
    let file_name = options.model.file_name().unwrap_or_default().to_string_lossy();
    let model = match &options.quant {
        Some(quant) => format!("{file_name} --quant {quant}"),
        None => file_name.into_owned(),
    };
    keep(name, model, None, options.rounds, results, machine)
}

/// Writes `docs/bench/NAME.json` and the tables.
fn keep(
    name: &str,
    model: String,
    browser: Option<String>,
    rounds: usize,
    results: Vec<Outcome>,
    machine: Machine,
) -> Result<()> {
    let record = Record {
        model,
        date: process::output(process::command("date").args(["-u", "+%F"]))?.trim().to_owned(),
        commit: process::output(process::command("git").args(["rev-parse", "--short", "HEAD"]))?
            .trim()
            .to_owned(),
        processor: processor(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        browser,
        rounds,
        results,
        machine,
    };
    let file = report::folder().join(format!("{name}.json"));
    std::fs::create_dir_all(report::folder()).context("making docs/bench")?;
    std::fs::write(&file, serde_json::to_string_pretty(&record)? + "\n")
        .with_context(|| format!("writing {}", file.display()))?;
    report::write(false)
}

/// The processor's own name, where Linux tells, and the widest instruction set of the kernels.
fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let name = field("model name").unwrap_or_else(|| "unknown processor".to_owned());
    let flags = field("flags").unwrap_or_default();
    let widest = ["avx512_vnni", "avx512f", "avx2"].into_iter().find(|set| flags.contains(set));
    match (widest, std::env::var("CRANE_ISA")) {
        (_, Ok(limit)) if !limit.is_empty() => format!("{name}, Crane limited to {limit}"),
        (Some(set), _) => format!("{name} ({set})"),
        (None, _) => name,
    }
}

/// To a hundredth: more says nothing.
fn round(speed: f64) -> f64 {
    (speed * 100.0).round() / 100.0
}

/// The middle value; for an even count the mean of the two middle ones.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        at(middle)
    } else {
        (at(middle.saturating_sub(1)) + at(middle)) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(round(1.23456), 1.23);
    }
}
