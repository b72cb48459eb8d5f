//! `crane bench` and `llmbench`: llama-bench's columns, and JSON.

use serde_json::Value;

use super::fixture::model;
use super::support::{Home, finish};

#[test]
fn the_table_has_a_row_a_test() {
    let home = Home::new();
    let model = model("qwen2_tied");
    let arguments = ["bench", &model, "-p", "16,32", "-p", "8", "-n", "4", "-r", "2"];
    let table = home.run(arguments).ok();
    for part in [
        "| model",
        " size |",
        " params |",
        "| backend",
        " threads |",
        " test |",
        " t/s |",
        " TTFT ms |",
        " peak RSS |",
        "pp16",
        "pp32",
        "pp8",
        "tg4",
        "±",
        "CPU",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert_eq!(table.lines().count(), 2 + 4);

    let arguments = [&model, "-p", "0", "-n", "2", "-r", "1"];
    let llmbench = home.program(env!("CARGO_BIN_EXE_llmbench"), arguments).spawn().unwrap();
    let table = finish(llmbench).ok();
    assert_eq!(table.lines().count(), 2 + 1, "{table}");
}

#[test]
fn json_holds_every_sample() {
    let home = Home::new();
    let text = home
        .run(["bench", &model("qwen2_tied"), "-p", "8", "-n", "4", "-r", "3", "--json", "-t", "1"])
        .ok();
    let tests: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(tests.len(), 2);
    for (test, name) in tests.iter().zip(["pp8", "tg4"]) {
        assert_eq!(test["test"], name);
        assert_eq!(test["threads"], 1);
        assert_eq!(test["samples_ts"].as_array().unwrap().len(), 3);
        for number in ["avg_ts", "ttft_ms", "peak_rss", "model_size", "model_n_params"] {
            assert!(test[number].as_f64().unwrap() > 0.0, "{number}: {test}");
        }
    }
}
