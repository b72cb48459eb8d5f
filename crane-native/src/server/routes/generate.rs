//! The endpoints that generate: from a request to prompts, and from replies to an answer.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use crane_sdk::generate::{CancelToken, token_logprobs};
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
use crate::server::models::TextModel;
use crate::server::share::Share;
use crate::server::wire::{
    ApiError, Asked, ChatRequest, ChatShape, CompletionRequest, CompletionShape, Conversation,
    CountRequest, Echo, Form, MessagesRequest, MessagesShape, PromptInput, Rendered,
    ResponseRequest, ResponseShape, Shape, ToolUse, Usage,
};
use crate::server::work::Permit;

/// Bytes of memory that a log-probability of a prompt takes in an answer, about.
const SCORE: usize = 128;

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
    let app = app.clone();
    let count = permit.run(move |cancel| {
        let guard = (!app.allow_special_tokens).then_some(&*model.tokenizer);
        let Rendered { chat, ignored, .. } =
            request.conversation.render(model.template()?, guard, app.template_timeout, cancel)?;
        app.ignored(&ignored);
        model.lengths.check_bytes("messages", &chat.text)?;
        go_on(cancel)?;
        let tokens = model.tokenizer.encode_rendered(&chat, Some(&cancel.interrupt()))?.len();
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
        let guard = (!app.allow_special_tokens).then_some(&*model.tokenizer);
        let Rendered { chat, ignored, goes_on } =
            conversation.render(template, guard, app.template_timeout, cancel)?;
        app.ignored(&ignored);
        // The template writes the special tokens itself.
        let prompt = model.lengths.chat(&model.tokenizer, &chat, cancel)?.into();
        match calls.as_ref().zip(tools.as_ref()) {
            Some((format, tools)) => {
                asked.config.constraint = Some(model.calls(&app, format, tools, cancel)?);
                asked.config.calls = Some(format.clone());
                // The mark of a call may be a control token, which text hides.
                asked.config.skip_special_tokens = false;
            }
            None => constrain(&app, &model, &mut asked, goes_on.as_deref(), cancel)?,
        }
        Ok(Ready { model, prompt, asked, calls })
    });
    ready.await
}

/// Compiles the form of the reply, if it must have one; with the text that it goes on with, if it does, it is whole.
pub(super) fn constrain(
    app: &App,
    model: &TextModel,
    asked: &mut Asked,
    goes_on: Option<&str>,
    cancel: &CancelToken,
) -> Result<(), ApiError> {
    let compile = |form: Form| {
        let constraint = model.constraint(app, &form, cancel)?;
        let Some(text) = goes_on else { return Ok(constraint) };
        let ids = tokenized(&model.tokenizer, text, false, cancel)?;
        constraint.after(&ids, cancel).map_err(|error| match error {
            crane_sdk::Error::InvalidArgument { reason, .. } => ApiError::value(
                form.param,
                format_args!("{reason}; add_generation_prompt: true begins a new message"),
            ),
            error => error.into(),
        })
    };
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
    let (app_of_work, with) = (app.clone(), model.model().clone());
    let prepared = permit.run(move |cancel| {
        let CompletionRequest { prompts, echo, alone, mut asked } = request;
        asked.config.validate()?;
        let (mut ids, mut begins) = (Vec::<Arc<[u32]>>::new(), Vec::new());
        for prompt in prompts {
            go_on(cancel)?;
            let (prompt, begin) = echoed(&with, prompt, echo, cancel)?;
            begins.push(begin);
            ids.push(prompt.into());
        }
        constrain(&app_of_work, &with, &mut asked, None, cancel)?;
        Ok((ids, begins, alone, asked))
    });
    let (ids, mut begins, alone, asked) = prepared.await?;
    if let Some(top) = asked.config.logprobs.filter(|_| asked.tells_end) {
        let tokens = ids.iter().map(|prompt| prompt.len()).sum::<usize>();
        let scores = Echo::check(tokens.saturating_mul(asked.n), top)?;
        permit.hold(scores.saturating_mul(SCORE))?;
        for (prompt, begin) in ids.iter().zip(&mut begins) {
            let (with, prompt) = (model.model().clone(), prompt.clone());
            let scores = permit.embed(move |cancel| {
                let scores = token_logprobs(with.model.as_ref(), &prompt, top, cancel);
                let scores =
                    scores.map_err(|error| ApiError::from(error).renamed("tokens", "prompt"))?;
                Ok(prompt.iter().copied().zip(scores).collect())
            });
            begin.tokens = scores.await?;
        }
    }
    let begins = begins.into_iter().map(Arc::new);
    let begins = begins.flat_map(|begin| std::iter::repeat_n(begin, asked.n)).collect();
    let (head, tokenizer) = (head("cmpl-", &model.name)?, model.tokenizer.clone());
    let mut shape = CompletionShape::new(head, tokenizer, &asked, begins);
    if alone {
        let tokens = ids.iter().map(|prompt| prompt.len()).sum();
        let answer = permit.run(move |_| Ok(Json(shape.prompts_alone(Usage::new(tokens, 0, 0)))));
        return Ok(answer.await?.into_response());
    }
    generate(&app, model, (share, deadline), ids, asked, shape).await
}

/// A prompt's tokens, and what the answer repeats of it.
fn echoed(
    model: &TextModel,
    prompt: PromptInput,
    echo: bool,
    cancel: &CancelToken,
) -> Result<(Vec<u32>, Echo), ApiError> {
    let tokenizer = &model.tokenizer;
    let text = match &prompt {
        PromptInput::Text(text) if echo => Some(text.clone()),
        _ => None,
    };
    let ids = model.lengths.beginning(tokenizer, prompt, cancel)?;
    if !echo {
        return Ok((ids, Echo::default()));
    }
    let Some(text) = text else {
        let text = tokenizer.decode(&ids, false)?;
        return Ok((ids, Echo { text, ..Echo::default() }));
    };
    let begins = ids.first().copied().filter(|id| Some(*id) == tokenizer.bos_id());
    let added = begins.is_some_and(|id| !text.as_bytes().starts_with(&tokenizer.token_bytes(id)));
    Ok((ids, Echo { text, hidden: usize::from(added), ..Echo::default() }))
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
