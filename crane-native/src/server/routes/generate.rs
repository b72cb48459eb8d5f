//! The endpoints that generate: from a request to prompts, and from replies to an answer.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use axum::{Extension, Json};
use crane_sdk::text::Tokenizer;
use crane_sdk::text::tools::CallFormat;
use serde_json::{Value, json};

use super::replies::{Replies, answer};
use super::text::{aside, chosen};
use crate::server::app::{App, client, head};
use crate::server::deadline::Deadline;
use crate::server::fleet::TextLease;
use crate::server::wire::{
    ApiError, Asked, ChatRequest, ChatShape, CompletionRequest, CompletionShape, Conversation,
    CountRequest, Fields, MessagesRequest, MessagesShape, PromptInput, ResponseRequest,
    ResponseShape, Shape, ToolUse,
};

/// A conversation that is ready for the engine.
struct Ready {
    model: TextLease,
    prompt: Arc<[u32]>,
    asked: Asked,
    /// How the model writes calls, if there may be some.
    calls: Option<CallFormat>,
}

/// `POST /v1/chat/completions`
pub(super) async fn chat(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Extension(deadline): Extension<Deadline>,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let choice = chosen(&app, &mut fields)?;
    let (request, unknown) = ChatRequest::read(fields, &choice.card.defaults, app.lenient)?;
    app.ignored(&unknown);
    let model = app.fleet.lease_text(choice).await?;
    let ready = prepare(&app, model, request.conversation, request.tools, request.asked).await?;
    let Ready { model, prompt, asked, calls } = ready;
    let (head, tokenizer) = (head("chatcmpl-", &model.name)?, model.tokenizer.clone());
    let shape = ChatShape::new(head, tokenizer, &asked, calls.as_ref());
    generate(model, (address, deadline), vec![prompt], asked, shape).await
}

/// `POST /v1/responses`
pub(super) async fn response(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Extension(deadline): Extension<Deadline>,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let choice = chosen(&app, &mut fields)?;
    let (request, unknown) = ResponseRequest::read(fields, &choice.card.defaults, app.lenient)?;
    app.ignored(&unknown);
    let model = app.fleet.lease_text(choice).await?;
    let ready = prepare(&app, model, request.conversation, request.tools, request.asked).await?;
    let Ready { model, prompt, asked, calls } = ready;
    let shape = ResponseShape::new(head("resp_", &model.name)?, request.echo, calls.as_ref());
    generate(model, (address, deadline), vec![prompt], asked, shape).await
}

/// `POST /v1/messages`
pub(super) async fn messages(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Extension(deadline): Extension<Deadline>,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let choice = chosen(&app, &mut fields)?;
    let (request, unknown) = MessagesRequest::read(fields, &choice.card.defaults, app.lenient)?;
    app.ignored(&unknown);
    let model = app.fleet.lease_text(choice).await?;
    let ready = prepare(&app, model, request.conversation, request.tools, request.asked).await?;
    let Ready { model, prompt, asked, calls } = ready;
    let stops = asked.config.stop.clone();
    let shape = MessagesShape::new(head("msg_", &model.name)?, stops, prompt.len(), calls.as_ref());
    generate(model, (address, deadline), vec![prompt], asked, shape).await
}

/// `POST /v1/messages/count_tokens`
pub(super) async fn count(
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Json<Value>, ApiError> {
    let choice = chosen(&app, &mut fields)?;
    let (request, unknown) = CountRequest::read(fields, app.lenient)?;
    app.ignored(&unknown);
    let model = app.fleet.lease_text(choice).await?;
    aside(move || {
        let text = request.conversation.render(model.template()?, true)?;
        let tokens = model.tokenizer.encode(&text, false)?.len();
        Ok(Json(json!({ "input_tokens": tokens })))
    })
    .await
}

/// Writes the conversation as the model reads it, and compiles the form of the reply.
async fn prepare(
    app: &Arc<App>,
    model: TextLease,
    conversation: Conversation,
    tools: Option<ToolUse>,
    mut asked: Asked,
) -> Result<Ready, ApiError> {
    let app = app.clone();
    aside(move || {
        let template = model.template()?;
        let calls = tools.map(|tools| model.calls(template, &tools)).transpose()?;
        let text = conversation.render(template, true)?;
        // The template writes the special tokens itself.
        let prompt = model.tokenizer.encode(&text, false)?.into();
        let form = asked.form.take();
        let calls = match calls {
            Some((format, constraint)) => {
                asked.config.constraint = Some(constraint);
                // The mark of a call may be a control token, which text hides.
                asked.config.skip_special_tokens = false;
                Some(format)
            }
            None => {
                asked.config.constraint =
                    form.map(|form| model.constraint(&app, &form)).transpose()?;
                None
            }
        };
        Ok(Ready { model, prompt, asked, calls })
    })
    .await
}

/// `POST /v1/completions`
pub(super) async fn completion(
    State(app): State<Arc<App>>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Extension(deadline): Extension<Deadline>,
    mut fields: Fields,
) -> Result<Response, ApiError> {
    let choice = chosen(&app, &mut fields)?;
    let (request, unknown) = CompletionRequest::read(fields, &choice.card.defaults, app.lenient)?;
    app.ignored(&unknown);
    let CompletionRequest { prompts, echo, mut asked } = request;
    let form = asked.form.take();
    let model = app.fleet.lease_text(choice).await?;
    let (model, prompts, constraint) = aside({
        let app = app.clone();
        move || {
            let encode = |prompt| encode(&model.tokenizer, prompt);
            let prompts = prompts.into_iter().map(encode).collect::<Result<Vec<_>, _>>()?;
            let constraint = form.map(|form| model.constraint(&app, &form)).transpose()?;
            Ok((model, prompts, constraint))
        }
    })
    .await?;
    asked.config.constraint = constraint;
    let begins = prompts.iter().flat_map(|(_, text)| {
        std::iter::repeat_n(if echo { text.clone() } else { String::new() }, asked.n)
    });
    let tokenizer = model.tokenizer.clone();
    let shape =
        CompletionShape::new(head("cmpl-", &model.name)?, tokenizer, &asked, begins.collect());
    let ids = prompts.into_iter().map(|(ids, _)| ids).collect();
    generate(model, (address, deadline), ids, asked, shape).await
}

/// A prompt's tokens, behind the token that begins texts (once), and its text.
pub(super) fn encode(
    tokenizer: &Tokenizer,
    prompt: PromptInput,
) -> Result<(Arc<[u32]>, String), ApiError> {
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
    model: TextLease,
    (address, deadline): (SocketAddr, Deadline),
    prompts: Vec<Arc<[u32]>>,
    asked: Asked,
    shape: impl Shape,
) -> Result<Response, ApiError> {
    let engine = &model.engine;
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
    let replies = Replies::new(model, ticket, &asked, count, prompt_tokens);
    answer(replies, asked.stream, shape, deadline).await
}
