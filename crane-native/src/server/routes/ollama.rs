//! The endpoints of Ollama's API.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use crane_sdk::generate::GenerationConfig;
use crane_sdk::text::Tokenizer;
use serde_json::{Value, json};

use super::embeddings::computed;
use super::generate::{Ready, check_replies, constrain, generate as generated, prepare};
use super::intake::Intake;
use super::text::chosen;
use crate::server::app::{App, head};
use crate::server::deadline::Deadline;
use crate::server::fleet::{EmbeddingLease, Kind, Stay, TextLease};
use crate::server::share::Share;
use crate::server::wire::ollama::{
    Common, Embeddings, OllamaChat, OllamaEmbed, OllamaEmbedding, OllamaGenerate, OllamaShape,
    OllamaShow, OneEmbedding, Said, Think, is_listed, nanoseconds, nothing_said, running, shown,
    tagged, version,
};
use crate::server::wire::{ApiError, Asked, Conversation, EmbeddingRequest, Fields, PromptInput};
use crate::server::work::Permit;

/// How many of a prompt's last tokens are looked at for the mark that begins thoughts.
const LAST: usize = 8;

/// A request that has been read, the model that it is for, and that model's name as it was asked for.
struct Read<T> {
    index: usize,
    name: String,
    request: T,
}

/// The name of the model as it was asked for; its own, if none was named.
fn name_of(fields: &Fields, own: &str) -> String {
    let asked = fields.copy("model");
    asked.as_ref().and_then(Value::as_str).unwrap_or(own).to_owned()
}

/// Tells the one who runs the server of options that have no effect.
fn tell(app: &App, common: &Common, kind: Kind) {
    if !common.idle.is_empty() {
        app.warn(&format!(
            "a request has options that change nothing here: {}",
            common.idle.join(", ")
        ));
    }
    if let (Some(wanted), Kind::Text { limits }) = (common.num_ctx, kind)
        && wanted > limits.context
    {
        app.warn(&format!(
            "a request asks for a context of {wanted} tokens (options.num_ctx), and there are {}; --ctx gives more",
            limits.context
        ));
    }
}

/// Reads a request for a reply, and tells what of it has no effect.
///
/// # Errors
/// What is wrong with it.
fn asked<T>(
    app: &App,
    mut fields: Fields,
    read: impl FnOnce(Fields, &GenerationConfig, bool) -> Result<(T, Vec<String>), ApiError>,
    common: impl Fn(&T) -> &Common,
) -> Result<Read<T>, ApiError> {
    let name = name_of(&fields, "");
    let choice = chosen(app, &mut fields)?;
    let (request, unknown) = read(fields, &choice.card.defaults, app.lenient)?;
    app.ignored(&unknown);
    let common = common(&request);
    tell(app, common, choice.card.kind);
    check_replies(choice.card.kind, 1, &common.asked)?;
    let name = if name.is_empty() { choice.card.name().to_owned() } else { name };
    Ok(Read { index: choice.index, name, request })
}

/// `POST /api/chat`
pub(super) async fn chat(
    State(app): State<Arc<App>>,
    Extension(share): Extension<Share>,
    Extension(deadline): Extension<Deadline>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let read = intake.read(&app, |app, fields| {
        asked(app, fields, OllamaChat::read, |request: &OllamaChat| &request.common)
    });
    let (permit, Read { index, name, request }) = read.await?;
    let OllamaChat { conversation, tools, common } = request;
    let Some(conversation) = conversation else {
        return only_kept(&app, &permit, index, common.stay, &name, &Said::Chat).await;
    };
    let asking = Instant::now();
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    let load = asking.elapsed();
    keep(&model, common.stay);
    let conversation = with_thoughts(&model, conversation, common.think.as_ref())?;
    let ready = prepare(&app, &permit, model, conversation, tools, common.asked).await?;
    let Ready { model, prompt, asked, calls } = ready;
    let thoughts = thoughts(&model, &prompt, common.think.as_ref())?;
    let id = head("call_", &name)?.id;
    let shape =
        OllamaShape::new(name, Said::Chat, (begun, load), model.tokenizer.clone(), prompt.len())
            .with_logprobs(asked.config.logprobs.is_some())
            .with_calls(calls.as_ref(), &id)
            .with_thoughts(thoughts);
    generated(&app, model, (share, deadline), vec![prompt], asked, shape).await
}

/// `POST /api/generate`
pub(super) async fn generate(
    State(app): State<Arc<App>>,
    Extension(share): Extension<Share>,
    Extension(deadline): Extension<Deadline>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let read = intake.read(&app, |app, fields| {
        asked(app, fields, OllamaGenerate::read, |request: &OllamaGenerate| &request.common)
    });
    let (permit, Read { index, name, request }) = read.await?;
    if request.prompt.is_empty() {
        let stay = request.common.stay;
        return only_kept(&app, &permit, index, stay, &name, &Said::Generate(None)).await;
    }
    let asking = Instant::now();
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    let load = asking.elapsed();
    keep(&model, request.common.stay);
    // A model without a template goes on with texts, and knows no system.
    let raw = request.raw || (model.template.is_none() && request.system.is_none());
    let think = request.common.think.clone();
    let (model, prompt, asked) = match raw {
        true => as_it_stands(&app, &permit, model, request).await?,
        false => {
            let conversation = with_thoughts(&model, request.conversation(), think.as_ref())?;
            let asked = request.common.asked;
            let ready = prepare(&app, &permit, model, conversation, None, asked).await?;
            let Ready { model, prompt, asked, .. } = ready;
            let prompt = behind(&model, request.context, prompt)?;
            (model, prompt, asked)
        }
    };
    let thoughts = if raw { None } else { thoughts(&model, &prompt, think.as_ref())? };
    let said = Said::Generate((!raw).then(|| prompt.clone()));
    let shape = OllamaShape::new(name, said, (begun, load), model.tokenizer.clone(), prompt.len())
        .with_logprobs(asked.config.logprobs.is_some())
        .with_thoughts(thoughts);
    generated(&app, model, (share, deadline), vec![prompt], asked, shape).await
}

/// The tokens of a prompt to which nothing is added but the token that begins texts, and the form of the reply.
async fn as_it_stands(
    app: &Arc<App>,
    permit: &Permit,
    model: TextLease,
    request: OllamaGenerate,
) -> Result<(TextLease, Arc<[u32]>, Asked), ApiError> {
    let app = app.clone();
    let prepared = permit.run(move |cancel| {
        let mut asked = request.common.asked;
        asked.config.validate()?;
        let text = PromptInput::Text(request.prompt);
        let prompt = model.lengths.beginning(&model.tokenizer, text, cancel)?;
        let prompt = behind(&model, request.context, prompt.into())?;
        constrain(&app, &model, &mut asked, None, cancel)?;
        Ok((model, prompt, asked))
    });
    prepared.await
}

/// A prompt behind the tokens of what was said before.
///
/// # Errors
/// 400 if they are not all tokens, or do not fit together.
fn behind(model: &TextLease, before: Vec<u32>, prompt: Arc<[u32]>) -> Result<Arc<[u32]>, ApiError> {
    if before.is_empty() {
        return Ok(prompt);
    }
    let size = model.tokenizer.vocab_size();
    if let Some(place) = before.iter().position(|id| *id as usize >= size) {
        let reason = format_args!("is not in the vocabulary of {size} tokens");
        return Err(ApiError::value(format_args!("context[{place}]"), reason));
    }
    let (tokens, most) = (before.len() + prompt.len(), model.engine.limits().context);
    if tokens > most {
        return Err(ApiError::overflow(tokens, most));
    }
    Ok([before.as_slice(), &prompt].concat().into())
}

/// Answers a request without a text: the model is loaded, or goes at once if `keep_alive` is 0.
async fn only_kept(
    app: &App,
    permit: &Permit,
    index: usize,
    stay: Option<Stay>,
    name: &str,
    said: &Said,
) -> Result<Response, ApiError> {
    let at_once = Stay::For(Duration::ZERO);
    if stay == Some(at_once) {
        app.fleet.keep_for(index, at_once);
        return Ok(Json(nothing_said(name, said, "unload")).into_response());
    }
    let model = permit.outside(app.fleet.lease_text(index)).await?;
    keep(&model, stay);
    Ok(Json(nothing_said(name, said, "load")).into_response())
}

fn keep(model: &TextLease, stay: Option<Stay>) {
    stay.into_iter().for_each(|stay| model.keep(stay));
}

/// A conversation whose template is told whether the model is to think.
fn with_thoughts(
    model: &TextLease,
    mut conversation: Conversation,
    think: Option<&Think>,
) -> Result<Conversation, ApiError> {
    if let Some(think) = think {
        think.tell(model.template()?, &mut conversation.extra)?;
    }
    Ok(conversation)
}

/// Whether thoughts are to be told from the answer, and whether the prompt has opened them already.
fn thoughts(
    model: &TextLease,
    prompt: &[u32],
    think: Option<&Think>,
) -> Result<Option<bool>, ApiError> {
    let Some(template) = &model.template else { return Ok(None) };
    if !Think::is_known(template) {
        return Ok(None);
    }
    let opened = ends_in_thoughts(&model.tokenizer, prompt)?;
    // One that was asked not to think may do so nevertheless where its template leaves it no choice.
    Ok((opened || think != Some(&Think::Off)).then_some(opened))
}

fn ends_in_thoughts(tokenizer: &Tokenizer, prompt: &[u32]) -> Result<bool, ApiError> {
    let last = prompt.get(prompt.len().saturating_sub(LAST)..).unwrap_or(prompt);
    Ok(tokenizer.decode(last, false)?.trim_end().ends_with("<think>"))
}

/// `POST /api/embed`
pub(super) async fn embed(
    State(app): State<Arc<App>>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let begun = Instant::now();
    let read = intake.read(&app, |app, mut fields| {
        let asked = name_of(&fields, "");
        let model = fields.string("model")?;
        let choice = app.fleet.embedding(model.as_deref())?;
        let (request, unknown) = OllamaEmbed::read(fields, app.lenient)?;
        EmbeddingRequest::check(request.dimensions, choice.card.about.width)?;
        app.ignored(&unknown);
        tell(app, &request.common, choice.card.kind);
        let name = if asked.is_empty() { choice.card.name().to_owned() } else { asked };
        Ok(Read { index: choice.index, name, request })
    });
    let (permit, Read { index, name, request }) = read.await?;
    let asking = Instant::now();
    let model = leased(&app, &permit, index, request.common.stay).await?;
    let load = asking.elapsed();
    let (vectors, count) = match request.inputs.is_empty() {
        true => (Vec::new(), 0),
        false => {
            let how = (None, request.truncate, request.dimensions);
            computed(&permit, &model, request.inputs, how).await?
        }
    };
    let answer = permit.run(move |_| {
        let answer = Embeddings {
            model: &name,
            embeddings: &vectors,
            total_duration: nanoseconds(begun.elapsed()),
            load_duration: nanoseconds(load),
            prompt_eval_count: count,
        };
        serde_json::to_string(&answer).map_err(ApiError::internal)
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.await?).into_response())
}

/// `POST /api/embeddings`
pub(super) async fn embedding(
    State(app): State<Arc<App>>,
    intake: Intake,
) -> Result<Response, ApiError> {
    let read = intake.read(&app, |app, mut fields| {
        let model = fields.string("model")?;
        let choice = app.fleet.embedding(model.as_deref())?;
        let (request, unknown) = OllamaEmbedding::read(fields, app.lenient)?;
        app.ignored(&unknown);
        tell(app, &request.common, choice.card.kind);
        Ok((choice.index, request))
    });
    let (permit, (index, request)) = read.await?;
    let model = leased(&app, &permit, index, request.common.stay).await?;
    let vectors = match request.prompt.is_empty() {
        true => Vec::new(),
        false => {
            let text = vec![PromptInput::Text(request.prompt)];
            let made = computed(&permit, &model, text, (None, true, None)).await;
            made.map_err(|error| error.renamed("input[0]", "prompt"))?.0
        }
    };
    let answer = permit.run(move |_| {
        let embedding = vectors.first().map(Vec::as_slice).unwrap_or_default();
        serde_json::to_string(&OneEmbedding { embedding }).map_err(ApiError::internal)
    });
    Ok(([(header::CONTENT_TYPE, "application/json")], answer.await?).into_response())
}

async fn leased(
    app: &App,
    permit: &Permit,
    index: usize,
    stay: Option<Stay>,
) -> Result<Arc<EmbeddingLease>, ApiError> {
    let model = permit.outside(app.fleet.lease_embedding(index)).await?;
    stay.into_iter().for_each(|stay| model.keep(stay));
    Ok(Arc::new(model))
}

/// `GET /api/tags`
pub(super) async fn tags(State(app): State<Arc<App>>) -> Json<Value> {
    let listed = app.fleet.names().filter(|(_, standing)| is_listed(standing));
    let models: Vec<Value> = listed.map(|(name, standing)| tagged(name, &standing)).collect();
    Json(json!({ "models": models }))
}

/// `GET /api/ps`
pub(super) async fn ps(State(app): State<Arc<App>>) -> Json<Value> {
    let models: Vec<Value> =
        app.fleet.standings().filter_map(|standing| running(&standing)).collect();
    Json(json!({ "models": models }))
}

/// `POST /api/show`
pub(super) async fn show(
    State(app): State<Arc<App>>,
    intake: Intake,
) -> Result<Json<Value>, ApiError> {
    let read = intake.read(&app, |app, fields| {
        let (OllamaShow { model }, unknown) = OllamaShow::read(fields, app.lenient)?;
        app.ignored(&unknown);
        let name = match &model {
            Some(name) => name,
            None => app.fleet.text(None)?.card.name(),
        };
        let found = app.fleet.find(name).filter(|(_, standing)| is_listed(standing));
        found.map(|(_, standing)| shown(&standing)).ok_or_else(|| app.fleet.unknown(name))
    });
    Ok(Json(read.await?.1))
}

/// `GET /api/version`
pub(super) async fn versions() -> Json<Value> {
    Json(version())
}
