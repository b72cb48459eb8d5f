//! How a template writes calls, found by letting it write some.

use serde_json::{Value, json};

use super::CallReader;
use crate::Result;
use crate::text::{ChatTemplate, Content, Message, RenderOptions};

/// What is made up, and looked for in what the template writes.
const SAID: &str = "crane-probe-said";
const NAME: &str = "crane_probe_name";
const KEY: &str = "crane_probe_key";
const VALUE: &str = "crane_probe_value";
/// Nine letters and digits, which is all that Mistral's templates take.
const IDS: [&str; 2] = ["crane0001", "crane0002"];

/// The text around the parts of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallFormat {
    /// Before the name: `<tool_call>\n{"name": "`.
    pub open: String,
    /// Between the name and the arguments, which are a JSON object: `", "arguments": `.
    pub middle: String,
    /// Behind the arguments: `}\n</tool_call>`.
    pub close: String,
    /// Between two calls; `None` if the template knows one at a time.
    pub between: Option<String>,
}

impl CallFormat {
    /// Finds the format; `None` if the template writes no calls, or not as a name with a JSON object.
    ///
    /// # Errors
    /// [`Error::Template`](crate::Error::Template) if the template fails on a plain conversation.
    pub fn of(template: &ChatTemplate) -> Result<Option<Self>> {
        if !template.supports_tools() {
            return Ok(None);
        }
        let said = render(template, Message::assistant(SAID))?;
        let Some((before, after)) = said.split_once(SAID) else { return Ok(None) };
        // A template may refuse what it does not know.
        let written = |way: Way, count: usize| {
            let text = render(template, calls(way, count)).ok()?;
            let rest =
                text.strip_prefix(before).or_else(|| text.strip_prefix(before.trim_end()))?;
            Some(rest.strip_suffix(after)?.to_owned())
        };
        let found = WAYS.into_iter().find_map(|way| {
            let mut format = written(way, 1).as_deref().and_then(Self::read)?;
            format.between = written(way, 2).and_then(|two| format.between(&two));
            Some(format)
        });
        Ok(found)
    }

    /// The text by which a call is known to begin: the first mark, without what a model may space in another way.
    pub fn trigger(&self) -> &str {
        let open = self.open.trim_start();
        let end = open.find(|c: char| c.is_whitespace() || c == '{').unwrap_or(open.len());
        match end < 3 {
            true => open,
            false => open.get(..end).unwrap_or(open),
        }
    }

    /// Reads replies of this format.
    pub fn reader(&self) -> CallReader {
        CallReader::new(self.clone())
    }

    /// From one call as it is written.
    fn read(text: &str) -> Option<Self> {
        let (open, rest) = text.split_once(NAME)?;
        let key = rest.find(&format!("\"{KEY}\""))?;
        let start = rest.get(..key)?.rfind('{')?;
        let value = format!("\"{VALUE}\"");
        let end = rest.find(&value)? + value.len();
        let end = end + rest.get(end..)?.find('}')? + 1;
        let (middle, close) = (rest.get(..start)?, rest.get(end..)?);
        let parts = [open, middle, close];
        // An id, or the arguments a second time: more than this reads.
        let more = |part: &&str| IDS.iter().chain(&[NAME, KEY]).any(|word| part.contains(word));
        // Null that was printed as a text is no part of a call.
        let begins = !open.trim_start().starts_with("None")
            && !open.trim().is_empty()
            && !middle.trim().is_empty();
        (begins && !parts.iter().any(more)).then(|| Self {
            open: open.trim_start().to_owned(),
            middle: middle.to_owned(),
            close: close.trim_end().to_owned(),
            between: None,
        })
    }

    /// What stands between two calls.
    fn between(&self, two: &str) -> Option<String> {
        let whole = |text: &str| {
            Self::read(text.trim_end()).is_some_and(|format| {
                (&format.open, &format.middle, &format.close)
                    == (&self.open, &self.middle, &self.close)
            })
        };
        // The second call begins where its opening is found behind the end of the first.
        let first = two.find(VALUE)?;
        let second = first + two.get(first..)?.find(&self.open)?;
        let (one, other) = two.split_at_checked(second)?;
        let spaces = one.rfind(&self.close).map(|at| at + self.close.len())?;
        (whole(one.get(..spaces)?) && whole(other)).then(|| one.get(spaces..).map(str::to_owned))?
    }
}

/// A way in which clients send a call: what stands in the place of a text, and whether the arguments are one.
#[derive(Debug, Clone, Copy)]
struct Way {
    content: Beside,
    text: bool,
}

/// What stands in the place of a text beside calls.
#[derive(Debug, Clone, Copy)]
enum Beside {
    Null,
    Empty,
    Absent,
}

/// The ways, in the order in which they are tried. Templates search the text (which null ends), print null as "None", tell
/// calls by a missing text, or add the arguments to a text.
const WAYS: [Way; 6] = [
    Way { content: Beside::Null, text: false },
    Way { content: Beside::Empty, text: false },
    Way { content: Beside::Absent, text: false },
    Way { content: Beside::Null, text: true },
    Way { content: Beside::Empty, text: true },
    Way { content: Beside::Absent, text: true },
];

fn calls(way: Way, count: usize) -> Message {
    let arguments = json!({ KEY: VALUE });
    let arguments = if way.text { arguments.to_string().into() } else { arguments };
    let call = |id: &&str| json!({ "id": id, "type": "function", "function": { "name": NAME, "arguments": arguments } });
    let mut message = Message::assistant("");
    message.content = match way.content {
        Beside::Null => Some(Content::Null),
        Beside::Empty => message.content,
        Beside::Absent => None,
    };
    message.tool_calls = Some(IDS.iter().take(count).map(call).collect());
    message
}

fn render(template: &ChatTemplate, answer: Message) -> Result<String> {
    let parameters: Value =
        json!({ "type": "object", "properties": { KEY: { "type": "string" } } });
    let function = json!({ "name": NAME, "description": "", "parameters": parameters });
    let options = RenderOptions {
        add_generation_prompt: false,
        tools: Some(vec![json!({ "type": "function", "function": function })]),
        ..RenderOptions::default()
    };
    let text = template.render(&[Message::user("?"), answer], &options)?;
    // The tools themselves stand before the question.
    let at = text.rfind('?').map_or(0, |at| at + 1);
    Ok(text.get(at..).unwrap_or_default().to_owned())
}
