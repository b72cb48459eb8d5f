//! `xtask-bindgen MODULE.wasm OUT [--names]`: writes the JavaScript bindings of a wasm module into a folder.
//!
//! wasm-bindgen refuses a module made by another version of its crate. Taking its command line's
//! library from the same `Cargo.lock` as the crate makes them equal by construction (cargo allows one
//! `wasm-bindgen-shared` in a graph), and a fresh machine needs no tool installed. It is a package of
//! its own so that `cargo xtask` starts without compiling it.

use std::path::PathBuf;

use anyhow::{Context, bail};
use walrus::ir::Value;
use walrus::{ConstExpr, ExportItem, GlobalKind, Module, ModuleConfig};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> anyhow::Result<()> {
    let mut arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let names = arguments.pop_if(|last| last.as_os_str() == "--names").is_some();
    let [module, out] = arguments.as_slice() else {
        bail!("usage: xtask-bindgen MODULE.wasm OUT [--names]");
    };
    let bytes = std::fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let mut parsed = ModuleConfig::new()
        // The linker's output is trusted, and walrus does not know all of it.
        .strict_validate(false)
        // A tenth of the module, and only profilers and stack traces show it: a panic's message is data.
        .generate_name_section(names)
        .generate_producers_section(false)
        .parse(&bytes)
        .with_context(|| format!("reading {}", module.display()))?;
    align_thread_locals(&mut parsed);
    let name = module.file_stem().unwrap_or_default().to_string_lossy();
    // The "web" target is an ES module that is given its wasm bytes or address: pages, workers and
    // Node all take it.
    Bindgen::new()
        .input_module(&name, parsed)
        .web(true)?
        .typescript(true)
        .remove_name_section(!names)
        .remove_producers_section(true)
        .generate(out)
        .with_context(|| format!("making bindings of {} in {}", module.display(), out.display()))
}

/// Where memory is shared, wasm-bindgen asks the allocator for room for each thread's thread-locals. Without any
/// the linker says that they are aligned to 0 bytes, which no allocator takes: 1 says the same.
fn align_thread_locals(module: &mut Module) {
    let found = module.exports.iter().find(|export| export.name == "__tls_align");
    let Some(ExportItem::Global(id)) = found.map(|export| export.item) else { return };
    let kind = &mut module.globals.get_mut(id).kind;
    if let GlobalKind::Local(ConstExpr::Value(Value::I32(align @ 0))) = kind {
        *align = 1;
    }
}
