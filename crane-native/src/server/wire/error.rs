//! Refusals in the shape of OpenAI's API: `{"error": {"message", "type", "param", "code"}}`.

use std::fmt::Display;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};

/// What is told instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The status of the response.
    pub status: StatusCode,
    body: Body,
    retry_after: Option<u64>,
    /// Whether the connection ends with the answer, since what else the client sends is not read.
    closes: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Body {
    message: String,
    #[serde(rename = "type")]
    kind: &'static str,
    param: Option<String>,
    code: Option<&'static str>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Display) -> Self {
        let body = Body { message: message.to_string(), kind, param: None, code: None };
        Self { status, body, retry_after: None, closes: false }
    }

    /// The request as a whole is at fault.
    pub fn invalid(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", message)
    }

    /// A field of the request is at fault.
    pub fn field(param: impl Display, code: &'static str, reason: impl Display) -> Self {
        let mut error = Self::invalid(format_args!("'{param}': {reason}"));
        error.body.param = Some(param.to_string());
        error.body.code = Some(code);
        error
    }

    /// A field has a value that cannot act.
    pub fn value(param: impl Display, reason: impl Display) -> Self {
        Self::field(param, "invalid_value", reason)
    }

    /// A field asks for what this server does not do.
    pub fn unsupported(param: impl Display, reason: impl Display) -> Self {
        Self::field(param, "unsupported_parameter", reason)
    }

    /// The same about another field.
    #[must_use]
    pub fn about(mut self, param: &str) -> Self {
        self.body.param = Some(param.to_owned());
        self
    }

    /// The same about a field that the client calls by another name.
    #[must_use]
    pub fn renamed(mut self, from: &str, to: &str) -> Self {
        if let Some(rest) = self.body.param.as_deref().and_then(|param| param.strip_prefix(from)) {
            let param = format!("{to}{rest}");
            self.body.message =
                self.body.message.replacen(&format!("'{from}"), &format!("'{to}"), 1);
            self.body.param = Some(param);
        }
        self
    }

    /// With another name for an option that the message tells of.
    #[must_use]
    pub fn told_as(mut self, from: &str, to: &str) -> Self {
        self.body.message = self.body.message.replacen(from, to, 1);
        self
    }

    /// With another status, its type and its code.
    #[must_use]
    pub fn with(mut self, status: StatusCode, kind: &'static str, code: &'static str) -> Self {
        self.status = status;
        self.body.kind = kind;
        self.body.code = Some(code);
        self
    }

    /// Too many wait; it is worth trying again after so many seconds.
    pub fn busy(queue: usize, seconds: u64) -> Self {
        let message = format_args!(
            "the server is busy: every slot is taken and no more than {queue} replies may wait; try \
             again in {seconds} s"
        );
        let mut error = Self::invalid(message).with(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            "server_busy",
        );
        error.retry_after = Some(seconds);
        error
    }

    /// A body of more bytes than are taken.
    pub fn too_large(most: usize) -> Self {
        let message = format_args!(
            "the body is larger than {most} bytes, the most that this route takes (--max-body, and less where texts are short)"
        );
        let mut error = Self::invalid(message).with(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request_error",
            "body_too_large",
        );
        error.closes = true;
        error
    }

    /// A body that does not come.
    pub fn stalled(what: impl Display) -> Self {
        let mut error = Self::invalid(what).with(
            StatusCode::REQUEST_TIMEOUT,
            "invalid_request_error",
            "body_timeout",
        );
        error.closes = true;
        error
    }

    /// Too many requests are being read and prepared; it is worth trying again after so many seconds.
    pub fn preparing_too_many(most: usize, seconds: u64) -> Self {
        let message = format_args!(
            "the server is busy: as many requests are being read as may be ({most}, --queue and --parallel together), \
             or they hold as many bytes as they may; try again in {seconds} s"
        );
        let mut error = Self::invalid(message).with(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limit_error",
            "server_busy",
        );
        error.retry_after = Some(seconds);
        error
    }

    /// The request took longer than it may.
    pub fn late(limit: Duration) -> Self {
        let message = format_args!(
            "the request was given up after {} s, the time that this server allows (--timeout); ask for \
             less, or later",
            limit.as_secs_f64()
        );
        Self::internal(message).with(StatusCode::GATEWAY_TIMEOUT, "timeout_error", "timeout")
    }

    /// The server ends before the reply does.
    pub fn ending() -> Self {
        Self::internal("the server is shutting down; ask again").with(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "shutting_down",
        )
    }

    /// A model that cannot be loaded; the others answer.
    pub fn not_loaded(reason: &str) -> Self {
        let message = format_args!("the model cannot be loaded: {reason}");
        Self::internal(message).with(
            StatusCode::SERVICE_UNAVAILABLE,
            "server_error",
            "model_not_loaded",
        )
    }

    /// The server is at fault.
    pub fn internal(message: impl Display) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
    }

    /// A prompt that does not fit.
    pub fn overflow(prompt: usize, context: usize) -> Self {
        let message = format_args!(
            "the prompt has {prompt} tokens and this server's context holds {context}; shorten it, or \
             start the server with a larger --ctx"
        );
        Self::invalid(message).with(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "context_length_exceeded",
        )
    }

    /// A prompt of which its bytes alone say that it does not fit.
    pub fn overflow_of_bytes(bytes: usize, least: usize, context: usize) -> Self {
        let mut error = Self::overflow(least, context);
        error.body.message = format!(
            "the prompt has {bytes} bytes, which are at least {least} tokens, and this server's context holds \
             {context}; shorten it, or start the server with a larger --ctx"
        );
        error
    }

    /// A prompt of more bytes than are tokenised.
    pub fn text_too_long(bytes: usize, most: usize) -> Self {
        let message = format_args!(
            "the prompt has {bytes} bytes and this server tokenises at most {most} at a time; shorten it, or start the \
             server with a larger --ctx"
        );
        Self::invalid(message).with(
            StatusCode::BAD_REQUEST,
            "invalid_request_error",
            "context_length_exceeded",
        )
    }

    /// The JSON, for a response or an event of a stream.
    pub fn json(&self) -> Value {
        json!({ "error": self.body })
    }
}

impl From<crane_sdk::Error> for ApiError {
    fn from(error: crane_sdk::Error) -> Self {
        use crane_sdk::Error as Sdk;
        match error {
            Sdk::InvalidArgument { name, reason } => Self::value(name, reason),
            Sdk::ContextOverflow { prompt, context } => Self::overflow(prompt, context),
            Sdk::Template(reason) => Self::field("messages", "invalid_value", reason),
            error => Self::internal(error),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.json())).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.closes {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        // For those who write it in another API's shape.
        response.extensions_mut().insert(self);
        response
    }
}
