//! The slash commands of a chat: `/set temp 0.7` and its like.

use std::path::PathBuf;

/// One line of a chat, understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Line {
    /// Something to say to the model.
    Say(String),
    /// A command.
    Do(Command),
    /// Nothing.
    Empty,
}

/// What a slash command asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    /// `/help`
    Help,
    /// `/system [TEXT]`: show or replace the system prompt; an empty pair of quotes removes it.
    System(Option<String>),
    /// `/set [NAME VALUE]`: show or change an option.
    Set(Option<(String, String)>),
    /// `/save FILE`
    Save(PathBuf),
    /// `/load FILE`
    Load(PathBuf),
    /// `/compact`: let a summary take the place of the oldest turns.
    Compact,
    /// `/clear`: forget the conversation, keep the system prompt.
    Clear,
    /// `/bye`
    Bye,
}

/// What `/help` prints.
pub(super) const HELP: &str = "\
/help               this list
/system [TEXT]      show or replace the system prompt (\"\" removes it)
/set [NAME VALUE]   show or change an option: temp, top-k, top-p, min-p, typical-p, seed,
                    repeat-penalty, repeat-last-n, presence-penalty, frequency-penalty,
                    max-tokens, stop; the value `default` restores it
/save FILE          write the conversation as JSON
/load FILE          take up a conversation that was saved
/compact            put a summary, which the model writes, in the place of the oldest turns
/clear              forget the conversation, keep the system prompt
/bye                leave (as do Ctrl-D, and Ctrl-C twice)

A line that ends in \\ goes on in the next one; \"\"\" opens and closes a text of many lines.
Ctrl-C stops a reply; what was said of it is kept. //x says /x to the model.";

/// Understands one line (or one block of lines).
///
/// # Errors
/// What is wrong with a command, in words for the user.
pub(super) fn parse(text: &str) -> Result<Line, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(Line::Empty);
    }
    let Some(command) = trimmed.strip_prefix('/') else {
        return Ok(Line::Say(text.to_owned()));
    };
    if command.starts_with('/') {
        return Ok(Line::Say(command.to_owned()));
    }
    let (name, rest) = match command.split_once(char::is_whitespace) {
        Some((name, rest)) => (name, rest.trim()),
        None => (command, ""),
    };
    let alone = |command: Command| match rest {
        "" => Ok(command),
        _ => Err(format!("/{name} stands alone")),
    };
    let file = || match rest {
        "" => Err(format!("/{name} needs a file name")),
        path => Ok(PathBuf::from(path)),
    };
    Ok(Line::Do(match name {
        "help" | "?" => alone(Command::Help)?,
        "compact" => alone(Command::Compact)?,
        "clear" => alone(Command::Clear)?,
        "bye" | "exit" | "quit" => alone(Command::Bye)?,
        "system" => Command::System(match rest {
            "" => None,
            "\"\"" | "''" => Some(String::new()),
            text => Some(text.to_owned()),
        }),
        "set" => Command::Set(match rest.split_once(char::is_whitespace) {
            Some((name, value)) => Some((name.replace('_', "-"), value.trim_start().to_owned())),
            None if rest.is_empty() => None,
            None => return Err(format!("write /set {rest} VALUE, or /set to see all options")),
        }),
        "save" => Command::Save(file()?),
        "load" => Command::Load(file()?),
        _ => return Err(format!("there is no command /{name}; /help lists them")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(text: &str) -> Command {
        match parse(text).unwrap() {
            Line::Do(command) => command,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn text_is_said_as_it_is() {
        assert_eq!(parse("  two words ").unwrap(), Line::Say("  two words ".into()));
        assert_eq!(parse("a /help b").unwrap(), Line::Say("a /help b".into()));
        assert_eq!(parse("//etc is a folder").unwrap(), Line::Say("/etc is a folder".into()));
        assert_eq!(parse(" \n").unwrap(), Line::Empty);
    }

    #[test]
    fn commands_are_understood() {
        assert_eq!(command("/help"), Command::Help);
        assert_eq!(command(" /bye "), Command::Bye);
        assert_eq!(command("/clear"), Command::Clear);
        assert_eq!(command("/compact"), Command::Compact);
        assert_eq!(command("/system"), Command::System(None));
        assert_eq!(command("/system \"\""), Command::System(Some(String::new())));
        assert_eq!(
            command("/system Be brief.\nBe kind."),
            Command::System(Some("Be brief.\nBe kind.".into()))
        );
        assert_eq!(command("/set"), Command::Set(None));
        assert_eq!(command("/set top_k  40"), Command::Set(Some(("top-k".into(), "40".into()))));
        assert_eq!(command("/save a b.json"), Command::Save("a b.json".into()));
        assert_eq!(command("/load x.json"), Command::Load("x.json".into()));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("/hello", "/hello"),
            ("/save", "file name"),
            ("/load ", "file name"),
            ("/set temp", "VALUE"),
            ("/bye now", "alone"),
            ("/", "no command"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
