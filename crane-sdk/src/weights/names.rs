//! Which name a tensor has in which format, and which formats store its rows in another order.

use std::borrow::Cow;

use crate::{Error, Result};

/// How a checkpoint names and orders its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// As transformers does.
    HuggingFace,
    /// As ggml does.
    Gguf,
    /// As ggml does, with the rows of q and k stored for adjacent-pair RoPE.
    GgufPermuted {
        /// Query heads.
        heads: usize,
        /// Key heads.
        kv_heads: usize,
    },
    /// As ggml does for encoders of the BERT family.
    GgufEncoder,
}

/// Hugging Face names of an encoder and their GGUF twins.
const ENCODER_NAMES: [(&str, &str); 4] = [
    ("embeddings.word_embeddings", "token_embd"),
    ("embeddings.position_embeddings", "position_embd"),
    ("embeddings.token_type_embeddings", "token_types"),
    ("embeddings.LayerNorm", "token_embd_norm"),
];

/// The same of the parts of its layers.
const ENCODER_PARTS: [(&str, &str); 8] = [
    ("attention.self.query", "attn_q"),
    ("attention.self.key", "attn_k"),
    ("attention.self.value", "attn_v"),
    ("attention.output.dense", "attn_output"),
    ("attention.output.LayerNorm", "attn_output_norm"),
    ("intermediate.dense", "ffn_up"),
    ("output.dense", "ffn_down"),
    ("output.LayerNorm", "layer_output_norm"),
];

/// Hugging Face parts of a layer's names and their GGUF twins.
const LAYER_PARTS: [(&str, &str); 11] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

impl Naming {
    /// The checkpoint's name for a tensor that transformers calls `name`.
    pub fn stored(&self, name: &str) -> String {
        match self {
            Naming::HuggingFace => return name.to_owned(),
            Naming::GgufEncoder => return encoder_twin(name).unwrap_or_else(|| name.to_owned()),
            Naming::Gguf | Naming::GgufPermuted { .. } => {}
        }
        match name {
            "model.embed_tokens.weight" => return "token_embd.weight".to_owned(),
            "model.norm.weight" => return "output_norm.weight".to_owned(),
            "lm_head.weight" => return "output.weight".to_owned(),
            _ => {}
        }
        let layer = name.strip_prefix("model.layers.").and_then(|rest| rest.split_once('.'));
        let parts = layer.and_then(|(index, rest)| Some((index, rest.rsplit_once('.')?)));
        if let Some((index, (part, kind))) = parts
            && let Some((_, twin)) = LAYER_PARTS.iter().find(|(known, _)| *known == part)
        {
            return format!("blk.{index}.{twin}.{kind}");
        }
        name.to_owned()
    }

    /// Whether [`Naming::reorder`] changes a tensor.
    pub(super) fn reorders(&self, name: &str) -> bool {
        matches!(self, Naming::GgufPermuted { .. })
            && (name.contains("self_attn.q_proj.") || name.contains("self_attn.k_proj."))
    }

    /// The bytes of tensor `name` of `rows` rows in transformers' order.
    ///
    /// Where the converter interleaved the two halves of each head, row 2i + j of a head goes back to
    /// row j · head_dim/2 + i.
    pub(super) fn reorder<'b>(
        &self,
        name: &str,
        bytes: Cow<'b, [u8]>,
        rows: usize,
    ) -> Result<Cow<'b, [u8]>> {
        let Naming::GgufPermuted { heads, kv_heads } = *self else {
            return Ok(bytes);
        };
        let heads = match name {
            _ if name.contains("self_attn.q_proj.") => heads,
            _ if name.contains("self_attn.k_proj.") => kv_heads,
            _ => return Ok(bytes),
        };
        let whole = rows > 0 && rows.is_multiple_of(2 * heads) && bytes.len().is_multiple_of(rows);
        if !whole {
            let reason = format_args!("{rows} rows cannot be shared by {heads} heads");
            return Err(Error::invalid_file(name, reason));
        }
        let (row_bytes, half) = (bytes.len() / rows, rows / heads / 2);
        let mut ordered = Vec::with_capacity(bytes.len());
        for head in 0..heads {
            for j in 0..2 {
                for i in 0..half {
                    let row = head * 2 * half + 2 * i + j;
                    ordered.extend_from_slice(&bytes[row * row_bytes..(row + 1) * row_bytes]);
                }
            }
        }
        Ok(Cow::Owned(ordered))
    }
}

/// What ggml calls an encoder's tensor.
fn encoder_twin(name: &str) -> Option<String> {
    let (module, kind) = name.rsplit_once('.')?;
    let of = |names: &[(&str, &'static str)], module: &str| {
        names.iter().find(|(known, _)| *known == module).map(|(_, twin)| *twin)
    };
    if let Some(twin) = of(&ENCODER_NAMES, module) {
        return Some(format!("{twin}.{kind}"));
    }
    let (index, part) = module.strip_prefix("encoder.layer.")?.split_once('.')?;
    Some(format!("blk.{index}.{}.{kind}", of(&ENCODER_PARTS, part)?))
}

/// Whether a tensor can be derived from the config, so that models may leave it unread.
pub(super) fn derived(name: &str) -> bool {
    name.ends_with("rotary_emb.inv_freq")
}
