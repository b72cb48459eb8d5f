//! The few protocol-buffer messages of an ONNX file that weights need, borrowed from its bytes and checked on the way.

type Parsed<T> = Result<T, String>;

/// A node: what it does and the names of what goes in and out.
#[derive(Debug, Default)]
pub(super) struct Node<'a> {
    pub kind: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
}

/// A stored tensor.
#[derive(Debug, Default)]
pub(super) struct Tensor<'a> {
    pub name: &'a str,
    pub shape: Vec<usize>,
    /// Whether its numbers lie in another file.
    pub external: bool,
    kind: u64,
    raw: Option<&'a [u8]>,
    floats: Vec<f32>,
    integers: Vec<i64>,
}

/// A tensor's numbers.
#[derive(Debug)]
pub(super) enum Numbers {
    Floats(Vec<f32>),
    Bytes(Vec<i8>),
}

/// What weights need of the graph.
#[derive(Debug, Default)]
pub(super) struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    pub tensors: Vec<Tensor<'a>>,
}

/// Reads a model's graph.
pub(super) fn graph(bytes: &[u8]) -> Parsed<Graph<'_>> {
    let mut graph = Graph::default();
    let mut model = Fields(bytes);
    while let Some((number, value)) = model.next()? {
        if number != 7 {
            continue;
        }
        let mut fields = Fields(value.bytes()?);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => graph.nodes.push(node(value.bytes()?)?),
                5 => graph.tensors.push(tensor(value.bytes()?)?),
                _ => {}
            }
        }
    }
    Ok(graph)
}

fn node(bytes: &[u8]) -> Parsed<Node<'_>> {
    let mut node = Node::default();
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => node.inputs.push(value.text()?),
            2 => node.outputs.push(value.text()?),
            4 => node.kind = value.text()?,
            _ => {}
        }
    }
    Ok(node)
}

fn tensor(bytes: &[u8]) -> Parsed<Tensor<'_>> {
    let mut tensor = Tensor::default();
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, value) => value.each_integer(|length| {
                let length = usize::try_from(length)
                    .map_err(|_| "a tensor's length is negative or too large")?;
                tensor.shape.push(length);
                Ok(())
            })?,
            (2, value) => tensor.kind = value.integer()?,
            (4, Value::Word(word)) => tensor.floats.push(f32::from_bits(word)),
            (4, value) => {
                let (words, rest) = value.bytes()?.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err("a list of floats is not a multiple of four bytes".to_owned());
                }
                tensor.floats.extend(words.iter().map(|word| f32::from_le_bytes(*word)));
            }
            (5, value) => value.each_integer(|integer| {
                tensor.integers.push(integer as i64);
                Ok(())
            })?,
            (8, value) => tensor.name = value.text()?,
            (9, value) => tensor.raw = Some(value.bytes()?),
            (13, _) => tensor.external = true,
            (14, value) => tensor.external |= value.integer()? != 0,
            _ => {}
        }
    }
    Ok(tensor)
}

impl Tensor<'_> {
    /// The numbers, as many as the shape says; `None` for types other than f32 and int8.
    pub(super) fn numbers(&self) -> Parsed<Option<Numbers>> {
        let count = self.shape.iter().try_fold(1usize, |count, length| count.checked_mul(*length));
        let numbers = match (self.kind, self.raw) {
            (1, Some(raw)) => {
                let (words, rest) = raw.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(format!("its {} bytes are not whole floats", raw.len()));
                }
                Numbers::Floats(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
            }
            (1, None) => Numbers::Floats(self.floats.clone()),
            (3, Some(raw)) => Numbers::Bytes(raw.iter().map(|byte| *byte as i8).collect()),
            (3, None) => {
                let bytes = self.integers.iter().map(|integer| i8::try_from(*integer));
                Numbers::Bytes(bytes.collect::<Result<_, _>>().map_err(|_| "a number is no int8")?)
            }
            _ => return Ok(None),
        };
        let found = match &numbers {
            Numbers::Floats(floats) => floats.len(),
            Numbers::Bytes(bytes) => bytes.len(),
        };
        if Some(found) != count {
            return Err(format!("it has {found} numbers, its shape {:?} needs others", self.shape));
        }
        Ok(Some(numbers))
    }
}

/// A field's value by its wire type.
#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Integer(u64),
    Bytes(&'a [u8]),
    Word(u32),
    Long,
}

impl<'a> Value<'a> {
    fn bytes(self) -> Parsed<&'a [u8]> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err("a number stands where bytes are expected".to_owned()),
        }
    }

    fn text(self) -> Parsed<&'a str> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "a name is not UTF-8".to_owned())
    }

    fn integer(self) -> Parsed<u64> {
        match self {
            Value::Integer(integer) => Ok(integer),
            _ => Err("bytes stand where an integer is expected".to_owned()),
        }
    }

    /// One integer, or a packed list of them.
    fn each_integer(self, mut take: impl FnMut(u64) -> Parsed<()>) -> Parsed<()> {
        let Value::Bytes(bytes) = self else { return take(self.integer()?) };
        let mut list = Fields(bytes);
        while !list.0.is_empty() {
            take(list.varint()?)?;
        }
        Ok(())
    }
}

/// The fields of a message, one after the other.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Parsed<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Integer(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Long
            }
            2 => {
                let length = self.varint()?;
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let word = self.take(4)?.first_chunk().copied().unwrap_or_default();
                Value::Word(u32::from_le_bytes(word))
            }
            kind => return Err(format!("wire type {kind} is unknown (not ONNX?)")),
        };
        Ok(Some((key >> 3, value)))
    }

    fn varint(&mut self) -> Parsed<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?.first().copied().unwrap_or_default();
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number has more than 64 bits (not ONNX?)".to_owned())
    }

    fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            return Err(format!(
                "{count} bytes are needed, {} are left (truncated?)",
                self.0.len()
            ));
        };
        self.0 = rest;
        Ok(taken)
    }
}
