use super::*;
use crate::source::{MemorySource, Source as _};

fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn field(number: usize, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len()), bytes.to_vec()].concat()
}

fn number(at: usize, value: usize) -> Vec<u8> {
    [varint(at << 3), varint(value)].concat()
}

fn tensor(name: &str, shape: &[usize], kind: usize, raw: &[u8]) -> Vec<u8> {
    let shape = shape.iter().flat_map(|length| number(1, *length)).collect();
    field(5, &[shape, number(2, kind), field(8, name.as_bytes()), field(9, raw)].concat())
}

fn node(kind: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let inputs = inputs.iter().flat_map(|input| field(1, input.as_bytes())).collect();
    field(1, &[inputs, field(2, output.as_bytes()), field(4, kind.as_bytes())].concat())
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Two products with one int8 matrix `[3, 2]`, and one with a float matrix `[2, 2]`.
fn model(zero: u8) -> Vec<u8> {
    let mut graph = vec![
        tensor("q", &[3, 2], 3, &[1, 2, 3, 4, 5, 0xff]),
        tensor("s", &[], 1, &floats(&[0.5])),
        tensor("z", &[], 3, &[zero]),
        tensor("a.bias", &[2], 1, &floats(&[7.0, 8.0])),
        tensor("w", &[2, 2], 1, &floats(&[1.0, 2.0, 3.0, 4.0])),
        tensor("b.in_proj_bias", &[2], 1, &floats(&[0.0, 0.0])),
        tensor("shape", &[1], 7, &[0; 8]),
    ];
    for turn in ["1", "2"] {
        let name = |part: &str| format!("{part}{turn}");
        graph.push(node("Mul", &[&name("xs"), "s"], &name("scales")));
        graph.push(node("MatMulInteger", &[&name("x"), "q", &name("xz"), "z"], &name("i")));
        graph.push(node("Cast", &[&name("i")], &name("f")));
        graph.push(node("Mul", &[&name("f"), &name("scales")], &name("y")));
        graph.push(node("Add", &["a.bias", &name("y")], &name("out")));
    }
    graph.push(node("MatMul", &["out2", "w"], "m"));
    graph.push(node("Add", &["m", "b.in_proj_bias"], "end"));
    [number(1, 8), field(7, &graph.concat())].concat()
}

fn read(bytes: Vec<u8>) -> Result<OnnxCheckpoint> {
    let source = MemorySource::new("test").with("model.onnx", bytes);
    OnnxCheckpoint::read(source.open("model.onnx")?.as_ref())
}

#[test]
fn matrices_take_the_names_of_their_biases() {
    let weights = read(model(0)).unwrap();
    assert_eq!(weights.tensor("a.weight", &[2, 3]).unwrap(), [0.5, 1.5, 2.5, 1.0, 2.0, -0.5]);
    assert_eq!(weights.tensor("b.in_proj_weight", &[2, 2]).unwrap(), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(weights.bytes("a.weight"), Some((&[1, 3, 5, 2, 4, -1][..], 0.5)));
    assert_eq!(weights.bytes("b.in_proj_weight"), None);
    assert_eq!(weights.tensor("a.bias", &[2]).unwrap(), [7.0, 8.0]);
    assert_eq!((weights.uses("a.weight"), weights.uses("b.in_proj_weight")), (2, 1));
    assert!(weights.tensor("a.weight", &[3, 2]).unwrap_err().to_string().contains("[2, 3]"));
    assert!(weights.tensor("c", &[1]).unwrap_err().to_string().contains("missing"));
    assert!(weights.shape::<1>("a.weight").is_err());
}

/// However many columns it says it has: no loop may count them.
#[test]
fn an_empty_matrix_is_refused() {
    for shape in [[0, usize::MAX >> 1], [1 << 40, 0]] {
        let graph = [
            tensor("w", &shape, 1, &[]),
            tensor("a.bias", &[2], 1, &floats(&[7.0, 8.0])),
            node("MatMul", &["x", "w"], "m"),
            node("Add", &["m", "a.bias"], "y"),
        ];
        let error = read([number(1, 8), field(7, &graph.concat())].concat()).unwrap_err();
        assert!(error.to_string().contains("empty"), "{error}");
    }
}

#[test]
fn a_zero_point_is_refused() {
    assert!(read(model(1)).unwrap_err().to_string().contains("zero point"));
}

#[test]
fn truncated_files_are_errors() {
    let whole = model(0);
    for length in 0..whole.len() {
        let error = read(whole[..length].to_vec()).unwrap_err();
        assert!(matches!(error, Error::InvalidFile { .. }), "{length}: {error}");
    }
}

#[test]
fn damaged_files_do_not_panic() {
    let whole = model(0);
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            let _ = read(bytes);
        }
    }
}
