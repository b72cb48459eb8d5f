//! How a command ends: the failures of the command line and their exit codes.

use std::io;

/// A command's result.
pub(super) type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line, or a file it names, is at fault.
    Usage(String),
    /// The library or the hub refused.
    Crane(crate::Error),
    /// Something else, in words.
    Other(String),
    /// Ctrl-C; whatever had been answered is on stdout.
    Interrupted,
    /// Something that the user was told when it happened, with its exit code.
    Told(u8),
    /// The reader of stdout has gone: nobody is left to tell.
    BrokenPipe,
}

/// Exit codes are part of the interface (`crane --help` lists them).
pub(super) mod code {
    pub(in crate::cli) const OK: u8 = 0;
    pub(in crate::cli) const OTHER: u8 = 1;
    pub(in crate::cli) const USAGE: u8 = 2;
    #[cfg(feature = "server")]
    pub(in crate::cli) const OUT_OF_MEMORY: u8 = 4;
    pub(in crate::cli) const INTERRUPTED: u8 = 130;
}

impl Failure {
    /// The process's exit code.
    pub(super) fn code(&self) -> u8 {
        match self {
            Failure::Usage(_) => code::USAGE,
            Failure::Crane(error) => error.exit_code(),
            Failure::Other(_) => code::OTHER,
            Failure::Told(code) => *code,
            Failure::Interrupted => code::INTERRUPTED,
            Failure::BrokenPipe => code::OK,
        }
    }

    /// What to print, or nothing where there is nobody to tell or nothing to add.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Failure::Usage(text) | Failure::Other(text) => Some(text.clone()),
            Failure::Crane(error) => Some(error.to_string()),
            Failure::Told(_) | Failure::Interrupted | Failure::BrokenPipe => None,
        }
    }

    /// A failed write to stdout.
    pub(super) fn stdout(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::Other(format!("cannot write to stdout: {error}")),
        }
    }
}

impl From<crate::Error> for Failure {
    fn from(error: crate::Error) -> Self {
        match error {
            crate::Error::Cancelled => Failure::Interrupted,
            crate::Error::Sdk(error) => error.into(),
            error => Failure::Crane(error),
        }
    }
}

impl From<crane_sdk::Error> for Failure {
    fn from(error: crane_sdk::Error) -> Self {
        match error {
            crane_sdk::Error::InvalidArgument { name, reason } => {
                Failure::Usage(format!("{}: {reason}", flag(&name)))
            }
            crane_sdk::Error::ContextOverflow { prompt, context } => Failure::Usage(format!(
                "the prompt has {prompt} tokens and the context holds {context}; shorten the prompt, \
                 raise --ctx, or choose --context-policy shift or truncate-oldest"
            )),
            error => Failure::Crane(error.into()),
        }
    }
}

/// The library's names of what the command line has an option for, and how that spells them.
const FLAGS: [(&str, &str); 22] = [
    ("temperature", "--temp"),
    ("top_k", "--top-k"),
    ("top_p", "--top-p"),
    ("min_p", "--min-p"),
    ("typical_p", "--typical-p"),
    ("repetition_penalty", "--repeat-penalty"),
    ("penalty_last_n", "--repeat-last-n"),
    ("presence_penalty", "--presence-penalty"),
    ("frequency_penalty", "--frequency-penalty"),
    ("logit_bias", "--logit-bias"),
    ("seed", "--seed"),
    ("stop", "--stop"),
    ("max_new_tokens", "--max-tokens"),
    ("context", "--ctx"),
    ("dtype", "--dtype"),
    ("quant", "--quant"),
    ("kv_type", "--kv-type"),
    ("recording", "--clone"),
    ("said", "--transcript"),
    ("voice", "--voice"),
    ("speed", "--speed"),
    ("pitch", "--pitch"),
];

/// An option as the command line spells it, by the library's name for it; what is no option keeps its name.
fn flag(name: &str) -> String {
    if let Some((name, id)) = name.split_once('[') {
        return format!("{} {}", flag(name), id.trim_end_matches(']'));
    }
    let known = FLAGS.iter().find(|(known, _)| *known == name);
    known.map_or(name, |(_, flag)| flag).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    /// Every long option of every command.
    fn options() -> std::collections::BTreeSet<String> {
        let crane = crate::cli::args::Crane::command();
        let commands = std::iter::once(&crane).chain(crane.get_subcommands());
        let options = commands.flat_map(clap::Command::get_arguments);
        let long = options.filter_map(|option| Some(format!("--{}", option.get_long()?)));
        long.chain(["--help", "--version"].map(str::to_owned)).collect()
    }

    #[test]
    fn errors_name_options_that_there_are() {
        let options = options();
        for (name, option) in FLAGS {
            assert!(options.contains(option), "{option}");
            let refused = crane_sdk::Error::InvalidArgument {
                name: name.to_owned(),
                reason: "is odd".to_owned(),
            };
            assert_eq!(Failure::from(refused).message().unwrap(), format!("{option}: is odd"));
        }
        for name in ["text", "prompt", "logits", "tokens", "grammar", "vocab.json", "token"] {
            assert_eq!(flag(name), name);
        }
        assert_eq!(flag("logit_bias[7]"), "--logit-bias 7");
    }

    /// A text in the sources that is spelt like an option is one, of these programs or of those that it names.
    #[test]
    fn texts_name_options_that_there_are() {
        const OF_OTHERS: [&str; 9] = [
            "--dest",
            "--disable-pip-version-check",
            "--features",
            "--no-cache-dir",
            "--no-deps",
            "--no-input",
            "--only-binary",
            "--path",
            "--release",
        ];
        // Not options: the names of folders in the cache, and what stands for any option.
        const NAMES: [&str; 3] = ["--org", "--name", "--flag"];
        let options = options();
        let mut folders =
            vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        let (mut files, mut seen) = (0, 0);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if entry.is_dir() {
                    folders.push(entry);
                    continue;
                }
                files += 1;
                let text = std::fs::read_to_string(&entry).unwrap();
                let text = text.split("#[cfg(test)]").next().unwrap();
                for (at, _) in text.match_indices("--") {
                    let before = text[..at].chars().next_back();
                    let word = text[at..].trim_end_matches(char::is_whitespace);
                    let end = word[2..].find(|c: char| !(c.is_ascii_lowercase() || c == '-'));
                    let word = &word[..2 + end.unwrap_or(word.len() - 2)];
                    let begins = before.is_none_or(|c| !(c.is_alphanumeric() || c == '-'));
                    if !begins || !word[2..].starts_with(|c: char| c.is_ascii_lowercase()) {
                        continue;
                    }
                    seen += 1;
                    let known = options.contains(word)
                        || OF_OTHERS.contains(&word)
                        || NAMES.contains(&word);
                    assert!(known, "{} names {word}", entry.display());
                }
            }
        }
        assert!(files > 100 && seen > 100, "{files} {seen}");
    }
}
