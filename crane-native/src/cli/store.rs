//! `crane pull`, `crane list` and `crane rm`: the models on this machine.

use std::io::{self, BufRead, IsTerminal, Write};

use serde_json::json;

use super::args::{ListArgs, PullArgs, RmArgs};
use super::exit::{Failure, Result};
use super::open::{Fetching, hub};
use super::output::{self, Console};
use super::units::{Table, bytes};
use crate::hub::HubConfig;
use crate::resolve;
use crate::store::Store;

/// Downloads a model, or what is new of it, and says where it lies.
///
/// # Errors
/// What the Hub refuses; [`Failure::Interrupted`] on Ctrl-C, with what was loaded kept.
pub(super) fn pull(console: Console, args: PullArgs) -> Result {
    let hub = hub(args.offline)?;
    let resolved = resolve::pull(&args.name, &hub, &Fetching::new(console))?;
    console.note(format_args!("{} is here", resolved.name));
    output::line(resolved.path.display())
}

/// Prints the models of the cache.
///
/// # Errors
/// If the cache cannot be listed.
pub(super) fn list(console: Console, args: ListArgs) -> Result {
    let config = HubConfig::from_env();
    let entries = Store::new(&config).list()?;
    if args.json {
        let list: Vec<_> = entries
            .iter()
            .map(|entry| {
                json!({
                    "name": entry.name,
                    "kind": entry.kind.name(),
                    "size": entry.size,
                    "complete": entry.complete,
                    "path": entry.path,
                    "files": entry.files,
                })
            })
            .collect();
        return output::json(&list.into());
    }
    if entries.is_empty() {
        console.note(
            "no models yet; `crane pull org/name` fetches one, `crane run PROMPT` the default",
        );
        return Ok(());
    }
    let mut table = Table::new(&["NAME", "KIND", ">SIZE", "STATE"]);
    for entry in entries {
        let state = if entry.complete { "" } else { "incomplete" };
        table.row([entry.name, entry.kind.name().to_owned(), bytes(entry.size), state.to_owned()]);
    }
    output::line(table.plain().join("\n"))
}

/// Removes models after asking.
///
/// # Errors
/// [`Failure::Usage`] if there is nobody to ask; what the store refuses.
pub(super) fn rm(console: Console, args: RmArgs) -> Result {
    let config = HubConfig::from_env();
    let store = Store::new(&config);
    if !args.yes && !confirmed(&args.names)? {
        return Err(Failure::Other("nothing was removed".to_owned()));
    }
    for name in &args.names {
        let removed = store.remove(name)?;
        console.note(format_args!("removed {}, {} are free", removed.name, bytes(removed.bytes)));
    }
    Ok(())
}

/// Asks the terminal.
fn confirmed(names: &[String]) -> Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "rm asks before it removes, and there is no terminal to ask; add -y".to_owned(),
        ));
    }
    let cannot_ask = |error: io::Error| Failure::Other(format!("cannot ask: {error}"));
    write!(io::stderr(), "remove {}? [y/N] ", names.join(", ")).map_err(cannot_ask)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(cannot_ask)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
