//! `cargo xtask bench-embed`: vectors of texts beside llama.cpp's and sentence-transformers', in turns.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::start::once;
use super::{Machine, Outcome, keep, median, report, round};
use crate::process;

/// Sentences are taken from these pages.
const PAGES: [&str; 5] =
    ["README.md", "CHANGELOG.md", "docs/architecture.md", "docs/server.md", "docs/cli.md"];
/// So often, that starting a program is a small part of its turn.
const TIMES: usize = 3;

/// What is measured.
#[derive(Debug, Args)]
pub struct Options {
    /// An encoder: a GGUF file, which llama.cpp runs too, or a folder of safetensors
    model: PathBuf,
    /// Keep the results in docs/bench/NAME.json and write the tables made from it
    #[arg(long)]
    name: Option<String>,
    /// The same weights as a folder of safetensors, for sentence-transformers
    #[arg(long)]
    hf: Option<PathBuf>,
    /// Threads for every contender
    #[arg(short, long, default_values_t = [1, 2], value_delimiter = ',')]
    threads: Vec<usize>,
    /// Times that each contender has its turn
    #[arg(short, long, default_value_t = 3)]
    rounds: usize,
}

/// One program's turn: texts a second, and the most bytes that it held, where it tells.
type Turn = Box<dyn Fn(usize) -> Result<(f64, Option<u64>)>>;

/// Builds Crane, measures everybody and prints a table.
pub fn run(options: &Options) -> Result<()> {
    if options.rounds == 0 {
        bail!("--rounds must be 1 or more");
    }
    process::run(&mut process::cargo("build --release --package crane-native --bin crane"))?;
    let file = process::target_dir()?.join("bench-embed.txt");
    let count = texts(&file)?;
    let contenders = contenders(options, &file, count)?;
    let mut results = Vec::new();
    for &threads in &options.threads {
        let mut turns = vec![(Vec::new(), None); contenders.len()];
        for number in 1..=options.rounds {
            eprintln!("{threads} threads, round {number} of {}", options.rounds);
            for ((samples, peak), (_, turn)) in turns.iter_mut().zip(&contenders) {
                let (speed, held) = turn(threads)?;
                samples.push(round(speed));
                *peak = held.max(*peak);
            }
        }
        results.extend(contenders.iter().zip(turns).map(|((name, _), (samples, peak_rss))| {
            Outcome {
                program: (*name).to_owned(),
                threads,
                test: "texts".to_owned(),
                speed: round(median(samples.clone())),
                samples,
                peak_rss,
                first_token_ms: None,
            }
        }));
    }
    println!("{}", report::table(&results));
    let Some(name) = &options.name else { return Ok(()) };
    let file_name = options.model.file_name().unwrap_or_default().to_string_lossy();
    let model = format!("{file_name}, {count} texts a turn");
    keep(name, model, None, options.rounds, results, Machine::default())
}

/// Writes a sentence a line; returns how many there are.
fn texts(file: &Path) -> Result<usize> {
    let mut sentences = Vec::new();
    for page in PAGES {
        let text = std::fs::read_to_string(process::root().join(page)).context(page)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        let parts = words.split_inclusive(|word| word.ends_with(['.', ':', ';']));
        let parts = parts.map(|words| words.join(" "));
        sentences.extend(parts.filter(|text| (20..600).contains(&text.len())));
    }
    let all = vec![sentences.join("\n"); TIMES].join("\n");
    std::fs::write(file, &all).with_context(|| format!("writing {}", file.display()))?;
    Ok(sentences.len() * TIMES)
}

fn contenders(options: &Options, file: &Path, count: usize) -> Result<Vec<(&'static str, Turn)>> {
    let model = std::path::absolute(&options.model).context("finding the current folder")?;
    let crane = process::target_dir()?.join("release/crane");
    let is_gguf = model.extension().is_some_and(|end| end == "gguf");
    // From the command to its end: loading counts.
    let speed = move |(ms, peak): (f64, u64)| (count as f64 / ms * 1e3, Some(peak));
    let (lines, weights) = (file.to_owned(), model.clone());
    let own: Turn = Box::new(move |threads| {
        let mut command = process::command(&crane);
        command.args(["embed", "--lines", "--truncate", "-q", "-t", &threads.to_string(), "-m"]);
        command.arg(&weights).stdin(File::open(&lines)?);
        Ok(speed(once(&mut command)?))
    });
    let mut contenders = vec![("Crane", own)];
    let beside = |bench| Path::new(&bench).with_file_name("llama-embedding");
    let llama = std::env::var_os("LLAMA_BENCH").map(beside).filter(|program| program.exists());
    if let (true, Some(program)) = (is_gguf, llama) {
        let lines = file.to_owned();
        let turn: Turn = Box::new(move |threads| {
            let mut command = process::command(&program);
            command.args(["--embd-output-format", "array", "-b", "2048", "-ub", "2048", "-t"]);
            command.arg(threads.to_string()).arg("-m").arg(&model).arg("-f").arg(&lines);
            Ok(speed(once(&mut command)?))
        });
        contenders.push(("llama.cpp", turn));
    }
    if let (Some(python), Some(folder)) = (std::env::var_os("TORCH_PYTHON"), &options.hf) {
        let folder = std::path::absolute(folder).context("finding the current folder")?;
        let lines = file.to_owned();
        let turn: Turn = Box::new(move |threads| {
            let mut command = process::command(&python);
            command.arg("xtask/peers/embed_bench.py").arg(&folder).arg(threads.to_string());
            let said = process::output(command.arg(&lines))?;
            let speed = said.trim().parse().with_context(|| format!("it said {said:?}"))?;
            Ok((speed, None))
        });
        contenders.push(("sentence-transformers", turn));
    }
    Ok(contenders)
}
