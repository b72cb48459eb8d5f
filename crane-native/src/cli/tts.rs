//! `crane tts`: text in, sound out.

mod recording;
mod sink;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crane_sdk::models::LoadOptions;
use crane_sdk::pipeline::{TextToSpeech, Voice};

use super::args::{Format, QuantType, TtsArgs};
use super::exit::{Failure, Result};
use super::interrupt::Interruptible;
use super::open::{Fetching, hub};
use super::output::Console;
use super::{machine, words};
use crate::memory;
use crate::resolve::{DEFAULT_VOICE, check_path, resolve};
use sink::Sink;

/// Reads the text aloud into a file or a pipe.
///
/// # Errors
/// [`Failure::Usage`] for a text, voice, speed or file that cannot be; what finding and loading the model refuses;
/// [`Failure::Interrupted`] on Ctrl-C. No part of a file is left behind.
pub(super) fn tts(console: Console, args: TtsArgs) -> Result {
    let words = words::split(args.words, args.model)?;
    let name = words.model.unwrap_or_else(|| DEFAULT_VOICE.to_owned());
    check_path(&name)?;
    let text = words::text(words.text, "text")?;
    let recording = args.clone.as_deref().map(recording::read).transpose()?.map(Arc::new);
    let output = match (args.output, args.stream) {
        (Some(path), _) if path.as_os_str() == "-" => {
            return Err(Failure::Usage(
                "-o needs a file; `--stream -` writes PCM to stdout".to_owned(),
            ));
        }
        (Some(path), _) => {
            sink::Target::Whole(args.format.unwrap_or_else(|| format_of(&path)), path)
        }
        (None, Some(path)) if path.as_os_str() == "-" => sink::Target::Stdout,
        (None, Some(path)) => sink::Target::Stream(path),
        (None, None) => {
            return Err(Failure::Usage("name a file with -o, or `--stream -`".to_owned()));
        }
    };

    let model = resolve(&name, &hub(args.offline)?, &Fetching::new(console))?;
    console.detail(format_args!("{} lies in {}", model.name, model.path.display()));
    let start = Instant::now();
    let options =
        LoadOptions { quantize: args.quant.map(QuantType::quantization), ..LoadOptions::default() };
    let mut room = |footprint| memory::check(&model.name, footprint);
    let tts = TextToSpeech::load_within(model.source.as_ref(), &options, &mut room)
        .map_err(|error| model.explain(error))?;
    let load_time = start.elapsed();

    let stop = Interruptible::new();
    let pitch = args.pitch.level();
    let voice = Voice { name: args.voice, speed: args.speed, pitch, recording, seed: args.seed };
    let start = Instant::now();
    let speech = tts.speak(&text, &voice)?;
    let left_out = tts.unreadable(&text, &voice)?;
    if !left_out.is_empty() {
        let letters: String = left_out.iter().take(20).collect();
        console.warn(format_args!(
            "the voice has no sounds for these letters and leaves them out: {letters}"
        ));
    }
    let mut sink = Sink::open(output, tts.sample_rate())?;
    let (mut samples, mut first, mut busy) = (0usize, None, Duration::ZERO);
    let mut began = start;
    for chunk in speech {
        let chunk = chunk?;
        busy += began.elapsed();
        first.get_or_insert_with(|| start.elapsed());
        if stop.pressed() {
            return Err(Failure::Interrupted);
        }
        sink.write(&chunk)?;
        samples += chunk.len();
        // A slow reader is not the voice's fault.
        began = Instant::now();
    }
    sink.finish()?;
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

fn format_of(path: &std::path::Path) -> Format {
    let raw =
        |end: &std::ffi::OsStr| end.eq_ignore_ascii_case("pcm") || end.eq_ignore_ascii_case("raw");
    if path.extension().is_some_and(raw) { Format::Pcm } else { Format::Wav }
}
