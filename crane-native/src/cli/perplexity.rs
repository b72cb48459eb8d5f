//! `crane perplexity`: how well a model foresees a text, comparable with `llama-perplexity`.

use std::ops::ControlFlow;

use crane_sdk::generate::perplexity;
use serde_json::json;

use super::args::PerplexityArgs;
use super::exit::{Failure, Result};
use super::interrupt::Interruptible;
use super::output::{self, Console};
use super::{open, stdin};
use crate::plain_text;

/// Measures and prints one line, or a JSON object.
///
/// # Errors
/// [`Failure::Usage`] for a file that is no text; [`Failure::Interrupted`] on Ctrl-C; what loading and the
/// model refuse, a text shorter than one chunk among them.
pub(super) fn measure(console: Console, args: PerplexityArgs) -> Result {
    open::check(&args.model, &args.name)?;
    let text = match args.file.to_str() {
        Some("-") => stdin::text(console)?,
        _ => plain_text::read(&args.file)
            .map_err(|reason| Failure::Usage(format!("--file: {reason}")))?,
    };
    let model = open::find(console, &args.model, args.name)?;
    let tokenizer = open::tokenizer(console, &model)?;
    let tokens = tokenizer.encode(&text, true)?;
    if tokens.len() < args.ctx {
        return Err(Failure::Usage(format!(
            "--file: {} has {} tokens, fewer than one chunk of {}; give a longer text or a smaller --ctx",
            args.file.display(),
            tokens.len(),
            args.ctx
        )));
    }
    // A tokenizer that begins every text with BOS belongs to a model that wants each chunk to begin so.
    let bos = tokenizer.bos_id().filter(|bos| tokens.first() == Some(bos));
    let loaded = open::weights(console, &model, &args.load)?;

    let chunks = tokens.len() / args.ctx;
    let stop = Interruptible::new();
    let found = perplexity(loaded.model.as_ref(), &tokens, args.ctx, bos, |sofar| {
        console.note(format_args!("[{}/{chunks}] {:.4}", sofar.chunks, sofar.value()));
        match stop.pressed() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    })?;
    if stop.pressed() {
        return Err(Failure::Interrupted);
    }
    if args.json {
        return output::json(&json!({
            "perplexity": found.value(),
            "standard_error": found.standard_error(),
            "chunks": found.chunks,
            "context": args.ctx,
            "tokens": found.tokens,
            "text_tokens": tokens.len(),
        }));
    }
    output::line(format!(
        "perplexity {:.4} ± {:.4} ({} tokens of {} chunks of {})",
        found.value(),
        found.standard_error(),
        found.tokens,
        found.chunks,
        args.ctx
    ))
}
