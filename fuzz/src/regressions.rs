//! Inputs that once ended a process, hung it or took its memory, written by small functions: for the library's targets.
//!
//! Each names its target; `crane-sdk/tests/seeds.rs` replays them. A new finding becomes a new function here.

use serde_json::{Value, json};

use super::targets::tiny_english::{field, stored_gzip};

/// A target's name, what the input is, and its bytes.
pub type Case = (&'static str, &'static str, Vec<u8>);

/// Every case.
pub fn all() -> Vec<Case> {
    [grammars(), schemas(), templates(), tokenizers(), files(), speech()].concat()
}

fn case(target: &'static str, what: &'static str, bytes: impl Into<Vec<u8>>) -> Case {
    (target, what, bytes.into())
}

/// Rules in a chain, each of which names the next.
fn chain(rules: usize) -> String {
    let links: String = (0..rules).map(|i| format!("r{i}: r{}\n", i + 1)).collect();
    format!("1start: r0\n{links}r{rules}: \"a\"\n")
}

fn grammars() -> Vec<Case> {
    let nested = |n: usize| format!("0{}a{}", "(".repeat(n), ")".repeat(n));
    let branches = |n: usize| format!("1start: {}\"a\"{}\n", "(".repeat(n), ")".repeat(n));
    let left = |n: usize| format!("1start: a\na: {}\"b\"\n", "a | ".repeat(n));
    let terminals: String = (0..2000).map(|i| format!("T{i}: T{}\n", i + 1)).collect();
    vec![
        case("grammar", "668 rules in a chain", chain(668)),
        case("grammar", "20,000 rules in a chain", chain(20_000)),
        case("grammar", "10,000 groups in each other", nested(10_000)),
        case("grammar", "10,000 brackets in each other", branches(10_000)),
        case("grammar", "10,000 alternatives", left(10_000)),
        case(
            "grammar",
            "2,000 terminals in a chain",
            format!("1start: T0\n{terminals}T2000: \"a\"\n"),
        ),
        case("grammar", "repeats of repeats", "0(((a{1000}){1000}){1000}){1000}"),
        case("grammar", "a repeat of a million", "0(ab|c){1000000}"),
        case("grammar", "a rule that is itself", "1start: start\n"),
        case("grammar", "a long literal", format!("0{}", "ab".repeat(200_000))),
    ]
}

fn schemas() -> Vec<Case> {
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let wide = |n: usize| {
        let properties = (0..n).map(|i| (format!("p{i}"), json!({"type": "integer"})));
        let names: Vec<String> = (0..n).map(|i| format!("p{i}")).collect();
        let mut schema = object(Value::Object(properties.collect()));
        schema["required"] = json!(names);
        schema
    };
    let deep = |n: usize| (0..n).fold(json!({"type": "integer"}), |s, _| json!({"items": s}));
    let references = |n: usize| {
        let link = |i: usize| (format!("d{i}"), json!({"$ref": format!("#/$defs/d{}", i + 1)}));
        let mut links: serde_json::Map<_, _> = (0..n).map(link).collect();
        links.insert(format!("d{n}"), json!({"type": "integer"}));
        json!({"$defs": links, "$ref": "#/$defs/d0"})
    };
    let nests = |word: &str, n: usize| {
        (0..n).fold(json!({"type": "integer"}), |s, _| json!({word: [s, {"minimum": 0}]}))
    };
    let schema = |what, schema: Value| case("schema", what, schema.to_string());
    let brackets = format!("{}1{}", "{\"items\":".repeat(50_000), "}".repeat(50_000));
    vec![
        schema("6,900 properties", wide(6_900)),
        schema("60 lists in each other", deep(60)),
        case("schema", "50,000 lists in each other", brackets),
        schema("a multiple of 99999999", json!({"type": "integer", "multipleOf": 99_999_999})),
        schema("a multiple of 1e-9", json!({"type": "number", "multipleOf": 1e-9})),
        schema("100,000 values", json!({"enum": (0..100_000).collect::<Vec<_>>()})),
        schema("3,000 references in a chain", references(3_000)),
        schema("40 times allOf", nests("allOf", 40)),
        schema("40 times anyOf", nests("anyOf", 40)),
        schema("a pattern of repeats", json!({"type": "string", "pattern": "^(a{1000}){1000}$"})),
        schema("a text of a billion", json!({"type": "string", "minLength": 1_000_000_000})),
        schema("a list of a billion", json!({"type": "array", "minItems": 1_000_000_000})),
        schema("a reference to itself", json!({"$ref": "#"})),
    ]
}

fn templates() -> Vec<Case> {
    let loops = |body: &str| format!("{{% set ns = namespace(x={body}) %}}");
    let grow = |start: &str, step: &str| {
        format!(
            "{}{{% for i in range(60) %}}{{% set ns.x = {step} %}}{{% endfor %}}{{{{ ns.x | length }}}}",
            loops(start)
        )
    };
    let nested = format!("{}x{}", "{% if 1 %}".repeat(20_000), "{% endif %}".repeat(20_000));
    let brackets = format!("{{{{ {}1{} }}}}", "(".repeat(20_000), ")".repeat(20_000));
    let recursive = "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}";
    let texts: [(&'static str, String); 20] = [
        ("a list that doubles by +", grow("[1]", "ns.x + ns.x")),
        ("a list that doubles by a literal", grow("[1]", "[ns.x, ns.x]")),
        ("a dictionary that doubles", grow("{'a': 1}", "{'a': ns.x, 'b': ns.x}")),
        ("a text that doubles by ~", grow("'ab'", "ns.x ~ ns.x")),
        ("a text that doubles by +", grow("'ab'", "ns.x + ns.x")),
        (
            "a text that doubles by replace",
            grow("'ab'", "ns.x.replace('a', 'aa').replace('b', 'bb')"),
        ),
        ("a text that doubles by join", grow("'ab'", "[ns.x, ns.x] | join")),
        ("a text times a billion", "{{ 'ab' * 1000000000 }}".to_owned()),
        ("a width of a billion", "{{ '%1000000000d' % 1 }}".to_owned()),
        ("a width in format", "{{ '{:>999999999}'.format(1) }}".to_owned()),
        (
            "a filter's width",
            "{{ 'x' | format | center(999999999) }}{{ 'x' | indent(999999999) }}".to_owned(),
        ),
        (
            "an indented tower",
            format!("{}{{{{ ns.x | tojson(indent=64) }}}}", grow("[1]", "[ns.x]")),
        ),
        (
            "index in long lists",
            "{% set x = range(100000) | list %}{% for i in x %}{{ x.index(99999) }}{% endfor %}"
                .to_owned(),
        ),
        ("a macro that calls itself", recursive.to_owned()),
        ("a namespace in itself", "{% set ns = namespace() %}{% set ns.a = ns %}{{ ns }}".to_owned()),
        ("a namespace in itself as JSON", "{% set ns = namespace() %}{% set ns.a = [ns] %}{{ ns | tojson }}".to_owned()),
        ("namespaces in each other", "{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{{ a == b }}{{ a | string | length }}".to_owned()),
        ("a loop that calls itself", "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}".to_owned()),
        ("20,000 conditions in each other", nested),
        ("20,000 brackets", brackets),
    ];
    let mut cases: Vec<Case> =
        texts.into_iter().map(|(what, text)| case("chat_template", what, text)).collect();
    for text in [
        "{{ a.1b }}",
        "{% set 1a = 2 %}",
        "{{ \u{200d}a }}",
        "{% for - in x %}{% endfor %}",
        "{{ 'a'.'b' }}",
        "{{ a.\u{660} }}",
    ] {
        cases.push(case("chat_template", "an identifier that is none", text));
    }
    let message = |i: u32| {
        let role = if i.is_multiple_of(2) { "user" } else { "assistant" };
        json!({"role": role, "content": format!("hi {i}")})
    };
    let messages: Vec<Value> = (0..4000).map(message).collect();
    cases.push(case("conversation", "4,000 messages", json!({ "messages": messages }).to_string()));
    let deep = (0..120).fold(json!("x"), |value, _| json!([value]));
    cases.push(case(
        "conversation",
        "deep variables",
        json!({"messages": [{"role": "user", "content": "x"}], "extra": {"a": deep}}).to_string(),
    ));
    cases
}

/// A tokenizer of bytes with these parts besides.
fn tokenizer(parts: Value) -> Vec<u8> {
    let vocab: serde_json::Map<_, _> =
        ('!'..='~').enumerate().map(|(id, letter)| (letter.to_string(), id.into())).collect();
    let mut whole = json!({"model": {"type": "BPE", "vocab": vocab, "merges": []}});
    if let (Some(whole), Value::Object(parts)) = (whole.as_object_mut(), parts) {
        whole.extend(parts);
    }
    whole.to_string().into_bytes()
}

fn tokenizers() -> Vec<Case> {
    let replace = json!({"type": "Replace", "pattern": {"String": "l"}, "content": "ll"});
    let doubling = json!({"normalizer": {"type": "Sequence", "normalizers": vec![replace; 40]}});
    let prepend = json!({"type": "Prepend", "prepend": "x".repeat(1000)});
    let prepends = json!({"normalizer": {"type": "Sequence", "normalizers": vec![prepend; 1000]}});
    let split = |pattern: &str| json!({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false}});
    let charsmap =
        |bytes: &str| json!({"normalizer": {"type": "Precompiled", "precompiled_charsmap": bytes}});
    let nested = (0..100).fold(json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}),
        |inner, _| json!({"type": "Sequence", "pretokenizers": [inner]}));
    let added: serde_json::Map<_, _> = (0..100_000)
        .map(|id| (id.to_string(), json!({"content": format!("<{id}>"), "special": true})))
        .collect();
    let merges: Vec<_> = (0..2000).map(|_| json!("! !")).collect();
    let pieces = |vocab: Vec<Value>| {
        json!({"model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false}})
            .to_string()
    };
    let long = vec![json!(["<unk>", 0.0]), json!(["a".repeat(400_000), -1.0])];
    let towers = (1..3000).map(|n| json!(["a".repeat(n), -1.0]));
    let json = |what, parts| case("tokenizer_json", what, tokenizer(parts));
    vec![
        json("a chain that doubles a text", doubling),
        json("a thousand prefixes", prepends),
        json("a pattern of exponential time", split("(l+)+$|(o+)+x")),
        json("a pattern that looks behind", split("(?<=l*)(?=(?:l|l)*o)")),
        json("a large pattern", split("(?:(?:l{1000}){1000}){10}")),
        json("an empty charsmap", charsmap("")),
        json("a charsmap that is cut", charsmap("AAQA")),
        json("a charsmap that lies", charsmap("////fwAAAAA=")),
        json("pre-tokenisers in each other", json!({"pre_tokenizer": nested})),
        json(
            "merges of one pair",
            json!({"model": {"type": "BPE", "vocab": {"!": 0, "!!": 1}, "merges": merges}}),
        ),
        json(
            "a merge of nothing known",
            json!({"model": {"type": "BPE", "vocab": {"!": 0}, "merges": ["a b"]}}),
        ),
        json(
            "ids far apart",
            json!({"model": {"type": "BPE", "vocab": {"!": 4_294_967_295u32}, "merges": []}}),
        ),
        json(
            "an empty added token",
            json!({"added_tokens": [{"id": 1, "content": "", "special": true}]}),
        ),
        case("tokenizer_json", "a token of 400 KB", pieces(long)),
        case(
            "tokenizer_json",
            "3,000 nested tokens",
            pieces(std::iter::once(json!(["<unk>", 0.0])).chain(towers).collect()),
        ),
        case(
            "tokenizer_config",
            "100,000 added tokens",
            format!("0{}", json!({ "added_tokens_decoder": added })),
        ),
        case("tokenizer_text", "12 million spaces", " ".repeat(12_000_000)),
        case("tokenizer_text", "a million letters", "a".repeat(1_000_000)),
        case("tokenizer_text", "a million marks", "'".repeat(1_000_000)),
        case("tokenizer_text", "a million newlines", "\r\n".repeat(500_000)),
    ]
}

/// A GGUF file of version 3 without tensors, with one value.
fn gguf(key: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    let head = [b"GGUF".as_slice(), &3u32.to_le_bytes(), &0u64.to_le_bytes(), &1u64.to_le_bytes()];
    let key =
        [(key.len() as u64).to_le_bytes().as_slice(), key.as_bytes(), &kind.to_le_bytes()].concat();
    [head.concat(), key, value.to_vec()].concat()
}

fn gguf_array(kind: u32, count: u64, values: &[u8]) -> Vec<u8> {
    [kind.to_le_bytes().as_slice(), &count.to_le_bytes(), values].concat()
}

/// A pickle in a zip archive that stores it, as `torch.save` writes.
fn pickle(program: &[u8]) -> Vec<u8> {
    let bytes = [b"\x80\x02".as_slice(), program, b"."].concat();
    let (name, sum) = (b"a/data.pkl", super::targets::tiny_english::crc32(&bytes));
    let len = bytes.len() as u32;
    let of = |signature: &[u8], version: &[u8], rest: &[u8]| {
        let sizes = [sum.to_le_bytes(), len.to_le_bytes(), len.to_le_bytes()].concat();
        [signature, version, &[0; 8], &sizes, &[name.len() as u8, 0, 0, 0], rest, name].concat()
    };
    let local = of(b"PK\x03\x04", &[20, 0], &[]);
    let central = of(b"PK\x01\x02", &[20, 0, 20, 0], &[0; 14]);
    let end = [
        b"PK\x05\x06\0\0\0\0\x01\0\x01\0".as_slice(),
        &(central.len() as u32).to_le_bytes(),
        &((local.len() + bytes.len()) as u32).to_le_bytes(),
        &[0, 0],
    ];
    [local, bytes, central, end.concat()].concat()
}

fn files() -> Vec<Case> {
    // A tuple of itself twice, again and again.
    let doubling = [b")".as_slice(), &b"q\x00h\x00\x86".repeat(100_000)].concat();
    let towers = [b"(".repeat(500_000), b"t".repeat(500_000)].concat();
    let texts = [b"}(".as_slice(), &b"X\x01\0\0\0aK\x01".repeat(150_000), b"u"].concat();
    let nested = (0..100_000).fold(Vec::new(), |mut out: Vec<u8>, _| {
        out.extend(gguf_array(9, 1, &[]));
        out
    });
    let strings = [0u8; 8].repeat(500_000);
    let text = |number, text: &str| field(number, text.as_bytes());
    let node = |kind: &str, inputs: [&str; 2], output: &str| {
        let inputs: Vec<u8> = inputs.iter().flat_map(|input| text(1, input)).collect();
        field(1, &[inputs, text(2, output), text(4, kind)].concat())
    };
    let tensor = |name: &str, shape: &[u8], bytes: &[u8]| {
        let shape: Vec<u8> = shape.iter().flat_map(|length| [8, *length]).collect();
        field(5, &[shape, vec![16, 1], text(8, name), field(9, bytes)].concat())
    };
    let matrix = tensor("w", &[100, 100], &[0; 40_000]);
    let biases: Vec<u8> = (0..3000)
        .flat_map(|i| {
            let [bias, product] = [format!("b{i}.bias"), format!("m{i}")];
            [
                node("MatMul", ["x", "w"], &product),
                node("Add", [&product, &bias], &format!("y{i}")),
                tensor(&bias, &[1], &[0; 4]),
            ]
            .concat()
        })
        .collect();
    let header =
        |text: &str| [(text.len() as u64).to_le_bytes().as_slice(), text.as_bytes()].concat();
    let million: String = (0..200_000)
        .map(|i| format!("\"t{i}\":{{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}},"))
        .collect();
    let snac = include_str!("../../crane-sdk/tests/fixtures/snac24/config.json");
    let mut cases = vec![
        case("torch", "a tuple that doubles", pickle(&doubling)),
        case("torch", "tuples in each other", pickle(&towers)),
        case("torch", "a dictionary of one key", pickle(&texts)),
        case(
            "gguf",
            "8 MB of bytes as values",
            gguf("a", 9, &gguf_array(0, 8 << 20, &vec![0; 8 << 20])),
        ),
        case("gguf", "arrays in each other", gguf("a", 9, &nested)),
        case("gguf", "half a million empty texts", gguf("a", 9, &gguf_array(8, 500_000, &strings))),
        case(
            "gguf",
            "an array of more than there is",
            gguf("a", 9, &gguf_array(10, u64::MAX / 8, &[])),
        ),
        case(
            "onnx",
            "3,000 biases of one matrix",
            [vec![8, 8], field(7, &[matrix, biases].concat())].concat(),
        ),
        case(
            "safetensors",
            "200,000 tensors",
            header(&format!("{{{}}}", million.trim_end_matches(','))),
        ),
        case("yaml", "aliases", "a: &a [1]\nb: &b [*a, *a]\n"),
        case("yaml", "lists in each other", "[".repeat(100_000)),
        case(
            "yaml",
            "keys in each other",
            (0..500).map(|i| format!("{}a:\n", " ".repeat(i))).collect::<String>(),
        ),
    ];
    let numbers = [
        "sampling_rate",
        "encoder_dim",
        "decoder_dim",
        "codebook_size",
        "codebook_dim",
        "attn_window_size",
    ];
    for name in numbers {
        for value in [json!(0), json!(-1), json!(u64::MAX), json!(null)] {
            let mut config: Value = serde_json::from_str(snac).unwrap_or_default();
            config[name] = value;
            cases.push(case("codec_config", "a number of SNAC that cannot be", config.to_string()));
        }
    }
    cases
}

fn speech() -> Vec<Case> {
    let zeros = stored_gzip(&vec![b' '; 1 << 20]);
    vec![
        case("english_tables", "a table of spaces", [b"3".as_slice(), &zeros].concat()),
        case(
            "english_tables",
            "a network that spells too much",
            r#"5{"in": [], "out": [], "maxlen": 99999999999}"#,
        ),
        case("english_text", "numerals that are no digits", "x² a½ Ⅷb b٣c ¹ ²³ x①"),
        case("english_text", "hyphens", "a-".repeat(100)),
        case("english_text", "brackets", "[".repeat(250)),
        case("english_text", "numbers", "1,".repeat(500)),
        case("english_text", "marks", ".".repeat(250)),
    ]
}
