//! The few protocol-buffer messages of an ONNX file that weights need, borrowed from its bytes and checked on the way.

type Parsed<T> = Result<T, String>;

/// The most nodes and stored tensors: thirty times what voices have. In memory they take a hundred bytes and more, in a file
/// as few as two.
const MAX_NODES: usize = 1 << 17;
const MAX_TENSORS: usize = 1 << 16;
/// The most inputs and outputs of all nodes.
const MAX_LINKS: usize = 1 << 20;
/// The longest name: any number of nodes may refer to it.
const MAX_NAME: usize = 1 << 12;
/// The most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 8;

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
    /// Numbers that stand one by one, as long as all of them are int8; other types are not read.
    integers: Vec<i8>,
    has_wide: bool,
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
    let mut links = 0;
    let mut model = Fields(bytes);
    while let Some((number, value)) = model.next()? {
        if number != 7 {
            continue;
        }
        let mut fields = Fields(value.bytes()?);
        while let Some((number, value)) = fields.next()? {
            match number {
                1 => {
                    let node = node(value.bytes()?)?;
                    links += node.inputs.len() + node.outputs.len();
                    within(links, MAX_LINKS, "inputs and outputs of nodes")?;
                    within(graph.nodes.len(), MAX_NODES, "nodes")?;
                    graph.nodes.push(node);
                }
                5 => {
                    within(graph.tensors.len(), MAX_TENSORS, "tensors")?;
                    graph.tensors.push(tensor(value.bytes()?)?);
                }
                _ => {}
            }
        }
    }
    Ok(graph)
}

/// Refuses one more of what there are so many already.
fn within(count: usize, most: usize, what: &str) -> Parsed<()> {
    if count < most {
        return Ok(());
    }
    Err(format!("it has more than {most} {what}, the most that are read"))
}

fn node(bytes: &[u8]) -> Parsed<Node<'_>> {
    let mut node = Node::default();
    let mut fields = Fields(bytes);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => {
                within(node.inputs.len(), MAX_LINKS, "inputs of a node")?;
                node.inputs.push(value.text()?);
            }
            2 => {
                within(node.outputs.len(), MAX_LINKS, "outputs of a node")?;
                node.outputs.push(value.text()?);
            }
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
                within(tensor.shape.len(), MAX_DIMENSIONS, "dimensions of a tensor")?;
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
                match i8::try_from(integer.cast_signed()) {
                    Ok(_) if tensor.has_wide => {}
                    Ok(integer) => tensor.integers.push(integer),
                    Err(_) => {
                        tensor.has_wide = true;
                        tensor.integers = Vec::new();
                    }
                }
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
        self.read(|floats| floats.to_vec())
    }

    /// As [`Tensor::numbers`], of a tensor that is not needed any more.
    pub(super) fn into_numbers(mut self) -> Parsed<Option<Numbers>> {
        let mut floats = std::mem::take(&mut self.floats);
        self.read(|_| std::mem::take(&mut floats))
    }

    /// Whether it holds nothing but the int8 0, as often as its shape says.
    pub(super) fn is_zero(&self) -> bool {
        let zeros = match (self.kind, self.raw) {
            (3, Some(raw)) => Some(raw.len()).filter(|_| raw.iter().all(|byte| *byte == 0)),
            (3, None) if !self.has_wide => Some(self.integers.len())
                .filter(|_| self.integers.iter().all(|integer| *integer == 0)),
            _ => None,
        };
        zeros.is_some() && zeros == self.count()
    }

    fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, length| count.checked_mul(*length))
    }

    fn read(&self, floats: impl FnOnce(&[f32]) -> Vec<f32>) -> Parsed<Option<Numbers>> {
        let count = self.count();
        let numbers = match (self.kind, self.raw) {
            (1, Some(raw)) => {
                let (words, rest) = raw.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(format!("its {} bytes are not whole floats", raw.len()));
                }
                Numbers::Floats(words.iter().map(|word| f32::from_le_bytes(*word)).collect())
            }
            (1, None) => Numbers::Floats(floats(&self.floats)),
            (3, Some(raw)) => Numbers::Bytes(raw.iter().map(|byte| *byte as i8).collect()),
            (3, None) if self.has_wide => return Err("a number is no int8".to_owned()),
            (3, None) => Numbers::Bytes(self.integers.clone()),
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
        let bytes = self.bytes()?;
        if bytes.len() > MAX_NAME {
            let len = bytes.len();
            return Err(format!("a name has {len} bytes, {MAX_NAME} are the most that are read"));
        }
        std::str::from_utf8(bytes).map_err(|_| "a name is not UTF-8".to_owned())
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
