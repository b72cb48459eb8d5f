//! Replies read aloud while they are written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crane_sdk::models::LoadOptions;
use crane_sdk::pipeline::{Speech, TextToSpeech, Voice};

use crate::cli::args::SpeakingArgs;
use crate::cli::exit::{Failure, Result};
use crate::cli::interrupt::Interruptible;
use crate::cli::open::{Fetching, hub};
use crate::cli::output::Console;
use crate::cli::tts::sink::{Sink, Target, check_output};
use crate::memory;
use crate::resolve::{DEFAULT_VOICE, check_path, resolve};

/// How often a voice that is still speaking is looked at.
const PAUSE: Duration = Duration::from_millis(10);

/// A voice and where it is heard.
pub(super) struct Aloud {
    tts: TextToSpeech,
    voice: Voice,
    /// None while a reply is being read, and after a failure.
    sink: Option<Sink>,
}

/// A reply being read.
pub(super) struct Reading<'a> {
    /// Where the sink returns to.
    home: &'a mut Option<Sink>,
    text: Sender<String>,
    stop: Arc<AtomicBool>,
    worker: JoinHandle<(Sink, Result<Heard>)>,
    sample_rate: u32,
}

/// What was heard of a reply.
struct Heard {
    samples: usize,
    /// From the reply's beginning to its first sound.
    first: Option<Duration>,
}

/// Refuses what cannot be before models are loaded.
///
/// # Errors
/// [`Failure::Usage`] that says what to do instead.
pub(super) fn check(args: &SpeakingArgs) -> Result {
    if args.speak {
        return check_output(
            "--speak",
            "crane chat --speak-to >(aplay -f S16_LE -r 24000) in bash, or a named pipe that a player reads",
        );
    }
    match &args.speak_to {
        Some(path) if path.as_os_str() == "-" => Err(Failure::Usage(
            "--speak-to -: replies are written to stdout; name a file or a pipe, such as >(aplay -f S16_LE -r 24000)"
                .to_owned(),
        )),
        Some(path) if path.parent().is_some_and(|folder| folder.as_os_str() != "" && !folder.is_dir()) => {
            Err(Failure::Usage(format!("--speak-to {}: there is no such folder", path.display())))
        }
        None if args.voice.is_some() || args.speech_model.is_some() => {
            let flag = if args.voice.is_some() { "--voice" } else { "--speech-model" };
            Err(Failure::Usage(format!("{flag} does nothing without --speak or --speak-to")))
        }
        _ => Ok(()),
    }
}

impl Aloud {
    /// Loads the voice, if replies are to be heard, and opens where they are heard.
    ///
    /// # Errors
    /// What finding and loading the model refuses; [`Failure::Usage`] for an unknown voice; those of [`Sink::open`].
    pub(super) fn load(
        console: Console,
        args: SpeakingArgs,
        offline: bool,
    ) -> Result<Option<Self>> {
        let target = match args.speak_to {
            Some(path) => Target::Stream(path),
            None if args.speak => Target::Output,
            None => return Ok(None),
        };
        let name = args.speech_model.unwrap_or_else(|| DEFAULT_VOICE.to_owned());
        check_path(&name)?;
        let model = resolve(&name, &hub(offline)?, &Fetching::new(console))?;
        let mut room = |footprint| memory::check(&model.name, footprint);
        let options = LoadOptions::default();
        let tts = TextToSpeech::load_within(model.source.as_ref(), &options, &mut room)
            .map_err(|error| model.explain(error))?;
        let voice = Voice { name: args.voice, ..Voice::default() };
        // What is wrong with the voice is said now.
        tts.speak_stream(std::iter::empty::<String>(), &voice)?;
        let sink = Sink::open(target, tts.sample_rate())?;
        Ok(Some(Self { tts, voice, sink: Some(sink) }))
    }

    /// Begins to read a reply that is about to be written.
    ///
    /// # Errors
    /// Those of [`TextToSpeech::speak_stream`]; [`Failure::Other`] after a failure.
    pub(super) fn begin(&mut self) -> Result<Reading<'_>> {
        let (text, pieces) = channel::<String>();
        let speech = self.tts.speak_stream(pieces, &self.voice)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let Some(sink) = self.sink.take() else {
            return Err(Failure::Other("the voice has stopped".to_owned()));
        };
        let worker = thread::spawn(move || read(speech, sink, &stopped));
        let sample_rate = self.tts.sample_rate();
        Ok(Reading { home: &mut self.sink, text, stop, worker, sample_rate })
    }
}

/// Says all of a reply, or as much as there is time for.
fn read(speech: Speech<'_>, mut sink: Sink, stop: &AtomicBool) -> (Sink, Result<Heard>) {
    let start = Instant::now();
    let stopped = || stop.load(Ordering::SeqCst);
    let mut heard = Heard { samples: 0, first: None };
    for chunk in speech {
        if stopped() {
            break;
        }
        let written = chunk.map_err(Failure::from).and_then(|chunk| {
            heard.first.get_or_insert_with(|| start.elapsed());
            heard.samples += chunk.len();
            sink.write(&chunk, &stopped)
        });
        if let Err(failure) = written {
            return (sink, Err(failure));
        }
    }
    let drained = sink.drain(&stopped);
    (sink, drained.map(|()| heard))
}

impl Reading<'_> {
    /// A piece of the reply. After a failure nobody listens, and [`Reading::end`] says why.
    pub(super) fn say(&self, piece: &str) {
        let _ = self.text.send(piece.to_owned());
    }

    /// Waits until the reply has been read; Ctrl-C ends the voice, and so does a reply that was not finished.
    ///
    /// # Errors
    /// Why the voice stopped before its end.
    pub(super) fn end(self, finished: bool, console: Console) -> Result {
        let Reading { home, text, stop, worker, sample_rate } = self;
        drop(text);
        let interrupt = Interruptible::new();
        while !worker.is_finished() {
            if !finished || interrupt.pressed() {
                stop.store(true, Ordering::SeqCst);
            }
            thread::sleep(PAUSE);
        }
        let Ok((sink, heard)) = worker.join() else {
            return Err(Failure::Other("the voice stopped unexpectedly".to_owned()));
        };
        let heard = heard?;
        *home = Some(sink);
        if let Some(first) = heard.first {
            console.note(format_args!(
                "{:.1} s of speech, first sound {:.2} s after the reply's beginning",
                heard.samples as f64 / f64::from(sample_rate),
                first.as_secs_f64()
            ));
        }
        Ok(())
    }
}
