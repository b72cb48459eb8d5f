//! Other workers that hold rows of matrices, each with an instance and a memory of its own.

use std::cell::RefCell;
use std::sync::Arc;

use crane_sdk::kernels::quant::{Helpers, Keeper};
use wasm_bindgen::prelude::*;

use crate::failure::{Outcome, argument};

#[wasm_bindgen]
extern "C" {
    // What a worker puts into its global scope.
    #[wasm_bindgen(js_namespace = craneShards, js_name = post)]
    fn post(helper: u32, message: &[u32]);
    #[wasm_bindgen(js_namespace = craneShards, js_name = take)]
    fn take(helper: u32) -> Vec<u32>;
}

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "../dist/worker/suspension.js")]
unsafe extern "C" {
    /// Waits until `take` has an answer of this helper. It is imported without bindings around it: `task` says why.
    safe fn crane_wait(helper: u32);
}

#[derive(Debug)]
struct Workers {
    count: usize,
}

/// What an instance multiplies in a tenth of a millisecond or so. Measured with two test models: less slows the smaller one down
/// (`docs/architecture.md` has the numbers).
const LATENCY: usize = 1 << 19;

impl Helpers for Workers {
    fn count(&self) -> usize {
        self.count
    }

    fn post(&self, helper: usize, message: &[u32]) {
        post(helper as u32, message);
    }

    fn answer(&self, helper: usize) -> Option<Vec<u32>> {
        #[cfg(target_arch = "wasm32")]
        crane_wait(helper as u32);
        Some(take(helper as u32))
    }

    fn latency(&self) -> usize {
        LATENCY
    }
}

/// So many helping workers; `None` if there are none.
pub fn helpers(count: u32) -> Option<Arc<dyn Helpers>> {
    (count > 0).then(|| Arc::new(Workers { count: count as usize }) as Arc<dyn Helpers>)
}

thread_local! {
    static KEEPER: RefCell<Keeper> = RefCell::default();
}

/// Does what a message asks of a helper; returns the answer, if there is to be one.
///
/// # Errors
/// `invalid_argument` for a message that no instance of this build sends.
#[wasm_bindgen(js_name = keepShard)]
pub fn keep_shard(message: &[u32]) -> Outcome<Option<Vec<u32>>> {
    KEEPER
        .with_borrow_mut(|keeper| keeper.take(message))
        .ok_or_else(|| argument("message", &"it makes no sense"))
}
