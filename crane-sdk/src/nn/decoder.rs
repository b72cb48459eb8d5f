//! The shared decoder: runs every model that a [`DecoderSpec`] describes.

use candle_core::{DType, Device, Tensor};

use super::attention::Run;
use super::views::{is_host, with_slice};
use super::{Attention, DecoderSpec, Embedding, KvCache, Linear, Matrix, Mlp, RmsNorm, Rope};
use crate::finite::all_finite;
use crate::kernels::attention::KvType;
use crate::models::{CausalLm, LogitsRows, Observer, Segment};
use crate::weights::Weights;
use crate::{Error, Result};

/// A decoder-only transformer with its weights.
#[derive(Debug)]
pub struct Decoder {
    spec: DecoderSpec,
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Matrix,
    rope: Rope,
    kv_type: KvType,
    device: Device,
}

#[derive(Debug)]
struct Layer {
    input_norm: RmsNorm,
    attention: Attention,
    mlp_norm: RmsNorm,
    mlp: Mlp,
}

impl Decoder {
    /// Takes the weights that `spec` calls for, under their Hugging Face names.
    ///
    /// # Errors
    /// [`Error::Weights`] if a tensor is missing, has another shape, or has no place in the spec.
    pub fn load(spec: DecoderSpec, weights: &Weights<'_>) -> Result<Self> {
        spec.check(weights.label())?;
        let (hidden, vocab) = (spec.hidden_size, spec.vocab_size);
        let mut rope = Rope::new(spec.head_dim, spec.rope_theta, &spec.rope_scaling);
        if let Some(factors) = weights.rope_factors()? {
            rope.divide(&factors, weights.label())?;
        }
        rope.check(weights.label())?;
        let tied = spec.tied_embeddings;
        // The largest matrices first, while little else is held: what a matrix is made from takes memory too.
        let embedding = weights.embedding("model.embed_tokens.weight", vocab, hidden, tied)?;
        let embedding = Embedding::new(embedding, vocab);
        let head = if tied {
            weights.ignore("lm_head.weight");
            embedding.table().clone()
        } else {
            weights.head("lm_head.weight", vocab, hidden)?
        };
        let mut layers = Vec::with_capacity(spec.layers);
        for index in 0..spec.layers {
            layers.push(Layer::load(&spec, index, weights)?);
        }
        let norm = RmsNorm::new(weights.vector("model.norm.weight", hidden)?, spec.norm_eps);
        weights.finish()?;
        let (device, kv_type) = (weights.device().clone(), weights.kv_type());
        Ok(Self { spec, embedding, layers, norm, head, rope, kv_type, device })
    }

    /// The numbers that describe the network.
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// The rotary frequencies in use, `[head_dim / 2]`.
    pub fn inv_freq(&self) -> &[f32] {
        self.rope.inv_freq()
    }
}

impl Layer {
    fn load(spec: &DecoderSpec, index: usize, weights: &Weights<'_>) -> Result<Self> {
        let (hidden, wide) = (spec.hidden_size, spec.intermediate_size);
        let (q_width, kv_width) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
        let name = |part: &str| format!("model.layers.{index}.{part}");
        let norm = |part: &str, width: usize| -> Result<RmsNorm> {
            Ok(RmsNorm::new(weights.vector(&name(part), width)?, spec.norm_eps))
        };
        let linear = |part: &str, outputs: usize, inputs: usize, bias: bool| -> Result<Linear> {
            weights.linear(&name(part), outputs, inputs, bias)
        };
        let qk_norm = if spec.qk_norm {
            let q_norm = norm("self_attn.q_norm.weight", spec.head_dim)?;
            Some((q_norm, norm("self_attn.k_norm.weight", spec.head_dim)?))
        } else {
            None
        };
        Ok(Self {
            input_norm: norm("input_layernorm.weight", hidden)?,
            attention: Attention {
                q: linear("self_attn.q_proj", q_width, hidden, spec.qkv_bias)?,
                k: linear("self_attn.k_proj", kv_width, hidden, spec.qkv_bias)?,
                v: linear("self_attn.v_proj", kv_width, hidden, spec.qkv_bias)?,
                o: linear("self_attn.o_proj", hidden, q_width, spec.o_bias)?,
                qk_norm,
                heads: spec.heads,
                kv_heads: spec.kv_heads,
                head_dim: spec.head_dim,
                window: spec.windows.get(index).copied().flatten(),
            },
            mlp_norm: norm("post_attention_layernorm.weight", hidden)?,
            mlp: Mlp {
                gate: linear("mlp.gate_proj", wide, hidden, spec.mlp_bias)?,
                up: linear("mlp.up_proj", wide, hidden, spec.mlp_bias)?,
                down: linear("mlp.down_proj", hidden, wide, spec.mlp_bias)?,
            },
        })
    }
}

impl CausalLm for Decoder {
    fn vocab_size(&self) -> usize {
        self.spec.vocab_size
    }

    fn context_length(&self) -> usize {
        self.spec.context_length
    }

    fn device(&self) -> &Device {
        &self.device
    }

    fn new_cache(&self, capacity: usize) -> Result<KvCache> {
        let DecoderSpec { layers, kv_heads, head_dim, context_length, .. } = self.spec;
        if capacity > context_length {
            return Err(Error::argument(
                "context",
                format_args!(
                    "{capacity} is more than the {context_length} tokens the model was made for"
                ),
            ));
        }
        KvCache::new(layers, kv_heads, head_dim, capacity, self.kv_type, &self.device)
    }

    fn hidden(&self, batch: &mut [Segment<'_>]) -> Result<Tensor> {
        self.hidden_observed(batch, &mut |_, _| Ok(()))
    }

    fn hidden_observed(
        &self,
        batch: &mut [Segment<'_>],
        observe: &mut Observer<'_>,
    ) -> Result<Tensor> {
        match self.states(batch, observe)? {
            Some(states) => Ok(states),
            None => Ok(Tensor::zeros((0, self.spec.hidden_size), DType::F32, &self.device)?),
        }
    }

    fn forward_observed(
        &self,
        batch: &mut [Segment<'_>],
        observe: &mut Observer<'_>,
    ) -> Result<Tensor> {
        match self.states(batch, observe)? {
            Some(states) => {
                let logits = self.head.forward(&states)?; // [wanted, vocab]
                self.mark(&states, logits)
            }
            None => Ok(Tensor::zeros((0, self.spec.vocab_size), DType::F32, &self.device)?),
        }
    }
}

impl Decoder {
    /// Makes NaN of the logits of a row whose hidden states are not finite: products with quantised weights round such
    /// states to numbers, and the logits would look sound. It is one look at each state, the smallest part of a pass.
    fn mark(&self, states: &Tensor, logits: Tensor) -> Result<Tensor> {
        if !is_host(&self.device) {
            return Ok(logits);
        }
        let width = self.spec.hidden_size.max(1);
        let rows = |x: &[f32]| x.chunks_exact(width).map(all_finite).collect::<Vec<bool>>();
        if with_slice::<f32, _>(states, all_finite)? {
            return Ok(logits);
        }
        let sound = with_slice::<f32, _>(states, rows)?;
        let mut marked = logits.flatten_all()?.to_vec1::<f32>()?;
        for (row, sound) in marked.chunks_exact_mut(self.spec.vocab_size).zip(sound) {
            if !sound {
                row.fill(f32::NAN);
            }
        }
        Ok(Tensor::from_vec(marked, logits.shape(), &self.device)?)
    }

    /// What the head reads, `[wanted, hidden]`; `None` if no row was asked for.
    fn states(
        &self,
        batch: &mut [Segment<'_>],
        observe: &mut Observer<'_>,
    ) -> Result<Option<Tensor>> {
        let mut ids = Vec::new();
        let mut positions = Vec::new();
        let mut wanted = Vec::new();
        let mut runs = Vec::with_capacity(batch.len());
        for segment in batch.iter_mut() {
            let (start, len) = (ids.len(), segment.tokens.len());
            match segment.logits {
                LogitsRows::All => wanted.extend((start..start + len).map(|row| row as u32)),
                LogitsRows::Last if len > 0 => wanted.push((start + len - 1) as u32),
                LogitsRows::Last | LogitsRows::None => {}
            }
            if len == 0 {
                continue;
            }
            segment.cache.reserve(len)?;
            ids.extend_from_slice(segment.tokens);
            positions.extend(segment.cache.len()..segment.cache.len() + len);
            runs.push(Run::new(start, len, segment.cache));
        }
        if ids.is_empty() {
            return Ok(None);
        }

        let mut x = self.embedding.forward(&ids)?; // [rows, hidden]
        observe(0, &x)?;
        let angles = self.rope.angles(&positions, &self.device)?;
        // What the last layer added, not yet part of x: it is added together with the next norm.
        let mut added: Option<Tensor> = None; // [rows, hidden]
        for (index, layer) in self.layers.iter().enumerate() {
            let normed = match added.take() {
                None => layer.input_norm.forward(&x)?,
                Some(delta) => {
                    let (sum, normed) = layer.input_norm.forward_residual(&x, &delta)?;
                    x = sum;
                    observe(index, &x)?;
                    normed
                }
            };
            let delta = layer.attention.forward(index, &normed, &angles, &mut runs)?;
            let (sum, normed) = layer.mlp_norm.forward_residual(&x, &delta)?;
            x = sum;
            added = Some(layer.mlp.forward(&normed)?);
        }
        for run in &mut runs {
            run.cache.advance(run.len);
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        if wanted.len() < ids.len() {
            // The head, and the norm before it, see only the rows that need logits.
            let rows = Tensor::new(wanted.as_slice(), &self.device)?;
            x = x.index_select(&rows, 0)?;
            added = added.map(|delta| delta.index_select(&rows, 0)).transpose()?;
        }
        let x = match added {
            None => self.norm.forward(&x)?,
            Some(delta) => self.norm.forward_residual(&x, &delta)?.1,
        };
        observe(self.layers.len(), &x)?;
        Ok(Some(x))
    }
}
