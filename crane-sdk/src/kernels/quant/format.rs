//! The block types that are multiplied here, and how their rows lie once they are packed.
//!
//! A panel holds a few rows side by side, one for each lane of the instruction set. First come the
//! numbers, 32 columns at a time (a group), then the scales:
//!
//! - four columns of every row at a time: byte 4·r + j is column j of row r;
//! - numbers 0..16 of a group in low halves of bytes and 16..32 in high halves; a fifth bit, or a fifth and
//!   a sixth, in a plane of their own;
//! - small types: f16 scales of all rows for each group, then f16 offsets;
//! - nested types (ggml's K types): for each 256 columns f16 scales of all rows (and of the offsets), then for
//!   each group 8-bit factors of the scale (two where 16 columns share one) and of the offset.

use candle_core::quantized::GgmlDType;

/// Columns that share an activation scale.
pub(super) const GROUP: usize = 32;
/// Groups of a nested block.
pub(super) const NESTED_GROUPS: usize = 8;

/// The types that are multiplied here; others are left to candle.
pub const TYPES: [GgmlDType; 8] = [
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

/// A block type by ggml's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::upper_case_acronyms, missing_docs, reason = "ggml's own names")]
pub(super) enum Kind {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

impl Kind {
    /// `None` for types that are left to candle.
    pub(super) fn of(dtype: GgmlDType) -> Option<Self> {
        Some(match dtype {
            GgmlDType::Q4_0 => Kind::Q4_0,
            GgmlDType::Q4_1 => Kind::Q4_1,
            GgmlDType::Q5_0 => Kind::Q5_0,
            GgmlDType::Q5_1 => Kind::Q5_1,
            GgmlDType::Q8_0 => Kind::Q8_0,
            GgmlDType::Q4K => Kind::Q4K,
            GgmlDType::Q5K => Kind::Q5K,
            GgmlDType::Q6K => Kind::Q6K,
            _ => return None,
        })
    }

    pub(super) fn layout(self) -> Layout {
        match self {
            Kind::Q4_0 => Q4_0::LAYOUT,
            Kind::Q4_1 => Q4_1::LAYOUT,
            Kind::Q5_0 => Q5_0::LAYOUT,
            Kind::Q5_1 => Q5_1::LAYOUT,
            Kind::Q8_0 => Q8_0::LAYOUT,
            Kind::Q4K => Q4K::LAYOUT,
            Kind::Q5K => Q5K::LAYOUT,
            Kind::Q6K => Q6K::LAYOUT,
        }
    }
}

/// What a weight is: scale · (number − 2^zero) + offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// Bits of a number; 8-bit numbers are signed, others are not.
    pub bits: usize,
    /// log₂ of what is taken from each number.
    pub zero: Option<u32>,
    /// Whether there is an offset.
    pub offsets: bool,
    /// Whether scales and offsets are products of a block's f16 and a group's 8 bits.
    pub nested: bool,
    /// Whether each half of a group has its own scale.
    pub halves: bool,
}

impl Layout {
    const fn small(bits: usize, zero: Option<u32>, offsets: bool) -> Self {
        Self { bits, zero, offsets, nested: false, halves: false }
    }

    const fn nested(bits: usize, zero: Option<u32>, offsets: bool, halves: bool) -> Self {
        Self { bits, zero, offsets, nested: true, halves }
    }

    /// Columns of a block.
    pub(super) const fn columns(&self) -> usize {
        if self.nested { NESTED_GROUPS * GROUP } else { GROUP }
    }

    /// Bytes of the numbers of one group of `rows` rows.
    pub(super) const fn group_bytes(&self, rows: usize) -> usize {
        self.bits * GROUP / 8 * rows
    }

    /// Bytes of a block's f16 scales (and offsets) of `rows` rows.
    pub(super) const fn head_bytes(&self, rows: usize) -> usize {
        if self.offsets { 4 * rows } else { 2 * rows }
    }

    /// Bytes of a nested block's factors for one group.
    pub(super) const fn factor_bytes(&self, rows: usize) -> usize {
        if self.offsets || self.halves { 2 * rows } else { rows }
    }

    /// Bytes of a block's scales, offsets and factors.
    pub(super) const fn scale_bytes(&self, rows: usize) -> usize {
        let factors = if self.nested { NESTED_GROUPS * self.factor_bytes(rows) } else { 0 };
        self.head_bytes(rows) + factors
    }

    /// Bytes of a panel for each of its groups: its numbers, and its share of the scales that lie behind all numbers.
    pub(super) const fn share_bytes(&self, rows: usize) -> usize {
        let groups = if self.nested { NESTED_GROUPS } else { 1 };
        self.group_bytes(rows) + self.scale_bytes(rows).div_ceil(groups)
    }

    /// Bytes of a panel of `rows` rows; a multiple of 64, so that no panel shares a cache line.
    pub(super) const fn panel_bytes(&self, rows: usize, width: usize) -> usize {
        let numbers = width / GROUP * self.group_bytes(rows);
        (numbers + width / self.columns() * self.scale_bytes(rows)).next_multiple_of(64)
    }
}

/// A [`Kind`] that kernels are compiled for.
pub(super) trait Format {
    const LAYOUT: Layout;
}

macro_rules! formats {
    ($($name:ident: $layout:expr;)*) => {
        $(
            pub(super) struct $name;
            impl Format for $name {
                const LAYOUT: Layout = $layout;
            }
        )*
    };
}

formats! {
    Q4_0: Layout::small(4, Some(3), false);
    Q4_1: Layout::small(4, None, true);
    Q5_0: Layout::small(5, Some(4), false);
    Q5_1: Layout::small(5, None, true);
    Q8_0: Layout::small(8, None, false);
    Q4K: Layout::nested(4, None, true, false);
    Q5K: Layout::nested(5, None, true, false);
    Q6K: Layout::nested(6, Some(5), false, true);
}

/// Runs `$body` with `$format` as the type that `$kind` is.
macro_rules! with_format {
    ($kind:expr, $format:ident => $body:expr) => {{
        use $crate::kernels::quant::format::{self, Kind};
        macro_rules! run {
            ($name:ident) => {{
                type $format = format::$name;
                $body
            }};
        }
        match $kind {
            Kind::Q4_0 => run!(Q4_0),
            Kind::Q4_1 => run!(Q4_1),
            Kind::Q5_0 => run!(Q5_0),
            Kind::Q5_1 => run!(Q5_1),
            Kind::Q8_0 => run!(Q8_0),
            Kind::Q4K => run!(Q4K),
            Kind::Q5K => run!(Q5K),
            Kind::Q6K => run!(Q6K),
        }
    }};
}
pub(super) use with_format;
