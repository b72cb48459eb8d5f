//! The programs that are timed, and how their output is read.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Options, Speeds, Work};
use crate::process;

/// Speeds, and the most memory held, where the program tells.
type Reading = (Speeds, Option<u64>);

/// One program, and how its output is read.
pub(super) struct Contender {
    pub name: String,
    pub command: Command,
    pub read: fn(&str) -> Result<Reading>,
}

fn list(values: &[usize]) -> String {
    values.iter().map(usize::to_string).collect::<Vec<_>>().join(",")
}

/// Crane first, then the peers that the environment names: `$LLAMA_BENCH` (llama.cpp's program), `$CANDLE_BENCH`
/// (a program over candle's examples), `$MISTRALRS` (mistral.rs's program, of its crate mistralrs-cli), `$TORCH_PYTHON` (a Python with torch and transformers).
pub(super) fn all(options: &Options, threads: usize) -> Result<Vec<Contender>> {
    let here = std::env::current_dir().context("finding the current folder")?;
    let model = here.join(&options.model);
    let threads = threads.to_string();
    let (prompt, generate) = (list(&options.prompt), list(&options.generate));
    let depth = list(&options.depth);
    let sizes = ["-p", &prompt, "-n", &generate, "-d", &depth, "-t", &threads, "-r", "1"];
    let gguf = model.extension() == Some(OsStr::new("gguf"));

    let mut contenders = Vec::new();
    for kind in &options.kv_type {
        let mut crane = process::command(process::target_dir()?.join("release/crane"));
        crane.arg("bench").arg(&model).args(sizes).args(["--json", "--kv-type", kind]);
        crane.args(["--sequences", &list(&options.sequences)]);
        if let Some(quant) = &options.quant {
            crane.args(["--quant", quant]);
        }
        let name = if kind == "f32" { "Crane".to_owned() } else { format!("Crane, {kind} cache") };
        contenders.push(Contender { name, command: crane, read: llama_bench_json });
    }
    if let (true, Some(program)) = (gguf, std::env::var_os("LLAMA_BENCH")) {
        let mut command = process::command(program);
        command.arg("-m").arg(&model).args(sizes).args(["-o", "json"]);
        contenders.push(Contender { name: "llama.cpp".into(), command, read: llama_bench_json });
    }
    // candle's bench times these two and no others.
    let same = options.depth == [0] && options.prompt.contains(&512) && options.generate == [128];
    if let (true, true, Some(program)) = (gguf, same, std::env::var_os("CANDLE_BENCH")) {
        let mut command = process::command(program);
        command.arg(candle_kind(&model)).arg(&model).arg("1").env("RAYON_NUM_THREADS", &threads);
        contenders.push(Contender { name: "candle".into(), command, read: candle_lines });
    }
    // mistral.rs's bench times one prompt and one generation a run.
    if let (true, true, [prompt @ .., most], [generate], Some(program), Some(folder)) = (
        gguf,
        options.depth == [0],
        options.prompt.as_slice(),
        options.generate.as_slice(),
        std::env::var_os("MISTRALRS"),
        model.parent(),
    ) {
        let longest = prompt.iter().fold(most, |a, b| a.max(b)).to_string();
        let mut command = process::command(program);
        command.env("RAYON_NUM_THREADS", &threads);
        // f32 is its faster type on a processor.
        command.args(["bench", "--cpu", "--dtype", "f32", "--format", "gguf", "-m"]).arg(folder);
        command.arg("-f").arg(model.file_name().unwrap_or_default());
        command.args(["--prompt-len", &longest, "--gen-len", &generate.to_string()]);
        command.args(["--iterations", "1", "--warmup", "0"]);
        contenders.push(Contender { name: "mistral.rs".into(), command, read: mistralrs_table });
    }
    let folder = options.hf.as_ref().map(|hf| here.join(hf)).or((!gguf).then_some(model));
    if let (true, Some(folder), Some(python)) =
        (options.depth == [0], folder, std::env::var_os("TORCH_PYTHON"))
    {
        let mut command = process::command(python);
        command.arg(process::root().join("xtask/peers/torch_bench.py"));
        command.arg(folder).args([&threads, &prompt, &generate]);
        contenders.push(Contender { name: "PyTorch f32".into(), command, read: llama_bench_json });
    }
    Ok(contenders)
}

fn candle_kind(model: &Path) -> &'static str {
    let name = model.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if name.contains("qwen") { "gguf-qwen2" } else { "gguf-llama" }
}

/// llama-bench's JSON, which `crane bench` and the PyTorch script share: a list of tests.
pub(super) fn llama_bench_json(text: &str) -> Result<Reading> {
    // transformers may write lines of its own before the list.
    let list = text.find('[').and_then(|start| text.get(start..)).unwrap_or(text);
    let tests: Vec<Value> = serde_json::from_str(list).context("reading the bench's JSON")?;
    let mut speeds = Speeds::new();
    let mut peak = None;
    for test in &tests {
        let count = |key: &str| test.get(key).and_then(Value::as_u64).unwrap_or(0);
        let mut name = match (count("n_prompt"), count("n_gen")) {
            (prompt, 0) => format!("pp{prompt}"),
            (0, generate) => format!("tg{generate}"),
            (prompt, generate) => format!("pp{prompt}+tg{generate}"),
        };
        if count("n_sequences") > 1 {
            name += &format!(" x{}", count("n_sequences"));
        }
        if count("n_depth") > 0 {
            name += &format!(" @ d{}", count("n_depth"));
        }
        let speed = test.get("avg_ts").and_then(Value::as_f64);
        speeds.insert(name, speed.context("the bench's JSON has no avg_ts")?);
        peak = test.get("peak_rss").and_then(Value::as_u64).max(peak);
    }
    Ok((speeds, peak))
}

/// What `crane bench` says that its model asks of the machine; other programs say nothing of the kind.
pub(super) fn work(text: &str) -> Option<Work> {
    let tests: Vec<Value> = serde_json::from_str(text).ok()?;
    let number = |key: &str| tests.first()?.get(key)?.as_u64();
    Some(Work { weight_bytes: number("model_size")?, multiply_adds: number("layer_n_params")? })
}

/// Lines like `pp512 113.40 (max 114.02) per-cpu-second 113.9`.
fn candle_lines(text: &str) -> Result<Reading> {
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
    Ok((speeds, None))
}

/// A table with lines like `│ Prefill (128 tokens) ┆ 13.8 ± 0.0 ┆ 9270.44 ms (TTFT) │`.
fn mistralrs_table(text: &str) -> Result<Reading> {
    let mut speeds = Speeds::new();
    for line in text.lines() {
        let mut cells = line.split(['│', '┆']).map(str::trim).filter(|cell| !cell.is_empty());
        let (Some(test), Some(speed)) = (cells.next(), cells.next()) else { continue };
        let tokens = |kind: &str| test.strip_prefix(kind)?.strip_suffix(" tokens)");
        let name = tokens("Prefill (").map(|tokens| format!("pp{tokens}"));
        let name = name.or_else(|| tokens("Decode (").map(|tokens| format!("tg{tokens}")));
        if let (Some(name), Some(speed)) = (name, speed.split_whitespace().next()) {
            speeds.insert(name, speed.parse().with_context(|| format!("reading {line:?}"))?);
        }
    }
    if speeds.is_empty() {
        bail!("mistral.rs printed no speeds");
    }
    Ok((speeds, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_benches_print() {
        let json = r#"[{"n_prompt":512,"n_gen":0,"avg_ts":100.5,"peak_rss":7},
            {"n_prompt":0,"n_gen":128,"n_depth":64,"n_sequences":4,"avg_ts":20}]"#;
        let (read, peak) = llama_bench_json(json).unwrap();
        assert_eq!(read, Speeds::from([("pp512".into(), 100.5), ("tg128 x4 @ d64".into(), 20.0)]));
        assert_eq!(peak, Some(7));
        assert_eq!(work(json), None);
        let own = r#"[{"model_size": 9, "layer_n_params": 8}]"#;
        assert_eq!(work(own), Some(Work { weight_bytes: 9, multiply_adds: 8 }));
        let table = "│ Prefill (128 tokens) ┆ 13.8 ± 0.0 ┆ 9270.44 ms (TTFT) │\n├╌╌┤\n\
            │ Decode (16 tokens)   ┆ 6.7 ± 0.0  ┆ 148.63 ms/T │\n";
        let (read, _) = mistralrs_table(table).unwrap();
        assert_eq!(read, Speeds::from([("pp128".into(), 13.8), ("tg16".into(), 6.7)]));
        assert!(mistralrs_table("").is_err());
        let lines =
            "load 0.3 s\npp512 99.5 (max 100.1) per-cpu-second 98\ntg128 19.00 (max 19.1)\n";
        let (read, _) = candle_lines(lines).unwrap();
        assert_eq!(read, Speeds::from([("pp512".into(), 99.5), ("tg128".into(), 19.0)]));
    }
}
