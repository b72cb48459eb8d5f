//! Who may ask: API keys, compared in constant time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::wire::ApiError;

/// The keys that open the server; with none it is open.
///
/// Only their digests are kept and compared, so that neither a key's length nor its letters show in the time.
#[derive(Clone, Default)]
pub struct Keys(Vec<[u8; 32]>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

impl Keys {
    /// These keys.
    pub fn new(keys: &[String]) -> Self {
        Self(keys.iter().map(|key| Sha256::digest(key.as_bytes()).into()).collect())
    }

    /// Whether everybody may ask.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn admit(&self, key: Option<&[u8]>) -> bool {
        let Some(key) = key else { return self.0.is_empty() };
        let digest: [u8; 32] = Sha256::digest(key).into();
        // Every key is looked at, whichever it is.
        let found =
            self.0.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&digest));
        self.0.is_empty() || bool::from(found)
    }
}

/// Lets a request through whose `Authorization: Bearer` or `x-api-key` is one of the keys.
pub async fn check(State(keys): State<Arc<Keys>>, request: Request, next: Next) -> Response {
    let key = sent(request.headers()).map(<[u8]>::to_vec);
    if keys.admit(key.as_deref()) {
        return next.run(request).await;
    }
    let message = match key {
        Some(_) => "the API key is not one of this server's",
        None => "this server asks for an API key: send Authorization: Bearer KEY",
    };
    ApiError::invalid(message)
        .with(StatusCode::UNAUTHORIZED, "authentication_error", "invalid_api_key")
        .into_response()
}

/// The key that a request comes with.
fn sent(headers: &HeaderMap) -> Option<&[u8]> {
    let header = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let bearer = header(&header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key)
    });
    bearer.or_else(|| header(&HeaderName::from_static("x-api-key")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_key_opens() {
        let keys = Keys::new(&["one".to_owned(), "two".to_owned()]);
        for (key, opens) in
            [("one", true), ("two", true), ("on", false), ("ones", false), ("", false)]
        {
            assert_eq!(keys.admit(Some(key.as_bytes())), opens, "{key}");
        }
        assert!(!keys.admit(None));
        assert!(Keys::default().admit(None) && Keys::default().admit(Some(b"any")));
    }
}
