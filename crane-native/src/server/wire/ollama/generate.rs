//! `/api/generate`: the request.

use crane_sdk::generate::GenerationConfig;
use crane_sdk::text::Message;
use serde_json::Value;

use super::Common;
use super::chat::refuse_images;
use crate::server::wire::completion::ids;
use crate::server::wire::fields::{Neutral, wrong_type};
use crate::server::wire::{ApiError, Conversation, Fields};

/// Fields of Ollama's API that ask for what is not done here.
pub(in crate::server::wire) const NOT_DONE: &[Neutral] = &[
    Neutral {
        name: "suffix",
        values: &["\"\""],
        reason: "text is not filled in; only gone on with",
    },
    Neutral {
        name: "template",
        values: &["\"\""],
        reason: "the model's own chat template is what it was trained with; raw: true takes a prompt that is written out",
    },
    Neutral {
        name: "truncate",
        values: &["false"],
        reason: "nothing of a prompt is left out: shorten it, or start the server with a larger --ctx",
    },
    Neutral {
        name: "shift",
        values: &["false"],
        reason: "a reply ends where the context does; start the server with a larger --ctx",
    },
    Neutral {
        name: "_debug_render_only",
        values: &["false"],
        reason: "/apply-template tells the prompt of a conversation",
    },
    Neutral { name: "width", values: &[], reason: "no pictures are made" },
    Neutral { name: "height", values: &[], reason: "no pictures are made" },
    Neutral { name: "steps", values: &[], reason: "no pictures are made" },
];

/// What is asked for.
#[derive(Debug)]
pub struct OllamaGenerate {
    /// What the user says, or the text itself; nothing where the model is only to be loaded, or let go.
    pub prompt: String,
    /// What a system says.
    pub system: Option<String>,
    /// Whether the prompt is taken as it stands.
    pub raw: bool,
    /// Tokens of what was said before.
    pub context: Vec<u32>,
    /// The shared options.
    pub common: Common,
}

impl OllamaGenerate {
    /// Reads a request; the names of unknown fields come with it if `lenient`.
    ///
    /// # Errors
    /// The field that cannot act.
    pub fn read(
        mut fields: Fields,
        defaults: &GenerationConfig,
        lenient: bool,
    ) -> Result<(Self, Vec<String>), ApiError> {
        let prompt = fields.string("prompt")?.unwrap_or_default();
        let system = fields.string("system")?.filter(|text| !text.is_empty());
        let raw = fields.boolean("raw")?.unwrap_or(false);
        let context = match fields.take("context") {
            None => Vec::new(),
            Some(Value::Array(list)) => ids("context", &list)?,
            Some(other) => return Err(wrong_type("context", "a list of token ids", &other)),
        };
        refuse_images(&mut fields)?;
        let mut common = Common::take(&mut fields, defaults, lenient)?;
        if raw {
            let given = [
                ("system", system.is_some()),
                ("context", !context.is_empty()),
                ("think", common.think.is_some()),
            ];
            if let Some((name, _)) = given.iter().find(|(_, is_given)| *is_given) {
                let reason = "does not go with raw: true, which takes the prompt as it stands";
                return Err(ApiError::value(name, reason));
            }
        }
        fields.only_neutral(NOT_DONE)?;
        let mut unknown = std::mem::take(&mut common.unknown);
        unknown.extend(fields.finish(lenient)?);
        Ok((Self { prompt, system, raw, context, common }, unknown))
    }

    /// What is said to the model, where it has a chat template.
    pub fn conversation(&self) -> Conversation {
        let system = self.system.as_ref().map(Message::system);
        let messages = system.into_iter().chain([Message::user(self.prompt.as_str())]).collect();
        Conversation { messages, param: "prompt", ..Conversation::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(body: Value) -> Result<OllamaGenerate, ApiError> {
        let fields = Fields::parse(body.to_string().as_bytes())?;
        OllamaGenerate::read(fields, &GenerationConfig::default(), false).map(|(read, _)| read)
    }

    #[test]
    fn a_text_is_said_by_the_user_after_the_system() {
        let body = json!({ "prompt": "Hi", "system": "Be brief.", "suffix": "", "template": "",
            "context": [1, 2], "images": null, "stream": false });
        let request = read(body).unwrap();
        let said = request.conversation().messages;
        assert_eq!((said[0].text(), said[1].text()), ("Be brief.".to_owned(), "Hi".to_owned()));
        assert_eq!((request.context, request.common.asked.stream), (vec![1, 2], false));
        assert_eq!(read(json!({ "system": "" })).unwrap().conversation().messages.len(), 1);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_its_name() {
        for (body, name) in [
            (json!({ "suffix": "end" }), "suffix"),
            (json!({ "template": "{{ .Prompt }}" }), "template"),
            (json!({ "images": ["aGk="] }), "images"),
            (json!({ "images": "aGk=" }), "images"),
            (json!({ "raw": true, "system": "x" }), "system"),
            (json!({ "raw": true, "context": [1] }), "context"),
            (json!({ "raw": true, "think": true }), "think"),
            (json!({ "context": ["a"] }), "context[0]"),
            (json!({ "prompt": 3 }), "prompt"),
            (json!({ "width": 64 }), "width"),
        ] {
            let error = read(body.clone()).unwrap_err().json();
            assert_eq!(error["error"]["param"], name, "{body}");
        }
    }
}
