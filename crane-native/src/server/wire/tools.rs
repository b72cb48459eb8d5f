//! `tools`, `tool_choice` and `parallel_tool_calls`: what may be called, and the calls of a reply.

use crane_sdk::text::tools::{CallFormat, CallPiece, CallReader, Calls, Tool};
use serde_json::{Value, json};

use super::ApiError;
use super::fields::{Fields, Neutral, wrong_type};

/// The most tools of a request, and the longest name, as in OpenAI's API.
const MOST: usize = 128;
const LONGEST_NAME: usize = 64;

/// What a model may call, and whether it must.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolUse {
    /// The tools as the chat template is given them.
    pub shown: Vec<Value>,
    /// Those that may be called.
    pub tools: Vec<Tool>,
    /// Where the schema of each stands in the request.
    pub params: Vec<String>,
    /// Which calls a reply holds.
    pub calls: Calls,
}

/// What `tool_choice` says.
enum Choice {
    None,
    Auto,
    Required,
    Named(String),
}

/// How an API writes tools: where their schemas and the choice among them stand.
struct Dialect {
    /// The object that holds name and schema, inside the tool; without it, the tool itself.
    nested: Option<&'static str>,
    /// The field of the schema.
    schema: &'static str,
    /// Where the name of a choice stands.
    chosen: &'static str,
}

const CHAT: Dialect =
    Dialect { nested: Some("function"), schema: "parameters", chosen: "tool_choice.function.name" };
const RESPONSES: Dialect =
    Dialect { nested: None, schema: "parameters", chosen: "tool_choice.name" };
const MESSAGES: Dialect =
    Dialect { nested: None, schema: "input_schema", chosen: "tool_choice.name" };

/// What an entry may say of a service that finds and calls tools itself.
const NOT_DONE: &[Neutral] = &[
    Neutral { name: "defer_loading", values: &["false"], reason: "tools are not searched for" },
    Neutral {
        name: "allowed_callers",
        values: &[r#"["direct"]"#],
        reason: "nothing here calls but the model",
    },
    Neutral { name: "input_examples", values: &["[]"], reason: "give them in the description" },
    Neutral { name: "output_schema", values: &["{}"], reason: "say it in the description" },
];

impl ToolUse {
    /// Takes the three fields of OpenAI's chat completions; `None` where nothing is to be called.
    ///
    /// # Errors
    /// What of them is wrong, by its place.
    pub fn take(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        Self::openai(fields, &CHAT)
    }

    /// As [`ToolUse::take`], as OpenAI's responses write them: without an object around the function.
    ///
    /// # Errors
    /// What of them is wrong, by its place.
    pub fn take_flat(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        Self::openai(fields, &RESPONSES)
    }

    /// As [`ToolUse::take`], as Anthropic's messages write them.
    ///
    /// # Errors
    /// What of them is wrong, by its place.
    pub fn take_blocks(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        let list = list(fields)?;
        let mut several = None;
        let choice = match fields.take("tool_choice") {
            None => None,
            Some(value) => {
                let mut fields = fields.within("tool_choice", value)?;
                several = fields.boolean("disable_parallel_tool_use")?.map(|disabled| !disabled);
                let kind = fields.required("type")?;
                let choice = match kind.as_str() {
                    Some("auto") => Choice::Auto,
                    Some("any") => Choice::Required,
                    Some("none") => Choice::None,
                    Some("tool") => Choice::Named(name(&mut fields)?),
                    _ => {
                        let reason = "is one of auto, any, tool, none";
                        return Err(ApiError::value("tool_choice.type", reason));
                    }
                };
                fields.finish(false)?;
                Some(choice)
            }
        };
        let several = several.filter(|_| !list.is_empty());
        Self::choose(fields, list, &MESSAGES, choice, several)
    }

    fn openai(fields: &mut Fields, dialect: &Dialect) -> Result<Option<Self>, ApiError> {
        let list = list(fields)?;
        let choice = fields.take("tool_choice");
        let choice = choice.map(|value| choice_of(fields, value, dialect)).transpose()?;
        let several = fields.boolean("parallel_tool_calls")?;
        Self::choose(fields, list, dialect, choice, several)
    }

    fn choose(
        parent: &Fields,
        list: Vec<Value>,
        dialect: &Dialect,
        choice: Option<Choice>,
        several: Option<bool>,
    ) -> Result<Option<Self>, ApiError> {
        if list.is_empty() {
            // Clients say whether there may be several also where there are none.
            return match choice {
                Some(Choice::Required | Choice::Named(_)) => {
                    Err(ApiError::value("tool_choice", "acts only with tools"))
                }
                _ => Ok(None),
            };
        }
        let calls = Calls { required: true, several: several.unwrap_or(true) };
        let mut all = Self { shown: Vec::new(), tools: Vec::new(), params: Vec::new(), calls };
        for (index, value) in list.into_iter().enumerate() {
            all.offer(parent, &format!("tools[{index}]"), value, dialect)?;
        }
        match choice.unwrap_or(Choice::Auto) {
            Choice::None => return Ok(None),
            Choice::Auto => all.calls.required = false,
            Choice::Required => {}
            Choice::Named(name) => {
                let Some(index) = all.tools.iter().position(|tool| tool.name == name) else {
                    let reason = format_args!("there is no tool {name:?} in tools");
                    return Err(ApiError::value(dialect.chosen, reason));
                };
                all.tools = vec![all.tools.swap_remove(index)];
                all.params = vec![all.params.swap_remove(index)];
                all.calls.several = false;
            }
        }
        Ok(Some(all))
    }

    /// Reads a tool.
    fn offer(
        &mut self,
        parent: &Fields,
        path: &str,
        value: Value,
        dialect: &Dialect,
    ) -> Result<(), ApiError> {
        let mut fields = parent.within(path, value)?;
        // What was read is found again without being told.
        fields.object("cache_control")?;
        fields.boolean("eager_input_streaming")?;
        fields.only_neutral(NOT_DONE)?;
        let mut function = match dialect.nested {
            Some(nested) => {
                is_function(&mut fields)?;
                let inner = fields.required(nested)?;
                fields.finish(false)?;
                parent.within(format_args!("{path}.{nested}"), inner)?
            }
            None if dialect.schema == MESSAGES.schema => {
                let kind = fields.string("type")?;
                if kind.is_some_and(|kind| kind != "custom") {
                    let reason =
                        "tools that a service runs are not here; the type of a tool is custom";
                    return Err(ApiError::unsupported(fields.name("type"), reason));
                }
                fields
            }
            None => {
                is_function(&mut fields)?;
                fields
            }
        };
        let name_param = function.name("name");
        let name = name(&mut function)?;
        let description = function.string("description")?;
        // What can be enforced is, in any case; with strict the rest is refused.
        let strict = function.boolean("strict")?.unwrap_or(false);
        let param = function.name(dialect.schema);
        let parameters = function.object(dialect.schema)?.map(Value::Object);
        function.finish(false)?;
        if self.tools.iter().any(|other| other.name == name) {
            let reason = format_args!("{name:?} is the name of another tool, too");
            return Err(ApiError::value(name_param, reason));
        }
        let mut shown = json!({ "name": name });
        if let Some(description) = description {
            shown["description"] = description.into();
        }
        if let Some(parameters) = &parameters {
            shown["parameters"] = parameters.clone();
        }
        let tool = Tool { name, parameters, strict };
        tool.schema().map_err(|error| {
            let reason = match error {
                crane_sdk::Error::InvalidArgument { reason, .. } => reason,
                error => error.to_string(),
            };
            ApiError::value(&param, reason)
        })?;
        self.shown.push(json!({ "type": "function", "function": shown }));
        self.tools.push(tool);
        self.params.push(param);
        Ok(())
    }
}

/// Takes `tools`.
fn list(fields: &mut Fields) -> Result<Vec<Value>, ApiError> {
    match fields.take("tools") {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MOST => Ok(list),
        Some(Value::Array(list)) => {
            let reason = format_args!("has {}; at most {MOST} are taken", list.len());
            Err(ApiError::value("tools", reason))
        }
        Some(other) => Err(wrong_type("tools", "a list", &other)),
    }
}

fn is_function(fields: &mut Fields) -> Result<(), ApiError> {
    match fields.required("type")?.as_str() {
        Some("function") => Ok(()),
        _ => Err(ApiError::unsupported(fields.name("type"), "the type of a tool is function")),
    }
}

fn name(fields: &mut Fields) -> Result<String, ApiError> {
    let param = fields.name("name");
    let name = match fields.required("name")? {
        Value::String(name) => name,
        other => return Err(wrong_type(param, "a string", &other)),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(fits) {
        let reason = format_args!(
            "is {name:?}; a name has 1 to {LONGEST_NAME} letters, digits, underscores, dots and dashes"
        );
        return Err(ApiError::value(param, reason));
    }
    Ok(name)
}

fn choice_of(parent: &Fields, value: Value, dialect: &Dialect) -> Result<Choice, ApiError> {
    match value {
        Value::String(word) => match word.as_str() {
            "none" => Ok(Choice::None),
            "auto" => Ok(Choice::Auto),
            "required" => Ok(Choice::Required),
            _ => Err(ApiError::value(
                "tool_choice",
                format_args!("is {word:?}; it is none, auto, required, or names a function"),
            )),
        },
        Value::Object(_) => {
            let mut fields = parent.within("tool_choice", value)?;
            is_function(&mut fields)?;
            if let Some(nested) = dialect.nested {
                let inner = fields.required(nested)?;
                fields.finish(false)?;
                fields = parent.within(format_args!("tool_choice.{nested}"), inner)?;
            }
            let name = name(&mut fields)?;
            fields.finish(false)?;
            Ok(Choice::Named(name))
        }
        other => Err(wrong_type("tool_choice", "a string or an object", &other)),
    }
}

/// A call as it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// `call_…`
    pub id: String,
    /// The tool.
    pub name: String,
    /// JSON.
    pub arguments: String,
}

/// What of a reply is certain: text, and parts of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// More text.
    Text(String),
    /// The call with this number begins.
    Call(usize, Call),
    /// More of the arguments of the call with this number.
    Arguments(usize, String),
}

/// Reads the calls out of one reply.
#[derive(Debug)]
pub struct CallTeller {
    reader: CallReader,
    /// What the ids of its calls begin with.
    id: String,
    count: usize,
}

impl CallTeller {
    /// For the reply with this number of the answer `id`.
    pub fn new(format: &CallFormat, id: &str, index: usize) -> Self {
        let number = id.rsplit(['-', '_']).next().unwrap_or_default();
        Self { reader: format.reader(), id: format!("call_{number}_{index}"), count: 0 }
    }

    /// What more text makes certain.
    pub fn push(&mut self, text: &str) -> Vec<Part> {
        let pieces = self.reader.push(text);
        self.parts(pieces)
    }

    /// What the end makes certain.
    pub fn finish(&mut self) -> Vec<Part> {
        let pieces = self.reader.finish();
        self.parts(pieces)
    }

    /// How many calls have begun.
    pub fn count(&self) -> usize {
        self.count
    }

    fn parts(&mut self, pieces: Vec<CallPiece>) -> Vec<Part> {
        let part = |piece| match piece {
            CallPiece::Text(text) => Part::Text(text),
            CallPiece::Name(name) => {
                let (index, id) = (self.count, format!("{}_{}", self.id, self.count));
                self.count += 1;
                Part::Call(index, Call { id, name, arguments: String::new() })
            }
            CallPiece::Arguments(text) => Part::Arguments(self.count.saturating_sub(1), text),
        };
        pieces.into_iter().map(part).collect()
    }
}

/// A whole reply's text and calls.
pub fn gather(parts: impl IntoIterator<Item = Part>) -> (String, Vec<Call>) {
    let (mut said, mut calls): (String, Vec<Call>) = Default::default();
    for part in parts {
        match part {
            Part::Text(text) => said.push_str(&text),
            Part::Call(_, call) => calls.push(call),
            Part::Arguments(index, text) => {
                if let Some(call) = calls.get_mut(index) {
                    call.arguments.push_str(&text);
                }
            }
        }
    }
    (said, calls)
}

impl Call {
    /// As OpenAI's API writes it.
    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "type": "function",
            "function": { "name": self.name, "arguments": self.arguments },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: Value) -> Result<Option<ToolUse>, String> {
        let mut fields = Fields::parse(fields.to_string().as_bytes()).unwrap();
        ToolUse::take(&mut fields)
            .map_err(|error| error.json()["error"]["param"].as_str().unwrap().to_owned())
    }

    fn tool(name: &str) -> Value {
        json!({ "type": "function", "function": { "name": name, "description": "d", "strict": true,
            "parameters": { "type": "object", "properties": { "a": { "type": "integer" } } } } })
    }

    #[test]
    fn choices_say_what_is_called() {
        let tools = json!([tool("a"), tool("b")]);
        for (choice, required, several, count) in [
            (json!(null), false, true, 2),
            (json!("auto"), false, true, 2),
            (json!("required"), true, true, 2),
            (json!({ "type": "function", "function": { "name": "b" } }), true, false, 1),
        ] {
            let read = read(json!({ "tools": tools, "tool_choice": choice })).unwrap().unwrap();
            assert_eq!(read.calls, Calls { required, several }, "{choice}");
            assert_eq!((read.tools.len(), read.shown.len()), (count, 2));
            assert_eq!(read.params.last().unwrap(), "tools[1].function.parameters");
        }
        let one = read(json!({ "tools": tools, "parallel_tool_calls": false })).unwrap().unwrap();
        assert!(!one.calls.several);
        assert_eq!(read(json!({ "tools": tools, "tool_choice": "none" })).unwrap(), None);
        assert_eq!(read(json!({ "tools": [], "tool_choice": "auto" })).unwrap(), None);
    }

    #[test]
    fn other_dialects_mean_the_same() {
        let chat = read(
            json!({ "tools": [tool("a")], "tool_choice": { "type": "function", "function": { "name": "a" } } }),
        );
        let chat = chat.unwrap().unwrap();
        let schema = tool("a")["function"]["parameters"].clone();
        let flat = json!({
            "tools": [{ "type": "function", "name": "a", "description": "d", "strict": true, "parameters": schema }],
            "tool_choice": { "type": "function", "name": "a" },
        });
        let blocks = json!({
            "tools": [{ "name": "a", "description": "d", "strict": true, "input_schema": schema, "cache_control": { "type": "ephemeral" } }],
            "tool_choice": { "type": "tool", "name": "a", "disable_parallel_tool_use": true },
        });
        let parse = |json: Value| Fields::parse(json.to_string().as_bytes()).unwrap();
        let flat = ToolUse::take_flat(&mut parse(flat)).unwrap().unwrap();
        let blocks = ToolUse::take_blocks(&mut parse(blocks)).unwrap().unwrap();
        for (read, param) in [(flat, "tools[0].parameters"), (blocks, "tools[0].input_schema")] {
            assert_eq!(read.params, [param]);
            assert_eq!(
                (read.shown, read.tools, read.calls),
                (chat.shown.clone(), chat.tools.clone(), chat.calls)
            );
        }
        let mut server_tool =
            parse(json!({ "tools": [{ "type": "web_search_20250305", "name": "a" }] }));
        assert!(ToolUse::take_blocks(&mut server_tool).is_err());
    }

    #[test]
    fn mistakes_are_named_by_their_place() {
        let function = |function: Value| json!({ "tools": [tool("a"), { "type": "function", "function": function }] });
        for (fields, param) in [
            (json!({ "tools": {} }), "tools"),
            (json!({ "tools": [1] }), "tools[0]"),
            (json!({ "tools": [{ "type": "web_search" }] }), "tools[0].type"),
            (json!({ "tools": [{ "type": "function" }] }), "tools[0].function"),
            (function(json!({})), "tools[1].function.name"),
            (function(json!({ "name": "a b" })), "tools[1].function.name"),
            (function(json!({ "name": "a" })), "tools[1].function.name"),
            (function(json!({ "name": "b", "x": 1 })), "tools[1].function.x"),
            (function(json!({ "name": "b", "parameters": 1 })), "tools[1].function.parameters"),
            (
                function(json!({ "name": "b", "parameters": { "type": "string" } })),
                "tools[1].function.parameters",
            ),
            (json!({ "tool_choice": "required" }), "tool_choice"),
            (json!({ "tools": [tool("a")], "tool_choice": "maybe" }), "tool_choice"),
            (
                json!({ "tools": [tool("a")], "tool_choice": { "type": "function", "function": { "name": "b" } } }),
                "tool_choice.function.name",
            ),
        ] {
            assert_eq!(read(fields.clone()).unwrap_err(), param, "{fields}");
        }
    }
}
