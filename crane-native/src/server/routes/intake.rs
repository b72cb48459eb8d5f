//! The body of a request: counted as it is read, then parsed in turn with the others.

use std::sync::Arc;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};

use crate::server::app::App;
use crate::server::body;
use crate::server::share::Share;
use crate::server::wire::{ApiError, Fields, json_values};
use crate::server::work::Permit;

/// Bytes of memory that a value of JSON takes, about.
const VALUE: usize = 96;

/// A body that was read, of a request that may have it parsed.
pub(super) struct Intake {
    body: Vec<u8>,
    permit: Permit,
}

impl FromRequest<Arc<App>> for Intake {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        let share = share(&request)?;
        plain(request.headers())?;
        let mut held = app.work.no_bytes(&share);
        let take = |bytes| if held.add(bytes) { Ok(()) } else { Err(app.work.busy()) };
        let body = body::read(request.into_body(), take).await?;
        let permit = app.work.enter(&share, body.len(), held)?;
        Ok(Self { body, permit })
    }
}

impl Intake {
    /// Parses the body and reads its fields, when it is this request's turn.
    ///
    /// # Errors
    /// That the body is no JSON object, or too much of it; what `read` returns.
    pub(super) async fn read<T: Send + 'static>(
        self,
        app: &Arc<App>,
        read: impl FnOnce(&App, Fields) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<(Permit, T), ApiError> {
        let Self { body, permit } = self;
        let (values, body) = match permit.is_large() {
            true => permit.run(move |_| Ok((json_values(&body)?, body))).await?,
            false => (json_values(&body)?, body),
        };
        permit.hold(values.saturating_mul(VALUE))?;
        let app = app.clone();
        let done = permit.run(move |_| {
            let fields = Fields::parse(&body)?.leniently(app.lenient);
            drop(body);
            read(&app, fields)
        });
        let done = done.await?;
        Ok((permit, done))
    }
}

/// Refuses a body that says that it is compressed.
fn plain(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(encoding) = headers.get(header::CONTENT_ENCODING) else { return Ok(()) };
    if encoding.is_empty() || encoding.as_bytes().eq_ignore_ascii_case(b"identity") {
        return Ok(());
    }
    let encoding = String::from_utf8_lossy(encoding.as_bytes());
    Err(ApiError::invalid(format_args!(
        "the body is compressed (Content-Encoding: {encoding}), which is not read here; send the JSON as it is"
    ))
    .with(StatusCode::UNSUPPORTED_MEDIA_TYPE, "invalid_request_error", "unsupported_encoding"))
}

/// Whose request it is.
fn share(request: &Request) -> Result<Share, ApiError> {
    let share = request.extensions().get::<Share>().copied();
    share.ok_or_else(|| ApiError::internal("the request has no share"))
}
