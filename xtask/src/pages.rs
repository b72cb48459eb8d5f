//! `cargo xtask pages`: both pages on this machine, built if they are not, with the models of the tests.

use anyhow::Result;
use clap::Args;

use crate::{process, setup, wasm};

/// Where the pages are served.
#[derive(Debug, Args)]
pub struct Options {
    /// The port at 127.0.0.1; the next free one where it is taken
    #[arg(short, long, default_value_t = 5173)]
    port: u16,
    /// Build and do not serve
    #[arg(long)]
    build_only: bool,
}

/// Sets up what the pages need, builds what is missing or older than its sources, and serves the pages until Ctrl-C.
pub fn run(options: &Options) -> Result<()> {
    setup::for_pages()?;
    if !wasm::is_current() {
        println!("building the engine for the browser; the first time takes minutes");
        wasm::package(false, wasm::Names::Removed)?;
    }
    for folder in ["npm", "web"] {
        process::run(
            process::command("npm").args(["--prefix", folder, "run", "--silent", "build"]),
        )?;
    }
    if options.build_only {
        return Ok(());
    }
    let port = options.port.to_string();
    process::run(process::command("node").args(["web/server/pages.mjs", "--port", &port]))
}
