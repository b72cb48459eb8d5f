//! How much memory a server will take at most, known before the first request.

use crane_sdk::kernels::attention::BLOCK;
use crane_sdk::models::CausalLm;

use super::engine::Limits;
use crate::hub::size;
use crate::memory::Available;

/// Activations, queues and connections.
const WORKING: u64 = 128 << 20;

/// What a server takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the weights, which are loaded already.
    pub weights: u64,
    /// Bytes of keys and values of one token.
    pub token: u64,
    /// How much is done at a time.
    pub limits: Limits,
}

impl Plan {
    /// For a model that is loaded.
    ///
    /// # Errors
    /// As [`CausalLm::new_cache`].
    pub fn new(model: &dyn CausalLm, weights: u64, limits: Limits) -> crane_sdk::Result<Self> {
        let mut block = model.new_cache(BLOCK)?;
        block.reserve(BLOCK)?;
        Ok(Self { weights, token: (block.bytes() / BLOCK) as u64, limits })
    }

    /// Bytes of all keys and values, once every slot is full.
    pub fn caches(&self) -> u64 {
        // Memory is taken by the block.
        let tokens = self.limits.context.next_multiple_of(BLOCK) as u64;
        self.token.saturating_mul(tokens).saturating_mul(self.limits.parallel as u64)
    }

    /// Refuses a plan for which there is no memory.
    ///
    /// # Errors
    /// [`crane_sdk::Error::OutOfMemory`] that says which settings would fit.
    pub fn check(&self, available: Option<Available>) -> crane_sdk::Result<()> {
        let needed = self.caches().saturating_add(WORKING);
        let Some(available) = available.filter(|available| available.bytes < needed) else {
            return Ok(());
        };
        let room = available.bytes.saturating_sub(WORKING);
        let slot = self.token.saturating_mul(self.limits.parallel as u64).max(1);
        let context = room / slot / BLOCK as u64 * BLOCK as u64;
        Err(crane_sdk::Error::OutOfMemory {
            what: "the keys and values of all slots".to_owned(),
            bytes: needed,
            hint: format!(
                "that is {} for --parallel {} and --ctx {}, and {} are available {}; with --parallel {} \
                 a --ctx of {context} fits, and --kv-type f16 or q8_0 takes half or a quarter",
                size(needed),
                self.limits.parallel,
                self.limits.context,
                size(available.bytes),
                available.limit,
                self.limits.parallel,
            ),
        })
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Limits { parallel, context, .. } = self.limits;
        write!(
            f,
            "memory: weights {}, keys and values up to {} ({parallel} slots of {context} tokens, {} each token), \
             working memory {}; {} in all",
            size(self.weights),
            size(self.caches()),
            size(self.token),
            size(WORKING),
            size(self.weights.saturating_add(self.caches()).saturating_add(WORKING)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_does_not_fit_says_what_would() {
        let limits = Limits { parallel: 4, context: 8192, queue: 1 };
        let plan = Plan { weights: 100 << 20, token: 40 << 10, limits };
        assert_eq!(plan.caches(), 4 * 8192 * (40 << 10));
        assert!(plan.check(None).is_ok());
        let available = |bytes| Some(Available { bytes, limit: "in a test" });
        assert!(plan.check(available(plan.caches() + WORKING)).is_ok());
        let room = plan.caches() / 2;
        let error = plan.check(available(room + WORKING)).unwrap_err().to_string();
        assert!(error.contains("a --ctx of 4096 fits"), "{error}");
    }
}
