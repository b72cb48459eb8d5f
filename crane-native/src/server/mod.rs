//! `crane serve`: models behind OpenAI's HTTP API.
//!
//! [`engine`] generates, [`wire`] says what requests and answers look like, the routes bring the two together. A
//! request's every field acts or is refused by its name.

mod app;
mod auth;
mod body;
mod client_address;
mod connections;
mod deadline;
pub mod engine;
mod fleet;
mod host;
mod lengths;
mod metrics;
mod models;
mod openapi;
mod origin;
mod partly_held;
mod plan;
mod routes;
mod share;
mod voice;
mod voice_names;
pub mod wire;
mod work;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use tokio::net::TcpListener;
use tower_http::cors::{AllowOrigin, Any, CorsLayer};

pub use app::{App, Capacity, PrefixSharing, Warn};
pub use auth::Keys;
pub use client_address::ClientAddress;
pub use connections::Times;
pub use fleet::{About, Card, Fleet, Keeping, Kind, LoadError, Loader, Standing};
pub use lengths::Lengths;
pub use metrics::{Metrics, ModelMetrics};
pub use models::{EmbeddingModel, Loaded, TextModel};
pub use openapi::openapi;
pub use plan::Plan;
pub use routes::ROUTES;
pub use voice::VoiceModel;
pub use voice_names::VoiceNames;

use client_address::TrustedProxies;
use connections::Listening;
use host::Hosts;
use origin::{Gate, Origins};

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
    /// Further names by which the server may be asked; `*` is all.
    pub hosts: Vec<String>,
    /// Addresses and networks of proxies whose `X-Forwarded-For` counts.
    pub proxies: Vec<String>,
    /// The most connections at a time.
    pub connections: usize,
    /// How long clients may keep the server waiting.
    pub times: Times,
    /// The most bytes of a request.
    pub most_bytes: usize,
    /// How long replies under way may take to end once the server is told to.
    pub drain: Duration,
}

impl Options {
    /// Looks at what can be seen before the server listens.
    ///
    /// # Errors
    /// In words, about the option that is malformed.
    pub fn check(&self) -> Result<(), String> {
        self.doors(false).map(|_| ())
    }

    fn doors(&self, is_local: bool) -> Result<(Gate, TrustedProxies), String> {
        let hosts = Hosts::new(&self.hosts, &self.host, is_local)?;
        let origins = Origins::new(&self.origins)?;
        Ok((Gate { hosts, origins }, TrustedProxies::new(&self.proxies)?))
    }
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
    options.check()?;
    let most = connections::most(options.connections, |text| app.warn(text));
    // Requests wait for the engine, whose threads have the processor.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the server's threads: {error}"))?;
    let (host, port) = (options.host.as_str(), options.port);
    runtime.block_on(async move {
        let refused = |error| format!("cannot listen at {host}:{port}: {error}");
        let listener = TcpListener::bind((host, port)).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (gate, proxies) = options.doors(address.ip().to_canonical().is_loopback())?;
        let proxies = Arc::new(proxies);
        let routes =
            routes::router(app.clone(), Arc::new(Keys::new(&options.keys)), options.most_bytes);
        let router = guarded(routes, gate, proxies.clone());
        ready(address);
        let (told, mut late) = tokio::sync::watch::channel(false);
        let ending = late.clone();
        tokio::spawn({
            let app = app.clone();
            async move {
                stop.await;
                app.drain();
                told.send_replace(true);
            }
        });
        let keeper = tokio::spawn({
            let app = app.clone();
            async move { app.fleet.keep().await }
        });
        let listening = Listening { most, times: options.times, proxies };
        let serving =
            connections::serve(listener, router, listening, ending, |text| app.warn(text));
        let mut serving = std::pin::pin!(serving);
        let too_late = async {
            // The sender says so before it goes.
            let _ = late.wait_for(|stopped| *stopped).await;
            tokio::time::sleep(options.drain).await;
        };
        tokio::select! {
            () = &mut serving => {}
            () = too_late => {
                app.fleet.abandon();
                let _ = tokio::time::timeout(FAREWELL, &mut serving).await;
            }
        }
        keeper.abort();
        Ok::<(), String>(())
    })?;
    // Connections that do not end are cut.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// The routes behind what is looked at of every request: where it comes from, by which name and by which page it asks.
fn guarded(routes: Router, gate: Gate, proxies: Arc<TrustedProxies>) -> Router {
    let origins = gate.origins.clone();
    let routes = if origins.is_empty() { routes } else { routes.layer(cors(origins)) };
    routes
        .layer(from_fn_with_state(Arc::new(gate), origin::check))
        .layer(from_fn_with_state(proxies, client_address::attach))
        .layer(from_fn(routes::in_the_callers_words))
}

fn cors(origins: Origins) -> CorsLayer {
    let origin = match origins.are_all() {
        true => AllowOrigin::from(Any),
        false => AllowOrigin::predicate(move |origin, _| origins.hold(origin)),
    };
    CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::POST])
        // Official clients send headers of their own (x-stainless-…), which a list would have to know.
        .allow_headers(tower_http::cors::AllowHeaders::mirror_request())
        .expose_headers([header::RETRY_AFTER])
        .max_age(Duration::from_secs(3600))
}
