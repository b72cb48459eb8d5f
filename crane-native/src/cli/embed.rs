//! `crane embed`: texts in, vectors out.

use std::io::{self, BufRead, BufReader, BufWriter, Write};

use crane_sdk::generate::CancelToken;
use crane_sdk::pipeline::Embedder;

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
    let text = words::text(words.text, "text")?;
    let embedder = load(console, &args, words.model)?;
    let vectors = vectors(&args, &embedder, &[text])?;
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

fn vectors(args: &EmbedArgs, embedder: &Embedder, texts: &[String]) -> Result<Vec<Vec<f32>>> {
    let mut tokens = Vec::with_capacity(texts.len());
    for text in texts {
        let ids = embedder.tokenizer().encode(text, true)?;
        let most = embedder.max_tokens();
        if ids.len() > most && !args.truncate {
            return Err(Failure::Usage(format!(
                "the text {:?} has {} tokens and the model takes {most}; --truncate cuts it",
                beginning(text),
                ids.len()
            )));
        }
        tokens.push(embedder.shortened(ids));
    }
    let pooling = args.pooling.map_or(embedder.pooling(), |choice| choice.0);
    Ok(embedder.embed_tokens(&tokens, pooling, &CancelToken::new())?)
}

/// The shortest decimals that are these numbers, as a JSON list.
fn written(vector: &[f32]) -> Result<String> {
    serde_json::to_string(vector).map_err(|error| Failure::Other(error.to_string()))
}

/// As much of a text as tells it apart.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Answers lines as they come, so that a program can hold the pipe open and ask on.
fn lines(args: &EmbedArgs, embedder: &Embedder) -> Result {
    let mut input = BufReader::with_capacity(1 << 20, io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    loop {
        let mut texts = Vec::new();
        let ended = loop {
            let mut line = String::new();
            let read = input
                .read_line(&mut line)
                .map_err(|error| Failure::Other(format!("cannot read stdin: {error}")))?;
            if read == 0 {
                break true;
            }
            let text = line.strip_suffix('\n').unwrap_or(&line);
            texts.push(text.strip_suffix('\r').unwrap_or(text).to_owned());
            if texts.len() == TOGETHER || !input.buffer().contains(&b'\n') {
                break false;
            }
        };
        for vector in vectors(args, embedder, &texts)? {
            writeln!(output, "{}", written(&vector)?).map_err(Failure::stdout)?;
        }
        output.flush().map_err(Failure::stdout)?;
        if ended {
            return Ok(());
        }
    }
}
