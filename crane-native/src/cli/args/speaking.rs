//! What `crane chat` accepts so that replies are heard.

use std::path::PathBuf;

use clap::Args;

use super::ModelWord;

/// How replies are read aloud.
#[derive(Debug, Args)]
pub(in crate::cli) struct SpeakingArgs {
    /// Read replies aloud while they are written, sentence by sentence, on this machine's sound output
    #[arg(long, help_heading = "Speech")]
    pub speak: bool,
    /// Write the voice as raw PCM (mono, 16 bits) to a file or pipe instead, such as >(aplay -f S16_LE -r 24000)
    #[arg(long, value_name = "FILE", conflicts_with = "speak", help_heading = "Speech")]
    pub speak_to: Option<PathBuf>,
    /// The model that speaks, as for `crane tts` [default: hibari]
    #[arg(long, value_name = "MODEL", value_parser = ModelWord, help_heading = "Speech")]
    pub speech_model: Option<String>,
    /// Who speaks [default: the speech model's own choice]
    #[arg(long, value_name = "NAME", help_heading = "Speech")]
    pub voice: Option<String>,
}
