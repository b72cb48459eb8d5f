//! Who may ask: API keys, compared in constant time.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use super::share::Share;
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

    /// The number of the key; `None` if it is none of them.
    fn number(&self, key: &[u8]) -> Option<usize> {
        let digest: [u8; 32] = Sha256::digest(key).into();
        // Every key is looked at, whichever it is.
        let found = self.0.iter().zip(0u64..).fold(u64::MAX, |found, (known, number)| {
            u64::conditional_select(&found, &number, known.ct_eq(&digest))
        });
        usize::try_from(found).ok().filter(|number| *number < self.0.len())
    }
}

/// Lets a request through whose `Authorization: Bearer` or `x-api-key` is one of the keys, and notes whose [`Share`] it
/// takes.
pub async fn check(State(keys): State<Arc<Keys>>, mut request: Request, next: Next) -> Response {
    let key = sent(request.headers());
    let has_key = key.is_some();
    let share = match keys.is_empty() {
        true => Some(Share::of_request(&request)),
        false => key.and_then(|key| keys.number(key)).map(Share::Key),
    };
    if let Some(share) = share {
        request.extensions_mut().insert(share);
        return next.run(request).await;
    }
    let message = match has_key {
        true => "the API key is not one of this server's",
        false => "this server asks for an API key: send Authorization: Bearer KEY",
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
        for (key, number) in
            [("one", Some(0)), ("two", Some(1)), ("on", None), ("ones", None), ("", None)]
        {
            assert_eq!(keys.number(key.as_bytes()), number, "{key}");
        }
        assert_eq!(Keys::default().number(b"any"), None);
    }
}
