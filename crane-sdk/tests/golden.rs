//! Every tensor that the original implementations recorded for the tiny checkpoints, at its own tolerance.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use crane_sdk::golden::compare_on;
use support::{device, files, source};

fn check(name: &str) {
    check_least(name, 21);
}

fn check_least(name: &str, least: usize) {
    let checks = compare_on(&source(files(name)), &device()).unwrap();
    assert!(checks.len() >= least, "{name}: only {} comparisons ran", checks.len());
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
    assert!(failed.is_empty(), "{name}: {failed:#?}");
}

#[test]
fn qwen2_tied() {
    check("qwen2_tied");
}

#[test]
fn qwen2_untied_sharded() {
    check("qwen2_untied_sharded");
}

#[test]
fn llama32() {
    check("llama32");
}

#[test]
fn qwen3() {
    check("qwen3");
}

#[test]
fn snac24() {
    check_least("snac24", 14);
}

#[test]
fn snac_attn() {
    check_least("snac_attn", 5);
}
