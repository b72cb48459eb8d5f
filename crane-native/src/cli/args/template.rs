//! Flags that say how a conversation is written as a prompt.

use std::path::PathBuf;

use clap::Args;

use crate::plain_text;

/// Another chat template.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Model")]
pub(in crate::cli) struct TemplateArgs {
    /// Write conversations by this Jinja template, in the place of the model's own
    #[arg(
        long,
        env = "CRANE_CHAT_TEMPLATE",
        value_name = "TEMPLATE",
        conflicts_with = "chat_template_file"
    )]
    pub chat_template: Option<String>,
    /// The same, from a file
    #[arg(long, env = "CRANE_CHAT_TEMPLATE_FILE", value_name = "FILE")]
    pub chat_template_file: Option<PathBuf>,
}

impl TemplateArgs {
    /// The template's text and the option that gives it.
    ///
    /// # Errors
    /// The option, if its file cannot be read, or if what it gives is no template.
    pub(in crate::cli) fn text(&self) -> Result<Option<(&'static str, String)>, String> {
        let (option, text) = match (&self.chat_template, &self.chat_template_file) {
            (None, None) => return Ok(None),
            (Some(text), _) => ("--chat-template", text.clone()),
            (None, Some(file)) => {
                let text = plain_text::read(file);
                let text = text.map_err(|reason| format!("--chat-template-file: {reason}"))?;
                ("--chat-template-file", text)
            }
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
        if !text.contains("{{") && !text.contains("{%") {
            return Err(match option {
                "--chat-template" => format!(
                    "--chat-template: {text:?} is no Jinja template; --chat-template-file reads one from a file"
                ),
                option => format!("{option}: the file holds no Jinja template"),
            });
        }
        Ok(Some((option, text)))
    }
}
