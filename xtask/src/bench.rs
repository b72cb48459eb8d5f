//! `cargo xtask bench`: Crane beside its peers, in turns, so that a noisy machine is noisy for all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::process;

/// What is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// A GGUF file
    model: PathBuf,
    /// Threads for every contender
    #[arg(short, long, default_value_t = 1)]
    threads: usize,
    /// Times that each contender has its turn
    #[arg(short, long, default_value_t = 3)]
    rounds: usize,
    /// Tokens of the prompt that is timed
    #[arg(short = 'p', long, default_value_t = 512)]
    prompt: usize,
    /// Tokens of the generation that is timed
    #[arg(short = 'n', long, default_value_t = 128)]
    generate: usize,
}

/// One program, and how its output is read.
struct Contender {
    name: &'static str,
    command: Command,
    read: fn(&str) -> Result<Speeds>,
}

/// Tokens a second for each test: `pp512`, `tg128`.
type Speeds = BTreeMap<String, f64>;

/// Runs every contender that there is and prints medians, and each median as a part of Crane's.
pub fn run(options: &Options) -> Result<()> {
    let here = std::env::current_dir().context("finding the current folder")?;
    let model = here.join(&options.model);
    process::run(&mut process::cargo("build --release --package crane-native --bin crane"))?;
    let mut contenders = contenders(options, &model)?;
    let mut samples: Vec<BTreeMap<String, Vec<f64>>> = vec![BTreeMap::new(); contenders.len()];
    for round in 1..=options.rounds {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            eprintln!("round {round} of {}: {}", options.rounds, contender.name);
            let text = process::output(&mut contender.command)?;
            for (test, speed) in (contender.read)(&text)? {
                samples.entry(test).or_default().push(speed);
            }
        }
    }
    let medians: Vec<Speeds> = samples
        .into_iter()
        .map(|tests| tests.into_iter().map(|(test, speeds)| (test, median(speeds))).collect())
        .collect();
    let Some(crane) = medians.first() else { return Ok(()) };
    println!("| program | test | t/s | Crane is faster by |\n| --- | --- | ---: | ---: |");
    for (contender, speeds) in contenders.iter().zip(&medians) {
        for (test, speed) in speeds {
            // Peers may time tests that Crane was not asked for.
            if let Some(own) = crane.get(test) {
                println!("| {} | {test} | {speed:.2} | {:.2} x |", contender.name, own / speed);
            }
        }
    }
    Ok(())
}

/// Crane first, then the peers that the environment names.
fn contenders(options: &Options, model: &std::path::Path) -> Result<Vec<Contender>> {
    let threads = options.threads.to_string();
    let (prompt, generate) = (options.prompt.to_string(), options.generate.to_string());
    let sizes = ["-p", &prompt, "-n", &generate, "-t", &threads, "-r", "1"];

    let mut crane = process::command(process::target_dir()?.join("release/crane"));
    crane.arg("bench").arg(model).args(sizes).arg("--json");
    let mut contenders = vec![Contender { name: "crane", command: crane, read: llama_bench_json }];
    if let Some(program) = std::env::var_os("LLAMA_BENCH") {
        let mut command = process::command(program);
        command.arg("-m").arg(model).args(sizes).args(["-o", "json"]);
        contenders.push(Contender { name: "llama.cpp", command, read: llama_bench_json });
    }
    if let Some(program) = std::env::var_os("CANDLE_BENCH") {
        if (options.prompt, options.generate) != (512, 128) {
            bail!("candle's bench times pp512 and tg128 only; leave -p and -n alone");
        }
        let name = model.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let kind = if name.contains("qwen") { "gguf-qwen2" } else { "gguf-llama" };
        let mut command = process::command(program);
        command.arg(kind).arg(model).arg("1").env("RAYON_NUM_THREADS", &threads);
        contenders.push(Contender { name: "candle", command, read: candle_lines });
    }
    Ok(contenders)
}

/// llama-bench's JSON, which `crane bench` shares: a list of tests with their samples.
fn llama_bench_json(text: &str) -> Result<Speeds> {
    let tests: Vec<Value> = serde_json::from_str(text).context("reading the bench's JSON")?;
    let mut speeds = Speeds::new();
    for test in &tests {
        let count = |key: &str| test.get(key).and_then(Value::as_u64).unwrap_or(0);
        let name = match (count("n_prompt"), count("n_gen")) {
            (prompt, 0) => format!("pp{prompt}"),
            (0, generate) => format!("tg{generate}"),
            (prompt, generate) => format!("pp{prompt}+tg{generate}"),
        };
        let speed = test.get("avg_ts").and_then(Value::as_f64);
        speeds.insert(name, speed.context("the bench's JSON has no avg_ts")?);
    }
    Ok(speeds)
}

/// Lines like `pp512 113.40 (max 114.02) per-cpu-second 113.9`.
fn candle_lines(text: &str) -> Result<Speeds> {
    let mut speeds = Speeds::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if let (Some(test), Some(speed)) = (words.next(), words.next())
            && (test.starts_with("pp") || test.starts_with("tg"))
        {
            let speed = speed.parse().with_context(|| format!("reading {line:?}"))?;
            speeds.insert(test.to_owned(), speed);
        }
    }
    Ok(speeds)
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
    fn reads_what_the_benches_print() {
        let json =
            r#"[{"n_prompt":512,"n_gen":0,"avg_ts":100.5},{"n_prompt":0,"n_gen":128,"avg_ts":20}]"#;
        let read = llama_bench_json(json).unwrap();
        assert_eq!(read, Speeds::from([("pp512".into(), 100.5), ("tg128".into(), 20.0)]));
        let lines =
            "load 0.3 s\npp512 99.5 (max 100.1) per-cpu-second 98\ntg128 19.00 (max 19.1)\n";
        let read = candle_lines(lines).unwrap();
        assert_eq!(read, Speeds::from([("pp512".into(), 99.5), ("tg128".into(), 19.0)]));
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
