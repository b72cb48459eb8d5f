//! `crane tokenize`: text in, token ids out.

use std::io::{self, BufRead, BufReader, BufWriter, Write};

use crane_sdk::source::without_bom;

use super::args::TokenizeArgs;
use super::exit::{Failure, Result};
use super::output::{self, Console};
use super::{open, stdin, words};

/// Prints the ids of one text, or of each line of stdin.
///
/// # Errors
/// [`Failure::Usage`] for words or lines that make no sense; what the model's tokenizer refuses.
pub(super) fn tokenize(console: Console, args: TokenizeArgs) -> Result {
    if args.json {
        let mut words = args.words.into_iter();
        let position = words.next();
        if words.next().is_some() || (position.is_some() && args.model.model.is_some()) {
            return Err(Failure::Usage(
                "with --json the texts come from stdin; give at most a MODEL".to_owned(),
            ));
        }
        let model = open::find(console, &args.model, position)?;
        let tokenizer = open::tokenizer(console, &model)?;
        return lines(|text| Ok(tokenizer.encode(text, args.add_special)?));
    }
    let words = words::split(args.words, args.model.model.clone())?;
    open::check(&args.model, &words.model)?;
    let text = match words.text.as_deref() {
        None | Some("-") => stdin::text(console)?,
        Some(text) => text.to_owned(),
    };
    let model = open::find(console, &args.model, words.model)?;
    let tokenizer = open::tokenizer(console, &model)?;
    let ids = tokenizer.encode(&text, args.add_special)?;
    output::json(&ids.into())
}

/// Answers each line as it comes, so that a program can hold the pipe open and ask on.
fn lines(encode: impl Fn(&str) -> Result<Vec<u32>>) -> Result {
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = input
            .read_until(b'\n', &mut line)
            .map_err(|error| Failure::Other(format!("cannot read stdin: {error}")))?;
        if read == 0 {
            break;
        }
        let json = if number == 1 { without_bom(&line) } else { &line };
        let text: String = serde_json::from_slice(json).map_err(|error| {
            Failure::Usage(format!("line {number} of stdin is not a JSON string: {error}"))
        })?;
        let ids = serde_json::Value::from(encode(&text)?);
        writeln!(output, "{ids}").map_err(Failure::stdout)?;
        if input.buffer().is_empty() {
            output.flush().map_err(Failure::stdout)?;
        }
    }
    output.flush().map_err(Failure::stdout)
}
