//! The endpoints that generate: from a request to prompts, and from replies to an answer.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use crane_sdk::text::Tokenizer;

use super::replies::{Replies, answer};
use super::text::{aside, for_model};
use crate::server::app::{App, client};
use crate::server::wire::{
    ApiError, Asked, ChatRequest, ChatShape, CompletionRequest, CompletionShape, Fields,
    PromptInput, Shape,
};

/// `POST /v1/chat/completions`
pub(super) async fn chat(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    for_model(&app, &mut fields)?;
    let (request, unknown) = ChatRequest::read(fields, &app.served.defaults, app.lenient)?;
    app.ignored(&unknown);
    let ChatRequest { conversation, asked } = request;
    let prompt = aside({
        let app = app.clone();
        move || {
            let text = conversation.render(app.template()?, true)?;
            // The template writes the special tokens itself.
            Ok(app.served.tokenizer.encode(&text, false)?)
        }
    })
    .await?;
    let shape = ChatShape {
        head: app.head("chatcmpl")?,
        tokenizer: app.served.tokenizer.clone(),
        logprobs: asked.config.logprobs.is_some(),
        include_usage: asked.include_usage,
    };
    generate(&app, address, vec![prompt.into()], asked, shape).await
}

/// `POST /v1/completions`
pub(super) async fn completion(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    for_model(&app, &mut fields)?;
    let (request, unknown) = CompletionRequest::read(fields, &app.served.defaults, app.lenient)?;
    app.ignored(&unknown);
    let CompletionRequest { prompts, echo, asked } = request;
    let prompts = aside({
        let tokenizer = app.served.tokenizer.clone();
        move || prompts.into_iter().map(|prompt| encode(&tokenizer, prompt)).collect()
    })
    .await?;
    let prompts: Vec<(Arc<[u32]>, String)> = prompts;
    let begins = prompts.iter().flat_map(|(_, text)| {
        std::iter::repeat_n(if echo { text.clone() } else { String::new() }, asked.n)
    });
    let tokenizer = app.served.tokenizer.clone();
    let shape = CompletionShape::new(app.head("cmpl")?, tokenizer, &asked, begins.collect());
    let ids = prompts.into_iter().map(|(ids, _)| ids).collect();
    generate(&app, address, ids, asked, shape).await
}

/// A prompt's tokens, behind the token that begins texts (once), and its text.
fn encode(tokenizer: &Tokenizer, prompt: PromptInput) -> Result<(Arc<[u32]>, String), ApiError> {
    match prompt {
        PromptInput::Ids(ids) => {
            let text = tokenizer.decode(&ids, false)?;
            Ok((ids.into(), text))
        }
        PromptInput::Text(text) => {
            let begins =
                |ids: &[u32]| ids.first().is_some_and(|&id| Some(id) == tokenizer.bos_id());
            let mut ids = tokenizer.encode(&text, false)?;
            if !begins(&ids) {
                ids = tokenizer.encode(&text, true)?;
            }
            Ok((ids.into(), text))
        }
    }
}

/// Hands the prompts to the engine and answers in the endpoint's shape.
async fn generate(
    app: &App,
    address: SocketAddr,
    prompts: Vec<Arc<[u32]>>,
    asked: Asked,
    shape: impl Shape,
) -> Result<Response, ApiError> {
    let engine = &app.served.engine;
    let limits = engine.limits();
    if let Some(prompt) = prompts.iter().find(|prompt| prompt.len() > limits.context) {
        return Err(ApiError::overflow(prompt.len(), limits.context));
    }
    let count = prompts.len().saturating_mul(asked.n);
    let most = limits.parallel + limits.queue;
    if count > most {
        let reason =
            format_args!("asks for {count} replies, and this server takes {most} at a time");
        return Err(ApiError::value(if asked.n > 1 { "n" } else { "prompt" }, reason));
    }
    asked.config.validate()?;
    let prompt_tokens = prompts.iter().map(|prompt| prompt.len()).sum();
    let jobs = prompts.iter().flat_map(|prompt| {
        let configs = (0..asked.n).map(|index| asked.config_of(index));
        configs.map(|config| (prompt.clone(), config)).collect::<Vec<_>>()
    });
    let ticket = engine.submit(&client(address, asked.user.as_deref()), jobs.collect())?;
    let replies = Replies::new(ticket, &asked, count, prompt_tokens);
    answer(replies, asked.stream, shape).await
}
