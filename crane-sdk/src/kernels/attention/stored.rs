//! The number types in which keys and values are held.

use std::fmt;
use std::str::FromStr;

use half::f16;

use super::super::number::{Half, Number, Single};
use super::super::vector::Vector;

/// How keys and values are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(non_camel_case_types, reason = "ggml's own name")]
pub enum KvType {
    /// As they are computed.
    #[default]
    F32,
    /// Half precision: half the memory, errors of one in two thousand.
    F16,
    /// 8 bits with a scale for each 32 numbers of a head: a quarter of the memory.
    Q8_0,
}

impl KvType {
    /// Every type.
    pub const ALL: [Self; 3] = [KvType::F32, KvType::F16, KvType::Q8_0];

    /// The type's name: `f32`, `f16`, `q8_0`.
    pub fn name(self) -> &'static str {
        match self {
            KvType::F32 => "f32",
            KvType::F16 => "f16",
            KvType::Q8_0 => "q8_0",
        }
    }
}

impl fmt::Display for KvType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KvType {
    type Err = crate::Error;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            crate::Error::argument("kv_type", format_args!("{name} is not one of f32, f16, q8_0"))
        })
    }
}

/// Numbers of a head that share a scale.
pub(super) const SCALED: usize = 32;

/// A [`KvType`] that kernels are compiled for.
pub(super) trait Element: Number {
    /// Whether numbers have scales, one for each token and [`SCALED`] numbers of a head.
    const SCALES: bool;

    /// The number as it is held; `inverse` is 1 / scale where there are scales.
    fn store(x: f32, inverse: f32) -> Self::Stored;
}

impl Element for Single {
    const SCALES: bool = false;

    #[inline(always)]
    fn store(x: f32, _: f32) -> f32 {
        x
    }
}

impl Element for Half {
    const SCALES: bool = false;

    /// What is too large is held at the largest number, since an infinity would spoil every token after it.
    #[inline(always)]
    fn store(x: f32, _: f32) -> f16 {
        f16::from_f32(x.clamp(-65504.0, 65504.0))
    }
}

/// [`KvType::Q8_0`].
pub(super) struct Scaled;

impl Number for Scaled {
    type Stored = i8;

    #[inline(always)]
    unsafe fn read<V: Vector>(at: *const i8) -> V::Floats {
        // SAFETY: as the caller says.
        unsafe { V::read_i8(at) }
    }
    /// Without its scale.
    #[inline(always)]
    fn widen(x: i8) -> f32 {
        f32::from(x)
    }
}

impl Element for Scaled {
    const SCALES: bool = true;

    #[inline(always)]
    fn store(x: f32, inverse: f32) -> i8 {
        (x * inverse).round_ties_even() as i8
    }
}

/// Runs `$body` with `$element` as the type that `$kind` is.
macro_rules! with_element {
    ($kind:expr, $element:ident => $body:expr) => {{
        use $crate::kernels::attention::stored::{KvType, Scaled};
        use $crate::kernels::number::{Half, Single};
        match $kind {
            KvType::F32 => {
                type $element = Single;
                $body
            }
            KvType::F16 => {
                type $element = Half;
                $body
            }
            KvType::Q8_0 => {
                type $element = Scaled;
                $body
            }
        }
    }};
}
pub(super) use with_element;
