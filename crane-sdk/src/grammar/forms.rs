//! The forms that one model's replies must have.

use super::{Compiler, Constraint, Grammar};
use crate::Result;
use crate::text::Tokenizer;

/// Compiles grammars for one vocabulary when they are asked for, and keeps the last: most programs ask for one form again
/// and again.
///
/// ```
/// use crane_sdk::grammar::{Forms, Grammar};
/// # let json = serde_json::json!({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
/// #     "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false}});
/// # let tokenizer = crane_sdk::text::Tokenizer::from_json(json.to_string().as_bytes(), None)?;
///
/// let mut forms = Forms::default();
/// let first = forms.compiled(&Grammar::Regex("a+b".to_owned()), &tokenizer)?;
/// assert_eq!(forms.compiled(&Grammar::Regex("a+b".to_owned()), &tokenizer)?, first);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Forms {
    compiler: Option<Compiler>,
    last: Option<(Grammar, Constraint)>,
}

impl Forms {
    /// A grammar, compiled for the tokenizer, which is to be the same in every call.
    ///
    /// # Errors
    /// As [`Compiler::new`] and [`Compiler::compile`].
    pub fn compiled(&mut self, grammar: &Grammar, tokenizer: &Tokenizer) -> Result<Constraint> {
        if let Some((last, constraint)) = &self.last
            && last == grammar
        {
            return Ok(constraint.clone());
        }
        let compiler = match &mut self.compiler {
            Some(compiler) => compiler,
            none => none.insert(Compiler::new(tokenizer)?),
        };
        let constraint = compiler.compile(grammar)?;
        self.last = Some((grammar.clone(), constraint.clone()));
        Ok(constraint)
    }
}
