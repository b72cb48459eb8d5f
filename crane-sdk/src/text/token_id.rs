//! Ids of special tokens in GGUF metadata, where files write a number for "none" too.

use crate::source::{Metadata, Value};
use crate::{Error, Result};

/// What a key of the metadata says of a special token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenId {
    /// A token of the vocabulary.
    Known(u32),
    /// A number that says "none": -1, or the largest one of its type. The sentence tells the key and the number.
    None(String),
    /// A number that lies outside the vocabulary by mistake. The sentence tells the key and the number.
    Outside(String),
}

impl TokenId {
    /// What `key` says of a vocabulary of `count` tokens; nothing if the key is absent.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if the value is no integer.
    pub(crate) fn read(meta: &Metadata, key: &str, count: usize) -> Result<Option<Self>> {
        let number = match meta.get(key) {
            None => return Ok(None),
            Some(Value::Unsigned(number)) => i128::from(*number),
            Some(Value::Signed(number)) => i128::from(*number),
            Some(_) => {
                let reason = format_args!("{key} should be the id of a token, an integer");
                return Err(Error::invalid_file(meta.label(), reason));
            }
        };
        let known = usize::try_from(number).is_ok_and(|id| id < count);
        if let (true, Ok(id)) = (known, u32::try_from(number)) {
            return Ok(Some(TokenId::Known(id)));
        }
        let tokens = if count == 1 { "token" } else { "tokens" };
        let fault = format!("{key} is {number}, but the vocabulary has {count} {tokens}");
        let none = number < 0 || [u32::MAX.into(), u64::MAX.into()].contains(&number);
        Ok(Some(if none { TokenId::None(fault) } else { TokenId::Outside(fault) }))
    }

    /// The sentence about a number that is no token.
    pub(super) fn fault(self) -> Option<String> {
        match self {
            TokenId::Known(_) => None,
            TokenId::None(fault) | TokenId::Outside(fault) => Some(fault),
        }
    }
}
