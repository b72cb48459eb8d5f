//! `crane bench`: llama-bench's tests and columns, with the time to the first token and peak memory.

mod measure;

use crane_sdk::kernels::attention::KvType;
use serde_json::{Value, json};

use super::args::BenchArgs;
use super::exit::{Failure, Result};
use super::interrupt::Interruptible;
use super::output::{self, Console};
use super::units::{Table, bytes, count};
use super::{machine, open};
use measure::{Kind, Sample, Test, spread};

/// What one test showed.
struct Outcome {
    test: Test,
    samples: Vec<Sample>,
    peak_rss: Option<u64>,
}

/// Measures the model and prints a table, or JSON.
///
/// # Errors
/// [`Failure::Usage`] if there is nothing to measure; what loading and the model refuse.
pub(super) fn bench(console: Console, args: BenchArgs) -> Result {
    let tests = measure::tests(&args.n_prompt, &args.n_gen, &args.n_depth, &args.sequences);
    if tests.is_empty() {
        return Err(Failure::Usage(
            "there is nothing to measure: give -p or -n above 0".to_owned(),
        ));
    }
    let model = open::find(console, &args.model, args.name)?;
    let loaded = open::weights(console, &model, &args.load)?;
    let info = &loaded.info;
    if let Some(test) = tests.iter().find(|test| test.context() > info.context_length) {
        return Err(Failure::Usage(format!(
            "{} does not fit: the model's context is {} tokens",
            test.name(),
            info.context_length
        )));
    }

    let stop = Interruptible::new();
    let mut outcomes = Vec::new();
    for test in tests {
        console.detail(format_args!("{}: warm-up and {} runs", test.name(), args.repetitions));
        let mut samples = Vec::new();
        for run in 0..=args.repetitions {
            let sample = measure::run(loaded.model.as_ref(), test, u64::from(run), &stop)?;
            // The first run finds cold caches and sleeping cores; it is the warm-up.
            if run > 0 {
                samples.push(sample);
            }
        }
        outcomes.push(Outcome { test, samples, peak_rss: machine::peak_rss() });
    }

    let types = info.weight_types.first().map_or("", |(name, _)| name);
    let common = Common {
        model: format!("{} {}", model.name, types).trim_end().to_owned(),
        size: info.weight_bytes as u64,
        parameters: info.parameters as u64,
        layer_parameters: info.layer_parameters as u64,
        backend: open::device_name(loaded.model.device()),
        threads: machine::threads(),
        kv_type: args.load.kv_type,
    };
    if args.json {
        return output::json(&outcomes.iter().map(|outcome| common.json(outcome)).collect());
    }
    let headings = [
        "model",
        ">size",
        ">params",
        "backend",
        ">threads",
        ">test",
        ">t/s",
        ">TTFT ms",
        ">peak RSS",
    ];
    let mut table = Table::new(&headings);
    for outcome in &outcomes {
        table.row(common.row(outcome));
    }
    output::line(table.markdown().join("\n"))
}

/// The columns that all tests share.
struct Common {
    model: String,
    size: u64,
    parameters: u64,
    layer_parameters: u64,
    backend: &'static str,
    threads: usize,
    kv_type: KvType,
}

impl Common {
    fn row(&self, outcome: &Outcome) -> [String; 9] {
        let (speed, deviation) = outcome.speed();
        let (first, jitter) = outcome.first_token_ms();
        [
            self.model.clone(),
            bytes(self.size),
            count(self.parameters),
            self.backend.to_owned(),
            self.threads.to_string(),
            outcome.test.name(),
            format!("{speed:.2} ± {deviation:.2}"),
            format!("{first:.1} ± {jitter:.1}"),
            outcome.peak_rss.map_or_else(|| "unknown".to_owned(), bytes),
        ]
    }

    /// llama-bench's field names where it has the field.
    fn json(&self, outcome: &Outcome) -> Value {
        let (speed, deviation) = outcome.speed();
        let (first, jitter) = outcome.first_token_ms();
        let Test { kind, depth, sequences } = outcome.test;
        let (n_prompt, n_gen) = match kind {
            Kind::Prompt(tokens) => (tokens, 0),
            Kind::Generation(tokens) => (0, tokens),
        };
        json!({
            "model": self.model,
            "model_size": self.size,
            "model_n_params": self.parameters,
            "layer_n_params": self.layer_parameters,
            "backend": self.backend,
            "threads": self.threads,
            "test": outcome.test.name(),
            "n_prompt": n_prompt,
            "n_gen": n_gen,
            "n_depth": depth,
            "n_sequences": sequences,
            "kv_type": self.kv_type.name(),
            "avg_ts": speed,
            "stddev_ts": deviation,
            "samples_ts": outcome.samples.iter().map(|sample| sample.speed).collect::<Vec<_>>(),
            "ttft_ms": first,
            "stddev_ttft_ms": jitter,
            "peak_rss": outcome.peak_rss,
        })
    }
}

impl Outcome {
    fn speed(&self) -> (f64, f64) {
        spread(&self.samples.iter().map(|sample| sample.speed).collect::<Vec<_>>())
    }

    fn first_token_ms(&self) -> (f64, f64) {
        let times = self.samples.iter().map(|sample| sample.first_token.as_secs_f64() * 1e3);
        spread(&times.collect::<Vec<_>>())
    }
}
