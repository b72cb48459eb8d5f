//! ONNX files whose protocol buffers and graphs lie.

use super::{Case, single};

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn integer(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

fn tensor(name: &str, shape: &[u64], kind: u64, raw: &[u8]) -> Vec<u8> {
    let shape: Vec<u8> = shape.iter().flat_map(|length| integer(1, *length)).collect();
    field(5, &[shape, integer(2, kind), field(8, name.as_bytes()), field(9, raw)].concat())
}

fn node(kind: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs: Vec<u8> = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
    field(1, &[inputs, field(2, output.as_bytes()), field(4, kind.as_bytes())].concat())
}

fn model(graph: &[Vec<u8>]) -> Vec<u8> {
    [integer(1, 8), field(7, &graph.concat())].concat()
}

/// A product of a quantised matrix with its scale and its bias.
fn product(turn: usize, matrix: &str, scale: &str, bias: &str) -> Vec<u8> {
    let name = |part: &str| format!("{part}{turn}");
    [
        node("Mul", &["xs", scale], &name("s")),
        node("MatMulInteger", &["x", matrix, "xz", "z"], &name("i")),
        node("Cast", &[&name("i")], &name("f")),
        node("Mul", &[&name("f"), &name("s")], &name("y")),
        node("Add", &[bias, &name("y")], &name("o")),
    ]
    .concat()
}

fn ones(count: usize) -> Vec<u8> {
    1f32.to_le_bytes().repeat(count)
}

fn sound() -> Vec<u8> {
    model(&[
        tensor("q", &[3, 2], 3, &[1, 2, 3, 4, 5, 6]),
        tensor("s", &[], 1, &ones(1)),
        tensor("z", &[], 3, &[0]),
        tensor("a.bias", &[2], 1, &ones(2)),
        product(0, "q", "s", "a.bias"),
    ])
}

pub fn all() -> Vec<Case> {
    let mut out = Vec::new();
    let mut add = |what: &str, bytes: Vec<u8>| out.push(single("onnx", what, "model.onnx", bytes));
    let whole = sound();
    for at in 0..whole.len() {
        for byte in [0x7f, 0xff] {
            let mut bytes = whole.clone();
            bytes.iter_mut().skip(at).take(1).for_each(|place| *place = byte);
            add(&format!("byte-{at}-is-{byte:#x}"), bytes);
        }
    }
    for end in (0..whole.len()).step_by(9) {
        add(&format!("cut-at-{end}"), whole.get(..end).unwrap_or_default().to_vec());
    }
    let (rows, columns) = (256u64, 256u64);
    let matrix = tensor("q", &[rows, columns], 3, &vec![1; (rows * columns) as usize]);
    let scale = tensor("s", &[], 1, &ones(1));
    let zero = tensor("z", &[], 3, &[0]);
    for count in [100usize, 3000] {
        let biases = (0..count).map(|i| tensor(&format!("b{i}.bias"), &[1], 1, &ones(1)));
        let products = (0..count).map(|i| product(i, "q", "s", &format!("b{i}.bias")));
        let head = vec![matrix.clone(), scale.clone(), zero.clone()];
        let graph: Vec<Vec<u8>> = head.into_iter().chain(biases.clone()).chain(products).collect();
        add(&format!("{count}-biases-of-one-matrix"), model(&graph));
        let scales = (0..count).map(|i| tensor(&format!("s{i}"), &[], 1, &ones(1)));
        let products = (0..count).map(|i| product(i, "q", &format!("s{i}"), &format!("b{i}.bias")));
        let head = vec![matrix.clone(), zero.clone()];
        let graph: Vec<Vec<u8>> =
            head.into_iter().chain(biases).chain(scales).chain(products).collect();
        add(&format!("{count}-scales-of-one-matrix"), model(&graph));
    }
    for (what, part) in [
        ("empty-nodes", field(1, &[])),
        ("empty-tensors", field(5, &[])),
        ("nodes-of-an-input", field(1, &field(1, &[]))),
    ] {
        add(what, model(&[part.repeat(3 << 19)]));
    }
    for (what, number) in [("inputs", 1), ("outputs", 2)] {
        add(
            &format!("{what}-of-one-node"),
            model(&[field(1, &field(number, &[]).repeat(3 << 20))]),
        );
    }
    let dimensions = field(1, &vec![1; 8 << 20]);
    add("dimensions", model(&[field(5, &[dimensions, integer(2, 1)].concat())]));
    let integers = field(5, &vec![1; 24 << 20]);
    let shape = integer(1, 24 << 20);
    add("integers-of-a-byte", model(&[field(5, &[shape, integer(2, 3), integers].concat())]));
    let floats = field(4, &ones(4 << 20));
    let shape = integer(1, 4 << 20);
    add("packed-floats", model(&[field(5, &[shape, integer(2, 1), floats].concat())]));
    // A long list or name that every node refers to.
    let zeros = tensor("z", &[1 << 20], 3, &vec![0; 1 << 20]);
    let biases: Vec<u8> =
        (0..2000).flat_map(|i| tensor(&format!("b{i}.bias"), &[1], 1, &ones(1))).collect();
    let products: Vec<u8> =
        (0..2000).flat_map(|i| product(i, "q", "s", &format!("b{i}.bias"))).collect();
    let small = tensor("q", &[2, 1], 3, &[1, 2]);
    add(
        "a-long-zero-point",
        model(&[small.clone(), scale.clone(), zeros, biases.clone(), products]),
    );
    let wide = [field(1, b"y").repeat(100_000), field(2, b"f"), field(4, b"Mul")].concat();
    let cast = node("Cast", &["i"], "c");
    let many = node("MatMulInteger", &["x", "q", "xz"], "i").repeat(20_000);
    let reader = [field(1, b"c"), wide].concat();
    add("a-wide-product", model(&[small.clone(), scale.clone(), cast, field(1, &reader), many]));
    let name = format!("{}bias", "n".repeat(1 << 20));
    let bias = tensor(&name, &[1], 1, &ones(1));
    add("a-long-name", model(&[small, scale, zero, bias, product(0, "q", "s", &name)]));
    for (what, shape, raw) in [
        ("no-rows", [0, u64::MAX >> 1], 0usize),
        ("no-columns", [1 << 40, 0], 0),
        ("overflow", [1 << 40, 1 << 40], 8),
        ("negative", [u64::MAX, 2], 8),
        ("too-few", [4, 4], 8),
    ] {
        let graph = [
            tensor("w", &shape, 1, &vec![0; raw]),
            tensor("a.bias", &[2], 1, &ones(2)),
            node("MatMul", &["x", "w"], "m"),
            node("Add", &["m", "a.bias"], "y"),
        ];
        add(&format!("a-matrix-of-{what}"), model(&graph));
    }
    add("depth", (0..2000).fold(Vec::new(), |inner, _| field(7, &inner)));
    add("an-endless-number", [varint(7 << 3 | 2), vec![0xff; 64]].concat());
    out
}
