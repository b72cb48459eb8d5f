#!/usr/bin/env python3
"""Writes the fuzz targets' seeds: small whole files of each format, some from the test fixtures."""
import gzip
import io
import json
import struct
import zipfile
from pathlib import Path

FUZZ = Path(__file__).parent
FIXTURES = FUZZ.parent / "crane-sdk/tests/fixtures"


def seed(target: str, name: str, data: bytes | str) -> None:
    path = FUZZ / "seeds" / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def safetensors(tensors: dict[str, tuple[str, list[int], bytes]], metadata: dict | None = None) -> bytes:
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, raw) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def torch_archive(tensors: list[tuple[str, int, tuple[int, ...], tuple[int, ...]]]) -> bytes:
    """A state dictionary as torch.save writes it, all tensors in one storage: name, offset, shape, strides."""
    text = lambda text: b"X" + struct.pack("<I", len(text)) + text.encode()
    numbers = lambda values: b"(" + b"".join(b"K" + bytes([value]) for value in values) + b"t"
    storage = b"((" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"K\x08tQ"
    hooks = b"\x89ccollections\nOrderedDict\n)Rt"
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n"
    entries = b"".join(
        text(name) + rebuild + storage + b"K" + bytes([offset]) + numbers(shape) + numbers(strides) + hooks + b"R"
        for name, offset, shape, strides in tensors
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in (
            ("data.pkl", b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(" + entries + b"u."),
            ("byteorder", b"little"),
            ("data/0", struct.pack("<8f", *range(8))),
        ):
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), data)
    return file.getvalue()


def onnx_model(nodes: list[tuple[str, list[str], str]], tensors: list[tuple[str, list[int], int, bytes]]) -> bytes:
    """A ModelProto of a graph: nodes as kind, inputs, output; tensors as name, shape, type, bytes."""
    number = lambda field, value: bytes([field << 3, value])
    block = lambda field, data: bytes([field << 3 | 2]) + (bytes([len(data) & 127 | 128, len(data) >> 7])) + data
    text = lambda field, text: block(field, text.encode())
    graph = b"".join(
        block(1, b"".join(text(1, name) for name in inputs) + text(2, output) + text(4, kind)) for kind, inputs, output in nodes
    )
    graph += b"".join(
        block(5, b"".join(number(1, length) for length in shape) + number(2, kind) + text(8, name) + block(9, data))
        for name, shape, kind, data in tensors
    )
    return number(1, 8) + block(7, graph)


# GGUF value types, by their Python spelling here
U32, F32, BOOL, STRING, ARRAY, U64, I32 = 4, 6, 7, 8, 9, 10, 5


def gguf_string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def gguf_value(kind: int, value) -> bytes:
    if kind == STRING:
        return gguf_string(value)
    return struct.pack({U32: "<I", F32: "<f", BOOL: "<B", U64: "<Q", I32: "<i"}[kind], value)


def gguf_pair(key: str, kind, value) -> bytes:
    if isinstance(kind, tuple):
        of = kind[1]
        body = struct.pack("<IIQ", ARRAY, of, len(value)) + b"".join(gguf_value(of, v) for v in value)
    else:
        body = struct.pack("<I", kind) + gguf_value(kind, value)
    return gguf_string(key) + body


def gguf(pairs: list, tensors: dict[str, tuple[list[int], int, bytes]]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs))
    head += b"".join(gguf_pair(*pair) for pair in pairs)
    data = b""
    for name, (shape, kind, raw) in tensors.items():
        data += b"\0" * (-len(data) % 32)
        head += gguf_string(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", n) for n in reversed(shape)) + struct.pack("<IQ", kind, len(data))
        data += raw
    return head + b"\0" * (-len(head) % 32) + data


def byte_alphabet() -> list[str]:
    """The characters that stand for the 256 bytes in byte-level BPE."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    return [chr(b) for b in printable] + [chr(256 + i) for i in range(len(others))]


def tokenizer_pairs(pre: str) -> list:
    tokens = [*byte_alphabet(), "he", "ll", "llo", "hello", "<|im_start|>", "<|im_end|>"]
    control = {len(tokens) - 1, len(tokens) - 2}
    return [
        ("tokenizer.ggml.model", STRING, "gpt2"),
        ("tokenizer.ggml.pre", STRING, pre),
        ("tokenizer.ggml.tokens", (ARRAY, STRING), tokens),
        ("tokenizer.ggml.token_type", (ARRAY, I32), [3 if i in control else 1 for i in range(len(tokens))]),
        ("tokenizer.ggml.merges", (ARRAY, STRING), ["h e", "l l", "ll o", "he llo"]),
        ("tokenizer.ggml.bos_token_id", U32, len(tokens) - 2),
        ("tokenizer.ggml.eos_token_id", U32, len(tokens) - 1),
        ("tokenizer.ggml.add_bos_token", BOOL, False),
        ("tokenizer.chat_template", STRING, CHATML),
    ]


def llama_gguf() -> bytes:
    """A whole model: one layer, width 32, every weight zero but the norms."""
    width, inner, vocabulary = 32, 64, 262
    config = [
        ("general.architecture", STRING, "llama"),
        ("llama.context_length", U32, 128),
        ("llama.embedding_length", U32, width),
        ("llama.block_count", U32, 1),
        ("llama.feed_forward_length", U32, inner),
        ("llama.attention.head_count", U32, 2),
        ("llama.attention.head_count_kv", U32, 1),
        ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        ("llama.rope.dimension_count", U32, 16),
        ("llama.rope.freq_base", F32, 10000.0),
        ("llama.vocab_size", U32, vocabulary),
    ]

    def q8_0(*shape: int) -> tuple[list[int], int, bytes]:
        return list(shape), 8, b"\0" * (34 * shape[0] * shape[1] // 32)

    ones = ([width], 0, struct.pack(f"<{width}f", *[1.0] * width))
    tensors = {
        "token_embd.weight": q8_0(vocabulary, width),
        "output_norm.weight": ones,
        "blk.0.attn_norm.weight": ones,
        "blk.0.attn_q.weight": q8_0(width, width),
        "blk.0.attn_k.weight": q8_0(width // 2, width),
        "blk.0.attn_v.weight": q8_0(width // 2, width),
        "blk.0.attn_output.weight": q8_0(width, width),
        "blk.0.ffn_norm.weight": ones,
        "blk.0.ffn_gate.weight": q8_0(inner, width),
        "blk.0.ffn_up.weight": q8_0(inner, width),
        "blk.0.ffn_down.weight": q8_0(width, inner),
    }
    return gguf(config + tokenizer_pairs("smollm"), tensors)


CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content']"
    " + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
TOOLS = """{%- set ns = namespace(last=0, system='') -%}
{%- if messages[0].role == 'system' %}{% set ns.system = messages[0].content | trim %}{% endif -%}
{%- macro shown(message, depth=0) -%}[{{ message.role | upper }}] {{ message.content.split('\\n')[-1].strip() }}{%- endmacro -%}
{{- bos_token }}{% if tools %}{{ tools | tojson(indent=2) }}{% endif -%}
{%- for message in messages[1:] %}{% if loop.index0 % 2 == 1 and message.role not in ['user', 'tool'] %}
{{- shown(message, depth=loop.depth) }}{% else %}{{ message.content[:5] ~ message.content[::-1] }}{% endif %}{% endfor -%}
{%- if not messages %}{{ raise_exception('no messages') }}{% endif -%}
{{- ns.system.replace('a', 'b').startswith('B') }}{{ range(3) | list | join(',') }}{{ eos_token }}"""

CALL = {"id": "c", "type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}}}}
TALK = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "1 + 1?"}]}]
ANSWER = [{"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "content": "2", "tool_call_id": "c"}]
PROPERTIES = {"name": {"type": "string", "maxLength": 9, "pattern": "^[a-z]+$"}, "n": {"type": "integer", "minimum": 1, "maximum": 99}}
SCHEMA = {"type": "object", "properties": PROPERTIES, "required": ["name"], "additionalProperties": False}


def library_seeds() -> None:
    for name in ("config.json", "1_Pooling/config.json", "modules.json", "sentence_bert_config.json"):
        kind = ("config.json", "1_Pooling/config.json", "modules.json", "sentence_bert_config.json").index(name)
        seed("encoder_config", name.replace("/", "_"), str(kind).encode() + (FIXTURES / "bert" / name).read_bytes())
    seed("encoder_config", "xlm_roberta", b"0" + (FIXTURES / "xlm_roberta/config.json").read_bytes())
    for name in ("snac24", "snac_attn"):
        seed("codec_config", name, (FIXTURES / name / "config.json").read_bytes())
    seed("yaml", "bicodec", (FIXTURES / "sparktts/BiCodec/config.yaml").read_bytes())
    seed("yaml", "notations", "a: &x [1, 2.5, ~, 'b', \"c\\n\", {d: !!str 1}]\nb: |\n  long\n  text\nc: >-\n  folded\n? k\n: v\n---\n...\n")

    for name in ("qwen2_tied", "llama32"):
        seed("tokenizer_config", name, b"0" + (FIXTURES / name / "tokenizer_config.json").read_bytes())
    added = {"0": {"content": "<s>", "lstrip": False, "normalized": False, "rstrip": True, "single_word": False, "special": True}}
    seed("tokenizer_config", "added", "0" + json.dumps({"added_tokens_decoder": added, "bos_token": "<s>", "chat_template": CHATML}))
    seed("tokenizer_config", "map", '1{"bos_token": {"content": "<s>"}, "eos_token": "</s>", "additional_special_tokens": ["<x>"]}')
    seed("tokenizer_config", "processor", "2" + json.dumps({"chat_template": [{"name": "default", "template": CHATML}]}))
    seed("tokenizer_text", "scripts", "Hello, wörld!  世界 🦀 <|im_start|> 12345\r\n\n\t x's I'll don't e\u0301")
    seed("tokenizer_text", "runs", " " * 300 + "a" * 300 + "\n" * 100 + "1" * 100 + "''" * 50)

    seed("conversation", "tools", json.dumps({"messages": TALK + ANSWER, "tools": [TOOL], "extra": {"enable_thinking": False}}))
    seed("conversation", "documents", json.dumps({"messages": TALK, "documents": [{"title": "A", "text": "b"}], "continue": 1}))

    seed("grammar", "regex", r"0(a|bc)+[0-9]{2,5}\.?(?i:x)")
    seed("grammar", "lark", '1start: item ("," item)*\nitem: WORD | "(" start ")"\nWORD: /[a-z]+/\n%ignore " "\n')
    seed("grammar", "tagged", '2{"type": "json_schema", "value": {"type": "array", "items": {"type": "integer"}, "maxItems": 3}}')
    seed("schema", "object", json.dumps(SCHEMA))
    tree = {"$defs": {"t": {"type": "object", "properties": {"l": {"$ref": "#/$defs/t"}, "k": {"enum": ["a", 1, None]}}}}, "$ref": "#/$defs/t"}
    seed("schema", "tree", json.dumps(tree))
    kinds = {"anyOf": [{"type": "number", "multipleOf": 5}, {"const": {"a": [1]}}, {"type": "array", "prefixItems": [{}], "minItems": 1}]}
    seed("schema", "kinds", json.dumps(kinds))

    seed("voice_json", "voices", '0{"a": {"file": "v.onnx", "bundled": true}, "b": {"file": "x/y.onnx", "british": true}}')
    seed("voice_json", "vocabulary", '1{"a": 1, "b": 2, "ə": 3, " ": 16}')
    normalize = {"months": {"jan": "January"}, "titles": {"dr": "Doctor"}, "abbreviations": {"e.g.": "for example"}}
    normalize |= {"units": {"kg": ["kilogram", "kilograms"]}, "symbols": {"&": "and"}, "currency": {"$": ["dollar", "cent"]}}
    seed("english_tables", "normalize", "0" + json.dumps(normalize | {"roman_cardinal": ["chapter"], "roman_ordinal": ["king"]}))
    seed("english_tables", "exceptions", '1{"don\'t": ["do", "n\'t"]}')
    tagger = {"tags": ["NN", "VB"], "tagdict": {"the": "DT"}, "vocab": ["well"], "weights": {"bias": {"NN": 1.0}}}
    packed = lambda value: gzip.compress(json.dumps(value).encode(), mtime=0)
    seed("english_tables", "tagger", b"2" + packed(tagger))
    seed("english_tables", "lexicon", b"3" + packed({"hello": "həlˈO", "the": {"DEFAULT": "ðə", "None": "ði"}}))
    seed("english_tables", "alphabet", '5{"in": ["a", "b"], "out": ["a", "b", "ə", "n", "t"], "maxlen": 16}')
    prose = "Dr. Smith's 2nd visit, on 3/4/1999 at 10:30 p.m., cost $3.50 (~£2m)! King Henry VIII read chapter IV: 1,234.5 kg."
    seed("english_text", "numbers", prose)
    seed("english_text", "marks", "[Crane](/kɹˈAn/) don't e-mail re-re-reading -- \"well-known\"... 50% of #1 & 3/4 555-1234 I'd x² 12:60 Ⅷ")


def native_seeds() -> None:
    bodies = {
        "0": {"messages": TALK + ANSWER, "tools": [TOOL], "max_tokens": 5, "stop": ["a"], "logit_bias": {"1": -100}, "stream": True},
        "1": {"prompt": ["a", "b"], "max_tokens": 3, "logprobs": 2, "n": 2, "temperature": 0.5},
        "2": {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}], "text": {"format": {"type": "json_object"}}},
        "3": {"max_tokens": 3, "system": [{"type": "text", "text": "x"}], "messages": [{"role": "user", "content": "x"}], "stop_sequences": ["a"]},
        "4": {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "2"}]}]},
        "5": {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 4},
        "6": {"input": "Hello.", "voice": "a", "response_format": "wav", "speed": 1.5},
        "7": {"content": "x", "add_special": True, "with_pieces": True},
        "8": {"tokens": [1, 2, 3]},
        "9": {"messages": TALK, "chat_template_kwargs": {"a": [1]}, "add_generation_prompt": False},
        "a": {"messages": [{"role": "user", "content": "x", "images": []}, {"role": "tool", "content": "2", "tool_name": "t"}], "options": {"seed": -1, "stop": ["a"], "num_ctx": 8}, "keep_alive": "1h5m", "think": "low"},
        "b": {"prompt": "x", "system": "y", "context": [1, 2], "format": {"type": "integer"}, "suffix": "", "raw": False},
        "c": {"input": ["a", "b"], "truncate": False, "dimensions": 4, "options": {"temperature": None}},
        "d": {"prompt": "a", "keep_alive": -1},
        "e": {"name": "m", "verbose": True, "system": "", "options": {}},
    }
    for route, body in bodies.items():
        seed("request", route, route + json.dumps(body))
    form = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": SCHEMA}}
    seed("request", "form", "0" + json.dumps({"messages": TALK, "response_format": form, "tool_choice": "auto", "user": "u"}))

    def zipped(method: int) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, data in (("m/voices.json", b"{}" * 50), ("m/vocab.json", b"{}"), ("m.dist-info/RECORD", b"")):
                archive.writestr(zipfile.ZipInfo(name), data, compress_type=method)
        return file.getvalue()

    seed("wheel", "stored", zipped(zipfile.ZIP_STORED))
    seed("wheel", "deflated", zipped(zipfile.ZIP_DEFLATED))

    def riff(kind: int, channels: int, bits: int, data: bytes) -> bytes:
        rate, block = 16000, channels * bits // 8
        body = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, kind, channels, rate, rate * block, block, bits)
        body += b"LIST" + struct.pack("<I", 4) + b"INFO" + b"data" + struct.pack("<I", len(data)) + data
        return b"RIFF" + struct.pack("<I", len(body)) + body

    seed("wav", "mono", riff(1, 1, 16, struct.pack("<4h", 0, 1, -1, 32767)))
    seed("wav", "stereo", riff(1, 2, 24, bytes(12)))
    seed("wav", "floats", riff(3, 1, 32, struct.pack("<2f", 0.5, -1)))

    commit = "0123456789abcdef" * 2 + "01234567"
    files = [{"rfilename": name} for name in ("config.json", "model.safetensors", "m-Q4_K_M.gguf", "../x", "a/b.json")]
    seed("hub", "list", "0" + json.dumps({"sha": commit, "siblings": files}))
    head = f'HTTP/1.1 200 OK\r\netag: W/"{"a" * 40}"\r\nx-repo-commit: {commit}\r\ncontent-length: 2\r\nx-linked-size: 2\r\n\r\n'
    seed("hub", "headers", "1" + head)
    seed("hub", "redirect", "1HTTP/1.1 302 Found\r\nlocation: /a/b/resolve/main/c\r\nx-linked-etag: \"b\"\r\ncontent-length: 0\r\n\r\n")
    seed("hub", "bytes", "2HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
    seed("hub", "name", "3Qwen/Qwen2.5-0.5B-Instruct-GGUF@main:Q4_K_M")


def main() -> None:
    f32 = struct.pack("<6f", *range(6))
    seed("safetensors", "two", safetensors({"a": ("F32", [2, 3], f32), "b": ("BF16", [4], b"\0" * 8)}, {"format": "pt"}))
    seed("safetensors", "empty", safetensors({}))
    seed("safetensors", "scalar", safetensors({"s": ("F16", [], b"\0\0"), "i": ("I64", [1], b"\0" * 8)}))
    tiny = (FIXTURES / "qwen2_tied/model.safetensors").read_bytes()
    seed("safetensors", "head_of_a_model", tiny[: 8 + struct.unpack("<Q", tiny[:8])[0]])

    weight_map = {"model.embed_tokens.weight": "a.safetensors", "model.norm.weight": "a.safetensors"}
    seed("safetensors_index", "one_shard", json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    seed("safetensors_index", "missing_shard", json.dumps({"weight_map": {"model.norm.weight": "../b.safetensors"}}))

    seed("torch", "two", torch_archive([("a", 0, (2, 3), (3, 1)), ("b", 6, (2,), (1,))]))
    seed("torch", "transposed", torch_archive([("a", 0, (2, 3), (1, 2))]))

    bias = ("a.bias", [2], 1, struct.pack("<2f", 7, 8))
    quantised = [("Mul", ["xs", "s"], "scales"), ("MatMulInteger", ["x", "q", "xz", "z"], "i"), ("Cast", ["i"], "f")]
    quantised += [("Mul", ["f", "scales"], "y"), ("Add", ["a.bias", "y"], "out")]
    numbers = [("q", [3, 2], 3, bytes([1, 2, 3, 4, 5, 255])), ("s", [], 1, struct.pack("<f", 0.5)), ("z", [], 3, b"\0"), bias]
    seed("onnx", "quantised", onnx_model(quantised, numbers))
    floats = ("w", [2, 2], 1, struct.pack("<4f", 1, 2, 3, 4))
    seed("onnx", "floats", onnx_model([("MatMul", ["x", "w"], "m"), ("Add", ["m", "a.bias"], "y")], [floats, bias]))

    seed("gguf", "llama", llama_gguf())
    seed("gguf", "head_only", gguf([("general.architecture", STRING, "qwen2"), ("general.alignment", U32, 64)], {}))
    seed("gguf", "nested", gguf([("a", (ARRAY, U64), [1, 2]), ("b", (ARRAY, BOOL), [1, 0])], {"t": ([2, 2], 0, b"\0" * 16)}))
    for pre in ("smollm", "qwen2", "llama-bpe", "gpt-2", "default"):
        seed("tokenizer_gguf", pre, gguf(tokenizer_pairs(pre), {}))

    for name in ("qwen2_tied", "llama32", "qwen3"):
        seed("config", name, (FIXTURES / name / "config.json").read_bytes())
        seed("generation_config", name, (FIXTURES / name / "generation_config.json").read_bytes())
    sampling = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.1}
    seed("generation_config", "sampling", json.dumps(sampling | {"eos_token_id": [1, 2], "max_new_tokens": 64}))

    # The vocabulary is cut: a seed is a few kilobytes.
    for name in ("qwen2_tied", "llama32"):
        tokenizer = json.loads((FIXTURES / name / "tokenizer.json").read_text())
        model = tokenizer["model"]
        model["vocab"] = {token: i for token, i in model["vocab"].items() if i < 300}
        known = lambda merge: all(p in model["vocab"] for p in [*merge, "".join(merge)])
        pairs = [merge if isinstance(merge, list) else merge.split(" ") for merge in model["merges"]]
        model["merges"] = [merge for merge in pairs if known(merge)]
        seed("tokenizer_json", name, json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")))

    seed("chat_template", "chatml", CHATML)
    seed("chat_template", "tools", TOOLS)

    library_seeds()
    native_seeds()


if __name__ == "__main__":
    main()
