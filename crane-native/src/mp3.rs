//! MP3 (MPEG-2 Layer III at a voice's rates): what every player takes, at a sixth of a wav's size.

use rusty_mp3::{Error, Mp3Encoder, Mp3EncoderConfig};

/// Kilobits a second: with a voice's 24 kHz and one channel nothing is heard of the loss.
const BITRATE: u32 = 64;

/// The encoder failed; it says why.
#[derive(Debug, thiserror::Error)]
#[error("cannot encode MP3: {0}")]
pub(crate) struct EncodeError(String);

/// Mono samples on their way into frames.
pub(crate) struct Encoder {
    encoder: Mp3Encoder,
    sample_rate: u32,
    /// Whether the first packet, which sums up a whole file, is still to come and to be left out.
    headless: bool,
}

impl Encoder {
    /// Frames for a file, which [`Encoder::finish`] gives whole.
    pub(crate) fn whole(sample_rate: u32) -> Self {
        let config = Mp3EncoderConfig { bitrate_kbps: BITRATE, vbr_quality: None };
        Self { encoder: Mp3Encoder::new(config), sample_rate, headless: false }
    }

    /// Frames to be sent as they come: without a head that tells a length.
    #[cfg(feature = "server")]
    pub(crate) fn streamed(sample_rate: u32) -> Self {
        Self { headless: true, ..Self::whole(sample_rate) }
    }

    /// Takes samples of 16 bits.
    ///
    /// # Errors
    /// What the encoder says of a sample rate that MP3 does not have.
    pub(crate) fn push(&mut self, samples: &[i16]) -> Result<(), EncodeError> {
        let pushed = self.encoder.push_pcm_s16(samples, 1, self.sample_rate);
        pushed.map_err(|error| EncodeError(error.to_string()))
    }

    /// The frames that are complete.
    ///
    /// # Errors
    /// What the encoder says if it fails.
    pub(crate) fn frames(&mut self) -> Result<Vec<u8>, EncodeError> {
        let mut bytes = Vec::new();
        loop {
            match self.encoder.next_packet() {
                Ok(_) if self.headless => self.headless = false,
                Ok(packet) => bytes.extend(packet),
                Err(Error::Again | Error::Eof) => return Ok(bytes),
                Err(error) => return Err(EncodeError(error.to_string())),
            }
        }
    }

    /// The rest of the frames; of a file all of them, if none were taken before.
    ///
    /// # Errors
    /// As [`Encoder::frames`].
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, EncodeError> {
        self.encoder.finish();
        self.frames()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn tone(sample_rate: u32, count: usize) -> Vec<i16> {
        let sample =
            |i: usize| (i as f64 * 440.0 * std::f64::consts::TAU / f64::from(sample_rate)).sin();
        (0..count).map(|i| (sample(i) * 12_000.0) as i16).collect()
    }

    /// The ratio of samples to what else a decoder of other authors hears, in dB, where both lie best together.
    fn likeness(samples: &[i16], file: &[u8], rate: u32, delays: usize) -> f64 {
        let heard = nanomp3::decode_all::<f32>(file);
        assert_eq!((heard.sample_rate, heard.layer), (rate, 3));
        let fit = |delay: usize| {
            let (mut signal, mut noise) = (0.0, 0.0);
            for (sample, heard) in samples.iter().zip(&heard.samples[delay..]) {
                let sample = f64::from(*sample) / 32_768.0;
                signal += sample * sample;
                noise += (sample - f64::from(*heard)).powi(2);
            }
            10.0 * (signal / noise).log10()
        };
        (0..delays).map(fit).fold(f64::MIN, f64::max)
    }

    #[test]
    fn a_decoder_hears_the_samples_again() {
        for rate in [16_000, 24_000] {
            let samples = tone(rate, 20_000);
            let mut file = Encoder::whole(rate);
            samples.chunks(999).for_each(|piece| file.push(piece).unwrap());
            let file = file.finish().unwrap();
            assert!(file.len() < samples.len() * 2 / 3, "{} bytes", file.len());
            // The head says what was added before and after: nothing is left of it.
            assert_eq!(nanomp3::decode_all::<f32>(&file).samples.len(), samples.len());
            let ratio = likeness(&samples, &file, rate, 1);
            assert!(ratio > 25.0, "{ratio} dB at {rate}");
        }
    }

    #[cfg(feature = "server")]
    #[test]
    fn frames_come_before_the_end() {
        let samples = tone(24_000, 24_000);
        let mut stream = Encoder::streamed(24_000);
        let (mut bytes, mut early) = (Vec::new(), 0);
        for piece in samples.chunks(2400) {
            stream.push(piece).unwrap();
            bytes.extend(stream.frames().unwrap());
            early += usize::from(!bytes.is_empty());
        }
        assert!(early >= 8, "frames were there after {early} of ten pieces");
        bytes.extend(stream.finish().unwrap());
        let ratio = likeness(&samples, &bytes, 24_000, 2400);
        assert!(ratio > 25.0, "{ratio} dB");
    }

    #[test]
    fn a_rate_that_mp3_does_not_have_is_refused() {
        let error = Encoder::whole(96_000).push(&[0; 10]).unwrap_err().to_string();
        assert!(error.contains("sample rate"), "{error}");
    }
}
