//! A model whose logits depend on every token and position in its cache, so that a cache that holds
//! anything but the history changes the text.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use crane_sdk::kernels::attention::KvType;
use crane_sdk::models::{CausalLm, LogitsRows, Observer, Segment};
use crane_sdk::nn::KvCache;
use crane_sdk::{Error, Result};

pub struct HistoryModel {
    pub vocab_size: usize,
    pub context_length: usize,
    /// Tokens that were evaluated.
    pub fed: AtomicUsize,
    /// Forward passes until one fails; large is never.
    pub fails_in: AtomicUsize,
    /// Forward passes until one yields NaN.
    pub breaks_in: AtomicUsize,
}

impl HistoryModel {
    pub fn new(vocab_size: usize) -> Arc<Self> {
        Arc::new(Self {
            vocab_size,
            context_length: 4096,
            fed: AtomicUsize::new(0),
            fails_in: AtomicUsize::new(usize::MAX),
            breaks_in: AtomicUsize::new(usize::MAX),
        })
    }

    /// The logits after a history.
    pub fn logits(&self, history: &[u32]) -> Vec<f32> {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for &token in history {
            hash = (hash ^ u64::from(token)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(7);
        }
        (0..self.vocab_size as u64)
            .map(|id| {
                let mut mixed = (hash ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15))
                    .wrapping_mul(0xbf58_476d_1ce4_e5b9);
                mixed ^= mixed >> 31;
                (mixed & 0xffff) as f32 / 8192.0
            })
            .collect()
    }

    /// Whether the countdown has run out; it starts anew from never.
    fn due(counter: &AtomicUsize) -> bool {
        match counter.load(Ordering::Relaxed) {
            usize::MAX => false,
            0 => {
                counter.store(usize::MAX, Ordering::Relaxed);
                true
            }
            left => {
                counter.store(left - 1, Ordering::Relaxed);
                false
            }
        }
    }
}

impl CausalLm for HistoryModel {
    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn context_length(&self) -> usize {
        self.context_length
    }

    fn device(&self) -> &Device {
        &Device::Cpu
    }

    fn new_cache(&self, capacity: usize) -> Result<KvCache> {
        KvCache::new(1, 1, 1, capacity, KvType::F32, &Device::Cpu)
    }

    fn forward_observed(
        &self,
        batch: &mut [Segment<'_>],
        _observe: &mut Observer<'_>,
    ) -> Result<Tensor> {
        let mut rows = Vec::new();
        let fails = Self::due(&self.fails_in);
        let breaks = Self::due(&self.breaks_in);
        for segment in batch.iter_mut() {
            let n = segment.tokens.len();
            assert!(n > 0, "an empty segment");
            let ids: Vec<f32> = segment.tokens.iter().map(|&id| id as f32).collect();
            let ids = Tensor::from_vec(ids, (1, n, 1), &Device::Cpu)?;
            segment.cache.reserve(n)?;
            segment.cache.append(0, &ids, &ids)?;
            segment.cache.advance(n);
            self.fed.fetch_add(n, Ordering::Relaxed);
            if segment.logits == LogitsRows::None {
                continue;
            }
            let held = segment.cache.layer(0)?.unwrap().keys.flatten_all()?.to_vec1::<f32>()?;
            let history: Vec<u32> = held.into_iter().map(|id| id as u32).collect();
            let mut row = self.logits(&history);
            if breaks {
                row[0] = f32::NAN;
            }
            rows.push(row);
        }
        if fails {
            // After the caches have grown: the worst moment.
            let what = "this forward pass".to_owned();
            return Err(Error::Unsupported { what, hint: "it was told to fail".to_owned() });
        }
        let count = rows.len();
        Ok(Tensor::from_vec(rows.concat(), (count, self.vocab_size), &Device::Cpu)?)
    }
}
