//! `crane serve`: models behind OpenAI's HTTP API, until Ctrl-C or SIGTERM.

mod about;
mod models;
mod voices;

use std::sync::Arc;
use std::time::Duration;

use crane_sdk::generate::CancelToken;

use super::args::ServeArgs;
use super::exit::{Failure, Result};
use super::interrupt::Interruptible;
use super::machine;
use super::output::{self, Console};
use crate::memory;
use crate::plain_text;
use crate::server::{
    App, Capacity, Fleet, Keeping, Metrics, Options, PrefixSharing, Standing, Times,
    serve as listen,
};

/// How often Ctrl-C is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Finds the models, loads those that are to be there from the beginning, and serves them.
///
/// # Errors
/// [`Failure::Usage`] for an option that makes no sense; what loading refuses; [`Failure::Other`] if the address
/// cannot be had.
pub(super) fn serve(console: Console, args: ServeArgs) -> Result {
    machine::few_heaps();
    let options = options(&args)?;
    let metrics = Arc::new(Metrics::default());
    let models = models::find(console, &args)?;
    let is_alone = models.len() == 1;
    let broken = |name: &str, reason: &str| {
        console.warn(format_args!(
            "{name} cannot be served: {reason}; requests for it get 503, the others are answered"
        ));
    };
    for model in &models {
        if let Some(reason) = model.failure() {
            broken(model.name(), &reason);
        }
    }
    let voices = voices::names(&models, &args.alias)?;
    let keeping = Keeping { most: args.max_loaded, idle: args.keep_alive.0 };
    let mut entries = Vec::new();
    for model in &models {
        let card = model.card();
        let load = model.loader(console, &args.load, metrics.clone());
        entries.push((card, load));
    }
    let fleet = Fleet::new(entries, keeping, metrics.clone());
    // One that is alone is there from the beginning, as one that speaks beside it.
    let at_once = match args.preload || args.names.len() <= 1 {
        true => args.max_loaded.unwrap_or(usize::MAX),
        false => 0,
    };
    // What was read to check the others goes with them.
    let mut first = None;
    for (index, model) in models.into_iter().enumerate().take(at_once) {
        let (name, is_known) = (model.name().to_owned(), model.failure().is_some());
        let loaded = model.load(console, &args.load, &metrics, fleet.promised());
        match models::bearable(loaded)? {
            Ok(model) => fleet.put(index, model),
            Err(failure) if is_alone => return Err(failure),
            Err(failure) => {
                let reason = models::reason(&failure);
                if !is_known {
                    broken(&name, &reason);
                }
                fleet.fail(index, reason);
                first.get_or_insert(failure);
            }
        }
    }
    let works = |standing: &Standing<'_>| standing.failure.is_none();
    let names: Vec<String> =
        fleet.standings().filter(works).map(|standing| standing.card.name().to_owned()).collect();
    if let (Some(failure), true) = (first, names.is_empty()) {
        return Err(failure);
    }
    memory::give_back();
    let loopback = ["127.0.0.1", "::1", "localhost"].contains(&options.host.as_str());
    if !loopback && options.keys.is_empty() {
        console.warn(format_args!(
            "everyone who reaches {}:{} may use the models; --api-key asks for a key",
            options.host, options.port
        ));
    }
    let timeout = args.timeout.map(|seconds| Duration::from_secs(seconds.into()));
    let sharing = match args.share_prefix_cache || (loopback && options.keys.is_empty()) {
        true => PrefixSharing::All,
        false => PrefixSharing::Own,
    };
    // Requests are prepared before they wait for a slot, and as many may.
    let requests = args.parallel.saturating_add(args.queue);
    let capacity = Capacity {
        requests,
        most_body: options.most_bytes,
        stall: options.times.write,
        template: Duration::from_secs(args.template_timeout.into()),
    };
    let warn = Box::new(move |text: &str| console.warn(text));
    let app = App::new(fleet, args.lenient, timeout, capacity, sharing, warn);
    let app = app
        .map_err(Failure::Other)?
        .with_voice_names(voices)
        .with_special_tokens(args.allow_special_tokens);

    let pressed = Interruptible::new();
    let stop = stop(pressed.token().clone(), console);
    let ready = |address| {
        // For scripts: with --port 0 this is how they learn the port. Nobody need read it.
        let _ = output::line(format_args!("http://{address}"));
        let answer = if names.len() == 1 { "answers" } else { "answer" };
        console.note(format_args!("{} {answer} at http://{address}/v1", names.join(", ")));
    };
    listen(Arc::new(app), &options, stop, ready).map_err(Failure::Other)
}

fn options(args: &ServeArgs) -> Result<Options> {
    let mut keys = args.api_key.clone();
    if let Some(file) = &args.api_key_file {
        let text = plain_text::read(file)
            .map_err(|reason| Failure::Usage(format!("--api-key-file: {reason}")))?;
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
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let options = Options {
        host: args.host.clone(),
        port: args.port,
        keys,
        origins: args.cors.clone(),
        hosts: args.allowed_hosts.clone(),
        proxies: args.trusted_proxy.clone(),
        connections: args.max_connections,
        times: Times {
            read: seconds(args.read_timeout),
            idle: seconds(args.idle_timeout),
            write: seconds(args.write_timeout),
        },
        most_bytes: usize::from(args.max_body) << 20,
        drain: Duration::from_secs(args.drain.into()),
    };
    options.check().map_err(Failure::Usage)?;
    Ok(options)
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
