//! One connection, from its first byte to its end.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::Times;
use super::service::Requests;
use super::stream::Noted;

/// The most bytes of a request's head, and about the most that waits to be written.
const BUFFER: usize = 64 << 10;

/// How long the rest of a body is taken in that is not read, so that the client finds the answer before the
/// connection's end.
const LINGER: Duration = Duration::from_secs(5);

/// Answers requests until the client or the server ends it, or a limit of time does. `ending` tells that the server ends.
pub(super) async fn run(
    stream: TcpStream,
    requests: Requests,
    times: Times,
    mut ending: watch::Receiver<bool>,
) {
    let activity = requests.activity.clone();
    let io = TokioIo::new(Noted { stream, activity: activity.clone() });
    let mut connection = http1::Builder::new()
        // The limits of time are kept here.
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .serve_connection(io, requests);
    let mut is_cut = pin!(activity.is_cut());
    let mut is_ending = pin!(async {
        // A sender that is gone ends the server, too.
        let _ = ending.wait_for(|ending| *ending).await;
    });
    let mut ended_at: Option<Instant> = None;
    let mut timer = Timer::default();
    let has_ended = std::future::poll_fn(|context| {
        loop {
            if connection.poll_without_shutdown(context).is_ready() {
                return Poll::Ready(true);
            }
            if is_cut.as_mut().poll(context).is_ready() {
                return Poll::Ready(false);
            }
            if ended_at.is_none() && is_ending.as_mut().poll(context).is_ready() {
                ended_at = Some(Instant::now());
                if activity.is_between_requests() {
                    return Poll::Ready(false);
                }
                Pin::new(&mut connection).graceful_shutdown();
                continue;
            }
            let late = || activity.deadline(&times, ended_at);
            return timer.poll(late, context).map(|()| false);
        }
    })
    .await;
    // What is cut is closed at once; the client has had its time.
    if has_ended && activity.has_unread() {
        let stream = connection.into_parts().io.into_inner().stream;
        let _ = timeout(LINGER, async {
            tokio::select! {
                () = linger(stream) => {}
                () = &mut is_cut => {}
                () = &mut is_ending, if ended_at.is_none() => {}
            }
        })
        .await;
    }
}

/// Says that there is no more, and takes in what the client still sends.
async fn linger(mut stream: TcpStream) {
    let shutdown = std::future::poll_fn(|context| Pin::new(&mut stream).poll_shutdown(context));
    if shutdown.await.is_err() {
        return;
    }
    let mut sink = vec![0; 16 << 10];
    while stream.readable().await.is_ok() {
        match stream.try_read(&mut sink) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

/// A timer whose deadline may move at every step. It is set anew only where it would fire too late.
#[derive(Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ends once `deadline` has passed.
    fn poll(
        &mut self,
        deadline: impl Fn() -> Option<Instant>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<()> {
        loop {
            let Some(due) = deadline() else { return Poll::Pending };
            if due <= Instant::now() {
                return Poll::Ready(());
            }
            let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(due)));
            if due < sleep.deadline() || sleep.is_elapsed() {
                sleep.as_mut().reset(due);
            }
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}
