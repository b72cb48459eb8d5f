//! `crane tts`: text in, sound out.

mod incoming;
#[cfg(not(feature = "play"))]
#[path = "tts/no_player.rs"]
mod player;
#[cfg(feature = "play")]
mod player;
mod recording;
pub(super) mod sink;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crane_sdk::codec::SemanticEncoder;
use crane_sdk::models::LoadOptions;
use crane_sdk::pipeline::{Recording, Said, TextToSpeech, Voice};

use super::args::{Format, QuantType, TtsArgs};
use super::exit::{Failure, Result};
use super::interrupt::Interruptible;
use super::open::{Fetching, hub};
use super::output::Console;
use super::{machine, words};
use crate::memory;
use crate::resolve::{DEFAULT_VOICE, Resolved, check_path, resolve};
use sink::Sink;

/// Reads the text aloud into a file or a pipe.
///
/// # Errors
/// [`Failure::Usage`] for a text, voice, speed or file that cannot be; what finding and loading the model refuses;
/// [`Failure::Interrupted`] on Ctrl-C. No part of a file is left behind.
pub(super) fn tts(console: Console, args: TtsArgs) -> Result {
    let words = words::split(args.words, args.model)?;
    let name = words.model.unwrap_or_else(|| DEFAULT_VOICE.to_owned());
    if args.play {
        let instead = "crane tts … --stream - | aplay -f S16_LE -r 24000 (ffplay does as well)";
        sink::check_output("--play", instead)?;
    }
    check_path(&name)?;
    // What is heard at once begins before the text has ended.
    let streamed = args.stream.is_some() || args.play;
    let coming = streamed && args.output.is_none() && words.text.as_deref() == Some("-");
    let text = if coming { None } else { Some(words::text(console, words.text, "text")?) };
    let recording = args.clone.as_deref().map(recording::read).transpose()?;
    if args.transcript.as_deref().is_some_and(|text| text.trim().is_empty()) {
        let reason =
            "--transcript: it is empty; say in words what the recording says, or leave it out";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let file = match (args.output, args.stream) {
        (Some(path), _) if path.as_os_str() == "-" => {
            return Err(Failure::Usage(
                "-o needs a file; `--stream -` writes PCM to stdout".to_owned(),
            ));
        }
        (Some(path), _) => {
            let format = args.format.map_or_else(|| format_of(&path), Ok)?;
            Some(sink::Target::Whole(format, path))
        }
        (None, Some(path)) if path.as_os_str() == "-" => Some(sink::Target::Stdout),
        (None, Some(path)) => Some(sink::Target::Stream(path)),
        (None, None) if args.play => None,
        (None, None) => {
            return Err(Failure::Usage("name a file with -o, or `--stream -`".to_owned()));
        }
    };
    let targets = args.play.then_some(sink::Target::Output).into_iter().chain(file);

    let model = resolve(&name, &hub(args.offline)?, &Fetching::new(console))?;
    console.detail(format_args!("{} lies in {}", model.name, model.path.display()));
    let start = Instant::now();
    let recording = match (recording, args.transcript) {
        (Some(recording), Some(text)) => Some(listen(&model, recording, text)?),
        (recording, _) => recording,
    };
    let recording = recording.map(Arc::new);
    let options =
        LoadOptions { quantize: args.quant.map(QuantType::quantization), ..LoadOptions::default() };
    let mut room = |footprint| memory::check(&model.name, footprint);
    let tts = TextToSpeech::load_within(model.source.as_ref(), &options, &mut room)
        .map_err(|error| model.explain(error))?;
    let load_time = start.elapsed();

    // Nothing is left behind by a stream, and waiting for stdin is not to be waited for.
    let stop = (!coming).then(Interruptible::new);
    let pitch = args.pitch.level();
    let seed = args.seed.or_random();
    let voice = Voice { name: args.voice, speed: args.speed, pitch, recording, seed };
    let start = Instant::now();
    let (reader, watch) = incoming::read(std::io::stdin());
    let speech = match &text {
        Some(text) => {
            let speech = tts.speak(text, &voice)?;
            warn_of_unreadable(console, &tts, text, &voice)?;
            speech
        }
        None => tts.speak_stream(reader, &voice)?,
    };
    let mut sinks: Vec<Sink> =
        targets.map(|target| Sink::open(target, tts.sample_rate())).collect::<Result<_>>()?;
    let stopped = || stop.as_ref().is_some_and(Interruptible::pressed);
    let (mut samples, mut first, mut busy) = (0usize, None, Duration::ZERO);
    let mut began = start;
    for chunk in speech {
        let chunk = chunk?;
        busy += began.elapsed();
        first.get_or_insert_with(|| start.elapsed().saturating_sub(watch.waited()));
        for sink in &mut sinks {
            sink.write(&chunk, &stopped)?;
        }
        if stopped() {
            return Err(Failure::Interrupted);
        }
        samples += chunk.len();
        // A slow reader is not the voice's fault.
        began = Instant::now();
    }
    for mut sink in sinks {
        sink.drain(&stopped)?;
        if stopped() {
            return Err(Failure::Interrupted);
        }
        sink.finish()?;
    }
    busy = busy.saturating_sub(watch.waited());
    if text.is_none() {
        let text = watch.finish()?;
        if samples == 0 {
            let reason = "there is nothing on stdin that the voice can say";
            return Err(Failure::Usage(reason.to_owned()));
        }
        warn_of_unreadable(console, &tts, &text, &voice)?;
    }
    let seconds = samples as f64 / f64::from(tts.sample_rate());
    console.note(format_args!(
        "{} ({}): {seconds:.2} s of speech in {:.3} s, real-time factor {:.4}, first sound after {:.0} ms; \
         {} threads, loaded in {:.2} s",
        model.name,
        voice.name.as_deref().unwrap_or(tts.default_voice()),
        busy.as_secs_f64(),
        busy.as_secs_f64() / seconds,
        first.unwrap_or_default().as_secs_f64() * 1e3,
        machine::threads(),
        load_time.as_secs_f64(),
    ));
    Ok(())
}

/// A recording with what is said in it, in codes as well: the network that hears them is let go of before the voice is loaded.
fn listen(model: &Resolved, recording: Recording, text: String) -> Result<Recording> {
    // What has no such encoder says itself that it cannot clone.
    if !model.source.contains("BiCodec/config.yaml")? {
        return Ok(recording);
    }
    let codes = SemanticEncoder::from_source(model.source.as_ref())
        .and_then(|encoder| encoder.encode(&recording.samples, recording.sample_rate))
        .map_err(|error| match error {
            error @ crane_sdk::Error::InvalidArgument { .. } => Failure::from(error),
            error => Failure::from(model.explain(error)),
        })?;
    Ok(Recording { said: Some(Said { text: text.trim().to_owned(), codes }), ..recording })
}

fn warn_of_unreadable(console: Console, tts: &TextToSpeech, text: &str, voice: &Voice) -> Result {
    let signs: String = tts.unreadable(text, voice)?.iter().take(20).collect();
    if !signs.is_empty() {
        console.warn(format_args!(
            "the voice has no sounds for these characters and leaves them out: {signs}"
        ));
    }
    Ok(())
}

/// Formats that users may expect and that are not written here.
const OTHERS: [&str; 7] = ["aac", "aiff", "m4a", "ogg", "opus", "webm", "wma"];

/// The format that a file's name asks for.
///
/// # Errors
/// [`Failure::Usage`] for one that is not written here.
fn format_of(path: &std::path::Path) -> Result<Format> {
    let end = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match end.as_str() {
        "pcm" | "raw" => Ok(Format::Pcm),
        "flac" => Ok(Format::Flac),
        "mp3" => Ok(Format::Mp3),
        end if OTHERS.contains(&end) => Err(Failure::Usage(format!(
            "-o {}: {end} is not written here; write wav or flac and convert it, or say --format",
            path.display()
        ))),
        _ => Ok(Format::Wav),
    }
}
