//! Texts in, vectors out.

use std::sync::Arc;

use super::sentence_config::SentenceConfig;
use crate::generate::{CancelToken, Pooling, embed, pooled};
use crate::models::{LoadOptions, LoadedModel, ModelInfo, Room, TextEncoder, load_within};
use crate::source::Source;
use crate::text::Tokenizer;
use crate::{Error, Result};

/// Tokens that are evaluated at once, about: enough to use each weight often, few enough for a cache.
const PASS: usize = 512;

/// A model that turns texts into vectors of length 1: the closer two texts are in meaning, the larger the
/// [dot product](Embedder::similarity) of their vectors.
///
/// Encoders of the BERT family (all-MiniLM-L6-v2, bge, e5, gte) are pooled as their authors say in the files of
/// sentence-transformers; of a decoder the mean of the hidden states is taken.
///
/// ```
/// # let file = |name: &str| std::fs::read(format!("tests/fixtures/bert/{name}")).unwrap_or_default();
/// # let names = ["config.json", "model.safetensors", "tokenizer.json", "modules.json", "1_Pooling/config.json"];
/// # let source = names.iter().fold(crane_sdk::source::MemorySource::new("tiny"), |source, name| source.with(*name, file(name)));
/// use crane_sdk::pipeline::{Embedder, Task, pipeline};
///
/// let embedder = pipeline(Task::FeatureExtraction, &source)?;
/// let vectors = embedder.embed(&["Where is the station?", "the nearest train station"])?;
/// assert!(Embedder::similarity(&vectors[0], &vectors[1]) < 1.0);
/// # Ok::<(), crane_sdk::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Embedder {
    network: Network,
    tokenizer: Arc<Tokenizer>,
    pooling: Pooling,
    max_tokens: usize,
}

#[derive(Debug, Clone)]
enum Network {
    Encoder(Arc<TextEncoder>),
    Decoder(LoadedModel),
}

impl Embedder {
    /// Loads a checkpoint as it is stored, on the CPU.
    ///
    /// # Errors
    /// As [`TextEncoder::load`] or [`load`](crate::models::load), and [`Tokenizer::from_source`]; [`Error::Unsupported`] for a
    /// pooling or a further step that is not done here.
    pub fn from_source(source: &dyn Source) -> Result<Self> {
        Self::load_within(source, &LoadOptions::default(), &mut |_| Ok(()))
    }

    /// As [`Embedder::from_source`], with options, asking `room` before the first weight is read.
    ///
    /// # Errors
    /// As [`Embedder::from_source`], and what `room` returns.
    pub fn load_within(
        source: &dyn Source,
        options: &LoadOptions,
        room: &mut Room<'_>,
    ) -> Result<Self> {
        let config = SentenceConfig::read(source)?;
        let tokenizer = Arc::new(Tokenizer::from_source(source)?);
        let network = match TextEncoder::is_one(source)? {
            true => Network::Encoder(Arc::new(TextEncoder::load_within(source, options, room)?)),
            false => Network::Decoder(load_within(source, options, room)?),
        };
        let mut this = Self { network, tokenizer, pooling: Pooling::Mean, max_tokens: 0 };
        this.pooling = config.pooling.unwrap_or_default();
        let context = this.info().context_length;
        this.max_tokens = config.max_tokens.unwrap_or(context).min(context);
        Ok(this)
    }

    /// What was loaded, in numbers.
    pub fn info(&self) -> &ModelInfo {
        match &self.network {
            Network::Encoder(encoder) => encoder.info(),
            Network::Decoder(loaded) => &loaded.info,
        }
    }

    /// Text to ids.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// How hidden states become one vector where nobody says it.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The longest text, in tokens.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// One vector a text, of length 1.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] that names the text which has no tokens, or more than [`Embedder::max_tokens`]:
    /// [`Embedder::shortened`] cuts one.
    pub fn embed<T: AsRef<str>>(&self, texts: &[T]) -> Result<Vec<Vec<f32>>> {
        let ids = texts.iter().map(|text| self.tokenizer.encode(text.as_ref(), true));
        let ids: Vec<Vec<u32>> = ids.collect::<Result<_>>()?;
        self.embed_tokens(&ids, self.pooling, &CancelToken::new())
    }

    /// As [`Embedder::embed`], of texts that are tokens already.
    ///
    /// # Errors
    /// As [`Embedder::embed`]; [`Error::Unsupported`] if it was cancelled, or for a pooling that a decoder has not.
    pub fn embed_tokens(
        &self,
        texts: &[Vec<u32>],
        pooling: Pooling,
        cancel: &CancelToken,
    ) -> Result<Vec<Vec<f32>>> {
        for (index, text) in texts.iter().enumerate() {
            let (tokens, most) = (text.len(), self.max_tokens);
            if tokens == 0 || tokens > most {
                let name = format_args!("text {index}");
                let reason = format_args!("has {tokens} tokens; this model takes 1 to {most}");
                return Err(Error::argument(name, reason));
            }
        }
        let encoder = match &self.network {
            Network::Encoder(encoder) => encoder,
            Network::Decoder(loaded) => {
                let embed = |text: &Vec<u32>| embed(loaded.model.as_ref(), text, pooling, cancel);
                return texts.iter().map(embed).collect();
            }
        };
        let mut vectors = Vec::with_capacity(texts.len());
        while vectors.len() < texts.len() {
            cancel.check("the rest of the embeddings")?;
            let mut tokens = 0;
            let rest = texts.get(vectors.len()..).unwrap_or_default();
            let pass = rest.iter().take_while(|text| {
                let first = tokens == 0;
                tokens += text.len();
                first || tokens <= PASS
            });
            let pass: Vec<&[u32]> = pass.map(Vec::as_slice).collect();
            let states = encoder.forward_until(&pass, cancel)?;
            vectors.extend(states.iter().map(|states| pooled(states, encoder.width(), pooling)));
        }
        Ok(vectors)
    }

    /// The tokens of a text cut down to [`Embedder::max_tokens`], as sentence-transformers cuts them: what ends every text
    /// (`[SEP]`) still ends it.
    pub fn shortened(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        if tokens.len() <= self.max_tokens {
            return tokens;
        }
        let end = tokens.last().copied().filter(|&id| self.tokenizer.is_special(id));
        tokens.truncate(self.max_tokens);
        if let (Some(end), Some(last)) = (end, tokens.last_mut()) {
            *last = end;
        }
        tokens
    }

    /// The dot product of two vectors: of length 1, the cosine of the angle between them, from −1 to 1.
    pub fn similarity(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() as f32
    }
}
