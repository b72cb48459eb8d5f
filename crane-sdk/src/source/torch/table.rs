//! Which tensors a PyTorch checkpoint has: its pickle read as a table, without running it.
//!
//! A pickle is a program for a stack machine that can import and call anything. Here the machine knows dictionaries, tuples,
//! numbers, strings, storages and the functions that make tensors of them; a program that asks for more is refused. Objects
//! lie in an arena and refer by number, so that nothing recurses however deep a file nests them.

/// A tensor as the pickle describes it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Described {
    pub name: String,
    /// The class of its storage: `FloatStorage`.
    pub storage: String,
    /// The archive's member `data/KEY`.
    pub key: String,
    /// Elements before the first.
    pub offset: u64,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Object {
    Text(String),
    Number(i64),
    /// Of a tuple or a list.
    Items(Vec<usize>),
    Pairs(Vec<(usize, usize)>),
    Global(String),
    Storage {
        class: String,
        key: String,
    },
    Tensor {
        storage: usize,
        offset: usize,
        shape: usize,
        strides: usize,
    },
    /// None, booleans, floats.
    Plain,
}

type Outcome<T> = Result<T, String>;

#[derive(Default)]
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<usize>,
    marks: Vec<usize>,
    memo: Vec<Option<usize>>,
}

/// The tensors of a state dictionary, in its order; entries that are not tensors are left out.
pub(super) fn tensors(pickle: &[u8]) -> Outcome<Vec<Described>> {
    let mut machine = Machine { bytes: pickle, ..Machine::default() };
    let root = machine.run()?;
    let Some(Object::Pairs(pairs)) = machine.objects.get(root) else {
        return Err("it does not hold a dictionary of tensors".to_owned());
    };
    let described = pairs.iter().filter_map(|(name, value)| machine.described(*name, *value));
    described.collect()
}

impl Machine<'_> {
    fn run(&mut self) -> Outcome<usize> {
        loop {
            let start = self.at;
            let [opcode] = self.take()?;
            match opcode {
                // Protocol and frame: nothing to do.
                0x80 => drop(self.take::<1>()?),
                0x95 => drop(self.take::<8>()?),
                b'(' => self.marks.push(self.stack.len()),
                b'}' => self.push(Object::Pairs(Vec::new())),
                b']' | b')' => self.push(Object::Items(Vec::new())),
                b'N' | 0x88 | 0x89 => self.push(Object::Plain),
                b'G' => {
                    self.take::<8>()?;
                    self.push(Object::Plain);
                }
                b'K' => {
                    let [byte] = self.take()?;
                    self.push(Object::Number(byte.into()));
                }
                b'M' => {
                    let number = u16::from_le_bytes(self.take()?);
                    self.push(Object::Number(number.into()));
                }
                b'J' => {
                    let number = i32::from_le_bytes(self.take()?);
                    self.push(Object::Number(number.into()));
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
                    self.push(Object::Global(format!("{module}.{name}")));
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let global = format!("{}.{}", self.text_of(module)?, self.text_of(name)?);
                    self.push(Object::Global(global));
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
                    self.push(Object::Items(items));
                }
                0x85..=0x87 => {
                    let count = usize::from(opcode - 0x84);
                    let from = self.stack.len().checked_sub(count).ok_or_else(empty)?;
                    let items = self.stack.split_off(from);
                    self.push(Object::Items(items));
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
        let text = std::str::from_utf8(bytes).map_err(|_| "a string of its pickle is not UTF-8")?;
        self.at += len;
        self.push(Object::Text(text.to_owned()));
        Ok(())
    }

    fn line(&mut self) -> Outcome<String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = end.and_then(|end| std::str::from_utf8(rest.get(..end)?).ok());
        let line = line.ok_or("a name in its pickle does not end or is not UTF-8")?.to_owned();
        self.at += line.len() + 1;
        Ok(line)
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
        self.push(Object::Number(number));
        Ok(())
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.objects.len());
        self.objects.push(object);
    }

    fn pop(&mut self) -> Outcome<usize> {
        // What lies below a mark belongs to what the mark began.
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(empty());
        }
        self.stack.pop().ok_or_else(empty)
    }

    fn since_mark(&mut self) -> Outcome<Vec<usize>> {
        let from = self.marks.pop().filter(|from| *from <= self.stack.len());
        Ok(self.stack.split_off(from.ok_or("its pickle ends a group that it did not begin")?))
    }

    fn remember(&mut self, index: usize) -> Outcome<()> {
        // Indices count up from 0: a larger one would take memory that the file does not pay for.
        if index > self.bytes.len() {
            return Err(format!("its pickle remembers {index} things, more than it has bytes"));
        }
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
        self.stack.push(object.ok_or("its pickle recalls what it never remembered")?);
        Ok(())
    }

    fn extend(&mut self, items: Vec<usize>) -> Outcome<()> {
        match self.top()? {
            Object::Items(list) => list.extend(items),
            _ => return Err("its pickle adds items to what is no list".to_owned()),
        }
        Ok(())
    }

    fn set(&mut self, items: &[usize]) -> Outcome<()> {
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
        self.objects.get_mut(top).ok_or_else(empty)
    }

    /// `("storage", class, key, device, elements)` as a persistent id.
    fn storage(&mut self) -> Outcome<()> {
        let id = self.pop()?;
        let wrong = || "its pickle refers to something that is no storage".to_owned();
        let [kind, class, key, ..] = *self.items(id)? else { return Err(wrong()) };
        let class = match self.objects.get(class) {
            Some(Object::Global(name)) => name.strip_prefix("torch.").ok_or_else(wrong)?.to_owned(),
            _ => return Err(wrong()),
        };
        if self.text_of(kind)? != "storage" {
            return Err(wrong());
        }
        let key = self.text_of(key)?.to_owned();
        self.push(Object::Storage { class, key });
        Ok(())
    }

    fn reduce(&mut self) -> Outcome<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let name = match self.objects.get(function) {
            Some(Object::Global(name)) => name.as_str(),
            _ => return Err("its pickle calls what is no function".to_owned()),
        };
        match name {
            "collections.OrderedDict" => self.push(Object::Pairs(Vec::new())),
            "torch._utils._rebuild_tensor_v2" => {
                let [storage, offset, shape, strides, ..] = *self.items(arguments)? else {
                    return Err("a tensor of its pickle has too few arguments".to_owned());
                };
                self.push(Object::Tensor { storage, offset, shape, strides });
            }
            "torch._utils._rebuild_parameter" => {
                let first = *self.items(arguments)?.first().ok_or_else(empty)?;
                self.stack.push(first);
            }
            other => {
                return Err(format!("its pickle calls {other}; only tables of tensors are read"));
            }
        }
        Ok(())
    }

    fn items(&self, object: usize) -> Outcome<&[usize]> {
        match self.objects.get(object) {
            Some(Object::Items(items)) => Ok(items),
            _ => Err("its pickle has another thing where a tuple must be".to_owned()),
        }
    }

    fn text_of(&self, object: usize) -> Outcome<&str> {
        match self.objects.get(object) {
            Some(Object::Text(text)) => Ok(text),
            _ => Err("its pickle has another thing where a string must be".to_owned()),
        }
    }

    fn number_of(&self, object: usize) -> Outcome<usize> {
        match self.objects.get(object) {
            Some(Object::Number(number)) => usize::try_from(*number).ok(),
            _ => None,
        }
        .ok_or_else(|| "its pickle has another thing where a size must be".to_owned())
    }

    fn numbers_of(&self, object: usize) -> Outcome<Vec<usize>> {
        self.items(object)?.iter().map(|item| self.number_of(*item)).collect()
    }

    fn described(&self, name: usize, value: usize) -> Option<Outcome<Described>> {
        let Some(Object::Tensor { storage, offset, shape, strides }) = self.objects.get(value)
        else {
            return None;
        };
        Some((|| {
            let Some(Object::Storage { class, key }) = self.objects.get(*storage) else {
                return Err("a tensor of its pickle has no storage".to_owned());
            };
            Ok(Described {
                name: self.text_of(name)?.to_owned(),
                storage: class.clone(),
                key: key.clone(),
                offset: self.number_of(*offset)? as u64,
                shape: self.numbers_of(*shape)?,
                strides: self.numbers_of(*strides)?,
            })
        })())
    }
}

fn empty() -> String {
    "its pickle takes what it did not put there".to_owned()
}
