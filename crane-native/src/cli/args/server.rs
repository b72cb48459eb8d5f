//! Flags of `crane serve`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use super::generation::positive;
use super::{LoadArgs, ModelArgs};

/// `crane serve`
#[derive(Debug, Args)]
pub(in crate::cli) struct ServeArgs {
    /// The model (same as -m)
    #[arg(value_name = "MODEL", conflicts_with = "model")]
    pub name: Option<String>,
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
    /// Replies that may wait for a slot; beyond them requests are answered with 429
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
    /// Another name by which clients may ask for the model; repeatable or a comma list
    #[arg(
        long,
        env = "CRANE_ALIAS",
        value_name = "NAME",
        value_delimiter = ',',
        help_heading = "Server"
    )]
    pub alias: Vec<String>,
    /// Also serve this model's voices at /v1/audio/speech: hibari, or a folder or wheel with voices.json
    #[arg(long, env = "CRANE_SPEECH", value_name = "MODEL", help_heading = "Server")]
    pub speech: Option<String>,
    /// Ignore unknown fields of requests, with a warning on stderr, instead of refusing them
    #[arg(long, env = "CRANE_LENIENT", value_parser = BoolishValueParser::new(), help_heading = "Server")]
    pub lenient: bool,
    /// Largest request, in MiB
    #[arg(long, env = "CRANE_MAX_BODY", value_name = "MIB", default_value_t = 16,
          value_parser = clap::value_parser!(u16).range(1..), help_heading = "Server")]
    pub max_body: u16,
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
}
