//! A language model that speaks in Orpheus's tokens, made by hand: after a code of one place of a frame it chooses one of the next.

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// Custom tokens of the real vocabulary.
const CUSTOM: usize = 7 * 4096 + 10;
/// Whole blocks for every quantisation to 32 numbers.
const WIDTH: usize = 32;
/// What a norm makes of a single 1 among zeros: √32.
const NORM: f32 = 5.656_854;

/// The names and bytes of the model's files, the codec's below `snac_24khz/`.
pub fn files() -> Vec<(String, Vec<u8>)> {
    let fixture = |name: &str| {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../crane-sdk/tests/fixtures");
        std::fs::read(format!("{root}/{name}")).unwrap()
    };
    let mut tokenizer: Value = serde_json::from_slice(&fixture("orpheus/tokenizer.json")).unwrap();
    let added = tokenizer["added_tokens"].as_array_mut().unwrap();
    let first = added.iter().find(|token| token["content"] == "<custom_token_0>").unwrap().clone();
    let base = first["id"].as_u64().unwrap() as usize;
    added.retain(|token| !token["content"].as_str().unwrap().starts_with("<custom_token_"));
    for number in 0..CUSTOM {
        let mut token = first.clone();
        token["id"] = json!(base + number);
        token["content"] = json!(format!("<custom_token_{number}>"));
        added.push(token);
    }
    let config = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "hidden_size": WIDTH, "intermediate_size": WIDTH, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "max_position_embeddings": 4096, "vocab_size": base + CUSTOM,
        "tie_word_embeddings": false, "torch_dtype": "float32"
    });
    [
        ("config.json", config.to_string().into_bytes()),
        ("tokenizer.json", tokenizer.to_string().into_bytes()),
        ("tokenizer_config.json", fixture("orpheus/tokenizer_config.json")),
        ("model.safetensors", weights(base)),
        ("snac_24khz/config.json", fixture("snac24/config.json")),
        ("snac_24khz/pytorch_model.bin", fixture("snac24/pytorch_model.bin")),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes))
    .into()
}

/// Layers add nothing, so that the last token alone decides: a token's embedding is its place in a frame, and the head answers a
/// place with the codes of the next one, or, one time in nine, the end after a whole frame.
fn weights(base: usize) -> Vec<u8> {
    let rows = base + CUSTOM;
    let place = |id: usize| id.checked_sub(base + 10).map(|number| number / 4096);
    let mut embedding = vec![0f32; rows * WIDTH];
    let mut head = vec![0f32; rows * WIDTH];
    for id in 0..rows {
        embedding[id * WIDTH + place(id).unwrap_or(7)] = 1.0;
        if let Some(place) = place(id) {
            let logit = 20.0 + ((id * 7919) % 1000) as f32 / 1250.0;
            head[id * WIDTH + (place + 6) % 7] = logit / NORM;
            if place == 0 {
                head[id * WIDTH + 7] = logit / NORM;
            }
        }
    }
    // At temperature 0.6: a mass of one eighth of the 4096 codes together.
    head[(base + 2) * WIDTH + 6] = (20.4 + 0.6 * (4096f32 / 8.0).ln()) / NORM;
    let square = vec![0f32; WIDTH * WIDTH];
    let ones = vec![1f32; WIDTH];
    let mut tensors = vec![
        ("model.embed_tokens.weight".to_owned(), vec![rows, WIDTH], embedding),
        ("lm_head.weight".to_owned(), vec![rows, WIDTH], head),
        ("model.norm.weight".to_owned(), vec![WIDTH], ones.clone()),
    ];
    let layer = |name: &str| format!("model.layers.0.{name}.weight");
    for name in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        tensors.push((layer(&format!("self_attn.{name}")), vec![WIDTH, WIDTH], square.clone()));
    }
    for name in ["gate_proj", "up_proj", "down_proj"] {
        tensors.push((layer(&format!("mlp.{name}")), vec![WIDTH, WIDTH], square.clone()));
    }
    for name in ["input_layernorm", "post_attention_layernorm"] {
        tensors.push((layer(name), vec![WIDTH], ones.clone()));
    }
    let bytes = |values: &[f32]| values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
    let data: Vec<Vec<u8>> = tensors.iter().map(|(_, _, values)| bytes(values)).collect();
    let views = tensors.iter().zip(&data).map(|((name, shape, _), bytes)| {
        (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    safetensors::serialize(views, None).unwrap()
}
