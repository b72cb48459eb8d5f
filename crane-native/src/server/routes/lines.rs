//! A streamed answer as lines of JSON, each a value of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_core::Stream;

use super::replies::{Chunk, Chunks};
use crate::server::wire::Shape;

/// The type of such an answer.
const LINES: &str = "application/x-ndjson";

/// The lines of a streamed answer. Dropping it, as a client that leaves does, drops the ticket.
pub(super) struct Lines<S>(pub(super) Chunks<S>);

impl<S: Shape> Stream for Lines<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_chunk(context).map(|chunk| match chunk? {
            Chunk::Frame(frame) => Some(Ok(Bytes::from(format!("{}\n", frame.data)))),
            Chunk::Done => None,
        })
    }
}

impl<S: Shape> IntoResponse for Lines<S> {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, LINES)], Body::from_stream(self)).into_response()
    }
}
