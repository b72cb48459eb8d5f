//! `crane serve`: models behind OpenAI's HTTP API.
//!
//! [`engine`] generates, [`wire`] says what requests and answers look like, the routes bring the two together. A
//! request's every field acts or is refused by its name.

mod app;
mod auth;
mod deadline;
pub mod engine;
mod fleet;
mod metrics;
mod models;
mod openapi;
mod plan;
mod routes;
pub mod wire;

use std::future::{Future, IntoFuture};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderValue, Method, header};
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

pub use app::{App, Warn};
pub use auth::Keys;
pub use fleet::{Card, Fleet, Keeping, Kind, LoadError, Loader};
pub use metrics::{Metrics, ModelMetrics};
pub use models::{EmbeddingModel, Loaded, TextModel, VoiceModel};
pub use openapi::openapi;
pub use plan::Plan;
pub use routes::ROUTES;

/// How a server meets the world.
#[derive(Debug, Clone)]
pub struct Options {
    /// The host name or address to listen at.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The keys that open it; with none it is open.
    pub keys: Vec<String>,
    /// The web origins whose pages may ask; `*` is all.
    pub origins: Vec<String>,
    /// The most bytes of a request.
    pub most_bytes: usize,
    /// How long replies under way may take to end once the server is told to.
    pub drain: Duration,
}

/// How long clients have to take in that their replies were given up.
const FAREWELL: Duration = Duration::from_secs(2);

/// Listens until `stop` ends, and then until the replies under way have ended or their time is up. `ready` is told the address.
///
/// # Errors
/// In words, if the address cannot be had or an option is malformed.
pub fn serve(
    app: Arc<App>,
    options: &Options,
    stop: impl Future<Output = ()> + Send + 'static,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), String> {
    let mut router =
        routes::router(app.clone(), Arc::new(Keys::new(&options.keys)), options.most_bytes);
    if !options.origins.is_empty() {
        router = router.layer(cors(&options.origins)?);
    }
    // Requests wait for the engine, whose threads have the processor.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the server's threads: {error}"))?;
    let (host, port) = (options.host.as_str(), options.port);
    let drain = options.drain;
    runtime.block_on(async move {
        let refused = |error| format!("cannot listen at {host}:{port}: {error}");
        let listener = TcpListener::bind((host, port)).await.map_err(refused)?;
        ready(listener.local_addr().map_err(refused)?);
        // Tokens are small and should not wait for each other.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        let (told, mut late) = tokio::sync::watch::channel(false);
        let stop = {
            let app = app.clone();
            async move {
                stop.await;
                app.drain();
                told.send_replace(true);
            }
        };
        let keeper = tokio::spawn({
            let app = app.clone();
            async move { app.fleet.keep().await }
        });
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(stop);
        let mut serving = std::pin::pin!(serving.into_future());
        let too_late = async move {
            // The sender says so before it goes.
            let _ = late.wait_for(|stopped| *stopped).await;
            tokio::time::sleep(drain).await;
        };
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = too_late => {
                app.fleet.abandon();
                tokio::time::timeout(FAREWELL, &mut serving).await.unwrap_or(Ok(()))
            }
        };
        keeper.abort();
        ended.map_err(|error| format!("the server failed: {error}"))
    })?;
    // Connections that do not end are cut.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

fn cors(origins: &[String]) -> Result<CorsLayer, String> {
    let origin = match origins {
        [any] if any == "*" => AllowOrigin::from(Any),
        list => {
            let value = |origin: &String| {
                HeaderValue::from_str(origin)
                    .map_err(|_| format!("--cors: {origin:?} is no origin"))
            };
            AllowOrigin::list(list.iter().map(value).collect::<Result<Vec<_>, _>>()?)
        }
    };
    Ok(CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST])
        // Official clients send headers of their own (x-stainless-…), which a list would have to know.
        .allow_headers(tower_http::cors::AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER])
        .max_age(Duration::from_secs(3600)))
}
