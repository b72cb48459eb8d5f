//! The key/value pairs at the head of a GGUF file: hyper-parameters, vocabulary, chat template.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Integers;
use crate::{Error, Result};

/// One metadata value. Integers are widened, floats too.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// u8, u16, u32, u64.
    Unsigned(u64),
    /// i8, i16, i32, i64.
    Signed(i64),
    /// f32, f64.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// UTF-8 text.
    String(String),
    /// Any integer array.
    Integers(Integers),
    /// Any float array.
    Floats(Vec<f64>),
    /// An array of truth values.
    Bools(Vec<bool>),
    /// An array of texts.
    Strings(Vec<String>),
}

impl Value {
    fn type_name(&self) -> &'static str {
        match self {
            Value::Unsigned(_) | Value::Signed(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Bool(_) => "a bool",
            Value::String(_) => "a string",
            Value::Integers(_) => "an array of integers",
            Value::Floats(_) => "an array of floats",
            Value::Bools(_) => "an array of bools",
            Value::Strings(_) => "an array of strings",
        }
    }
}

/// The metadata of a GGUF file.
///
/// Each type has two accessors: `opt_x` gives `None` for an absent key, `x` demands the key. Both
/// fail with [`Error::InvalidFile`] if the value is of another type.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    label: String,
    /// A vocabulary is large, and the config of a model keeps a copy of this.
    values: Arc<BTreeMap<String, Value>>,
}

macro_rules! accessors {
    ($($(#[$doc:meta])* $opt:ident, $required:ident, $type:ty, $what:literal, $pattern:pat => $value:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`Error::InvalidFile`] if the value is of another type.
        pub fn $opt(&self, key: &str) -> Result<Option<$type>> {
            match self.values.get(key) {
                None => Ok(None),
                Some($pattern) => Ok(Some($value)),
                Some(other) => Err(self.mismatch(key, $what, other)),
            }
        }

        $(#[$doc])*
        ///
        /// # Errors
        /// [`Error::InvalidFile`] if the key is absent or the value is of another type.
        pub fn $required(&self, key: &str) -> Result<$type> {
            self.$opt(key)?.ok_or_else(|| self.absent(key, $what))
        }
    )*};
}

impl Metadata {
    /// Metadata from pairs; `label` names the file in messages.
    pub fn from_pairs(
        label: impl Into<String>,
        pairs: impl IntoIterator<Item = (String, Value)>,
    ) -> Self {
        Self::new(label.into(), pairs.into_iter().collect())
    }

    pub(super) fn new(label: String, values: BTreeMap<String, Value>) -> Self {
        Self { label, values: Arc::new(values) }
    }

    /// The file these pairs come from.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// All pairs, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The value of `key`, of whatever type.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    accessors! {
        /// A text.
        opt_str, str, &str, "a string", Value::String(text) => text;
        /// A truth value.
        opt_bool, bool, bool, "a bool", Value::Bool(value) => *value;
        /// An array of texts.
        opt_strings, strings, &[String], "an array of strings", Value::Strings(texts) => texts;
        /// An array of integers.
        opt_integers, integers, &Integers, "an array of integers", Value::Integers(numbers) => numbers;
        /// An array of floats.
        opt_floats, floats, &[f64], "an array of floats", Value::Floats(numbers) => numbers;
    }

    /// A count or an id.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the value is not an integer, or is negative.
    pub fn opt_u64(&self, key: &str) -> Result<Option<u64>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Unsigned(number)) => Ok(Some(*number)),
            Some(Value::Signed(number)) if *number >= 0 => Ok(Some(number.unsigned_abs())),
            Some(other) => Err(self.mismatch(key, "an integer that is not negative", other)),
        }
    }

    /// A count or an id.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the key is absent, or the value is not an integer or is negative.
    pub fn u64(&self, key: &str) -> Result<u64> {
        self.opt_u64(key)?.ok_or_else(|| self.absent(key, "an integer"))
    }

    /// A number; integers count too.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the value is not a number.
    pub fn opt_f64(&self, key: &str) -> Result<Option<f64>> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Float(number)) => Ok(Some(*number)),
            Some(Value::Unsigned(number)) => Ok(Some(*number as f64)),
            Some(Value::Signed(number)) => Ok(Some(*number as f64)),
            Some(other) => Err(self.mismatch(key, "a number", other)),
        }
    }

    /// A number; integers count too.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the key is absent or the value is not a number.
    pub fn f64(&self, key: &str) -> Result<f64> {
        self.opt_f64(key)?.ok_or_else(|| self.absent(key, "a number"))
    }

    fn mismatch(&self, key: &str, expected: &str, found: &Value) -> Error {
        let found = found.type_name();
        Error::invalid_file(&self.label, format_args!("{key} should be {expected}, it is {found}"))
    }

    fn absent(&self, key: &str, expected: &str) -> Error {
        Error::invalid_file(&self.label, format_args!("metadata has no {key} ({expected})"))
    }
}
