//! `cargo xtask bench-web`: the npm package beside wllama (llama.cpp in WebAssembly) in headless Chromium, in turns.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;
use serde::Deserialize;

use super::{Machine, Outcome, Speeds, contenders, keep, median, report, round};
use crate::{process, setup};

/// The npm package that is timed beside Crane's.
const WLLAMA: &str = "@wllama/wllama";
const WLLAMA_VERSION: &str = "3.8.1";

/// What is measured in a browser.
#[derive(Debug, Args)]
pub struct Options {
    /// A GGUF file
    model: PathBuf,
    /// Keep the results in docs/bench/NAME.json and write the tables made from it
    #[arg(long)]
    name: Option<String>,
    /// Threads for every contender
    #[arg(short, long, default_values_t = [1, 2], value_delimiter = ',')]
    threads: Vec<usize>,
    /// Times that each contender has its turn
    #[arg(short, long, default_value_t = 3)]
    rounds: usize,
    /// Tokens of the prompt that is timed
    #[arg(short = 'p', long, default_value_t = 128)]
    prompt: usize,
    /// Tokens of the generation that is timed
    #[arg(short = 'n', long, default_value_t = 64)]
    generate: usize,
}

/// What `web_bench.mjs` prints.
#[derive(Debug, Deserialize)]
struct Turn {
    speeds: Speeds,
    first_token_ms: Option<f64>,
    memory: Option<u64>,
}

/// One engine and how it is run.
struct Contender {
    name: String,
    command: Command,
    read: fn(&str) -> Result<Turn>,
}

/// Every turn of one engine.
#[derive(Default)]
struct Turns {
    speeds: BTreeMap<String, Vec<f64>>,
    first_token_ms: Vec<f64>,
    memory: Option<u64>,
}

/// Builds the package, fetches wllama, runs every engine in turns and prints medians.
pub fn run(options: &Options) -> Result<()> {
    crate::wasm::package(false, crate::wasm::Names::Removed)?;
    process::run(process::command("npm").args(["--prefix", "npm", "run", "build"]))?;
    process::run(&mut process::cargo("build --release --package crane-native --bin crane"))?;
    let wllama = fetch_wllama()?;
    let mut results = Vec::new();
    for &threads in &options.threads {
        let mut engines = engines(options, threads, &wllama)?;
        let mut turns: Vec<Turns> = engines.iter().map(|_| Turns::default()).collect();
        for number in 1..=options.rounds {
            for (engine, turns) in engines.iter_mut().zip(&mut turns) {
                let (name, rounds) = (&engine.name, options.rounds);
                eprintln!("{threads} threads, round {number} of {rounds}: {name}");
                let turn = (engine.read)(&process::output(&mut engine.command)?)?;
                for (test, speed) in turn.speeds {
                    turns.speeds.entry(test).or_default().push(speed);
                }
                turns.first_token_ms.extend(turn.first_token_ms);
                turns.memory = turns.memory.max(turn.memory);
            }
        }
        for (engine, turns) in engines.iter().zip(turns) {
            let first_token_ms =
                (!turns.first_token_ms.is_empty()).then(|| median(turns.first_token_ms).round());
            results.extend(turns.speeds.into_iter().map(|(test, samples)| Outcome {
                program: engine.name.clone(),
                threads,
                test,
                speed: round(median(samples.clone())),
                samples: samples.into_iter().map(round).collect(),
                peak_rss: turns.memory,
                first_token_ms,
            }));
        }
    }
    println!("{}", report::table(&results));
    println!("{}", report::starts(&results));
    let Some(name) = &options.name else { return Ok(()) };
    let file_name = options.model.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let browser = match setup::chromium() {
        Some(program) => process::output(process::command(program).arg("--version"))?,
        None => "Chromium".to_owned(),
    };
    keep(name, file_name, Some(browser), options.rounds, results, Machine::default())
}

/// Crane's builds first, then wllama, then Crane without a browser on the instruction set that is the closest.
fn engines(options: &Options, threads: usize, wllama: &Path) -> Result<Vec<Contender>> {
    let model = std::env::current_dir().context("finding the current folder")?.join(&options.model);
    // One thread has the build for every browser, and several have the page whose workers share no memory.
    let other = match threads {
        1 => ("Crane, SIMD128", "crane-simd128"),
        _ => ("Crane, not isolated", "crane-shards"),
    };
    let [threads, prompt, generate] =
        [threads, options.prompt, options.generate].map(|n| n.to_string());
    let mut engines = Vec::new();
    for (name, engine) in [("Crane", "crane"), other, ("wllama", "wllama")] {
        let mut command = process::command("node");
        command.arg("xtask/peers/web_bench.mjs").arg(engine).arg(&model);
        command.args([&threads, &prompt, &generate]).arg(wllama);
        if let Some(chromium) = setup::chromium() {
            command.env("CHROMIUM", chromium);
        }
        let read = |text: &str| serde_json::from_str(text).context("reading the page's JSON");
        engines.push(Contender { name: name.to_owned(), command, read });
    }
    let mut native = process::command(process::target_dir()?.join("release/crane"));
    native.arg("bench").arg(&model).args(["-p", &prompt, "-n", &generate, "-t", &threads]);
    native.args(["-r", "1", "--json"]).env("CRANE_ISA", "avx2");
    let read = |text: &str| {
        let (speeds, _) = contenders::llama_bench_json(text)?;
        Ok(Turn { speeds, first_token_ms: None, memory: None })
    };
    engines.push(Contender { name: "Crane, native AVX2".to_owned(), command: native, read });
    Ok(engines)
}

/// wllama's folder; npm brings it the first time.
fn fetch_wllama() -> Result<PathBuf> {
    let folder = process::target_dir()?.join("bench-web");
    let package = folder.join("node_modules").join(WLLAMA);
    let manifest = std::fs::read_to_string(package.join("package.json")).unwrap_or_default();
    if !manifest.contains(&format!("\"version\": \"{WLLAMA_VERSION}\"")) {
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut npm = process::command("npm");
        npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--prefix"]).arg(&folder);
        process::run(npm.arg(format!("{WLLAMA}@{WLLAMA_VERSION}")))?;
    }
    Ok(package)
}
