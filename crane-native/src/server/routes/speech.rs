//! `POST /v1/audio/speech`: sound, sent while it is made.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Sleep;

use crate::server::app::App;
use crate::server::deadline::Deadline;
use crate::server::models::VoiceModel;
use crate::server::wire::{ApiError, AudioFormat, Fields, SpeechRequest, in_16_bits};
use crate::{flac, mp3};

/// Pieces of sound that may be made before the client has read the first.
const AHEAD: usize = 16;

/// The sound of a text as it comes. Dropping it, as a client that leaves does, ends the making.
struct Sound {
    first: Option<Bytes>,
    rest: mpsc::Receiver<Result<Bytes, ApiError>>,
    deadline: Deadline,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Stream for Sound {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        if self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready()) {
            // The making ends, and the timer is not asked again.
            self.rest.close();
            self.timer = None;
            let error = self.deadline.error();
            return Poll::Ready(Some(Err(std::io::Error::other(format!("{error:?}")))));
        }
        let piece = self.rest.poll_recv(context);
        // The status is sent: all that is left is to cut the connection.
        piece.map(|piece| piece.map(|piece| piece.map_err(|_| std::io::Error::other("it failed"))))
    }
}

/// Answers with the sound of a text.
pub(super) async fn speech(
    State(app): State<Arc<App>>,
    Extension(deadline): Extension<Deadline>,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let name = fields.string("model")?;
    let choice = app.fleet.voice(name.as_deref())?;
    let (request, unknown) = SpeechRequest::read(fields, app.lenient)?;
    app.ignored(&unknown);
    let model = app.fleet.lease_voice(choice).await?;
    let turn = model.turn().await?;
    let (sender, mut pieces) = mpsc::channel(AHEAD);
    let format = request.format;
    tokio::task::spawn_blocking(move || say(&model, &request, &sender, turn));
    // What the voice refuses has a status.
    let ended = || ApiError::internal("the voice has stopped; ask again");
    let first = pieces.recv().await.ok_or_else(ended)??;
    let timer = deadline.timer().map(Box::pin);
    let body = Body::from_stream(Sound { first: Some(first), rest: pieces, deadline, timer });
    Ok(([(header::CONTENT_TYPE, format.content_type())], body).into_response())
}

/// Makes the sound, and stops where nobody wants more of it. The turn lasts as long.
fn say(
    model: &VoiceModel,
    request: &SpeechRequest,
    sender: &mpsc::Sender<Result<Bytes, ApiError>>,
    _turn: OwnedSemaphorePermit,
) {
    let rate = model.tts.sample_rate();
    let speech = match model.tts.speak(&request.input, &request.voice) {
        Ok(speech) => speech,
        Err(error) => {
            let _ = sender.blocking_send(Err(named(error)));
            return;
        }
    };
    if request.format == AudioFormat::Flac {
        let mut held = Vec::new();
        for samples in speech {
            match samples {
                Ok(_) if sender.is_closed() => return,
                Ok(samples) => held.extend(in_16_bits(&samples).map(i32::from)),
                Err(error) => {
                    let _ = sender.blocking_send(Err(error.into()));
                    return;
                }
            }
        }
        let file = flac::encode(&held, rate).map(Bytes::from).map_err(ApiError::internal);
        let _ = sender.blocking_send(file);
        return;
    }
    let mut head = Some(request.format.head(rate));
    let mut encoder = (request.format == AudioFormat::Mp3).then(|| mp3::Encoder::streamed(rate));
    let mut written = |samples: Vec<f32>| -> Result<Bytes, ApiError> {
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
        let piece = samples.map_err(ApiError::from).and_then(&mut written);
        let failed = piece.is_err();
        // A few samples may not fill a frame.
        if piece.as_ref().is_ok_and(Bytes::is_empty) {
            continue;
        }
        if sender.blocking_send(piece).is_err() || failed {
            return;
        }
    }
    if let Some(encoder) = encoder {
        let rest = encoder.finish().map(Bytes::from).map_err(ApiError::internal);
        let _ = sender.blocking_send(rest);
    }
}

/// The library's `text` is the request's `input`.
fn named(error: crane_sdk::Error) -> ApiError {
    ApiError::from(error).renamed("text", "input")
}
