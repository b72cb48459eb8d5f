//! A language model that speaks in Spark-TTS's tokens, made by hand, with the codec of the fixture.

use crane_sdk::text::Tokenizer;
use safetensors::tensor::{Dtype, TensorView};

/// The names and bytes of the model's files.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let fixture = |name: &str| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../crane-sdk/tests/fixtures/sparktts");
        std::fs::read(format!("{root}/{name}")).unwrap()
    };
    let tokenizer = fixture("LLM/tokenizer.json");
    [
        ("BiCodec/config.yaml", fixture("BiCodec/config.yaml")),
        ("BiCodec/model.safetensors", fixture("BiCodec/model.safetensors")),
        ("LLM/config.json", CONFIG.as_bytes().to_vec()),
        ("LLM/model.safetensors", weights(&tokenizer)),
        ("LLM/tokenizer.json", tokenizer),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

const WIDTH: usize = 32;
const ROWS: usize = 1792;
const CONFIG: &str = r#"{"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 32,
    "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0, "max_position_embeddings": 4096, "vocab_size": 1792, "tie_word_embeddings": false,
    "use_sliding_window": false, "torch_dtype": "float32"}"#;

/// Layers add nothing, so that the last token alone decides: the end of the prompt is followed by a global token below 128, that
/// by one below 256 and so on, the eighth by semantic tokens, and those, one time in thirty or so, by the end.
fn weights(tokenizer: &[u8]) -> Vec<u8> {
    let tokenizer = Tokenizer::from_json(tokenizer, None).unwrap();
    let id = |token: &str| tokenizer.token_to_id(token).unwrap() as usize;
    let (mut embedding, mut head) = (vec![0f32; ROWS * WIDTH], vec![0f32; ROWS * WIDTH]);
    // The state that a token leads to, and the states that it follows with a logit; the norm makes √32 of a 1.
    let mut chain = |token: &str, to: usize, from: &[usize], logit: f32| {
        let row = id(token) * WIDTH;
        embedding[row + to] = 1.0;
        from.iter().for_each(|state| head[row + state] = logit / 32f32.sqrt());
    };
    chain("<|end_style_label|>", 0, &[], 0.0);
    chain("<|end_global_token|>", 8, &[], 0.0);
    for code in 0..1024 {
        let spread = (code * 7919 % 100) as f32 / 100.0;
        chain(&format!("<|bicodec_global_{code}|>"), code / 128 + 1, &[code / 128], 20.0 + spread);
    }
    for code in 0..256 {
        let spread = (code * 7919 % 100) as f32 / 100.0;
        chain(&format!("<|bicodec_semantic_{code}|>"), 9, &[8, 9], 20.0 + spread);
    }
    chain("<|im_end|>", 10, &[9], 21.0);
    let (square, ones) = (vec![0f32; WIDTH * WIDTH], vec![1f32; WIDTH]);
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![ROWS, WIDTH], embedding),
        ("lm_head.weight".to_owned(), vec![ROWS, WIDTH], head),
        ("model.norm.weight".to_owned(), vec![WIDTH], ones.clone()),
    ];
    let layer = |name: &str| format!("model.layers.0.{name}");
    for name in ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"] {
        tensors.push((layer(&format!("{name}.bias")), vec![WIDTH], vec![0.0; WIDTH]));
    }
    for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        tensors.push((layer(&format!("self_attn.{name}.weight")), vec![WIDTH; 2], square.clone()));
    }
    for name in ["gate_proj", "up_proj", "down_proj"] {
        tensors.push((layer(&format!("mlp.{name}.weight")), vec![WIDTH; 2], square.clone()));
    }
    for name in ["input_layernorm", "post_attention_layernorm"] {
        tensors.push((layer(&format!("{name}.weight")), vec![WIDTH], ones.clone()));
    }
    let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| bytes(values)).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape, _), bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}
