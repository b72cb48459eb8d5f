//! What the command line accepts: commands, flags and their `CRANE_*` environment twins.

mod generation;
mod model;
#[cfg(feature = "server")]
mod server;
mod speaking;
mod speech;
mod template;

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use crane_sdk::generate::Pooling;

pub(super) use generation::{FullContext, GenerationArgs, LastN, Limit, SamplingArgs, Seed, top_k};
pub(super) use model::{LoadArgs, ModelArgs, ModelWord, NumberType, QuantType};
#[cfg(feature = "server")]
pub(super) use server::ServeArgs;
pub(super) use speaking::SpeakingArgs;
pub(super) use speech::{Format, TtsArgs};
pub(super) use template::TemplateArgs;

/// Run open language models on this machine, from their original checkpoints.
#[derive(Debug, Parser)]
#[command(
    name = "crane",
    version,
    propagate_version = true,
    after_help = "MODEL is a hub id (org/name, org/name:file.gguf, org/name@revision), a folder, a .gguf file, \
                  or a name from `crane list`. Without one a small default model is fetched and used.\n\n\
                  Exit codes: 0 ok, 1 other failure, 2 usage, 3 model not found or incompatible, \
                  4 out of memory, 130 interrupted."
)]
pub(super) struct Crane {
    #[command(subcommand)]
    pub command: Command,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// The commands of `crane`.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Answer one prompt
    Run(RunArgs),
    /// Talk to a model
    Chat(ChatArgs),
    /// Serve models to many: OpenAI's HTTP API
    #[cfg(feature = "server")]
    Serve(Box<ServeArgs>),
    /// Read a text aloud: text in, a sound file or PCM out
    Tts(TtsArgs),
    /// Turn texts into vectors whose distance says how far apart their meanings are
    Embed(EmbedArgs),
    /// Download a model into the cache
    Pull(PullArgs),
    /// List the models on this machine
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Describe a model: architecture, size, context, quantisation, tokenizer
    Show(ShowArgs),
    /// Remove a model from the cache
    Rm(RmArgs),
    /// Measure prompt processing and generation speed
    Bench(BenchArgs),
    /// Say what was built, what was found, and what to do next
    Doctor(DoctorArgs),
    /// Turn text into token ids
    Tokenize(TokenizeArgs),
    /// Measure how well a model foresees a text
    Perplexity(PerplexityArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// What appears on stderr.
#[derive(Debug, Clone, Copy, Args)]
pub(super) struct OutputArgs {
    /// Print no progress, warnings or statistics on stderr; errors still appear
    #[arg(short, long, global = true, env = "CRANE_QUIET", conflicts_with = "verbose",
          value_parser = BoolishValueParser::new(), help_heading = "Output")]
    pub quiet: bool,
    /// Say more on stderr: where files come from, loading times, the rendered prompt
    #[arg(short, long, global = true, env = "CRANE_VERBOSE",
          value_parser = BoolishValueParser::new(), help_heading = "Output")]
    pub verbose: bool,
}

/// `crane run`
#[derive(Debug, Args)]
#[command(
    override_usage = "crane run [OPTIONS] [MODEL] PROMPT\n       crane run [OPTIONS] [MODEL] - < FILE\n       crane run [OPTIONS] [MODEL] PROMPT < FILE"
)]
pub(super) struct RunArgs {
    /// The prompt, or a model and a prompt; `-` reads the prompt from stdin. Text that is piped in beside a prompt comes
    /// after it
    #[arg(value_name = "MODEL] [PROMPT|-", num_args = 0..=2, hide_possible_values = true,
          value_parser = ModelWord)]
    pub words: Vec<String>,
    /// Chat messages instead of PROMPT: a JSON list of {"role", "content"} (`-` for stdin)
    #[arg(long, value_name = "FILE", conflicts_with = "raw")]
    pub messages: Option<PathBuf>,
    /// Begin a new reply behind a last message of the assistant, which is gone on with else
    #[arg(long, env = "CRANE_ADD_GENERATION_PROMPT", value_parser = BoolishValueParser::new(),
          help_heading = "Generation")]
    pub add_generation_prompt: bool,
    /// Print one JSON object instead of text: ids, text, finish reason, statistics
    #[arg(long, help_heading = "Output")]
    pub json: bool,
    /// Complete the prompt as it is, without the chat template
    #[arg(long, env = "CRANE_RAW", conflicts_with = "system",
          value_parser = BoolishValueParser::new(), help_heading = "Generation")]
    pub raw: bool,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub template: TemplateArgs,
    #[command(flatten)]
    pub generation: GenerationArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
}

/// `crane chat`
#[derive(Debug, Args)]
pub(super) struct ChatArgs {
    /// The model (same as -m)
    #[arg(value_name = "MODEL", conflicts_with = "model", value_parser = ModelWord)]
    pub name: Option<String>,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub template: TemplateArgs,
    #[command(flatten)]
    pub generation: GenerationArgs,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub speaking: SpeakingArgs,
}

/// `crane pull`
#[derive(Debug, Args)]
pub(super) struct PullArgs {
    /// The model: org/name, org/name:file.gguf, org/name@revision
    #[arg(value_name = "MODEL")]
    pub name: String,
    /// Use only what is on this machine
    #[arg(long, env = "CRANE_OFFLINE", value_parser = BoolishValueParser::new())]
    pub offline: bool,
}

/// `crane list`
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print a JSON list
    #[arg(long)]
    pub json: bool,
}

/// `crane show`
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The model (same as -m)
    #[arg(value_name = "MODEL", conflicts_with = "model", value_parser = ModelWord)]
    pub name: Option<String>,
    /// List every tensor: name, type, shape
    #[arg(long)]
    pub tensors: bool,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// `crane rm`
#[derive(Debug, Args)]
pub(super) struct RmArgs {
    /// The models, as `crane list` names them
    #[arg(value_name = "MODEL", required = true)]
    pub names: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `crane bench`
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// The model (same as -m)
    #[arg(value_name = "MODEL", conflicts_with = "model", value_parser = ModelWord)]
    pub name: Option<String>,
    /// Prompt lengths to process, in tokens; repeatable or a comma list, 0 for none
    #[arg(short = 'p', long, value_name = "N", default_values_t = [512], value_delimiter = ',')]
    pub n_prompt: Vec<usize>,
    /// Numbers of tokens to generate; repeatable or a comma list, 0 for none
    #[arg(short = 'n', long, value_name = "N", default_values_t = [128], value_delimiter = ',')]
    pub n_gen: Vec<usize>,
    /// Tokens in the cache before each test begins; repeatable or a comma list
    #[arg(short = 'd', long, value_name = "N", default_values_t = [0], value_delimiter = ',')]
    pub n_depth: Vec<usize>,
    /// Sequences that generate together, one token each a step; speeds are their sum
    #[arg(long, value_name = "N", default_values_t = [1], value_delimiter = ',',
          value_parser = clap::value_parser!(u16).range(1..))]
    pub sequences: Vec<u16>,
    /// How often each test runs, after one warm-up
    #[arg(short, long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub repetitions: u32,
    /// Print a JSON list instead of a table
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// `crane doctor`
#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    /// Do not touch the network
    #[arg(long, env = "CRANE_OFFLINE", value_parser = BoolishValueParser::new())]
    pub offline: bool,
}

/// `crane tokenize`
#[derive(Debug, Args)]
#[command(
    override_usage = "crane tokenize [OPTIONS] [MODEL] TEXT|-\n       crane tokenize [OPTIONS] --json [MODEL] < LINES"
)]
pub(super) struct TokenizeArgs {
    /// The text, or a model and a text; `-` reads the text from stdin
    #[arg(value_name = "MODEL] [TEXT|-", num_args = 0..=2, value_parser = ModelWord)]
    pub words: Vec<String>,
    /// Each line of stdin is a JSON string; each line of stdout is the JSON list of its ids
    #[arg(long)]
    pub json: bool,
    /// Add the special tokens that the tokenizer puts around a text (such as BOS)
    #[arg(long)]
    pub add_special: bool,
    #[command(flatten)]
    pub model: ModelArgs,
}

/// `crane embed`
#[derive(Debug, Args)]
#[command(
    override_usage = "crane embed [OPTIONS] [MODEL] TEXT|-\n       crane embed [OPTIONS] --lines [MODEL] < LINES"
)]
pub(super) struct EmbedArgs {
    /// The text, or a model and a text; `-` reads the text from stdin
    #[arg(value_name = "MODEL] [TEXT|-", num_args = 0..=2, value_parser = ModelWord)]
    pub words: Vec<String>,
    /// Each line of stdin is a text; each line of stdout is its vector
    #[arg(long)]
    pub lines: bool,
    /// Which hidden states make the vector: mean, last or cls [default: as the model's authors say]
    #[arg(long, value_name = "POOLING")]
    pub pooling: Option<PoolingChoice>,
    /// Cut texts that are too long, which are refused else
    #[arg(long)]
    pub truncate: bool,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// How hidden states become one vector.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolingChoice(pub Pooling);

impl FromStr for PoolingChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "mean" => Ok(Self(Pooling::Mean)),
            "last" => Ok(Self(Pooling::Last)),
            "cls" => Ok(Self(Pooling::Cls)),
            _ => Err("it is mean, last or cls".to_owned()),
        }
    }
}

/// `crane perplexity`
#[derive(Debug, Args)]
pub(super) struct PerplexityArgs {
    /// The model (same as -m)
    #[arg(value_name = "MODEL", conflicts_with = "model", value_parser = ModelWord)]
    pub name: Option<String>,
    /// The text, a UTF-8 file (`-` for stdin)
    #[arg(short, long, value_name = "FILE")]
    pub file: PathBuf,
    /// Tokens of a chunk; the first half of each gives context, the second half is counted
    #[arg(short, long, value_name = "N", default_value_t = 512, value_parser = generation::positive)]
    pub ctx: usize,
    /// Print a JSON object
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub model: ModelArgs,
    #[command(flatten)]
    pub load: LoadArgs,
}

/// `crane completions`
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// `qwenchat`: chat with Qwen2.5.
#[derive(Debug, Parser)]
#[command(name = "qwenchat", version, about = "Chat with Qwen2.5 (crane chat with that model)")]
pub(super) struct QwenChat {
    #[command(flatten)]
    pub chat: ChatArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// `llmbench`: measure a model.
#[derive(Debug, Parser)]
#[command(name = "llmbench", version, about = "Measure a model's speed (crane bench)")]
pub(super) struct LlmBench {
    #[command(flatten)]
    pub bench: BenchArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}
