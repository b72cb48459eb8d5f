//! The `crane` binary as its users meet it: arguments in, stdout, stderr and an exit code out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod bench;
mod chat;
mod current_folder;
mod damaged;
mod embed;
mod errors;
mod fixture;
mod flags;
mod interrupt;
mod machine;
mod memory;
#[path = "../../../crane-sdk/tests/support/orpheus.rs"]
mod orpheus;
mod paths;
mod perplexity;
mod reference;
mod run;
#[cfg(feature = "server")]
mod serve;
mod show;
#[path = "../../../crane-sdk/tests/support/spark.rs"]
mod spark;
mod stdin;
mod support;
mod terminal;
mod tokenize;
mod tts;
mod usage;
