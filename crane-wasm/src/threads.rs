//! Other workers that help with loops, in the build whose memory they share.

use crane_sdk::kernels::threads::{self, SharedMemory};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    // What a worker puts into its global scope before it makes an instance: `Atomics` on words of the memory, by address.
    #[wasm_bindgen(js_namespace = craneMemory, js_name = load)]
    fn load(at: u32) -> u32;
    #[wasm_bindgen(js_namespace = craneMemory, js_name = store)]
    fn store(at: u32, value: u32);
    #[wasm_bindgen(js_namespace = craneMemory, js_name = add)]
    fn add(at: u32, value: u32) -> u32;
    #[wasm_bindgen(js_namespace = craneMemory, js_name = sleep)]
    fn sleep(at: u32, seen: u32);
    #[wasm_bindgen(js_namespace = craneMemory, js_name = wake)]
    fn wake(at: u32);
}

/// Splits loops over `workers` other instances, too; to be called before anything else. Returns whether it was.
#[wasm_bindgen(js_name = shareLoops)]
pub fn share_loops(workers: u32) -> bool {
    threads::share(SharedMemory {
        load: |at| load(at.addr() as u32),
        store: |at, value| store(at.addr() as u32, value),
        add: |at, value| add(at.addr() as u32, value),
        sleep: |at, seen| sleep(at.addr() as u32, seen),
        wake: |at| wake(at.addr() as u32),
        workers: workers as usize,
    })
}

/// Helps with loops for ever, as worker `thread`, numbered from 1. `shareLoops` must have been called in the first
/// instance.
#[wasm_bindgen(js_name = serveLoops)]
pub fn serve_loops(thread: u32) {
    threads::serve(thread as usize);
}

/// Says that `serveLoops` has trapped: the loop that it was in fails.
#[wasm_bindgen(js_name = abandonLoop)]
pub fn abandon_loop() {
    threads::abandon();
}
