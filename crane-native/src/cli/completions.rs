//! `crane completions SHELL`: the shell's own language for completing commands and flags.

use clap::CommandFactory;

use super::args::{CompletionsArgs, Crane};
use super::exit::Result;
use super::output;

/// Prints the script.
///
/// # Errors
/// As [`output::answer`].
pub(super) fn completions(args: CompletionsArgs) -> Result {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Crane::command(), "crane", &mut script);
    output::answer(&String::from_utf8_lossy(&script))
}
