//! How long a request may take, with its wait for a model and for a slot.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, Sleep};

use super::ROUTES;
use super::app::App;
use super::wire::ApiError;

/// When the answer to a request has to be whole.
#[derive(Debug, Clone)]
pub struct Deadline {
    app: Arc<App>,
    path: &'static str,
    /// The time, and how long it was away at first.
    end: Option<(Instant, Duration)>,
}

impl Deadline {
    fn new(app: Arc<App>, path: &str) -> Self {
        let end = app.timeout.and_then(|limit| Some((Instant::now().checked_add(limit)?, limit)));
        let known = ROUTES.iter().find(|(_, known)| *known == path);
        Self { app, path: known.map_or("other", |(_, path)| *path), end }
    }

    /// Ends when the time is up, if there is a limit.
    pub fn timer(&self) -> Option<Sleep> {
        self.end.map(|(end, _)| tokio::time::sleep_until(end))
    }

    /// What is told then; it is counted.
    pub fn error(&self) -> ApiError {
        self.app.fleet.late(self.path);
        ApiError::late(self.end.map_or(Duration::ZERO, |(_, limit)| limit))
    }
}

/// Gives a request up when its time is up: what it waits for is dropped, and what it holds is free.
///
/// Streams that have begun look at the clock themselves.
pub async fn keep(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let deadline = Deadline::new(app, request.uri().path());
    request.extensions_mut().insert(deadline.clone());
    match deadline.timer() {
        None => next.run(request).await,
        Some(timer) => tokio::select! {
            response = next.run(request) => response,
            () = timer => deadline.error().into_response(),
        },
    }
}
