//! From the engine's events to a response: one JSON object, or a stream of server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::Json;
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use crane_sdk::generate::{GenerationConfig, Output};
use futures_core::Stream;
use tokio::sync::oneshot;

use super::lines::Lines;
use crate::server::deadline::Deadline;
use crate::server::engine::{Event, Ticket};
use crate::server::fleet::TextLease;
use crate::server::wire::{ApiError, Asked, Frame, Shape, Teller, Told, Usage};

/// The replies of one request as they come.
pub(super) struct Replies {
    ticket: Ticket,
    /// The model stays for as long as it writes.
    model: Option<TextLease>,
    config: GenerationConfig,
    tellers: Vec<Teller>,
    /// Replies to one prompt.
    n: usize,
    left: usize,
    usage: Usage,
}

/// What an event means for an answer.
enum News {
    Started(usize),
    Told(Option<Told>),
    Ended(Option<Told>, Box<Output>),
}

impl Replies {
    pub(super) fn new(
        model: TextLease,
        ticket: Ticket,
        asked: &Asked,
        count: usize,
        prompt_tokens: usize,
    ) -> Self {
        Self {
            ticket,
            model: Some(model),
            config: asked.config.clone(),
            tellers: (0..count).map(|_| Teller::new(asked.tells_end)).collect(),
            n: asked.n,
            left: count,
            usage: Usage::new(prompt_tokens, 0, 0),
        }
    }

    fn news(&mut self, event: Option<(usize, Event)>) -> Result<(usize, News), ApiError> {
        let stopped = || ApiError::internal("the engine has stopped; restart the server");
        let (index, event) = event.ok_or_else(stopped)?;
        let teller = self.tellers.get_mut(index).ok_or_else(stopped)?;
        let news = match event {
            Event::Started(cached) => News::Started(cached),
            Event::Piece(piece) => News::Told(teller.piece(piece, &self.config)),
            Event::Done(output) => {
                let told = teller.end(&output);
                self.left -= 1;
                let stats = &output.stats;
                // A prompt is counted once, however many replies it has.
                let first = index.is_multiple_of(self.n);
                let cached = if first { stats.cached_tokens } else { 0 };
                let Usage { prompt_tokens, completion_tokens, prompt_tokens_details, .. } =
                    self.usage;
                self.usage = Usage::new(
                    prompt_tokens,
                    prompt_tokens_details.cached_tokens + cached,
                    completion_tokens + stats.generated_tokens,
                );
                News::Ended(told, output)
            }
            Event::Failed(error) => return Err(error),
        };
        Ok((index, news))
    }
}

/// Answers once the first reply has begun, so that what the engine refuses has a status.
pub(super) async fn answer(
    mut replies: Replies,
    stream: bool,
    shape: impl Shape,
    deadline: Deadline,
) -> Result<Response, ApiError> {
    if !stream {
        return whole(replies, shape).await;
    }
    let first = replies.ticket.next().await;
    let first = replies.news(first)?;
    let late = look_after(&mut replies, deadline);
    let ready = VecDeque::new();
    let mut chunks = Chunks { replies, shape, ready, ended: false, late: Some(late) };
    chunks.take(Ok(first));
    if chunks.are_lines() {
        return Ok(Lines(chunks).into_response());
    }
    Ok(Sse::new(chunks).keep_alive(KeepAlive::default()).into_response())
}

/// Looks after streamed replies however much of them the client has read: when all have ended, the model is given back;
/// when the time is up, they are given up. The error that is then told comes from the receiver.
fn look_after(replies: &mut Replies, deadline: Deadline) -> oneshot::Receiver<ApiError> {
    let (mut teller, late) = oneshot::channel();
    let (work, mut model) = (replies.ticket.take_work(), replies.model.take());
    tokio::spawn(async move {
        let Some(mut work) = work else { return };
        let time_is_up = async {
            match deadline.timer() {
                Some(timer) => timer.await,
                None => pending().await,
            }
        };
        let ended = async {
            work.ended().await;
            drop(model.take());
            pending::<()>().await;
        };
        tokio::select! {
            // The client has left, or has all.
            () = teller.closed() => {}
            () = ended => {}
            () = time_is_up => {
                work.give_up();
                drop(model);
                // A client that is just leaving need not know.
                let _ = teller.send(deadline.error());
            }
        }
    });
    late
}

async fn whole(mut replies: Replies, mut shape: impl Shape) -> Result<Response, ApiError> {
    let mut told: Vec<(Told, Option<Box<Output>>)> =
        replies.tellers.iter().map(|_| (Told::default(), None)).collect();
    while replies.left > 0 {
        let event = replies.ticket.next().await;
        let (index, news) = replies.news(event)?;
        let Some((said, ended)) = told.get_mut(index) else { continue };
        match news {
            News::Started(_) => {}
            News::Told(more) => more.into_iter().for_each(|more| said.extend(more)),
            News::Ended(more, output) => {
                more.into_iter().for_each(|more| said.extend(more));
                *ended = Some(output);
            }
        }
    }
    let whole = told.into_iter().filter_map(|(told, output)| Some((told, output?))).collect();
    Ok(Json(shape.whole(whole, replies.usage)).into_response())
}

/// What is written next of a streamed answer.
pub(super) enum Chunk {
    Frame(Frame),
    /// The mark of the end.
    Done,
}

/// The events of a streamed answer. Dropping it, as a client that leaves does, drops the ticket.
pub(super) struct Chunks<S> {
    replies: Replies,
    shape: S,
    ready: VecDeque<Chunk>,
    ended: bool,
    /// Tells when the time is up.
    late: Option<oneshot::Receiver<ApiError>>,
}

impl<S: Shape> Chunks<S> {
    fn are_lines(&self) -> bool {
        S::LINES
    }

    /// What is told if the time is up; else it is looked at again when it is.
    fn lateness(&mut self, context: &mut Context<'_>) -> Option<ApiError> {
        let Poll::Ready(told) = Pin::new(self.late.as_mut()?).poll(context) else { return None };
        self.late = None;
        told.ok()
    }

    fn push(&mut self, frames: impl IntoIterator<Item = Frame>) {
        self.ready.extend(frames.into_iter().map(Chunk::Frame));
    }

    fn take(&mut self, news: Result<(usize, News), ApiError>) {
        let (index, news) = match news {
            Ok(news) => news,
            Err(error) => {
                let frame = self.shape.failed(&error);
                self.push([frame]);
                self.ended = true;
                return;
            }
        };
        let (told, output) = match news {
            News::Started(cached) => {
                let frames = self.shape.started(index, cached);
                self.push(frames);
                return;
            }
            News::Told(told) => (told, None),
            News::Ended(told, output) => (told, Some(output)),
        };
        if let Some(told) = told {
            let frames = self.shape.told(index, told);
            self.push(frames);
        }
        if let Some(output) = output {
            let frames = self.shape.ended(index, &output);
            self.push(frames);
        }
        if self.replies.left == 0 {
            let frames = self.shape.finished(self.replies.usage);
            self.push(frames);
            if S::DONE {
                self.ready.push_back(Chunk::Done);
            }
            self.ended = true;
        }
    }
}

impl<S: Shape> Chunks<S> {
    /// What comes next; `None` at the end.
    pub(super) fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<Chunk>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Poll::Ready(Some(chunk));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            if let Some(error) = self.lateness(context) {
                self.take(Err(error));
                continue;
            }
            match self.replies.ticket.poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(event) => {
                    let news = self.replies.news(event);
                    self.take(news);
                }
            }
        }
    }
}

impl<S: Shape> Stream for Chunks<S> {
    type Item = Result<sse::Event, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(context).map(|chunk| {
            chunk.map(|chunk| match chunk {
                Chunk::Frame(Frame { event, data }) => {
                    let named = event.into_iter().fold(sse::Event::default(), sse::Event::event);
                    Ok(named.data(data.to_string()))
                }
                Chunk::Done => Ok(sse::Event::default().data("[DONE]")),
            })
        })
    }
}
