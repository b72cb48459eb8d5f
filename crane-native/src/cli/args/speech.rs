//! What `crane tts` accepts.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, ValueEnum};
use crane_sdk::models::sparktts::Level;

use super::Seed;
use super::model::{ModelWord, QuantType, threads};

/// `crane tts`
#[derive(Debug, Args)]
#[command(
    override_usage = "crane tts [OPTIONS] [MODEL] TEXT (-o FILE | --play)\n       crane tts [OPTIONS] [MODEL] - --stream - < FILE | PLAYER"
)]
pub(in crate::cli) struct TtsArgs {
    /// The text, or a model and a text; `-` reads the text from stdin
    #[arg(value_name = "MODEL] [TEXT|-", num_args = 0..=2, value_parser = ModelWord)]
    pub words: Vec<String>,
    /// The model: hibari, a folder or wheel with voices.json, or a folder of Orpheus (with SNAC below it) or Spark-TTS [default: hibari]
    #[arg(short, long, value_name = "MODEL", value_parser = ModelWord, help_heading = "Model")]
    pub model: Option<String>,
    /// Use only what is on this machine
    #[arg(long, env = "CRANE_OFFLINE", value_parser = BoolishValueParser::new(), help_heading = "Model")]
    pub offline: bool,
    /// Threads to compute with [default: RAYON_NUM_THREADS, else one for each physical core]
    #[arg(short, long, env = "CRANE_THREADS", value_name = "N", value_parser = threads,
          allow_negative_numbers = true, help_heading = "Model")]
    pub threads: Option<u16>,
    /// Quantise the language model of Orpheus or Spark-TTS while loading
    #[arg(long, env = "CRANE_QUANT", value_name = "TYPE", value_enum, help_heading = "Model")]
    pub quant: Option<QuantType>,
    /// The file to write; it appears when it is whole
    #[arg(
        short,
        long,
        value_name = "FILE",
        required_unless_present_any = ["stream", "play"],
        help_heading = "Output"
    )]
    pub output: Option<PathBuf>,
    /// Write raw PCM while it is made, to a file or `-` for stdout
    #[arg(long, value_name = "FILE|-", conflicts_with_all = ["output", "format"], help_heading = "Output")]
    pub stream: Option<PathBuf>,
    /// Play it on this machine's sound output while it is made; beside it a file may be written
    #[arg(long, help_heading = "Output")]
    pub play: bool,
    /// The file's format [default: as the file's name ends: .flac, .mp3, .pcm or .raw, else wav]
    #[arg(long, value_enum, help_heading = "Output")]
    pub format: Option<Format>,
    /// Who speaks [default: the model's own choice]
    #[arg(long, value_name = "NAME", help_heading = "Speech")]
    pub voice: Option<String>,
    /// How fast, from 0.5 to 2; Spark-TTS has five steps, Orpheus one
    #[arg(
        long,
        value_name = "X",
        default_value_t = 1.0,
        allow_negative_numbers = true,
        help_heading = "Speech"
    )]
    pub speed: f32,
    /// Take the voice of a recording: a wav of half a second or more, of which the first six seconds count (Spark-TTS alone)
    #[arg(long, value_name = "WAV", conflicts_with_all = ["voice", "pitch", "speed"], help_heading = "Speech")]
    pub clone: Option<PathBuf>,
    /// What is said in all of that recording, of at most half a minute: its manner of speaking is taken, too
    #[arg(long, value_name = "TEXT", requires = "clone", help_heading = "Speech")]
    pub transcript: Option<String>,
    /// How high (Spark-TTS alone)
    #[arg(long, value_enum, value_name = "STEP", default_value_t = Pitch::Moderate, help_heading = "Speech")]
    pub pitch: Pitch,
    /// The same seed gives the same samples; -1 is random
    #[arg(long, value_name = "N", default_value_t = Seed(Some(0)), allow_negative_numbers = true, help_heading = "Speech")]
    pub seed: Seed,
}

/// How high a voice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the names say it")]
pub(in crate::cli) enum Pitch {
    VeryLow,
    Low,
    Moderate,
    High,
    VeryHigh,
}

impl Pitch {
    pub(in crate::cli) fn level(self) -> Level {
        match self {
            Pitch::VeryLow => Level::VeryLow,
            Pitch::Low => Level::Low,
            Pitch::Moderate => Level::Moderate,
            Pitch::High => Level::High,
            Pitch::VeryHigh => Level::VeryHigh,
        }
    }
}

/// A sound file's format: mono, 16 bits, at the model's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Format {
    /// RIFF WAVE
    Wav,
    /// Lossless, at about half the size
    Flac,
    /// What every player takes, at a sixth of the size
    Mp3,
    /// Little-endian samples without a header
    Pcm,
}
