//! Neural codecs: from the codes that a language model writes to sound, and back.

mod bicodec;
mod noise;
mod residual;
mod snac;
mod upsampling;

use std::fmt::Debug;

use crate::Result;
use crate::source::Checkpoint;

pub use bicodec::{
    BiCodec, BiCodecConfig, BiCodecStream, BiCodecVoice, SemanticEncoder, SpeakerEncoder,
};
#[cfg(feature = "golden")]
pub(crate) use noise::Drawn;
pub use noise::Noise;
#[cfg(feature = "golden")]
pub(crate) use snac::first_transposed;
pub use snac::{Snac, SnacConfig, SnacEncoder, SnacStream};
pub(crate) use snac::{is_snac, snac_bytes};

/// Bytes of the tensors whose names begin so, as floats.
fn float_bytes(checkpoint: &dyn Checkpoint, beginnings: &[&str]) -> u64 {
    let tensors = checkpoint.tensors();
    let used =
        tensors.iter().filter(|(name, _)| beginnings.iter().any(|part| name.starts_with(part)));
    used.map(|(_, info)| (info.elements() as u64).saturating_mul(4)).fold(0, u64::saturating_add)
}

/// The rates of samples that codecs have, a second.
const SAMPLE_RATES: std::ops::RangeInclusive<u32> = 4_000..=384_000;
/// The most samples of a frame, several times what published codecs have: a frame is decoded as a whole.
const MOST_FRAME_SAMPLES: usize = 1 << 16;
/// The most taps of a convolution, many times what published codecs have: as many rows wait for it.
const MOST_TAPS: usize = 1 << 10;

/// A product that does not overflow.
fn product(factors: impl IntoIterator<Item = usize>) -> usize {
    factors.into_iter().fold(1, usize::saturating_mul)
}

/// Samples that [`Codec::decode`] makes at a time: what the decoder works on then fits into caches.
const PIECE: usize = 8192;

/// A decoder of codes to mono sound.
///
/// Codes come in whole frames of [`Codec::frame_codes`] numbers, each below [`Codec::codebook_size`]; every frame is worth
/// [`Codec::frame_samples`] samples. A stream keeps what later samples depend on, so that frames pushed in any pieces give
/// the same samples to the last bit.
///
/// ```
/// use crane_sdk::codec::{Codec, Noise, Snac};
/// # let source = crane_sdk::source::MemorySource::new("tiny")
/// #     .with("config.json", include_bytes!("../../tests/fixtures/snac24/config.json").to_vec())
/// #     .with("pytorch_model.bin", include_bytes!("../../tests/fixtures/snac24/pytorch_model.bin").to_vec());
///
/// let codec = Snac::from_source(&source)?;
/// let frames = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14, 15, 16, 17];
/// let whole = codec.decode(&frames, Noise::Seed(0))?;
/// assert_eq!(whole.len(), 2 * codec.frame_samples());
///
/// let mut stream = codec.stream(Noise::Seed(0));
/// let mut pieces = stream.push(&frames[..7], false)?;
/// pieces.extend(stream.push(&frames[7..], true)?);
/// assert_eq!(pieces, whole);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
pub trait Codec: Debug + Send + Sync {
    /// Samples a second.
    fn sample_rate(&self) -> u32;

    /// Samples of a frame.
    fn frame_samples(&self) -> usize;

    /// Codes of a frame.
    fn frame_codes(&self) -> usize;

    /// How many values a code has.
    fn codebook_size(&self) -> usize;

    /// Begins to decode.
    fn stream(&self, noise: Noise) -> Box<dyn CodecStream + '_>;

    /// Decodes whole frames at once, in bounded memory.
    ///
    /// # Errors
    /// As [`CodecStream::push`].
    fn decode(&self, frames: &[u32], noise: Noise) -> Result<Vec<f32>> {
        let mut stream = self.stream(noise);
        let mut out = Vec::new();
        let size = self.frame_codes() * (PIECE / self.frame_samples()).max(1);
        for piece in frames.chunks(size) {
            out.extend(stream.push(piece, false)?);
        }
        out.extend(stream.push(&[], true)?);
        Ok(out)
    }
}

/// Frames being decoded one after the other.
pub trait CodecStream: Debug + Send {
    /// Takes whole frames and gives the samples (−1 to 1) that they make certain; `last` says that no frames follow, and the
    /// rest comes out.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for part of a frame or a code that the codebook does not
    /// have, both before anything is changed, and for frames after the last one.
    fn push(&mut self, frames: &[u32], last: bool) -> Result<Vec<f32>>;
}
