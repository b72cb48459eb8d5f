//! `cargo xtask`: the habits of the house as commands.

mod attack;
mod bench;
mod checks;
mod clients;
mod fuzz;
mod golden;
mod listening;
mod models;
mod pages;
mod process;
mod python;
mod report;
mod setup;
mod tally;
mod test;
mod wasm;
mod wasm_std;
mod weights;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The habits of the house as commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what a fresh machine lacks; what is there already is kept
    Setup,
    /// Set up, then run every check and every test: native, wasm, Chromium
    Test {
        /// Only the native tests, without set-up, checks, web parts and real weights
        #[arg(long)]
        quick: bool,
    },
    /// `test` as CI runs it: missing weights fail instead of being skipped
    Ci,
    /// Format, lints (native, wasm, aarch64), documentation, README's model table, dependencies
    Check,
    /// Build crane-wasm (SIMD128, relaxed SIMD, relaxed SIMD with threads) and its bindings into the npm package
    Wasm {
        /// Also run wasm-opt (minutes): what a release ships
        #[arg(long)]
        optimize: bool,
        /// Keep the functions' names, for profilers
        #[arg(long)]
        names: bool,
    },
    /// Build what is missing and serve the chat page and the speech page on this machine, with the models of the tests
    Pages(pages::Options),
    /// Compare a model's tensors with recorded ones, for each folder of golden data
    Golden {
        /// Folders with a checkpoint, golden.json and golden.safetensors
        #[arg(required = true)]
        folders: Vec<PathBuf>,
        /// Run the wasm build, in Node
        #[arg(long)]
        wasm: bool,
    },
    /// Time `crane bench` beside llama.cpp ($LLAMA_BENCH), candle ($CANDLE_BENCH), mistral.rs ($MISTRALRS) and PyTorch
    /// ($TORCH_PYTHON), in turns
    Bench(Box<bench::Options>),
    /// Time the npm package beside wllama in headless Chromium, in turns
    BenchWeb(bench::web::Options),
    /// Time vectors of texts beside llama.cpp ($LLAMA_BENCH, beside which llama-embedding lies) and sentence-transformers
    /// ($TORCH_PYTHON), in turns
    BenchEmbed(bench::embed::Options),
    /// Measure what speech should reach: natively, in headless Chromium, and by a recogniser
    BenchSpeech(bench::speech::Options),
    /// Search for bytes that break a parser: libFuzzer on every target, or on those named; inputs that do are kept in
    /// fuzz/artifacts
    Fuzz(fuzz::Options),
    /// Attack `crane serve` and the parsers as strangers would, print what was reached, and fail where that is too little
    Attack(attack::Options),
    /// Write the tables of README and docs: models from the registry, speeds from docs/bench
    Models {
        /// Change nothing; fail if the table is out of date
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let outcome = match Cli::parse().command {
        Command::Setup => setup::run().map(done),
        Command::Test { quick: true } => Ok(test::quick()),
        Command::Test { quick: false } => Ok(test::all(std::env::var_os("CI").is_some())),
        Command::Ci => Ok(test::all(true)),
        Command::Check => Ok(checks::run()),
        Command::Wasm { optimize, names } => {
            let names = if names { wasm::Names::Kept } else { wasm::Names::Removed };
            wasm::package(optimize, names).map(done)
        }
        Command::Pages(options) => pages::run(&options).map(done),
        Command::Golden { folders, wasm } => golden::run(&folders, wasm).map(done),
        Command::Bench(options) => bench::run(&options).map(done),
        Command::BenchWeb(options) => bench::web::run(&options).map(done),
        Command::BenchEmbed(options) => bench::embed::run(&options).map(done),
        Command::BenchSpeech(options) => bench::speech::run(&options).map(done),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Attack(options) => attack::run(&options).map(done),
        Command::Models { check } => {
            let tables = models::run(check).and_then(|()| bench::write_report(check));
            tables.and_then(|()| bench::speech::write_report(check)).map(done)
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
