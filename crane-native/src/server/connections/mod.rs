//! The connections of the server: how many there are at a time, how long each may keep the server waiting, and how they end.
//!
//! A client owes the server something while it connects, sends a request, takes in an answer, or thinks about the next
//! one. For each there is a limit of time; and where there is no place for a new connection, the one that has owed longest
//! goes.

mod activity;
mod connection;
mod service;
mod stream;
mod table;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::client_address::TrustedProxies;
use connection::run;
use service::Requests;
pub(super) use service::Stalled;
use table::Table;

/// How long clients may keep the server waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// For the head of a request, from the connection or the request's first byte; and for the next bytes of a body.
    pub read: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Without taking in any of an answer.
    pub write: Duration,
}

/// Open files that are not for connections: models, their downloads, logs.
const RESERVED: u64 = 64;
/// How often one trouble of the listener is told.
const AGAIN: Duration = Duration::from_secs(60);
/// Connections that are closed at a time where descriptors have run out.
const AT_ONCE: usize = 16;
/// How long the listener waits for descriptors.
const PAUSE: Duration = Duration::from_millis(20);

/// How many connections there may be: what was asked for, as far as the system lets the process have open files. The
/// soft limit of open files is raised to the hard one.
pub(super) fn most(asked: usize, warn: impl Fn(&str)) -> usize {
    let files = match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => files,
        Err(error) => {
            warn(&format!("the limit of open files cannot be raised: {error}"));
            return asked;
        }
    };
    let fit = files.saturating_sub(RESERVED).max(files / 2).max(1);
    let most = asked.min(usize::try_from(fit).unwrap_or(usize::MAX));
    if most < asked {
        warn(&format!(
            "this process may open {files} files, so that {most} connections are taken at a time, and not the {asked} of \
             --max-connections; `ulimit -Hn` is the limit to raise"
        ));
    }
    most
}

/// What the listener needs to know.
pub(super) struct Listening {
    /// Connections at a time.
    pub most: usize,
    /// How long clients may keep the server waiting.
    pub times: Times,
    /// Whose connections are those of many clients.
    pub proxies: Arc<TrustedProxies>,
}

/// Takes connections until `ending` says so, and then waits for those whose requests are under way.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    listening: Listening,
    mut ending: watch::Receiver<bool>,
    warn: impl Fn(&str),
) {
    let Listening { most, times, proxies } = listening;
    let table = Arc::new(Table::new(most));
    let router = TowerToHyperService::new(router);
    // Each connection holds a sender; when all are gone, so are the connections.
    let (open, mut all_ended) = mpsc::channel::<Infallible>(1);
    let mut told = None;
    loop {
        let next = async {
            let (stream, peer) = accept(&listener, &table, &mut told, &warn).await;
            let place = table.place(peer.ip(), proxies.hold(peer.ip())).await;
            (stream, peer, place)
        };
        let (stream, peer, place) = tokio::select! {
            biased;
            _ = ending.wait_for(|ending| *ending) => break,
            next = next => next,
        };
        // Tokens are small and should not wait for each other.
        let _ = stream.set_nodelay(true);
        let activity = place.activity.clone();
        let requests = Requests { router: router.clone(), peer, activity, patience: times.read };
        let (open, ending) = (open.clone(), ending.clone());
        tokio::spawn(async move {
            run(stream, requests, times, ending).await;
            drop((place, open));
        });
    }
    drop((listener, open));
    all_ended.recv().await;
}

/// The next connection. What goes wrong is told, and the server goes on.
async fn accept(
    listener: &TcpListener,
    table: &Table,
    told: &mut Option<Instant>,
    warn: &impl Fn(&str),
) -> (TcpStream, SocketAddr) {
    loop {
        let error = match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => error,
        };
        // A client that is gone before it was let in is no trouble of the server's.
        let is_gone = matches!(
            error.kind(),
            ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
        );
        if !is_gone {
            // Descriptors or memory have run out: those who have been idle for longest give some back.
            let _ = (0..AT_ONCE).all(|_| table.make_room());
        }
        if told.is_none_or(|told| told.elapsed() > AGAIN) {
            *told = Some(Instant::now());
            warn(&format!("a connection could not be taken, and idle ones are closed: {error}"));
        }
        if !is_gone {
            sleep(PAUSE).await;
        }
    }
}
