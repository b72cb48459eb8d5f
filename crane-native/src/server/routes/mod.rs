//! The table of routes, and what answers where there is none.

mod embeddings;
mod generate;
mod intake;
mod lines;
mod ollama;
mod replies;
mod speech;
mod state;
mod text;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;

use super::app::App;
use super::auth::{self, Keys};
use super::body;
use super::deadline;
use super::openapi;
use super::wire::ollama::ollama_error;
use super::wire::{ApiError, anthropic_error};
use super::work::SMALLER;

/// Every path that is answered, with its method: what the documentation is checked against.
pub const ROUTES: [(&str, &str); 26] = [
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/embeddings"),
    ("POST", "/v1/audio/speech"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
    ("GET", "/v1/models"),
    ("GET", "/v1/models/{id}"),
    ("POST", "/api/chat"),
    ("POST", "/api/generate"),
    ("POST", "/api/embed"),
    ("POST", "/api/embeddings"),
    ("GET", "/api/tags"),
    ("POST", "/api/show"),
    ("GET", "/api/ps"),
    ("GET", "/api/version"),
    ("POST", "/tokenize"),
    ("POST", "/detokenize"),
    ("POST", "/apply-template"),
    ("GET", "/health"),
    ("GET", "/ready"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
    ("GET", "/docs"),
    ("GET", "/"),
];

/// The routes over a server's state. Health needs no key.
pub fn router(app: Arc<App>, keys: Arc<Keys>, most_bytes: usize) -> Router {
    let asks_for_a_key = !keys.is_empty();
    let guarded = Router::new()
        .route("/v1/chat/completions", post(generate::chat))
        .route("/v1/completions", post(generate::completion))
        .route("/v1/responses", post(generate::response))
        .route("/v1/embeddings", post(embeddings::embeddings))
        .route("/v1/audio/speech", post(speech::speech))
        .route("/v1/messages", post(generate::messages))
        .route("/v1/messages/count_tokens", post(generate::count))
        .route("/v1/models", get(state::models))
        // A model's name may hold slashes.
        .route("/v1/models/{*id}", get(state::model))
        .route("/api/chat", post(ollama::chat))
        .route("/api/generate", post(ollama::generate))
        .route("/api/embed", post(ollama::embed))
        .route("/api/embeddings", post(ollama::embedding))
        .route("/api/tags", get(ollama::tags))
        .route("/api/show", post(ollama::show))
        .route("/api/ps", get(ollama::ps))
        .route("/api/version", get(ollama::versions))
        .route("/tokenize", post(text::tokenize))
        .route("/detokenize", post(text::detokenize))
        .route("/apply-template", post(text::apply_template))
        .route_layer(axum::middleware::from_fn_with_state(app.clone(), deadline::keep))
        .route_layer(axum::middleware::from_fn_with_state(keys, auth::check));
    let open = Router::new()
        .route("/", get(state::root))
        .route("/health", get(state::health))
        .route("/ready", get(state::ready))
        .route("/metrics", get(state::metrics))
        .route("/openapi.json", get(move || async move { Json(openapi::openapi(asks_for_a_key)) }))
        .route("/docs", get(async || (openapi::PAGE_HEADERS, Html(openapi::page()))));
    guarded
        .merge(open)
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(axum::middleware::from_fn_with_state(
            body::BodyLimits { most: most_bytes, smaller: SMALLER },
            body::limit,
        ))
        .with_state(app)
}

/// Writes refusals as the API that was asked writes them.
pub(super) async fn in_the_callers_words(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let write: fn(&ApiError) -> Value = match () {
        () if path.starts_with("/v1/messages") => anthropic_error,
        () if path.starts_with("/api/") => ollama_error,
        () => return next.run(request).await,
    };
    let response = next.run(request).await;
    match response.extensions().get::<ApiError>().cloned() {
        None => response,
        Some(error) => {
            let (mut parts, _) = response.into_parts();
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(write(&error).to_string()))
        }
    }
}

/// What Ollama's API has to change which models there are.
const OF_A_STORE: [&str; 6] =
    ["/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs"];

async fn not_found(uri: Uri) -> ApiError {
    if OF_A_STORE.iter().any(|path| uri.path().starts_with(path)) {
        let reason = format_args!(
            "{} is not done here: the models are those that the server was started with (`crane pull` fetches one, \
             `crane serve` serves it)",
            uri.path()
        );
        let status = StatusCode::NOT_FOUND;
        return ApiError::invalid(reason).with(status, "invalid_request_error", "not_found");
    }
    let known: Vec<String> =
        ROUTES.iter().map(|(method, path)| format!("{method} {path}")).collect();
    ApiError::invalid(format_args!("there is no {}; there are {}", uri.path(), known.join(", ")))
        .with(StatusCode::NOT_FOUND, "invalid_request_error", "not_found")
}

async fn wrong_method(uri: Uri) -> Response {
    // No path has two methods; of those that are not listed as they stand all are models' names.
    let known = ROUTES.iter().find(|(_, path)| *path == uri.path());
    let methods = known.map_or("GET", |(method, _)| *method);
    let message = format_args!("{} takes {methods}", uri.path());
    let error = ApiError::invalid(message).with(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid_request_error",
        "method_not_allowed",
    );
    ([(header::ALLOW, methods)], error).into_response()
}
