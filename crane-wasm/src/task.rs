//! Calls that may wait for other workers: JavaScript prepares one, runs it as a promise, and takes its result.
//!
//! Only the WebAssembly between the export that JavaScript calls and the import that waits can be suspended, without
//! anything of JavaScript in between. So the export is one that takes and gives nothing, which needs no
//! bindings around it.

use std::cell::RefCell;

use wasm_bindgen::prelude::*;

use crate::failure::Outcome;

type Task = Box<dyn FnOnce() -> Outcome<JsValue>>;

thread_local! {
    static TASK: RefCell<Option<Task>> = const { RefCell::new(None) };
    static RESULT: RefCell<Option<Outcome<JsValue>>> = const { RefCell::new(None) };
}

/// Keeps a call for [`run_task`].
pub fn prepare(task: impl FnOnce() -> Outcome<JsValue> + 'static) {
    TASK.set(Some(Box::new(task)));
}

/// Makes the call that was prepared.
#[wasm_bindgen(js_name = runTask)]
pub fn run_task() {
    if let Some(task) = TASK.take() {
        let result = task();
        RESULT.set(Some(result));
    }
}

/// What the call gave.
///
/// # Errors
/// What the call returned.
#[wasm_bindgen(js_name = taskResult)]
pub fn task_result() -> Outcome<JsValue> {
    RESULT.take().unwrap_or(Ok(JsValue::UNDEFINED))
}
