//! `POST /v1/audio/speech`: sound, sent while it is made.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use crane_sdk::generate::CancelToken;
use futures_core::Stream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::Sleep;

use super::intake::Intake;
use crate::server::app::App;
use crate::server::deadline::Deadline;
use crate::server::voice::{Saying, VoiceModel};
use crate::server::wire::{ApiError, AudioFormat, SpeechRequest, in_16_bits};
use crate::{flac, mp3};

/// Pieces of sound that may be made before the client has read the first.
const AHEAD: usize = 16;
/// How often it is looked whether the client has read one.
const LOOK: Duration = Duration::from_millis(10);

type Piece = Result<Bytes, ApiError>;

/// The sound of a text as it comes. Dropping it, as a client that leaves does, ends the making.
struct Sound {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Piece>,
    /// Set once all of it has been sent.
    whole: Arc<AtomicBool>,
    /// Cuts the connection when the time is up, however much there is still to be read.
    timer: Option<Pin<Box<Sleep>>>,
    late: Arc<Late>,
    _saying: Arc<Saying>,
}

/// A deadline that is counted once when it has passed.
struct Late {
    deadline: Deadline,
    told: AtomicBool,
}

impl Late {
    fn tell(&self) {
        if !self.told.swap(true, Ordering::Relaxed) {
            drop(self.deadline.error());
        }
    }
}

impl Stream for Sound {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        // The status is sent: all that is left is to cut the connection.
        let cut = |reason: &str| Poll::Ready(Some(Err(std::io::Error::other(reason.to_owned()))));
        if self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready()) {
            self.rest.close();
            self.timer = None;
            self.late.tell();
            return cut("the time is up");
        }
        match self.rest.poll_recv(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Ok(piece))) => Poll::Ready(Some(Ok(piece))),
            Poll::Ready(Some(Err(_))) => cut("it failed"),
            // An end that is none says so once; nobody asks again.
            Poll::Ready(None) if self.whole.load(Ordering::Acquire) => Poll::Ready(None),
            Poll::Ready(None) => cut("it was given up"),
        }
    }
}

/// Answers with the sound of a text.
pub(super) async fn speech(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let name = fields.string("model")?;
        let choice = app.fleet.voice(name.as_deref())?;
        let (request, unknown) = SpeechRequest::read(fields, app.lenient)?;
        app.ignored(&unknown);
        Ok((choice.index, request))
    });
    let (permit, (index, mut request)) = read.await?;
    let model = permit.outside(app.fleet.lease_voice(index)).await?;
    if let Some(name) = &request.voice.name
        && let Some(meant) =
            app.voice_names.meant(name, &model.tts.voices(), model.tts.default_voice())
    {
        request.voice.name = Some(meant);
    }
    let format = request.format;
    let (pieces, mut rest) = mpsc::channel(AHEAD);
    let whole = Arc::new(AtomicBool::new(false));
    let (all, stall) = (whole.clone(), app.stall);
    let saying = model.say(permit.share(), move |voice, cancel| {
        let listener = Listener { pieces, cancel, stall };
        let told = say(voice, &request, cancel, &listener);
        // Before the channel ends with the listener.
        all.store(told.is_some(), Ordering::Release);
    })?;
    let saying = Arc::new(saying);
    // What the voice refuses has a status.
    let ended = || ApiError::internal("the voice has stopped; ask again");
    let first = permit.outside(rest.recv()).await.ok_or_else(ended)??;
    let timer = deadline.timer().map(Box::pin);
    let late = Arc::new(Late { deadline, told: false.into() });
    if let Some(time) = late.deadline.timer() {
        let (saying, late) = (Arc::downgrade(&saying), late.clone());
        // A timer of its own: for a client that reads nothing nobody looks at the other one.
        tokio::spawn(async move {
            time.await;
            if let Some(saying) = saying.upgrade() {
                saying.give_up();
                late.tell();
            }
        });
    }
    let first = Some(first);
    let body = Body::from_stream(Sound { first, rest, whole, timer, late, _saying: saying });
    Ok(([(header::CONTENT_TYPE, format.content_type())], body).into_response())
}

/// Where the sound goes.
struct Listener<'a> {
    pieces: mpsc::Sender<Piece>,
    cancel: &'a CancelToken,
    /// How long pieces may wait to be read; then the voice speaks for others.
    stall: Duration,
}

impl Listener<'_> {
    /// Hands a piece on; `None` if nobody wants it any more, or if nobody has read any for too long.
    fn send(&self, mut piece: Piece) -> Option<()> {
        let since = Instant::now();
        loop {
            piece = match self.pieces.try_send(piece) {
                Ok(()) => return Some(()),
                Err(TrySendError::Closed(_)) => return None,
                Err(TrySendError::Full(piece)) => piece,
            };
            if self.cancel.is_cancelled() || since.elapsed() > self.stall {
                return None;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Tells why there is no more sound.
    fn fail(&self, error: ApiError) -> Option<()> {
        self.send(Err(error)).and(None)
    }
}

/// Makes the sound, and stops where nobody wants more of it; `None` if it is not whole.
fn say(
    voice: &VoiceModel,
    request: &SpeechRequest,
    cancel: &CancelToken,
    listener: &Listener<'_>,
) -> Option<()> {
    let rate = voice.tts.sample_rate();
    let speech = match voice.tts.speak_until(&request.input, &request.voice, cancel) {
        Ok(speech) => speech,
        Err(error) => return listener.fail(named(error)),
    };
    if request.format == AudioFormat::Flac {
        let mut held = Vec::new();
        for samples in speech {
            match samples {
                Ok(samples) => held.extend(in_16_bits(&samples).map(i32::from)),
                Err(error) => return listener.fail(error.into()),
            }
        }
        let file = flac::encode(&held, rate).map(Bytes::from).map_err(ApiError::internal);
        return listener.send(file);
    }
    let mut head = Some(request.format.head(rate));
    let mut encoder = (request.format == AudioFormat::Mp3).then(|| mp3::Encoder::streamed(rate));
    let mut written = |samples: Vec<f32>| -> Piece {
        let samples = in_16_bits(&samples);
        if let Some(encoder) = &mut encoder {
            encoder.push(&samples.collect::<Vec<i16>>()).map_err(ApiError::internal)?;
            return encoder.frames().map(Bytes::from).map_err(ApiError::internal);
        }
        let mut bytes = head.take().unwrap_or_default();
        bytes.extend(samples.flat_map(i16::to_le_bytes));
        Ok(Bytes::from(bytes))
    };
    for samples in speech {
        match samples.map_err(ApiError::from).and_then(&mut written) {
            // A few samples may not fill a frame.
            Ok(piece) if piece.is_empty() => {}
            Ok(piece) => listener.send(Ok(piece))?,
            Err(error) => return listener.fail(error),
        }
    }
    match encoder {
        None => Some(()),
        Some(encoder) => {
            listener.send(encoder.finish().map(Bytes::from).map_err(ApiError::internal))
        }
    }
}

/// The library's `text` is the request's `input`.
fn named(error: crane_sdk::Error) -> ApiError {
    ApiError::from(error).renamed("text", "input")
}
