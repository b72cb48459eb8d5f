//! The calls that a reply may hold, and what of their tools' schemas is left to the model.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crane_sdk::generate::CancelToken;
use crane_sdk::grammar::{Constraint, Enforceable, Grammar};
use crane_sdk::text::tools::{CallFormat, Tool};

use super::app::App;
use super::lengths::go_on;
use super::models::TextModel;
use super::wire::{ApiError, ToolUse};

/// How long those among many tools are looked for whose schemas cannot be compiled.
const SEARCH: Duration = Duration::from_millis(500);
/// Schemas that are remembered.
const MOST: usize = 1024;
/// Keywords that one warning names.
const MOST_TOLD: usize = 8;

/// Schemas of which it was said that a grammar does not hold all of them.
#[derive(Debug, Default)]
pub struct PartlyHeld(Mutex<BTreeSet<u64>>);

impl PartlyHeld {
    /// Whether a schema is met for the first time.
    fn is_new(&self, tool: &Tool) -> bool {
        let mut hasher = DefaultHasher::new();
        (&tool.name, tool.parameters.as_ref().map(ToString::to_string)).hash(&mut hasher);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MOST {
            seen.clear();
        }
        seen.insert(hasher.finish())
    }
}

impl TextModel {
    /// What makes the calls of a reply valid ones. It may take a while.
    ///
    /// # Errors
    /// 400 if the parameters of a strict tool cannot be held.
    pub fn calls(
        &self,
        app: &App,
        format: &CallFormat,
        tools: &ToolUse,
        cancel: &CancelToken,
    ) -> Result<Constraint, ApiError> {
        go_on(cancel)?;
        let compiler = self.compiler()?;
        let mut held = Vec::with_capacity(tools.tools.len());
        for (tool, param) in tools.tools.iter().zip(&tools.params) {
            let schema = tool.schema().map_err(|error| refused(param, error))?;
            held.push(match tool.strict {
                true => {
                    let schema =
                        Enforceable::whole(&schema).map_err(|error| refused(param, error))?;
                    Enforceable { schema, left_out: Vec::new() }
                }
                false => Enforceable::of(&schema),
            });
        }
        let compile = |held: &[Enforceable]| {
            let all = tools.tools.iter().zip(held);
            let all = all
                .map(|(tool, held)| Tool { parameters: Some(held.schema.clone()), ..tool.clone() });
            let all: Vec<Tool> = all.collect();
            compiler.compile_until(&format.grammar(&self.tokenizer, &all, tools.calls)?, cancel)
        };
        let constraint = match compile(&held) {
            Ok(constraint) => constraint,
            Err(error) => {
                self.narrow(&mut held, tools, cancel)?;
                go_on(cancel)?;
                compile(&held).map_err(|_| refused("tools", error))?
            }
        };
        let all = tools.tools.iter().zip(&tools.params).zip(&held);
        for ((tool, param), held) in all {
            if !held.left_out.is_empty() && self.partly_held.is_new(tool) {
                app.warn(&warning(param, tool, held));
            }
        }
        Ok(constraint)
    }

    /// Takes away of each tool's schema what the compiler refuses. Each is within the limits, but there may be many.
    fn narrow(
        &self,
        held: &mut [Enforceable],
        tools: &ToolUse,
        cancel: &CancelToken,
    ) -> Result<(), ApiError> {
        let compiler = self.compiler()?;
        let begun = Instant::now();
        for ((tool, param), held) in tools.tools.iter().zip(&tools.params).zip(held) {
            let mut level = 0;
            loop {
                go_on(cancel)?;
                if begun.elapsed() > SEARCH {
                    return Ok(());
                }
                let alone = Grammar::JsonSchema(held.schema.clone());
                let Err(error) = compiler.compile_until(&alone, cancel) else { break };
                if tool.strict {
                    return Err(refused(param, error));
                }
                let crane_sdk::Error::InvalidArgument { reason, .. } = error else {
                    return Err(error.into());
                };
                match held.narrowed(level, &reason) {
                    Some(less) => *held = less,
                    None => break,
                }
                level += 1;
            }
        }
        Ok(())
    }
}

fn refused(param: &str, error: crane_sdk::Error) -> ApiError {
    match error {
        crane_sdk::Error::InvalidArgument { reason, .. } => ApiError::value(param, reason),
        error => ApiError::value(param, error),
    }
}

fn warning(param: &str, tool: &Tool, held: &Enforceable) -> String {
    let (told, rest) = held.left_out.split_at(held.left_out.len().min(MOST_TOLD));
    let told: Vec<String> = told.iter().map(ToString::to_string).collect();
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    format!(
        "{param} of the tool {:?}: left to the model, as it cannot be enforced: {}{more}",
        tool.name,
        told.join(", ")
    )
}
