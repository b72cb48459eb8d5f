//! `cargo xtask attack`: what strangers may send, files and pages included, against a `crane` of this very source.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::{clients, process, setup};

/// Where a full run is kept.
const RECORD: &str = "docs/bench/attack/attack.json";

/// What to attack.
#[derive(Debug, Args)]
pub struct Options {
    /// As many inputs as the record has, not the fewer of the tests; the result is kept in docs/bench/attack
    #[arg(long)]
    full: bool,
    /// Only these rows: files, forms, templates, requests, connections, fairness, guess, pages, storm
    rows: Vec<String>,
}

/// Prints the table; an error if a row misses its reach.
pub fn run(options: &Options) -> Result<()> {
    let mut attack = command()?;
    if options.full {
        attack.arg("--full");
    }
    if !options.rows.is_empty() {
        attack.arg("--only").args(&options.rows);
    } else if options.full {
        attack.args(["--record", RECORD]);
    }
    if !attack.status()?.success() {
        bail!("a row of the table misses its reach");
    }
    Ok(())
}

/// The attack of the tests, with fewer inputs.
pub fn in_tests() -> Result<Command> {
    command()
}

fn command() -> Result<Command> {
    let mut attack = process::command("python3");
    attack.arg("xtask/attack/attack.py").arg(clients::crane()?);
    for (name, program) in [("CHROMIUM", setup::chromium()), ("FIREFOX", setup::firefox())] {
        if let Some(program) = program {
            attack.env(name, program);
        }
    }
    Ok(attack)
}
