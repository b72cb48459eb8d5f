//! `xtask-bindgen MODULE.wasm OUT [--names]`: writes the JavaScript bindings of a wasm module into a folder.
//!
//! wasm-bindgen refuses a module made by another version of its crate. Taking its command line's
//! library from the same `Cargo.lock` as the crate makes them equal by construction (cargo allows one
//! `wasm-bindgen-shared` in a graph), and a fresh machine needs no tool installed. It is a package of
//! its own so that `cargo xtask` starts without compiling it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let names = arguments.pop_if(|last| last.as_os_str() == "--names").is_some();
    let [module, out] = arguments.as_slice() else {
        bail!("usage: xtask-bindgen MODULE.wasm OUT [--names]");
    };
    // The "web" target is an ES module that is given its wasm bytes or address: pages, workers and
    // Node all take it.
    Bindgen::new()
        .input_path(module)
        .web(true)?
        .typescript(true)
        // A tenth of the module, and only profilers and stack traces show it: a panic's message is data.
        .remove_name_section(!names)
        .remove_producers_section(true)
        .generate(out)
        .with_context(|| format!("making bindings of {} in {}", module.display(), out.display()))
}
