//! Panics are reported to JavaScript before the instance traps.

use std::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::prelude::*;

thread_local! {
    static LISTENER: RefCell<Option<Function>> = const { RefCell::new(None) };
}

/// Calls `listener(message)` when the engine panics; after that the instance must not be used.
#[wasm_bindgen(js_name = reportPanics)]
pub fn report_panics(listener: Function) {
    LISTENER.set(Some(listener));
    std::panic::set_hook(Box::new(|info| {
        let message = JsValue::from(info.to_string());
        LISTENER.with_borrow(|listener| {
            if let Some(listener) = listener {
                // The trap that follows is the report if the listener itself throws.
                let _ = listener.call1(&JsValue::NULL, &message);
            }
        });
    }));
}
