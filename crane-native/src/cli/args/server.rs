//! Flags of `crane serve`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::generation::positive;
use super::{LoadArgs, ModelArgs, ModelWord, TemplateArgs};

/// `crane serve`
#[derive(Debug, Args)]
pub(in crate::cli) struct ServeArgs {
    /// The models, that write or speak; one alone (same as -m) is loaded at once, of several each when it is first
    /// asked for
    #[arg(value_name = "MODEL", conflicts_with = "model", value_parser = ModelWord)]
    pub names: Vec<String>,
    /// Address or host name to listen at; 0.0.0.0 opens the server to the network
    #[arg(
        long,
        env = "CRANE_HOST",
        value_name = "HOST",
        default_value = "127.0.0.1",
        help_heading = "Server"
    )]
    pub host: String,
    /// Port to listen at; 0 takes a free one
    #[arg(
        long,
        env = "CRANE_PORT",
        value_name = "PORT",
        default_value_t = 8080,
        help_heading = "Server"
    )]
    pub port: u16,
    /// Replies that are generated together
    #[arg(long, env = "CRANE_PARALLEL", value_name = "N", default_value_t = 4, value_parser = positive,
          help_heading = "Server")]
    pub parallel: usize,
    /// Context of each of them in tokens: prompt and reply together [default: the model's, at most 8192]
    #[arg(short, long, env = "CRANE_CTX", value_name = "N", value_parser = positive, help_heading = "Server")]
    pub ctx: Option<usize>,
    /// Replies that may wait for a slot, and with --parallel requests that may be prepared; beyond them requests are
    /// answered with 429. A quarter as many places more are kept for API keys (without keys: addresses) that have nothing
    /// under way
    #[arg(
        long,
        env = "CRANE_QUEUE",
        value_name = "N",
        default_value_t = 64,
        help_heading = "Server"
    )]
    pub queue: usize,
    /// Ask for this API key; repeatable or a comma list
    #[arg(
        long,
        env = "CRANE_API_KEY",
        value_name = "KEY",
        value_delimiter = ',',
        hide_env_values = true,
        help_heading = "Server"
    )]
    pub api_key: Vec<String>,
    /// Ask for one of the API keys in this file, one a line
    #[arg(long, env = "CRANE_API_KEY_FILE", value_name = "FILE", help_heading = "Server")]
    pub api_key_file: Option<PathBuf>,
    /// Let pages of this web origin ask (`*` for all); repeatable or a comma list
    #[arg(
        long,
        env = "CRANE_CORS",
        value_name = "ORIGIN",
        value_delimiter = ',',
        help_heading = "Server"
    )]
    pub cors: Vec<String>,
    /// Let clients ask for the server by this host name, too (`*.example` for all below it, `*` for any); where it
    /// listens to this machine alone, names other than localhost are refused; repeatable or a comma list
    #[arg(
        long,
        env = "CRANE_ALLOWED_HOSTS",
        value_name = "HOST",
        value_delimiter = ',',
        help_heading = "Server"
    )]
    pub allowed_hosts: Vec<String>,
    /// Believe this proxy (an address, or a network such as 10.0.0.0/8) whose clients it tells in X-Forwarded-For;
    /// repeatable or a comma list
    #[arg(
        long,
        env = "CRANE_TRUSTED_PROXY",
        value_name = "ADDRESS",
        value_delimiter = ',',
        help_heading = "Server"
    )]
    pub trusted_proxy: Vec<String>,
    /// Connections at a time; where there are more, the one that has been idle for longest is closed
    #[arg(long, env = "CRANE_MAX_CONNECTIONS", value_name = "N", default_value_t = 1000, value_parser = positive,
          help_heading = "Server")]
    pub max_connections: usize,
    /// Seconds that the head of a request may take to come, and the next bytes of its body
    #[arg(long, env = "CRANE_READ_TIMEOUT", value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    pub read_timeout: u32,
    /// Seconds that a connection may be idle between two requests
    #[arg(long, env = "CRANE_IDLE_TIMEOUT", value_name = "SECONDS", default_value_t = 60,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    pub idle_timeout: u32,
    /// Seconds that a client may take in nothing of an answer; then its connection is cut
    #[arg(long, env = "CRANE_WRITE_TIMEOUT", value_name = "SECONDS", default_value_t = 30,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    pub write_timeout: u32,
    /// Seconds that a chat template may take for one request
    #[arg(long, env = "CRANE_TEMPLATE_TIMEOUT", value_name = "SECONDS", default_value_t = 1,
          value_parser = clap::value_parser!(u32).range(1..), help_heading = "Server")]
    pub template_timeout: u32,
    /// Load the models before the server listens, as many as --max-loaded lets
    #[arg(long, env = "CRANE_PRELOAD", value_parser = BoolishValueParser::new(), help_heading = "Server")]
    pub preload: bool,
    /// Models that are in memory at a time; the one that has been idle for longest makes room for another
    /// [default: as many as fit]
    #[arg(long, env = "CRANE_MAX_LOADED", value_name = "N", value_parser = positive, help_heading = "Server")]
    pub max_loaded: Option<usize>,
    /// Unload a model that nobody has used for so long: 90s, 5m, 1h, or never; the next request loads it again
    #[arg(
        long,
        env = "CRANE_KEEP_ALIVE",
        value_name = "DURATION",
        default_value = "never",
        value_parser = keep_alive,
        help_heading = "Server"
    )]
    pub keep_alive: KeepAlive,
    /// Another name by which clients may ask for the model, NAME=MODEL where there are several, or NAME=VOICE for a voice;
    /// repeatable or a comma list
    #[arg(
        long,
        env = "CRANE_ALIAS",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Server"
    )]
    pub alias: Vec<String>,
    /// Also serve this model's voices at /v1/audio/speech: hibari, or a folder or wheel with voices.json
    #[arg(long, env = "CRANE_SPEECH", value_name = "MODEL", value_parser = ModelWord,
          help_heading = "Server")]
    pub speech: Option<String>,
    /// Let prompts of all API keys share what was evaluated of their beginnings: faster, but one can find out what another
    /// asked [default: only without keys at a loopback address]
    #[arg(long, env = "CRANE_SHARE_PREFIX_CACHE", value_parser = BoolishValueParser::new(), help_heading = "Server")]
    pub share_prefix_cache: bool,
    /// Ignore unknown fields of requests, and wishes that are not met, with one warning for each on stderr, instead of refusing
    /// them
    #[arg(long, env = "CRANE_LENIENT", value_parser = BoolishValueParser::new(), help_heading = "Server")]
    pub lenient: bool,
    /// Let control tokens that a message spells out act as such, so that it can end itself and begin others
    #[arg(long, env = "CRANE_ALLOW_SPECIAL_TOKENS", value_parser = BoolishValueParser::new(), help_heading = "Server")]
    pub allow_special_tokens: bool,
    /// Largest request, in MiB
    #[arg(long, env = "CRANE_MAX_BODY", value_name = "MIB", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..), help_heading = "Server")]
    pub max_body: u16,
    /// Seconds that a request may take, with its wait for a slot; then it is given up [default: as long as it takes]
    #[arg(long, env = "CRANE_TIMEOUT", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..),
          help_heading = "Server")]
    pub timeout: Option<u32>,
    /// Seconds that replies under way have to end after Ctrl-C or SIGTERM
    #[arg(
        long,
        env = "CRANE_DRAIN",
        value_name = "SECONDS",
        default_value_t = 30,
        help_heading = "Server"
    )]
    pub drain: u16,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub template: TemplateArgs,
}

/// How long an idle model stays; for ever where there is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) struct KeepAlive(pub Option<Duration>);

fn keep_alive(text: &str) -> Result<KeepAlive, String> {
    if text == "never" {
        return Ok(KeepAlive(None));
    }
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let seconds = scale.zip(number.parse::<u64>().ok());
    match seconds.and_then(|(scale, number)| number.checked_mul(scale)) {
        Some(seconds) => Ok(KeepAlive(Some(Duration::from_secs(seconds)))),
        None => Err("a time such as 90s, 5m or 1h, or never".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let seconds = |text| keep_alive(text).unwrap().0.map(|time| time.as_secs());
        let told = ["0", "90", "90s", "5m", "2h", "never"].map(seconds);
        assert_eq!(told, [Some(0), Some(90), Some(90), Some(300), Some(7200), None]);
        for text in
            ["", "s", "-1", "1d", "5 m", "1.5h", "99999999999999999999", "9999999999999999999h"]
        {
            assert!(keep_alive(text).is_err(), "{text}");
        }
    }
}
