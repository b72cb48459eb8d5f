//! Which tensors a PyTorch checkpoint has: its pickle read as a table, without running it.
//!
//! A pickle is a program for a stack machine that can import and call anything. Here the machine knows dictionaries, tuples,
//! numbers, strings, storages and the functions that make tensors of them; a program that asks for more is refused. Objects
//! lie in an arena and refer by number, so that nothing recurses however deep a file nests them.

use super::super::checkpoint::MAX_DIMENSIONS;

/// The most objects, and the most of them that wait on the stack at a time: a table of thirty thousand tensors. An object takes
/// some sixty bytes of memory, and as little as one in a file.
const MAX_OBJECTS: usize = 1 << 19;
/// The longest name of a storage, a class or a function: PyTorch numbers storages. Any number of tensors may refer to one, and
/// each compares it.
const MAX_NAME: u32 = 256;

/// A tensor as the pickle describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Described<'a> {
    pub name: &'a str,
    /// The module and the class of its storage: `torch`, `FloatStorage`.
    pub kind: (&'a str, &'a str),
    /// The archive's member `data/KEY`.
    pub key: &'a str,
    /// Elements before the first.
    pub offset: u64,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// A text of the pickle by its place: nothing is copied, however often it is recalled.
#[derive(Debug, Clone, Copy)]
struct Span {
    at: u32,
    len: u32,
}

/// An object by its number in the arena.
type Id = u32;

#[derive(Debug)]
enum Object {
    Text(Span),
    Number(i64),
    /// Of a tuple or a list.
    Items(Vec<Id>),
    Pairs(Vec<(Id, Id)>),
    Global {
        module: Span,
        name: Span,
    },
    Storage {
        class: Id,
        key: Span,
    },
    Tensor {
        storage: Id,
        offset: Id,
        shape: Id,
        strides: Id,
    },
    /// None, booleans, floats.
    Plain,
}

type Outcome<T> = Result<T, String>;

/// What a pickle makes.
pub(super) struct Table<'a> {
    machine: Machine<'a>,
    root: Id,
}

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: Vec<Option<Id>>,
}

impl<'a> Table<'a> {
    /// Reads a pickle.
    pub(super) fn read(pickle: &'a [u8]) -> Outcome<Self> {
        if u32::try_from(pickle.len()).is_err() {
            return Err("its pickle has over 4 GiB".to_owned());
        }
        let mut machine = Machine { bytes: pickle, ..Machine::default() };
        let root = machine.run()?;
        match machine.object(root) {
            Some(Object::Pairs(_)) => Ok(Self { machine, root }),
            _ => Err("it does not hold a dictionary of tensors".to_owned()),
        }
    }

    /// The tensors of the state dictionary, in its order; entries that are not tensors are left out.
    pub(super) fn tensors(&self) -> impl Iterator<Item = Outcome<Described<'a>>> {
        let pairs = match self.machine.object(self.root) {
            Some(Object::Pairs(pairs)) => pairs.as_slice(),
            _ => &[],
        };
        pairs.iter().filter_map(|(name, value)| self.machine.described(*name, *value))
    }
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Outcome<Id> {
        loop {
            let start = self.at;
            let [opcode] = self.take()?;
            match opcode {
                // Protocol and frame: nothing to do.
                0x80 => drop(self.take::<1>()?),
                0x95 => drop(self.take::<8>()?),
                b'(' => {
                    within(self.marks.len())?;
                    self.marks.push(self.stack.len());
                }
                b'}' => self.push(Object::Pairs(Vec::new()))?,
                b']' | b')' => self.push(Object::Items(Vec::new()))?,
                b'N' | 0x88 | 0x89 => self.push(Object::Plain)?,
                b'G' => {
                    self.take::<8>()?;
                    self.push(Object::Plain)?;
                }
                b'K' => {
                    let [byte] = self.take()?;
                    self.push(Object::Number(byte.into()))?;
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.take()?);
                    self.push(Object::Number(number.into()))?;
                }
                b'J' => {
                    let number = i32::from_le_bytes(self.take()?);
                    self.push(Object::Number(number.into()))?;
                }
                0x8a => self.long()?,
                b'X' => {
                    let len = u32::from_le_bytes(self.take()?);
                    self.text(len as usize)?;
                }
                0x8c => {
                    let [len] = self.take()?;
                    self.text(len.into())?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Object::Global { module: short(module)?, name: short(name)? })?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (module, name) = (self.text_of(module)?, self.text_of(name)?);
                    self.push(Object::Global { module: short(module)?, name: short(name)? })?;
                }
                b'q' => {
                    let [index] = self.take()?;
                    self.remember(index.into())?;
                }
                b'r' => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.remember(index as usize)?;
                }
                0x94 => self.remember(self.memo.len())?,
                b'h' => {
                    let [index] = self.take()?;
                    self.recall(index.into())?;
                }
                b'j' => {
                    let index = u32::from_le_bytes(self.take()?);
                    self.recall(index as usize)?;
                }
                b't' | b'l' => {
                    let items = self.since_mark()?;
                    self.push(Object::Items(items))?;
                }
                0x85..=0x87 => {
                    let count = usize::from(opcode - 0x84);
                    let from = self.stack.len().checked_sub(count).ok_or_else(empty)?;
                    let items = self.stack.split_off(from);
                    self.push(Object::Items(items))?;
                }
                b'a' => {
                    let item = self.pop()?;
                    self.extend(vec![item])?;
                }
                b'e' => {
                    let items = self.since_mark()?;
                    self.extend(items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.since_mark()?;
                    self.set(&items)?;
                }
                b'Q' => self.storage()?,
                b'R' => self.reduce()?,
                // An object's attributes: of no use to a table.
                b'b' => drop(self.pop()?),
                b'.' => return self.pop(),
                other => {
                    return Err(format!(
                        "opcode {other:#04x} at byte {start} of its pickle has no place in a table of tensors"
                    ));
                }
            }
        }
    }

    fn take<const N: usize>(&mut self) -> Outcome<[u8; N]> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.first_chunk().copied().ok_or("its pickle ends early (truncated?)")?;
        self.at += N;
        Ok(taken)
    }

    fn text(&mut self, len: usize) -> Outcome<()> {
        let bytes = self.bytes.get(self.at..).and_then(|rest| rest.get(..len));
        let bytes = bytes.ok_or("its pickle ends within a string (truncated?)")?;
        std::str::from_utf8(bytes).map_err(|_| "a string of its pickle is not UTF-8")?;
        let span = self.span(len);
        self.at += len;
        self.push(Object::Text(span))
    }

    /// The next bytes, which were found to be a text.
    fn span(&self, len: usize) -> Span {
        // The pickle was found to be below 4 GiB.
        Span { at: self.at as u32, len: len as u32 }
    }

    fn line(&mut self) -> Outcome<Span> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = end.and_then(|end| std::str::from_utf8(rest.get(..end)?).ok());
        let len = line.ok_or("a name in its pickle does not end or is not UTF-8")?.len();
        let span = self.span(len);
        self.at += len + 1;
        Ok(span)
    }

    /// A whole number of up to 8 bytes, two's complement.
    fn long(&mut self) -> Outcome<()> {
        let [len] = self.take()?;
        let mut number = 0i64;
        for index in 0..u32::from(len) {
            let [byte] = self.take()?;
            let byte =
                if index + 1 == u32::from(len) { i64::from(byte as i8) } else { byte.into() };
            number |= byte
                .checked_shl(8 * index)
                .filter(|_| len <= 8)
                .ok_or("a number has over 64 bits")?;
        }
        self.push(Object::Number(number))
    }

    fn push(&mut self, object: Object) -> Outcome<()> {
        within(self.objects.len())?;
        self.stack_up(self.objects.len() as Id)?;
        self.objects.push(object);
        Ok(())
    }

    fn stack_up(&mut self, object: Id) -> Outcome<()> {
        within(self.stack.len())?;
        self.stack.push(object);
        Ok(())
    }

    fn object(&self, id: Id) -> Option<&Object> {
        self.objects.get(id as usize)
    }

    fn pop(&mut self) -> Outcome<Id> {
        // What lies below a mark belongs to what the mark began.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(empty());
        }
        self.stack.pop().ok_or_else(empty)
    }

    fn since_mark(&mut self) -> Outcome<Vec<Id>> {
        let from = self.marks.pop().filter(|from| *from <= self.stack.len());
        Ok(self.stack.split_off(from.ok_or("its pickle ends a group that it did not begin")?))
    }

    fn remember(&mut self, index: usize) -> Outcome<()> {
        // Indices count up from 0: a larger one would take memory that the file does not pay for.
        if index > self.bytes.len() {
            return Err(format!("its pickle remembers {index} things, more than it has bytes"));
        }
        within(index)?;
        let top = *self.stack.last().ok_or_else(empty)?;
        if self.memo.len() <= index {
            self.memo.resize(index + 1, None);
        }
        if let Some(slot) = self.memo.get_mut(index) {
            *slot = Some(top);
        }
        Ok(())
    }

    fn recall(&mut self, index: usize) -> Outcome<()> {
        let object = self.memo.get(index).copied().flatten();
        self.stack_up(object.ok_or("its pickle recalls what it never remembered")?)
    }

    fn extend(&mut self, items: Vec<Id>) -> Outcome<()> {
        match self.top()? {
            Object::Items(list) => list.extend(items),
            _ => return Err("its pickle adds items to what is no list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Outcome<()> {
        let (entries, rest) = items.as_chunks::<2>();
        match self.top()? {
            Object::Pairs(pairs) if rest.is_empty() => {
                pairs.extend(entries.iter().map(|[key, value]| (*key, *value)));
                Ok(())
            }
            _ => Err("its pickle sets entries of what is no dictionary".to_owned()),
        }
    }

    fn top(&mut self) -> Outcome<&mut Object> {
        let top = *self.stack.last().ok_or_else(empty)?;
        self.objects.get_mut(top as usize).ok_or_else(empty)
    }

    /// `("storage", class, key, device, elements)` as a persistent id.
    fn storage(&mut self) -> Outcome<()> {
        let id = self.pop()?;
        let wrong = || "its pickle refers to something that is no storage".to_owned();
        let [kind, class, key, ..] = *self.items(id)? else { return Err(wrong()) };
        let module = self.global(class).ok_or_else(wrong)?.0;
        let is_torch = module == "torch" || module.starts_with("torch.");
        let kind = short(self.text_of(kind)?)?;
        if !is_torch || self.str(kind) != "storage" {
            return Err(wrong());
        }
        let key = short(self.text_of(key)?)?;
        self.push(Object::Storage { class, key })
    }

    fn reduce(&mut self) -> Outcome<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let function = self.global(function).ok_or("its pickle calls what is no function")?;
        match function {
            ("collections", "OrderedDict") => self.push(Object::Pairs(Vec::new()))?,
            ("torch._utils", "_rebuild_tensor_v2") => {
                let [storage, offset, shape, strides, ..] = *self.items(arguments)? else {
                    return Err("a tensor of its pickle has too few arguments".to_owned());
                };
                self.push(Object::Tensor { storage, offset, shape, strides })?;
            }
            ("torch._utils", "_rebuild_parameter") => {
                let first = *self.items(arguments)?.first().ok_or_else(empty)?;
                self.stack_up(first)?;
            }
            (module, name) => {
                return Err(format!(
                    "its pickle calls {module}.{name}; only tables of tensors are read"
                ));
            }
        }
        Ok(())
    }

    fn items(&self, object: Id) -> Outcome<&[Id]> {
        match self.object(object) {
            Some(Object::Items(items)) => Ok(items),
            _ => Err("its pickle has another thing where a tuple must be".to_owned()),
        }
    }

    /// The bytes of a text, which were found to be UTF-8.
    fn str(&self, span: Span) -> &'a str {
        let (at, len) = (span.at as usize, span.len as usize);
        let bytes = self.bytes.get(at..at + len).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// A function's or class's module and name.
    fn global(&self, object: Id) -> Option<(&'a str, &'a str)> {
        match self.object(object) {
            Some(Object::Global { module, name }) => Some((self.str(*module), self.str(*name))),
            _ => None,
        }
    }

    fn text_of(&self, object: Id) -> Outcome<Span> {
        match self.object(object) {
            Some(Object::Text(text)) => Ok(*text),
            _ => Err("its pickle has another thing where a string must be".to_owned()),
        }
    }

    fn number_of(&self, object: Id) -> Outcome<usize> {
        match self.object(object) {
            Some(Object::Number(number)) => usize::try_from(*number).ok(),
            _ => None,
        }
        .ok_or_else(|| "its pickle has another thing where a size must be".to_owned())
    }

    /// Lengths or strides. Many tensors may refer to one tuple, so that a long one is not copied for each.
    fn numbers_of(&self, object: Id) -> Outcome<Vec<usize>> {
        let items = self.items(object)?;
        if items.len() > MAX_DIMENSIONS {
            let count = items.len();
            return Err(format!("a tensor has {count} dimensions, more than {MAX_DIMENSIONS}"));
        }
        items.iter().map(|item| self.number_of(*item)).collect()
    }

    fn described(&self, name: Id, value: Id) -> Option<Outcome<Described<'a>>> {
        let Some(Object::Tensor { storage, offset, shape, strides }) = self.object(value) else {
            return None;
        };
        Some((|| {
            let lost = || "a tensor of its pickle has no storage".to_owned();
            let Some(Object::Storage { class, key }) = self.object(*storage) else {
                return Err(lost());
            };
            Ok(Described {
                name: self.str(self.text_of(name)?),
                kind: self.global(*class).ok_or_else(lost)?,
                key: self.str(*key),
                offset: self.number_of(*offset)? as u64,
                shape: self.numbers_of(*shape)?,
                strides: self.numbers_of(*strides)?,
            })
        })())
    }
}

/// Refuses a long name.
fn short(name: Span) -> Outcome<Span> {
    let len = name.len;
    if len <= MAX_NAME {
        return Ok(name);
    }
    Err(format!("its pickle has a name of {len} bytes where at most {MAX_NAME} are read"))
}

/// Refuses one more of what there are so many already.
fn within(count: usize) -> Outcome<()> {
    if count < MAX_OBJECTS {
        return Ok(());
    }
    Err(format!("its pickle has more than {MAX_OBJECTS} objects, the most that are read"))
}

fn empty() -> String {
    "its pickle takes what it did not put there".to_owned()
}
