//! The endpoints that generate: from a request to prompts, and from replies to an answer.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use axum::{Extension, Json};
use crane_sdk::generate::CancelToken;
use crane_sdk::text::tools::CallFormat;
use serde_json::{Value, json};

use super::intake::Intake;
use super::replies::{Replies, answer};
use super::text::chosen;
use crate::server::app::{App, head};
use crate::server::deadline::Deadline;
use crate::server::engine::Client;
use crate::server::fleet::{Kind, TextLease};
use crate::server::lengths::{go_on, tokenized};
use crate::server::share::Share;
use crate::server::wire::{
    ApiError, Asked, ChatRequest, ChatShape, CompletionRequest, CompletionShape, Conversation,
    CountRequest, Form, MessagesRequest, MessagesShape, PromptInput, ResponseRequest,
    ResponseShape, Shape, ToolUse,
};
use crate::server::work::Permit;

/// A conversation that is ready for the engine.
pub(super) struct Ready {
    pub model: TextLease,
    pub prompt: Arc<[u32]>,
    pub asked: Asked,
    /// How the model writes calls, if there may be some.
    pub calls: Option<CallFormat>,
}

/// `POST /v1/chat/completions`
pub(super) async fn chat(
    State(app): State<Arc<App>>,
    Extension(share): Extension<Share>,
    Extension(deadline): Extension<Deadline>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let choice = chosen(app, &mut fields)?;
        let (request, unknown) = ChatRequest::read(fields, &choice.card.defaults, app.lenient)?;
        app.ignored(&unknown);
        check_replies(choice.card.kind, 1, &request.asked)?;
        Ok((choice.index, request))
    });
    let (permit, (index, request)) = read.await?;
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    let ChatRequest { conversation, tools, asked, .. } = request;
    let ready = prepare(&app, &permit, model, conversation, tools, asked).await?;
    let Ready { model, prompt, asked, calls } = ready;
    let (head, tokenizer) = (head("chatcmpl-", &model.name)?, model.tokenizer.clone());
    let shape = ChatShape::new(head, tokenizer, &asked, calls.as_ref());
    generate(&app, model, (share, deadline), vec![prompt], asked, shape).await
}

/// `POST /v1/responses`
pub(super) async fn response(
    State(app): State<Arc<App>>,
    Extension(share): Extension<Share>,
    Extension(deadline): Extension<Deadline>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let choice = chosen(app, &mut fields)?;
        let (request, unknown) = ResponseRequest::read(fields, &choice.card.defaults, app.lenient)?;
        app.ignored(&unknown);
        check_replies(choice.card.kind, 1, &request.asked)?;
        Ok((choice.index, request))
    });
    let (permit, (index, request)) = read.await?;
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    let ResponseRequest { conversation, tools, asked, echo } = request;
    let ready = prepare(&app, &permit, model, conversation, tools, asked).await?;
    let Ready { model, prompt, asked, calls } = ready;
    let shape = ResponseShape::new(head("resp_", &model.name)?, echo, calls.as_ref());
    generate(&app, model, (share, deadline), vec![prompt], asked, shape).await
}

/// `POST /v1/messages`
pub(super) async fn messages(
    State(app): State<Arc<App>>,
    Extension(share): Extension<Share>,
    Extension(deadline): Extension<Deadline>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let choice = chosen(app, &mut fields)?;
        let (request, unknown) = MessagesRequest::read(fields, &choice.card.defaults, app.lenient)?;
        app.ignored(&unknown);
        check_replies(choice.card.kind, 1, &request.asked)?;
        Ok((choice.index, request))
    });
    let (permit, (index, request)) = read.await?;
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    let MessagesRequest { conversation, tools, asked, .. } = request;
    let ready = prepare(&app, &permit, model, conversation, tools, asked).await?;
    let Ready { model, prompt, asked, calls } = ready;
    let stops = asked.config.stop.clone();
    let shape = MessagesShape::new(head("msg_", &model.name)?, stops, prompt.len(), calls.as_ref());
    generate(&app, model, (share, deadline), vec![prompt], asked, shape).await
}

/// `POST /v1/messages/count_tokens`
pub(super) async fn count(
    State(app): State<Arc<App>>,
    intake: Intake,
) -> Result<Json<Value>, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let choice = chosen(app, &mut fields)?;
        let (request, unknown) = CountRequest::read(fields, app.lenient)?;
        app.ignored(&unknown);
        Ok((choice.index, request))
    });
    let (permit, (index, request)) = read.await?;
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    let limit = app.template_timeout;
    let count = permit.run(move |cancel| {
        let text = request.conversation.render(model.template()?, true, limit, cancel)?;
        model.lengths.check_bytes("messages", &text)?;
        let tokens = tokenized(&model.tokenizer, &text, false, cancel)?.len();
        Ok(Json(json!({ "input_tokens": tokens })))
    });
    count.await
}

/// Writes the conversation as the model reads it, and compiles the form of the reply.
///
/// What is cheap to know comes first: a prompt that does not fit is told before any grammar is compiled.
pub(super) async fn prepare(
    app: &Arc<App>,
    permit: &Permit,
    model: TextLease,
    conversation: Conversation,
    tools: Option<ToolUse>,
    mut asked: Asked,
) -> Result<Ready, ApiError> {
    let app = app.clone();
    let ready = permit.run(move |cancel| {
        asked.config.validate()?;
        let template = model.template()?;
        let calls = tools.as_ref().map(|_| model.call_format(template)).transpose()?;
        let text = conversation.render(template, true, app.template_timeout, cancel)?;
        // The template writes the special tokens itself.
        let prompt = model.lengths.prompt(&model.tokenizer, &text, cancel)?.into();
        match calls.as_ref().zip(tools.as_ref()) {
            Some((format, tools)) => {
                asked.config.constraint = Some(model.calls(format, tools, cancel)?);
                // The mark of a call may be a control token, which text hides.
                asked.config.skip_special_tokens = false;
            }
            None => constrain(&app, &model, &mut asked, cancel)?,
        }
        Ok(Ready { model, prompt, asked, calls })
    });
    ready.await
}

/// Compiles the form of the reply, if it must have one.
pub(super) fn constrain(
    app: &App,
    model: &TextLease,
    asked: &mut Asked,
    cancel: &CancelToken,
) -> Result<(), ApiError> {
    let compile = |form: Form| model.constraint(app, &form, cancel);
    asked.config.constraint = asked.form.take().map(compile).transpose()?;
    Ok(())
}

/// Refuses more replies than this server generates and keeps waiting together.
pub(super) fn check_replies(kind: Kind, prompts: usize, asked: &Asked) -> Result<(), ApiError> {
    let Kind::Text { limits } = kind else { return Ok(()) };
    let (count, most) = (prompts.saturating_mul(asked.n), limits.parallel + limits.queue);
    if count > most {
        let reason =
            format_args!("asks for {count} replies, and this server takes {most} at a time");
        return Err(ApiError::value(if asked.n > 1 { "n" } else { "prompt" }, reason));
    }
    Ok(())
}

/// `POST /v1/completions`
pub(super) async fn completion(
    State(app): State<Arc<App>>,
    Extension(share): Extension<Share>,
    Extension(deadline): Extension<Deadline>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let choice = chosen(app, &mut fields)?;
        let defaults = &choice.card.defaults;
        let (request, unknown) = CompletionRequest::read(fields, defaults, app.lenient)?;
        app.ignored(&unknown);
        check_replies(choice.card.kind, request.prompts.len(), &request.asked)?;
        Ok((choice.index, request))
    });
    let (permit, (index, request)) = read.await?;
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    let prepared = permit.run({
        let app = app.clone();
        move |cancel| {
            let CompletionRequest { prompts, echo, mut asked } = request;
            asked.config.validate()?;
            let (mut ids, mut begins) = (Vec::new(), Vec::new());
            for prompt in prompts {
                go_on(cancel)?;
                let text = match &prompt {
                    PromptInput::Text(text) if echo => text.clone(),
                    _ => String::new(),
                };
                let is_ids = matches!(prompt, PromptInput::Ids(_));
                let prompt = model.lengths.beginning(&model.tokenizer, prompt, cancel)?;
                let begin = match echo && is_ids {
                    true => model.tokenizer.decode(&prompt, false)?,
                    false => text,
                };
                begins.extend(std::iter::repeat_n(begin, asked.n));
                ids.push(Arc::from(prompt));
            }
            constrain(&app, &model, &mut asked, cancel)?;
            Ok((model, ids, begins, asked))
        }
    });
    let (model, ids, begins, asked) = prepared.await?;
    let (head, tokenizer) = (head("cmpl-", &model.name)?, model.tokenizer.clone());
    let shape = CompletionShape::new(head, tokenizer, &asked, begins);
    generate(&app, model, (share, deadline), ids, asked, shape).await
}

/// Hands the prompts to the engine and answers in the endpoint's shape.
pub(super) async fn generate(
    app: &App,
    model: TextLease,
    (share, deadline): (Share, Deadline),
    prompts: Vec<Arc<[u32]>>,
    asked: Asked,
    shape: impl Shape,
) -> Result<Response, ApiError> {
    let engine = &model.engine;
    let count = prompts.len().saturating_mul(asked.n);
    let prompt_tokens = prompts.iter().map(|prompt| prompt.len()).sum();
    let jobs = prompts.iter().flat_map(|prompt| {
        let configs = (0..asked.n).map(|index| asked.config_of(index));
        configs.map(|config| (prompt.clone(), config)).collect::<Vec<_>>()
    });
    let client = Client { share, user: asked.user.as_deref().map(Arc::from) };
    let salt = app.salt(&client, asked.cache_salt.as_deref());
    let ticket = engine.submit(&client, &salt, jobs.collect())?;
    let replies = Replies::new(model, ticket, &asked, count, prompt_tokens);
    answer(replies, asked.stream, shape, deadline).await
}
