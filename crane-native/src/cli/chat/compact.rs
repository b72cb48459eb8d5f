//! `/compact`: a summary takes the place of the oldest turns, so that a conversation fits into its context again.

use std::ops::Range;

use crane_sdk::generate::{FinishReason, Output};
use crane_sdk::text::Message;

use super::Chat;
use crate::cli::args::FullContext;
use crate::cli::exit::{Failure, Result};
use crate::cli::prompt::Prompt;
use crate::cli::reply;

/// What stands in the conversation as the question to the summary.
const ASKED: &str = "Summarise our conversation so far.";
/// What the model is told: small models summarise what they are shown better than what they took part in.
const BEFORE: &str = "Here is a conversation:\n\n";
const BEHIND: &str =
    "Summarise this conversation in a few sentences. Keep every name, number and decision.";
/// A summary takes at most this part of the context,
const PART: usize = 4;
/// at most so many tokens, and at most a third of what is summarised.
const LONGEST: usize = 512;

/// Where the turns of a conversation begin and end, behind what a system says: each begins with what the user says.
fn turns(messages: &[Message]) -> Vec<Range<usize>> {
    let begins = messages.iter().take_while(|message| is_system(message)).count();
    let mut starts: Vec<usize> =
        (begins..messages.len()).filter(|&index| messages[index].role == "user").collect();
    // A conversation that was taken up may begin with what the assistant says.
    if begins < messages.len() && starts.first() != Some(&begins) {
        starts.insert(0, begins);
    }
    let ends = starts.iter().skip(1).copied().chain([messages.len()]);
    starts.iter().copied().zip(ends).map(|(start, end)| start..end).collect()
}

fn is_system(message: &Message) -> bool {
    matches!(&*message.role, "system" | "developer")
}

/// A text up to the end of its last sentence, if there is one in its second half.
fn whole_sentences(text: &str) -> &str {
    let end = text.rfind(['.', '!', '?', '。', '！', '？']);
    let end = end.and_then(|place| Some(place + text.get(place..)?.chars().next()?.len_utf8()));
    end.filter(|end| end * 2 > text.len()).and_then(|end| text.get(..end)).unwrap_or(text)
}

impl Chat {
    /// Lets the model summarise the oldest turns, as many as there is room for, and puts the summary in their place. The last
    /// turn stays as it was said if there are others. If anything fails, the conversation is as it was.
    ///
    /// # Errors
    /// [`Failure::Usage`] where there is nothing that a summary would make shorter; what the session refuses.
    pub(super) fn compact(&mut self) -> Result {
        let context = self.engine.context();
        let room = (context / PART).clamp(1, LONGEST);
        let turns = turns(&self.messages);
        let (Some(first), Some(last)) = (turns.first(), turns.last()) else {
            return Err(Failure::Usage("nothing was said that could be summarised".to_owned()));
        };
        let begin = first.start;
        let newest = if turns.len() > 1 { last.start } else { last.end };
        let ends = turns.iter().rev().map(|turn| turn.end).filter(|end| *end <= newest);
        // The longest beginning that leaves room for its summary.
        let mut found = None;
        for end in ends {
            let prompt = self.request(begin..end)?;
            if prompt.ids.len() + room <= context {
                found = Some((end, prompt));
                break;
            }
        }
        let Some((end, prompt)) = found else {
            return Err(Failure::Usage(format!(
                "the first turn alone leaves no room for a summary of it in a context of {context} tokens; /clear forgets \
                 the conversation{}",
                self.larger().map_or_else(String::new, |larger| format!(
                    ", or /save it and start with {larger}"
                ))
            )));
        };
        let before = self.used(&self.messages)?;
        // A model that rambles is to be shorter than what it summarises, too.
        let most = room.min(prompt.ids.len() / 3).max(1);
        let output = self.summarise(&prompt, most)?;
        let summary = match output.finish_reason {
            FinishReason::Length => whole_sentences(output.text.trim()),
            _ => output.text.trim(),
        };
        let mut shorter = self.messages.clone();
        let instead = [Message::user(ASKED), Message::assistant(summary)];
        shorter.splice(begin..end, instead);
        let after = self.used(&shorter)?;
        let fault = match () {
            () if output.finish_reason == FinishReason::Cancelled => Some("it was interrupted"),
            () if summary.is_empty() => Some("the model wrote no summary"),
            () if after >= before => Some("the summary is no shorter than what was said"),
            () => None,
        };
        if let Some(fault) = fault {
            return Err(Failure::Other(format!("{fault}; the conversation is as it was")));
        }
        let count = end - begin;
        self.messages = shorter;
        self.console.tell(format_args!(
            "a summary stands for the first {count} messages: the conversation has {after} tokens instead of {before}, of \
             {context} that fit"
        ));
        Ok(())
    }

    /// The prompt of a request for the summary of these messages.
    fn request(&self, range: Range<usize>) -> Result<Prompt> {
        let mut text = BEFORE.to_owned();
        for message in self.messages.iter().skip(range.start).take(range.len()) {
            let speaker = match &*message.role {
                "user" => "User",
                "assistant" => "Assistant",
                _ => "Tool",
            };
            text.push_str(&format!("{speaker}: {}\n\n", message.text().trim()));
        }
        text.push_str(BEHIND);
        self.text.render(self.console, &self.template, &[Message::user(text)], self.options())
    }

    /// Tokens of a conversation, with the beginning of the next reply.
    fn used(&self, messages: &[Message]) -> Result<usize> {
        Ok(self.text.render(self.console, &self.template, messages, self.options())?.ids.len())
    }

    fn summarise(&mut self, prompt: &Prompt, room: usize) -> Result<Output> {
        let mut config = reply::config(self.console, &self.text, &self.settings, &self.generation)?;
        // The form and the stop texts are those of replies.
        config.constraint = None;
        config.stop.clone_from(&self.text.defaults.stop);
        (config.ignore_eos, config.max_new_tokens) = (false, Some(room));
        let (console, shown) = (self.console, self.interactive);
        let policy = FullContext::Error;
        Ok(self.engine.reply(console, prompt, config, policy, shown, &mut |_| {})?.output)
    }

    /// Refuses a prompt that does not fit, and says what the user can do.
    ///
    /// # Errors
    /// [`Failure::Usage`].
    pub(super) fn check_room(&self, prompt: &Prompt) -> Result {
        let (tokens, context) = (prompt.ids.len(), self.engine.context());
        if self.generation.context_policy != FullContext::Error || tokens <= context {
            return Ok(());
        }
        let larger = self.larger();
        let system = self.messages.iter().take_while(|message| is_system(message));
        let alone: Vec<Message> = system.chain(self.messages.last()).cloned().collect();
        let alone = self.used(&alone)?;
        if alone > context {
            let or = larger.map_or_else(String::new, |larger| format!(", or start with {larger}"));
            return Err(Failure::Usage(format!(
                "the message alone has {alone} tokens, and the context holds {context}; shorten it{or}"
            )));
        }
        let or =
            larger.unwrap_or_else(|| "--context-policy shift, which drops the oldest".to_owned());
        Err(Failure::Usage(format!(
            "with this message the conversation has {tokens} tokens, and the context holds {context}; the message was taken \
             back, and nothing else is lost: /compact puts a summary in the place of the oldest turns, /clear forgets the \
             conversation, or /save it and start with {or}"
        )))
    }

    /// Says what the user can do where a reply ended because the context is full.
    pub(super) fn offer(&self, output: &Output) {
        let used = output.stats.prompt_tokens + output.stats.generated_tokens;
        let is_full = used >= self.engine.context() && output.finish_reason == FinishReason::Length;
        if is_full && self.generation.context_policy != FullContext::Shift {
            self.console.note(
                "the context is full: /compact puts a summary in the place of the oldest turns, /clear forgets the conversation",
            );
        }
    }

    /// The option that makes room for more, if the model has some.
    fn larger(&self) -> Option<String> {
        let (context, most) = (self.engine.context(), self.engine.most());
        (most > context).then(|| format!("a larger --ctx (up to {most})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_begin_with_what_the_user_says() {
        let of = |roles: &str| {
            let message = |role| match role {
                's' => Message::system("x"),
                'u' => Message::user("x"),
                't' => Message::tool("x"),
                _ => Message::assistant("x"),
            };
            turns(&roles.chars().map(message).collect::<Vec<_>>())
        };
        assert_eq!(of("suaua"), [1..3, 3..5]);
        assert_eq!(of("uatauau"), [0..4, 4..6, 6..7]);
        assert_eq!(of("sau"), [1..2, 2..3]);
        assert!(of("s").is_empty());
        assert!(of("").is_empty());
    }

    #[test]
    fn a_summary_that_was_cut_ends_with_a_sentence() {
        assert_eq!(whole_sentences("One. Two is here. And thr"), "One. Two is here.");
        assert_eq!(whole_sentences("一。二。三"), "一。二。");
        assert_eq!(
            whole_sentences("No. end of what goes on and on"),
            "No. end of what goes on and on"
        );
        assert_eq!(whole_sentences(""), "");
    }
}
