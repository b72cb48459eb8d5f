//! `crane embed`: vectors of the reference, one text or many lines.

use serde_json::Value;

use super::fixture::{folder, model};
use super::reference::weights;
use super::support::Home;

fn golden(name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder(name).join("golden.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    serde_json::from_value(value.clone()).unwrap()
}

fn parsed(line: &str) -> Vec<f32> {
    serde_json::from_str(line).unwrap()
}

fn largest_difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn vectors_are_those_of_the_reference() {
    let home = Home::new();
    let model = model("bert");
    let cases = golden("bert");
    let mut lines = String::new();
    for case in &cases {
        let text = case["text"].as_str().unwrap();
        let stdout = home.run(["embed", &model, text]).ok();
        assert_eq!(stdout.lines().count(), 1);
        assert!(largest_difference(&parsed(&stdout), &numbers(&case["mean"])) <= 1e-6, "{text:?}");
        lines += &format!("{text}\n");
    }
    for arguments in [&["embed", "--lines", &model] as &[&str], &["embed", "-m", &model, "--lines"]]
    {
        let stdout = home.run_with(arguments, &lines).ok();
        assert_eq!(stdout.lines().count(), cases.len());
        for (line, case) in stdout.lines().zip(&cases) {
            assert!(largest_difference(&parsed(line), &numbers(&case["mean"])) <= 1e-6);
        }
    }
    let first = parsed(&home.run(["embed", &model, "--pooling", "cls", "fox"]).ok());
    assert!(largest_difference(&first, &numbers(&cases[1]["mean"])) > 1e-3);
    let piped = home.run_with(["embed", &model, "-"], "fox\n").ok();
    assert_eq!(piped, home.run(["embed", &model, "fox"]).ok());
    assert_eq!(home.run_with(["embed", "--lines", &model], "").ok(), "");
}

#[test]
fn long_texts_are_refused_or_cut() {
    let home = Home::new();
    let model = model("bert");
    let long = "fox ".repeat(100);
    let refused = home.run(["embed", &model, &long]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("102 tokens"), "{}", refused.stderr);
    assert!(refused.stderr.contains("--truncate"), "{}", refused.stderr);
    home.run(["embed", &model, "--truncate", &long]).ok();
    // Lines before one that is refused are answered, and the error names it.
    let bad: [(&[u8], &str); 2] = [(long.as_bytes(), "102 tokens"), (b"\xff", "UTF-8")];
    for (line, reason) in bad {
        let stdin = [b"fox\ndog\n", line, b"\nfox\n"].concat();
        let outcome = home.run_with(["embed", "--lines", &model], stdin);
        assert_eq!(outcome.code, Some(2));
        assert_eq!(outcome.stdout.lines().count(), 2);
        assert!(outcome.stderr.contains("line 3"), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(reason), "{}", outcome.stderr);
    }
    let refused = home.run(["embed", &model, "--pooling", "max", "fox"]);
    assert!(refused.stderr.contains("mean, last or cls"), "{}", refused.stderr);
    assert_eq!(home.run(["embed", &model, ""]).code, Some(2));
}

#[test]
fn models_that_write_embed_and_encoders_write_nothing() {
    let home = Home::new();
    let length: f32 = parsed(&home.run(["embed", &model("qwen2_tied"), "Hello"]).ok())
        .iter()
        .map(|x| x * x)
        .sum();
    assert!((length - 1.0).abs() < 1e-4);
    let refused = home.run(["run", &model("bert"), "Hello"]);
    assert_eq!(refused.code, Some(3));
    assert!(refused.stderr.contains("crane embed"), "{}", refused.stderr);
    let shown = home.run(["show", &model("bert")]).ok();
    assert!(shown.contains("BertModel (BERT, makes vectors of texts)"), "{shown}");
}

#[test]
fn real_vectors_are_those_of_transformers() {
    let Some(file) = weights("minilm/model.safetensors") else { return };
    let home = Home::new();
    let model = file.parent().unwrap().to_str().unwrap();
    let text = std::fs::read_to_string(folder("refs").join("minilm.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    for case in reference["cases"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let found = parsed(&home.run_with(["embed", model, "-"], text).ok());
        let expected = numbers(&case["embedding"]);
        assert!(largest_difference(&found, &expected) <= 2e-6, "{text:?}");
        let found = parsed(&home.run_with(["embed", model, "--quant", "q8_0", "-"], text).ok());
        let alike: f32 = found.iter().zip(&expected).map(|(a, b)| a * b).sum();
        assert!(alike > 0.998, "{text:?}: {alike}");
    }
}
