//! `/v1/audio/speech`: the request, and the bytes of the answer.

use crane_sdk::pipeline::Voice;

use super::ApiError;
use super::fields::{Fields, Neutral};

/// The most characters of a text, as in OpenAI's API.
const MOST: usize = 4096;

/// Fields of OpenAI's API that ask for what is not done here.
pub(super) const NOT_DONE: &[Neutral] = &[
    Neutral { name: "instructions", values: &["\"\""], reason: "the voice takes none" },
    Neutral {
        name: "stream_format",
        values: &["\"audio\""],
        reason: "the sound itself is streamed; read the body as it comes",
    },
];

/// What the sound is written as: mono, 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioFormat {
    /// RIFF WAVE; since it is sent while it is made, its head tells no length.
    Wav,
    /// Little-endian samples without a head.
    Pcm,
    /// Frames of MP3, sent as they fill.
    Mp3,
    /// A whole FLAC file, sent at the end: its head sums up what follows.
    Flac,
}

/// A text that is to be said.
#[derive(Debug, PartialEq)]
pub struct SpeechRequest {
    /// The text.
    pub input: String,
    /// Who says it, and how.
    pub voice: Voice,
    /// What the sound is written as.
    pub format: AudioFormat,
}

impl SpeechRequest {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(mut fields: Fields, lenient: bool) -> Result<(Self, Vec<String>), ApiError> {
        let input = fields.required_string("input")?;
        let length = input.chars().count();
        if length > MOST {
            let reason = format_args!("has {length} characters; at most {MOST} are taken");
            return Err(ApiError::value("input", reason));
        }
        let format = match fields.string("response_format")?.as_deref() {
            None | Some("wav") => AudioFormat::Wav,
            Some("pcm") => AudioFormat::Pcm,
            Some("mp3") => AudioFormat::Mp3,
            Some("flac") => AudioFormat::Flac,
            Some(other) => {
                let reason =
                    format_args!("is {other:?}; sound is written as wav, mp3, pcm or flac");
                return Err(ApiError::unsupported("response_format", reason));
            }
        };
        let speed = fields.number("speed", 0.5..=2.0)?.unwrap_or(1.0);
        let seed = match fields.seed("seed")? {
            None => 0,
            Some(Some(seed)) => seed,
            Some(None) => getrandom::u64().map_err(ApiError::internal)?,
        };
        let voice = Voice { name: voice(&mut fields)?, speed, seed, ..Voice::default() };
        fields.only_neutral(NOT_DONE)?;
        let unknown = fields.finish(lenient)?;
        Ok((Self { input, voice, format }, unknown))
    }
}

/// Takes `voice`: a name, or an object with an `id`, as clients write a voice of their own.
fn voice(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    if !fields.copy("voice").is_some_and(|voice| voice.is_object()) {
        return fields.string("voice");
    }
    let value = fields.required("voice")?;
    let mut voice = fields.within("voice", value)?;
    let name = voice.required_string("id")?;
    voice.finish(false)?;
    Ok(Some(name))
}

impl AudioFormat {
    /// The type of the body.
    pub fn content_type(self) -> &'static str {
        match self {
            AudioFormat::Wav => "audio/wav",
            AudioFormat::Pcm => "audio/pcm",
            AudioFormat::Mp3 => "audio/mpeg",
            AudioFormat::Flac => "audio/flac",
        }
    }

    /// What stands before the samples that are sent as they are made.
    pub fn head(self, sample_rate: u32) -> Vec<u8> {
        if self != AudioFormat::Wav {
            return Vec::new();
        }
        // The lengths are not known yet; the largest number stands for that.
        let unknown = u32::MAX;
        let (channels, bits) = (1u16, 16u16);
        let frame = channels * bits / 8;
        let mut head = Vec::with_capacity(44);
        head.extend(b"RIFF");
        head.extend(unknown.to_le_bytes());
        head.extend(b"WAVEfmt ");
        head.extend(16u32.to_le_bytes());
        head.extend(1u16.to_le_bytes());
        head.extend(channels.to_le_bytes());
        head.extend(sample_rate.to_le_bytes());
        head.extend((sample_rate * u32::from(frame)).to_le_bytes());
        head.extend(frame.to_le_bytes());
        head.extend(bits.to_le_bytes());
        head.extend(b"data");
        head.extend(unknown.to_le_bytes());
        head
    }
}

/// Samples from −1 to 1 in 16 bits.
pub fn in_16_bits(samples: &[f32]) -> impl Iterator<Item = i16> {
    samples.iter().map(|sample| (sample.clamp(-1.0, 1.0) * 32767.0) as i16)
}
