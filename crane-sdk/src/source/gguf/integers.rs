//! Arrays of integers as a GGUF file stores them: widened one at a time, since a file may hold millions of bytes.

/// An array of integers of any width.
///
/// ```
/// use crane_sdk::source::Integers;
/// let numbers: Integers = [3, -1].into_iter().collect();
/// assert_eq!((numbers.len(), numbers.get(1)), (2, Some(-1)));
/// assert_eq!(numbers.iter().sum::<i64>(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Integers {
    kind: Kind,
    /// Little-endian.
    bytes: Vec<u8>,
}

/// How an integer is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
}

impl Kind {
    /// By GGUF's number of the type.
    pub(super) fn of(tag: u32) -> Option<Self> {
        Some(match tag {
            0 => Kind::U8,
            1 => Kind::I8,
            2 => Kind::U16,
            3 => Kind::I16,
            4 => Kind::U32,
            5 => Kind::I32,
            10 => Kind::U64,
            11 => Kind::I64,
            _ => return None,
        })
    }

    /// Bytes of an integer.
    pub(super) fn width(self) -> usize {
        match self {
            Kind::U8 | Kind::I8 => 1,
            Kind::U16 | Kind::I16 => 2,
            Kind::U32 | Kind::I32 => 4,
            Kind::U64 | Kind::I64 => 8,
        }
    }

    /// Its bytes as the low ones of a number, widened with its sign.
    fn widen(self, bytes: &[u8]) -> i64 {
        let mut wide = [0; 8];
        wide.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let wide = i64::from_le_bytes(wide);
        match self {
            Kind::I8 => (wide as i8).into(),
            Kind::I16 => (wide as i16).into(),
            Kind::I32 => (wide as i32).into(),
            Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::I64 => wide,
        }
    }
}

impl Integers {
    /// Whole integers of a kind; the first one, if any, that is too large for an `i64`.
    pub(super) fn from_bytes(kind: Kind, bytes: Vec<u8>) -> Result<Self, u64> {
        let this = Self { kind, bytes };
        let large = this.iter().find(|number| kind == Kind::U64 && *number < 0);
        match large {
            Some(number) => Err(number.cast_unsigned()),
            None => Ok(this),
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.kind.width()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One of them.
    pub fn get(&self, index: usize) -> Option<i64> {
        let width = self.kind.width();
        let start = index.checked_mul(width)?;
        self.bytes.get(start..start.checked_add(width)?).map(|bytes| self.kind.widen(bytes))
    }

    /// All of them, in their order.
    pub fn iter(&self) -> impl Iterator<Item = i64> {
        self.bytes.chunks_exact(self.kind.width()).map(|bytes| self.kind.widen(bytes))
    }
}

impl FromIterator<i64> for Integers {
    fn from_iter<I: IntoIterator<Item = i64>>(numbers: I) -> Self {
        let bytes = numbers.into_iter().flat_map(i64::to_le_bytes).collect();
        Self { kind: Kind::I64, bytes }
    }
}
