//! The tokens of a prompt, and how many of the first ones a full context must not lose.

use crane_sdk::generate::ContextPolicy;
use crane_sdk::text::{ChatTemplate, Message, RenderOptions, Tokenizer};

use super::args::FullContext;
use super::exit::{Failure, Result};

/// Stands for what the user says where the text before it is wanted.
const PROBE: &str = "crane-probe";

/// A prompt as the model reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    /// Its tokens.
    pub ids: Vec<u32>,
    /// How many of them are the system message with what stands before it (such as BOS).
    pub head: usize,
}

/// How a conversation becomes a prompt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PromptOptions {
    /// Whether the reply goes on with the last message.
    pub goes_on: bool,
    /// Whether control tokens that a message spells out count as such.
    pub allow_special_tokens: bool,
}

impl Prompt {
    /// A conversation that waits for its next reply, or that ends inside its last message if the reply `goes_on` with it.
    ///
    /// # Errors
    /// If the template refuses the messages.
    pub(super) fn chat(
        tokenizer: &Tokenizer,
        template: &ChatTemplate,
        messages: &[Message],
        options: PromptOptions,
    ) -> Result<(Self, String)> {
        let rendered = RenderOptions {
            add_generation_prompt: !options.goes_on,
            continue_final_message: options.goes_on,
            allow_special_tokens: options.allow_special_tokens,
            ..RenderOptions::default()
        };
        let chat = template.render_guarded(messages, &rendered, tokenizer)?;
        let (ids, text) = (tokenizer.encode_rendered(&chat, None)?, chat.text);
        let head = head(tokenizer, template, messages).map_or(0, |head| common(&head, &ids));
        Ok((Prompt { ids, head }, text))
    }

    /// A text that is to be completed, behind the token that begins texts (once).
    ///
    /// # Errors
    /// If the text cannot be expressed in the vocabulary.
    pub(super) fn text(tokenizer: &Tokenizer, text: &str) -> Result<Self> {
        let begins = |ids: &[u32]| ids.first().is_some_and(|&id| Some(id) == tokenizer.bos_id());
        let mut ids = tokenizer.encode(text, false)?;
        if !begins(&ids) {
            ids = tokenizer.encode(text, true)?;
        }
        let head = usize::from(begins(&ids));
        Ok(Prompt { ids, head })
    }

    /// The policy that keeps this prompt's head in a context of so many tokens.
    ///
    /// # Errors
    /// [`Failure::Usage`] if the head leaves too little room for the rest.
    pub(super) fn policy(&self, wish: FullContext, context: usize) -> Result<ContextPolicy> {
        let keep = self.head;
        if wish != FullContext::Error && keep > context / 2 {
            return Err(Failure::Usage(format!(
                "--context-policy keeps the system prompt, and its {keep} tokens are more than half \
                 of the context of {context}; shorten it or raise --ctx"
            )));
        }
        Ok(match wish {
            FullContext::Error => ContextPolicy::Error,
            FullContext::Shift => ContextPolicy::Shift { keep },
            FullContext::TruncateOldest => ContextPolicy::TruncateOldest { keep },
        })
    }
}

/// The tokens that every conversation with this system message begins with.
fn head(tokenizer: &Tokenizer, template: &ChatTemplate, messages: &[Message]) -> Option<Vec<u32>> {
    let is_system = |message: &&Message| matches!(&*message.role, "system" | "developer");
    let system: Vec<Message> = messages.iter().take_while(is_system).cloned().collect();
    let options = RenderOptions { add_generation_prompt: false, ..RenderOptions::default() };
    let alone = system.last().and_then(|last| {
        let text = template.render(&system, &options).ok()?;
        text.contains(last.text().trim()).then_some(text)
    });
    // Some templates put the system message into the user's first one, write one of their own where
    // none is given, or refuse a conversation in which nobody asks anything.
    let text = alone.or_else(|| {
        let asked: Vec<Message> = system.into_iter().chain([Message::user(PROBE)]).collect();
        let text = template.render(&asked, &options).ok()?;
        text.split_once(PROBE).map(|(before, _)| before.to_owned())
    })?;
    tokenizer.encode(&text, false).ok()
}

/// How many tokens two texts have in common at their beginning.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::FolderSource;
    use crane_sdk::text::SpecialTokens;

    fn tokenizer() -> Tokenizer {
        let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/../crane-sdk/tests/fixtures/");
        let source = FolderSource::open_path(format!("{fixtures}qwen2_tied")).unwrap();
        Tokenizer::from_source(&source).unwrap()
    }

    fn head_text(template: &str, messages: &[Message]) -> String {
        let tokenizer = tokenizer();
        let template = ChatTemplate::new(template, SpecialTokens::new()).unwrap();
        let (prompt, _) =
            Prompt::chat(&tokenizer, &template, messages, PromptOptions::default()).unwrap();
        tokenizer.decode(&prompt.ids[..prompt.head], false).unwrap()
    }

    const CHATML: &str = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
                          {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    #[test]
    fn the_head_is_the_system_message() {
        let chat = [Message::system("Be brief."), Message::user("Hi"), Message::assistant("Yes")];
        let system = "<|im_start|>system\nBe brief.<|im_end|>\n";
        assert_eq!(head_text(CHATML, &chat), system);
        assert_eq!(head_text(CHATML, &chat[1..]), "<|im_start|>user\n");
        let demanding = format!(
            "{{% if messages[-1].role == 'system' %}}{{{{ raise_exception('ask') }}}}{{% endif %}}{CHATML}"
        );
        assert_eq!(head_text(&demanding, &chat), format!("{system}<|im_start|>user\n"));
        let folded = "[INST] {% if messages[0].role == 'system' %}<<{{ messages[0].content }}>> \
                      {% endif %}{% for m in messages if m.role == 'user' %}{{ m.content }} [/INST]\
                      {% endfor %}";
        assert_eq!(head_text(folded, &chat).trim_end(), "[INST] <<Be brief.>>");
    }

    #[test]
    fn a_head_that_fills_the_context_is_refused() {
        let prompt = Prompt { ids: vec![1; 20], head: 9 };
        assert_eq!(prompt.policy(FullContext::Error, 16).unwrap(), ContextPolicy::Error);
        let kept = prompt.policy(FullContext::Shift, 18).unwrap();
        assert_eq!(kept, ContextPolicy::Shift { keep: 9 });
        let refused = prompt.policy(FullContext::TruncateOldest, 16).unwrap_err();
        assert!(refused.message().unwrap().contains("9 tokens"), "{refused:?}");
    }
}
