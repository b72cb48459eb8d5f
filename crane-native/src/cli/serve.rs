//! `crane serve`: a model behind OpenAI's HTTP API, until Ctrl-C or SIGTERM.

use std::sync::Arc;
use std::time::Duration;

use crane_sdk::generate::CancelToken;
use crane_sdk::pipeline::TextToSpeech;

use super::args::ServeArgs;
use super::exit::{Failure, Result};
use super::interrupt::Interruptible;
use super::machine;
use super::open;
use super::output::{self, Console};
use crate::memory;
use crate::resolve::{check_path, resolve};
use crate::server::engine::{Engine, Limits};
use crate::server::{App, Model, Options, Plan, Served, SpeechModel, Template, serve as listen};

/// What a slot holds where nothing says how much and the model would take more.
const DEFAULT_CONTEXT: usize = 8192;
/// How often Ctrl-C is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Loads the model and serves it.
///
/// # Errors
/// [`Failure::Usage`] for an option that makes no sense; what loading refuses; [`Failure::Other`] if the address
/// cannot be had.
pub(super) fn serve(console: Console, args: ServeArgs) -> Result {
    machine::few_heaps();
    open::check(&args.model, &args.name)?;
    args.speech.as_deref().map(check_path).transpose()?;
    let options = options(&args)?;
    let model = open::find(console, &args.model, args.name.clone())?;
    let speech = args.speech.as_deref().map(|name| speech(console, &args, name)).transpose()?;
    let text = open::text(console, &model)?;
    let template = text.template(&model)?;
    let loaded = open::weights(console, &model, &args.load)?;
    let most = loaded.info.context_length;
    let context = args.ctx.unwrap_or_else(|| most.min(DEFAULT_CONTEXT));
    if context > most {
        return Err(Failure::Usage(format!(
            "--ctx: {context} tokens; {} was made for at most {most}",
            model.name
        )));
    }
    let limits = Limits { parallel: args.parallel, context, queue: args.queue };
    let plan = Plan::new(loaded.model.as_ref(), loaded.info.weight_bytes as u64, limits)?;
    console.note(plan);
    if loaded.model.device().is_cpu() {
        plan.check(memory::available())?;
    }
    if template.is_none() {
        console.warn("the model has no chat template: only /v1/completions answers");
    }
    let loopback = ["127.0.0.1", "::1", "localhost"].contains(&options.host.as_str());
    if !loopback && options.keys.is_empty() {
        console.warn(format_args!(
            "everyone who reaches {}:{} may use the model; --api-key asks for a key",
            options.host, options.port
        ));
    }
    let mut names = vec![model.name.clone()];
    names.extend(args.alias.iter().filter(|alias| **alias != model.name).cloned());
    let served = Served {
        names,
        engine: Engine::start(&loaded.model, &text.tokenizer, limits)?,
        model: Model(loaded.model),
        tokenizer: text.tokenizer,
        template: template.map(Template),
        defaults: text.defaults,
    };
    let app = App::new(served, speech, args.lenient, Box::new(move |text| console.warn(text)));

    let pressed = Interruptible::new();
    let stop = stop(pressed.token().clone(), console);
    let ready = |address| {
        // For scripts: with --port 0 this is how they learn the port. Nobody need read it.
        let _ = output::line(format_args!("http://{address}"));
        console.note(format_args!("{} answers at http://{address}/v1", model.name));
    };
    listen(Arc::new(app), &options, stop, ready).map_err(Failure::Other)
}

/// Loads what reads texts aloud.
fn speech(console: Console, args: &ServeArgs, name: &str) -> Result<SpeechModel> {
    let model = resolve(name, &open::hub(args.model.offline)?, &open::Fetching::new(console))?;
    let tts = TextToSpeech::from_source(model.source.as_ref());
    let tts = tts.map_err(|error| model.explain(error))?;
    console.note(format_args!("{} speaks: {}", model.name, tts.voices().join(", ")));
    Ok(SpeechModel { name: model.name, tts })
}

fn options(args: &ServeArgs) -> Result<Options> {
    let mut keys = args.api_key.clone();
    if let Some(file) = &args.api_key_file {
        let text = std::fs::read_to_string(file).map_err(|error| {
            Failure::Usage(format!("--api-key-file: cannot read {}: {error}", file.display()))
        })?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let before = keys.len();
        keys.extend(lines.map(str::to_owned));
        if keys.len() == before {
            let name = file.display();
            return Err(Failure::Usage(format!("--api-key-file: {name} holds no key")));
        }
    }
    if keys.iter().any(String::is_empty) {
        return Err(Failure::Usage("--api-key: an empty key is no key".to_owned()));
    }
    Ok(Options {
        host: args.host.clone(),
        port: args.port,
        keys,
        origins: args.cors.clone(),
        most_bytes: usize::from(args.max_body) << 20,
        drain: Duration::from_secs(args.drain.into()),
    })
}

/// Ends at Ctrl-C, and where there is one, at SIGTERM.
async fn stop(pressed: CancelToken, console: Console) {
    let asked = async {
        while !pressed.is_cancelled() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        () = asked => {}
        () = terminated() => {}
    }
    console.note("no new requests are taken; waiting for the replies under way (Ctrl-C ends them)");
}

#[cfg(unix)]
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminated() {
    std::future::pending().await
}
