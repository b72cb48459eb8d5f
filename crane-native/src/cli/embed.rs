//! `crane embed`: texts in, vectors out.

use std::io::{self, BufRead, BufReader, BufWriter, Write};

use crane_sdk::generate::CancelToken;
use crane_sdk::pipeline::Embedder;
use crane_sdk::source::without_bom;

use super::args::EmbedArgs;
use super::exit::{Failure, Result};
use super::output::{self, Console};
use super::{open, words};
use crate::resolve::{DEFAULT_EMBEDDER, Resolved, check_path, resolve};

/// Lines that are answered together, if so many wait.
const TOGETHER: usize = 64;

/// Prints the vector of one text, or of each line of stdin.
///
/// # Errors
/// [`Failure::Usage`] for words that make no sense and texts that are too long; what loading refuses.
pub(super) fn embed(console: Console, args: EmbedArgs) -> Result {
    if args.lines {
        let mut words = args.words.clone().into_iter();
        let position = words.next();
        if words.next().is_some() || (position.is_some() && args.model.model.is_some()) {
            return Err(Failure::Usage(
                "with --lines the texts come from stdin; give at most a MODEL".to_owned(),
            ));
        }
        let embedder = load(console, &args, position)?;
        return lines(&args, &embedder);
    }
    let words = words::split(args.words.clone(), args.model.model.clone())?;
    if let Some(name) = &words.model {
        check_path(name)?;
    }
    let text = words::text(console, words.text, "text")?;
    let embedder = load(console, &args, words.model)?;
    let tokens = tokens(&args, &embedder, &text, "the text")?;
    let vectors = vectors(&args, &embedder, &[tokens])?;
    vectors.iter().try_for_each(|vector| output::line(written(vector)?))
}

fn load(console: Console, args: &EmbedArgs, position: Option<String>) -> Result<Embedder> {
    let model = find(console, args, position)?;
    open::embedder(console, &model, &args.load, 0)
}

fn find(console: Console, args: &EmbedArgs, position: Option<String>) -> Result<Resolved> {
    let name = args.model.choose(position).unwrap_or_else(|| DEFAULT_EMBEDDER.to_owned());
    let hub = open::hub(args.model.offline)?;
    Ok(resolve(&name, &hub, &open::Fetching::new(console))?)
}

/// The tokens of a text, cut if that was asked for; `place` is where it stands, for messages.
fn tokens(args: &EmbedArgs, embedder: &Embedder, text: &str, place: &str) -> Result<Vec<u32>> {
    let ids = embedder.tokenizer().encode(text, true)?;
    let (count, most) = (ids.len(), embedder.max_tokens());
    if count > most && !args.truncate {
        return Err(Failure::Usage(format!(
            "{place} has {count} tokens and the model takes {most}; --truncate cuts it"
        )));
    }
    Ok(embedder.shortened(ids))
}

fn vectors(args: &EmbedArgs, embedder: &Embedder, tokens: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
    let pooling = args.pooling.map_or(embedder.pooling(), |choice| choice.0);
    Ok(embedder.embed_tokens(tokens, pooling, &CancelToken::new())?)
}

/// The shortest decimals that are these numbers, as a JSON list.
fn written(vector: &[f32]) -> Result<String> {
    serde_json::to_string(vector).map_err(|error| Failure::Other(error.to_string()))
}

/// Answers lines as they come, so that a program can hold the pipe open and ask on. Those before one that is refused are answered.
fn lines(args: &EmbedArgs, embedder: &Embedder) -> Result {
    let mut input = BufReader::with_capacity(1 << 20, io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    let mut number = 0usize;
    loop {
        let mut texts = Vec::new();
        let ended = loop {
            let mut line = Vec::new();
            let read = input
                .read_until(b'\n', &mut line)
                .map_err(|error| Failure::Other(format!("cannot read stdin: {error}")))?;
            if read == 0 {
                break Some(Ok(()));
            }
            number += 1;
            match read_line(args, embedder, &line, number) {
                Ok(tokens) => texts.push(tokens),
                Err(refused) => break Some(Err(refused)),
            }
            if texts.len() == TOGETHER || !input.buffer().contains(&b'\n') {
                break None;
            }
        };
        for vector in vectors(args, embedder, &texts)? {
            writeln!(output, "{}", written(&vector)?).map_err(Failure::stdout)?;
        }
        output.flush().map_err(Failure::stdout)?;
        if let Some(ended) = ended {
            return ended;
        }
    }
}

fn read_line(
    args: &EmbedArgs,
    embedder: &Embedder,
    line: &[u8],
    number: usize,
) -> Result<Vec<u32>> {
    let line = if number == 1 { without_bom(line) } else { line };
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let place = format!("line {number} of stdin");
    let text = std::str::from_utf8(line)
        .map_err(|error| Failure::Usage(format!("{place} is not UTF-8 text: {error}")))?;
    tokens(args, embedder, text, &place)
}
