//! Where samples go: a file that appears when it is whole, a stream of PCM, this machine's sound output.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::player::Player;
use crate::cli::args::Format;
use crate::cli::exit::{Failure, Result};
use crate::{flac, mp3};

/// What is to be written.
#[derive(Debug)]
pub(in crate::cli) enum Target {
    /// A file, under its name only once it is whole.
    Whole(Format, PathBuf),
    /// PCM into a file (a pipe, a device) as it is made.
    Stream(PathBuf),
    /// PCM to stdout as it is made.
    Stdout,
    /// Heard as it is made.
    Output,
}

/// An open target.
pub(in crate::cli) enum Sink {
    Wav(hound::WavWriter<BufWriter<File>>, Partial),
    Pcm(BufWriter<File>, Partial),
    /// Samples and how many of them a second; the file is written at the end.
    Flac(Vec<i32>, u32, File, Partial),
    /// Written at the end, too: the head sums up what follows.
    Mp3(Box<mp3::Encoder>, File, Partial),
    Stream(File, PathBuf),
    Stdout(io::Stdout),
    Output(Box<Player>),
}

/// Refuses `option` before anything is loaded if this program cannot play.
///
/// # Errors
/// [`Failure::Usage`] that says how it can, and that `instead` does without.
pub(in crate::cli) fn check_output(option: &str, instead: &str) -> Result {
    if cfg!(feature = "play") {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{option}: this program was built without sound output; build it with `cargo install --path crane-native --features play` \
         (on Linux that needs ALSA's headers, Debian's libasound2-dev), or let a player do it: {instead}"
    )))
}

/// A file under another name until it is whole; removed if it never is.
pub(in crate::cli) struct Partial {
    path: PathBuf,
    partial: PathBuf,
    whole: bool,
}

impl Sink {
    /// Opens a target for mono samples at this rate.
    ///
    /// # Errors
    /// [`Failure::Usage`] for a folder, [`Failure::Other`] for what the system refuses.
    pub(in crate::cli) fn open(target: Target, sample_rate: u32) -> Result<Self> {
        let (format, path) = match target {
            Target::Output => return Ok(Sink::Output(Box::new(Player::open(sample_rate)?))),
            Target::Stdout => return Ok(Sink::Stdout(io::stdout())),
            Target::Stream(path) => {
                let file = File::create(&path).map_err(|error| cannot("open", &path, error))?;
                return Ok(Sink::Stream(file, path));
            }
            Target::Whole(format, path) => (format, path),
        };
        if path.is_dir() {
            return Err(Failure::Usage(format!(
                "-o {}: it is a folder; name a file",
                path.display()
            )));
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let partial = path.with_file_name(format!(".{name}.{}.incomplete", std::process::id()));
        let file = File::create(&partial).map_err(|error| cannot("create", &path, error))?;
        let partial = Partial { path, partial, whole: false };
        Ok(match format {
            Format::Flac => Sink::Flac(Vec::new(), sample_rate, file, partial),
            Format::Mp3 => Sink::Mp3(Box::new(mp3::Encoder::whole(sample_rate)), file, partial),
            Format::Pcm => Sink::Pcm(BufWriter::new(file), partial),
            Format::Wav => {
                let spec = hound::WavSpec {
                    channels: 1,
                    sample_rate,
                    bits_per_sample: 16,
                    sample_format: hound::SampleFormat::Int,
                };
                let writer = hound::WavWriter::new(BufWriter::new(file), spec)
                    .map_err(|error| partial.failed(error))?;
                Sink::Wav(writer, partial)
            }
        })
    }

    /// Writes samples, held to −1..1. What cannot take them yet is waited for, unless `stopped`.
    ///
    /// # Errors
    /// [`Failure::BrokenPipe`] if a stream's reader has gone, [`Failure::Other`] for what the system refuses.
    pub(in crate::cli) fn write(&mut self, samples: &[f32], stopped: &dyn Fn() -> bool) -> Result {
        let floats = samples;
        let samples = floats.iter().map(|sample| (sample.clamp(-1.0, 1.0) * 32767.0) as i16);
        let bytes = |samples: &mut dyn Iterator<Item = i16>| {
            samples.flat_map(i16::to_le_bytes).collect::<Vec<u8>>()
        };
        match self {
            Sink::Wav(writer, partial) => {
                for sample in samples {
                    writer.write_sample(sample).map_err(|error| partial.failed(error))?;
                }
                Ok(())
            }
            Sink::Flac(held, ..) => {
                held.extend(samples.map(i32::from));
                Ok(())
            }
            Sink::Mp3(encoder, ..) => {
                let pushed = encoder.push(&samples.collect::<Vec<i16>>());
                pushed.map_err(|error| Failure::Other(error.to_string()))
            }
            Sink::Pcm(file, partial) => {
                let mut samples = samples;
                file.write_all(&bytes(&mut samples))
                    .map_err(|error| cannot("write", &partial.path, error))
            }
            Sink::Stream(file, path) => {
                let mut samples = samples;
                match file.write_all(&bytes(&mut samples)) {
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                        Err(Failure::BrokenPipe)
                    }
                    result => result.map_err(|error| cannot("write", path, error)),
                }
            }
            Sink::Stdout(stdout) => {
                let mut samples = samples;
                let mut stdout = stdout.lock();
                let bytes = bytes(&mut samples);
                stdout.write_all(&bytes).and_then(|()| stdout.flush()).map_err(Failure::stdout)
            }
            Sink::Output(player) => player.write(floats, stopped),
        }
    }

    /// Waits until what was written has been heard, where it is heard here and not `stopped`; what is left then is dropped.
    ///
    /// # Errors
    /// [`Failure::Other`] if the output fails.
    pub(in crate::cli) fn drain(&mut self, stopped: &dyn Fn() -> bool) -> Result {
        match self {
            Sink::Output(player) => player.drain(stopped),
            _ => Ok(()),
        }
    }

    /// Gives a whole file its name.
    pub(super) fn finish(self) -> Result {
        match self {
            Sink::Wav(writer, partial) => {
                writer.finalize().map_err(|error| partial.failed(error))?;
                partial.into_place()
            }
            Sink::Flac(samples, sample_rate, mut file, partial) => {
                let bytes = flac::encode(&samples, sample_rate)
                    .map_err(|error| Failure::Other(error.to_string()))?;
                file.write_all(&bytes).map_err(|error| cannot("write", &partial.path, error))?;
                partial.into_place()
            }
            Sink::Mp3(encoder, mut file, partial) => {
                let bytes = encoder.finish().map_err(|error| Failure::Other(error.to_string()))?;
                file.write_all(&bytes).map_err(|error| cannot("write", &partial.path, error))?;
                partial.into_place()
            }
            Sink::Pcm(mut file, partial) => {
                file.flush().map_err(|error| cannot("write", &partial.path, error))?;
                partial.into_place()
            }
            Sink::Stream(..) | Sink::Stdout(_) | Sink::Output(_) => Ok(()),
        }
    }
}

impl Partial {
    fn into_place(mut self) -> Result {
        fs::rename(&self.partial, &self.path)
            .map_err(|error| cannot("create", &self.path, error))?;
        self.whole = true;
        Ok(())
    }

    fn failed(&self, error: hound::Error) -> Failure {
        Failure::Other(format!("cannot write {}: {error}", self.path.display()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.whole {
            // It is an error already that brought us here.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Failure {
    Failure::Other(format!("cannot {what} {}: {error}", path.display()))
}
