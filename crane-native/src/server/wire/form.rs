//! `response_format` and `grammar`: the form that replies must have.

use crane_sdk::grammar::Grammar;
use serde_json::Value;

use super::ApiError;
use super::fields::{Fields, wrong_type};

/// A form, and the field that asks for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Form {
    /// What replies look like.
    pub grammar: Grammar,
    /// The field's name, for errors.
    pub param: &'static str,
}

/// What a format can be.
const FORMATS: &str = "is one of text, json_object, json_schema";

impl Form {
    /// Takes `text`, which holds the format in OpenAI's responses.
    ///
    /// # Errors
    /// What of it is wrong.
    pub fn take_text(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        let Some(text) = fields.take("text") else { return Ok(None) };
        let mut text = fields.within("text", text)?;
        let format = text.take("format");
        text.wish("verbosity", "ask for it in the prompt")?;
        text.finish(false)?;
        let Some(format) = format else { return Ok(None) };
        let mut fields = fields.within("text.format", format)?;
        let form = match fields.required("type")?.as_str() {
            Some("text") => None,
            Some("json_object") => {
                Some(Form { grammar: Grammar::JsonObject, param: "text.format" })
            }
            Some("json_schema") => Some(json_schema(&mut fields, "text.format.schema")?),
            _ => return Err(ApiError::value("text.format.type", FORMATS)),
        };
        fields.finish(false)?;
        Ok(form)
    }

    /// Takes `output_config`, which holds the format in Anthropic's messages.
    ///
    /// # Errors
    /// What of it is wrong.
    pub fn take_output(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        let Some(output) = fields.take("output_config") else { return Ok(None) };
        let mut output = fields.within("output_config", output)?;
        let format = output.take("format");
        output.wish("effort", "give what the model's template reads in chat_template_kwargs")?;
        output.finish(false)?;
        let Some(format) = format else { return Ok(None) };
        let mut fields = fields.within("output_config.format", format)?;
        let form = match fields.required("type")?.as_str() {
            Some("json_schema") => json_schema(&mut fields, "output_config.format.schema")?,
            _ => return Err(ApiError::value("output_config.format.type", "is json_schema")),
        };
        fields.finish(false)?;
        Ok(Some(form))
    }

    /// Takes `grammar`.
    ///
    /// # Errors
    /// What of it is wrong.
    pub fn take_grammar(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        fields.take("grammar").map(|value| grammar(fields, value)).transpose()
    }

    /// Takes `response_format`.
    ///
    /// # Errors
    /// What of it is wrong.
    pub fn take_format(fields: &mut Fields) -> Result<Option<Self>, ApiError> {
        let format = fields.take("response_format");
        Ok(format.map(|value| response_format(fields, value)).transpose()?.flatten())
    }

    /// The one of two that was given.
    ///
    /// # Errors
    /// That both were.
    pub fn either(format: Option<Self>, grammar: Option<Self>) -> Result<Option<Self>, ApiError> {
        match (format, grammar) {
            (Some(format), Some(grammar)) => {
                let reason = format_args!("does not go with {}; give one", format.param);
                Err(ApiError::value(grammar.param, reason))
            }
            (one, other) => Ok(one.or(other)),
        }
    }
}

/// `{"type": "text"}`, `{"type": "json_object"}`, or `{"type": "json_schema", "json_schema": {"schema"}}`.
fn response_format(parent: &Fields, value: Value) -> Result<Option<Form>, ApiError> {
    let mut fields = parent.within("response_format", value)?;
    let form = match fields.required("type")?.as_str() {
        Some("text") => None,
        Some("json_object") => {
            Some(Form { grammar: Grammar::JsonObject, param: "response_format" })
        }
        Some("json_schema") => {
            let inner = fields.required("json_schema")?;
            let mut inner = fields.within("response_format.json_schema", inner)?;
            let form = json_schema(&mut inner, "response_format.json_schema.schema")?;
            inner.finish(false)?;
            Some(form)
        }
        _ => return Err(ApiError::value("response_format.type", FORMATS)),
    };
    fields.finish(false)?;
    Ok(form)
}

fn json_schema(fields: &mut Fields, param: &'static str) -> Result<Form, ApiError> {
    let schema = fields.required("schema")?;
    if !schema.is_object() {
        return Err(wrong_type(param, "an object", &schema));
    }
    // The name and the description are for the model of a service that tells it; here the prompt does. A schema
    // is kept whether or not it is strict.
    fields.string("name")?;
    fields.string("description")?;
    fields.boolean("strict")?;
    Ok(Form { grammar: Grammar::JsonSchema(schema), param })
}

/// A Lark grammar as text, or `{"type": "lark" | "regex" | "json", "value"}`.
fn grammar(parent: &Fields, value: Value) -> Result<Form, ApiError> {
    let grammar = match value {
        Value::String(text) => Grammar::Lark(text),
        Value::Object(_) => {
            let mut fields = parent.within("grammar", value)?;
            let kind = fields.required("type")?;
            let value = fields.required("value")?;
            fields.finish(false)?;
            match (kind.as_str(), value) {
                (Some("lark"), Value::String(text)) => Grammar::Lark(text),
                (Some("regex"), Value::String(text)) => Grammar::Regex(text),
                (Some("json"), value @ Value::Object(_)) => Grammar::JsonSchema(value),
                (Some("json"), value) => {
                    return Err(wrong_type("grammar.value", "an object", &value));
                }
                (Some("lark" | "regex"), value) => {
                    return Err(wrong_type("grammar.value", "a string", &value));
                }
                _ => return Err(ApiError::value("grammar.type", "is one of lark, regex, json")),
            }
        }
        other => return Err(wrong_type("grammar", "a Lark grammar or an object", &other)),
    };
    Ok(Form { grammar, param: "grammar" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(fields: Value) -> Result<Option<Grammar>, String> {
        let mut fields = Fields::of("", fields).unwrap();
        let grammar = Form::take_grammar(&mut fields);
        grammar
            .and_then(|grammar| Form::either(Form::take_format(&mut fields)?, grammar))
            .map(|form| form.map(|form| form.grammar))
            .map_err(|error| error.json()["error"]["param"].as_str().unwrap().to_owned())
    }

    #[test]
    fn forms_are_read() {
        let schema = json!({ "type": "integer" });
        for (fields, grammar) in [
            (json!({}), None),
            (json!({ "response_format": { "type": "text" } }), None),
            (json!({ "response_format": { "type": "json_object" } }), Some(Grammar::JsonObject)),
            (
                json!({ "response_format": { "type": "json_schema", "json_schema": {
                    "name": "n", "description": "d", "strict": true, "schema": schema } } }),
                Some(Grammar::JsonSchema(schema.clone())),
            ),
            (json!({ "grammar": "start: /a/" }), Some(Grammar::Lark("start: /a/".to_owned()))),
            (
                json!({ "grammar": { "type": "regex", "value": "a" }, "response_format": { "type": "text" } }),
                Some(Grammar::Regex("a".to_owned())),
            ),
            (
                json!({ "grammar": { "type": "json", "value": schema } }),
                Some(Grammar::JsonSchema(schema.clone())),
            ),
        ] {
            assert_eq!(form(fields.clone()).unwrap(), grammar, "{fields}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (fields, param) in [
            (json!({ "response_format": "json" }), "response_format"),
            (json!({ "response_format": {} }), "response_format.type"),
            (json!({ "response_format": { "type": "xml" } }), "response_format.type"),
            (json!({ "response_format": { "type": "text", "x": 1 } }), "response_format.x"),
            (
                json!({ "response_format": { "type": "json_schema" } }),
                "response_format.json_schema",
            ),
            (
                json!({ "response_format": { "type": "json_schema", "json_schema": {} } }),
                "response_format.json_schema.schema",
            ),
            (json!({ "grammar": 3 }), "grammar"),
            (json!({ "grammar": { "type": "regex" } }), "grammar.value"),
            (json!({ "grammar": { "type": "gbnf", "value": "" } }), "grammar.type"),
            (json!({ "grammar": { "type": "json", "value": "" } }), "grammar.value"),
            (
                json!({ "grammar": "start: /a/", "response_format": { "type": "json_object" } }),
                "grammar",
            ),
        ] {
            assert_eq!(form(fields.clone()).unwrap_err(), param, "{fields}");
        }
    }
}
