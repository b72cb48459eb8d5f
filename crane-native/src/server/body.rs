//! How many bytes a request may have: what says that it has more is not read at all.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_core::Stream as _;
use hyper::body::{Frame, SizeHint};

use super::connections::Stalled;
use super::wire::ApiError;

/// The limits of a server's routes.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimits {
    /// Bytes of a request to any route.
    pub most: usize,
    /// Routes that take less than that.
    pub smaller: &'static [(&'static str, usize)],
}

impl BodyLimits {
    fn of(&self, path: &str) -> usize {
        let smaller = self.smaller.iter().find(|(route, _)| *route == path);
        smaller.map_or(self.most, |(_, most)| self.most.min(*most))
    }
}

/// Refuses a request that announces too large a body, and stops reading one that turns out to be.
pub(super) async fn limit(
    State(limits): State<BodyLimits>,
    request: Request,
    next: Next,
) -> Response {
    let most = limits.of(request.uri().path());
    if announced(request.headers()).is_some_and(|bytes| bytes > most as u64) {
        return ApiError::too_large(most).into_response();
    }
    next.run(request.map(|body| Body::new(Limited { body, most, left: most }))).await
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body has more bytes than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TooLarge(usize);

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} bytes", self.0)
    }
}

impl Error for TooLarge {}

struct Limited {
    body: Body,
    most: usize,
    left: usize,
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => return Poll::Pending,
        };
        match self.left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(left) => {
                self.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => Poll::Ready(Some(Err(TooLarge(self.most).into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A whole body; `take` is told of the bytes as they come, and may refuse more.
///
/// # Errors
/// 413 for more bytes than the route takes, 408 where they do not come, 400 where the client fails; what `take` returns.
pub(super) async fn read(
    body: Body,
    mut take: impl FnMut(usize) -> Result<(), ApiError>,
) -> Result<Vec<u8>, ApiError> {
    let mut parts = pin!(body.into_data_stream());
    let mut whole = Vec::new();
    // The limit is the body's own.
    while let Some(part) = poll_fn(|context| parts.as_mut().poll_next(context)).await {
        let part = part.map_err(|error| failed(&error))?;
        take(part.len())?;
        whole.extend_from_slice(&part);
    }
    Ok(whole)
}

/// What is told of a body that ends before it is whole.
fn failed(error: &axum::Error) -> ApiError {
    if let Some(TooLarge(most)) = cause(error) {
        return ApiError::too_large(*most);
    }
    match cause::<Stalled>(error) {
        Some(stalled) => ApiError::stalled(stalled),
        None => ApiError::invalid(format_args!("the body cannot be read: {error}")),
    }
}

/// The error of this kind behind another.
fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_limit_holds() {
        let limits = BodyLimits { most: 100, smaller: &[("/small", 10), ("/large", 1000)] };
        assert_eq!(["/small", "/large", "/other"].map(|path| limits.of(path)), [10, 100, 100]);
    }

    #[test]
    fn a_body_that_turns_out_to_be_too_large_is_not_read_on() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let read = |left: usize| {
            let body = Body::new(Limited { body: Body::from("12345678"), most: left, left });
            runtime.block_on(super::read(body, |_| Ok(())))
        };
        assert_eq!(read(8).unwrap().len(), 8);
        let error = read(7).unwrap_err();
        assert_eq!(error, ApiError::too_large(7));
    }
}
