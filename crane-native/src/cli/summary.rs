//! What is said of a reply: one line on stderr, or the fields of a JSON object.

use crane_sdk::generate::{FinishReason, Output, Stats};
use serde_json::{Value, json};

use super::output::Console;
use super::reply::Reply;

/// Says how many tokens there were and how fast, and what the reply does not show.
pub(super) fn note(console: Console, output: &Output) {
    if output.dropped_tokens > 0 {
        console.warn(format_args!(
            "{} tokens did not fit into the context and were dropped (--context-policy)",
            output.dropped_tokens
        ));
    }
    let Stats { prompt_tokens, cached_tokens, generated_tokens, .. } = output.stats;
    let end = match output.finish_reason {
        FinishReason::Cancelled => "; interrupted",
        FinishReason::Length => "; cut off at the limit of tokens",
        FinishReason::Stop => "; ended by a stop text",
        _ => "",
    };
    let first = output
        .stats
        .time_to_first_token
        .map_or_else(String::new, |time| format!(", first after {:.2} s", time.as_secs_f64()));
    console.note(format_args!(
        "prompt {prompt_tokens} tokens ({cached_tokens} cached){}{first}; \
         reply {generated_tokens} tokens{}{end}",
        rate(output.stats.prefill_tokens_per_second()),
        rate(output.stats.decode_tokens_per_second()),
    ));
}

/// A speed, where there was something to measure.
fn rate(speed: f64) -> String {
    if speed > 0.0 { format!(" at {speed:.1} tok/s") } else { String::new() }
}

/// The object that `crane run --json` prints.
pub(super) fn json(model: &str, prompt: &[u32], reply: &Reply) -> Value {
    let Reply { output, evaluated } = reply;
    let stats = &output.stats;
    json!({
        "model": model,
        "prompt_ids": prompt,
        "evaluated_ids": evaluated,
        "output_ids": output.ids,
        "text": output.text,
        "finish_reason": output.finish_reason,
        "stop": output.stop,
        "dropped_tokens": output.dropped_tokens,
        "seed": output.seed,
        "stats": {
            "prompt_tokens": stats.prompt_tokens,
            "cached_tokens": stats.cached_tokens,
            "prefill_tokens": stats.prefill_tokens,
            "generated_tokens": stats.generated_tokens,
            "time_to_first_token": stats.time_to_first_token.map(|time| time.as_secs_f64()),
            "prefill_seconds": stats.prefill_time.as_secs_f64(),
            "decode_seconds": stats.decode_time.as_secs_f64(),
            "prefill_tokens_per_second": stats.prefill_tokens_per_second(),
            "decode_tokens_per_second": stats.decode_tokens_per_second(),
        },
    })
}
