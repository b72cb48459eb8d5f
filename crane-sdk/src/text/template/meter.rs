//! What a rendering may take: steps and bytes as the engine's fuel, the items of containers, and the clock.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind, State};
use web_time::Instant;

use crate::text::Interrupt;

/// Deepest nesting of a value that is written or compared.
const MAX_DEPTH: usize = 200;
/// Most items of a list that is added to another.
const MAX_ITEMS: usize = 1 << 20;
/// Bytes that one unit of the engine's fuel pays for.
const BYTES_PER_FUEL: u64 = 64;
/// Calls between two looks at the clock.
const CALLS: u32 = 64;

thread_local! {
    /// The rendering of this thread.
    static RENDERING: RefCell<Option<Rendering>> = const { RefCell::new(None) };
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

struct Rendering {
    started: Instant,
    limit: Duration,
    interrupt: Option<Interrupt>,
}

/// Why a rendering was ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// It took longer than so long.
    Late(Duration),
    /// Somebody asked for it.
    Interrupted,
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Late(limit) => write!(f, "it took longer than {} ms", limit.as_millis()),
            Self::Interrupted => f.write_str("it was cancelled"),
        }
    }
}

impl std::error::Error for Ended {}

/// Runs `work` with a clock.
pub(super) fn timed<T>(
    limit: Duration,
    interrupt: Option<&Interrupt>,
    work: impl FnOnce() -> T,
) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            RENDERING.with_borrow_mut(|rendering| *rendering = None);
        }
    }
    let rendering = Rendering { started: Instant::now(), limit, interrupt: interrupt.cloned() };
    RENDERING.with_borrow_mut(|slot| *slot = Some(rendering));
    let _reset = Reset;
    work()
}

/// Looks at the clock now and then, and whether the work was interrupted.
pub(super) fn tick() -> Result<(), Error> {
    let count = COUNT.get().wrapping_add(1);
    COUNT.set(count);
    if !count.is_multiple_of(CALLS) {
        return Ok(());
    }
    let ended = RENDERING.with_borrow(|rendering| {
        let rendering = rendering.as_ref()?;
        if rendering.interrupt.as_ref().is_some_and(Interrupt::is_set) {
            return Some(Ended::Interrupted);
        }
        (rendering.started.elapsed() > rendering.limit).then_some(Ended::Late(rendering.limit))
    });
    match ended {
        None => Ok(()),
        Some(ended) => {
            let error = Error::new(ErrorKind::InvalidOperation, ended.to_string());
            Err(error.with_source(ended))
        }
    }
}

/// Charges for so many bytes that are looked at or made.
pub(super) fn bytes(state: &State<'_, '_>, count: usize) -> Result<(), Error> {
    tick()?;
    state.consume_fuel(count as u64 / BYTES_PER_FUEL)
}

/// Charges for so many items that are looked at.
pub(super) fn items(state: &State<'_, '_>, count: usize) -> Result<(), Error> {
    tick()?;
    state.consume_fuel(count as u64)
}

/// Charges for all that is inside a value.
pub(super) fn inside(state: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    walk(state, value, 0)
}

/// Passes what a namespace may hold.
pub(super) fn held(value: &Value) -> Result<Value, Error> {
    no_namespace(value)?;
    Ok(value.clone())
}

/// The engine counts references: a namespace that is a part of itself would never be let go of, rendering after rendering.
fn no_namespace(value: &Value) -> Result<(), Error> {
    let is_namespace =
        value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"));
    if is_namespace {
        let reason = "a namespace cannot be a part of a list, of a dict or of a namespace";
        return Err(Error::new(ErrorKind::InvalidOperation, reason));
    }
    Ok(())
}

fn walk(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<(), Error> {
    tick()?;
    no_namespace(value)?;
    if depth > MAX_DEPTH {
        let reason = format!("a value is nested deeper than {MAX_DEPTH}");
        return Err(Error::new(ErrorKind::InvalidOperation, reason));
    }
    match value.kind() {
        ValueKind::String if depth > 0 => {
            let length = value.as_str().map_or(0, str::len);
            state.consume_fuel(1 + length as u64 / BYTES_PER_FUEL)
        }
        ValueKind::Seq | ValueKind::Iterable => {
            for item in value.try_iter()? {
                state.consume_fuel(1)?;
                walk(state, &item, depth + 1)?;
            }
            Ok(())
        }
        ValueKind::Map => {
            for key in value.try_iter()? {
                state.consume_fuel(2)?;
                walk(state, &key, depth + 1)?;
                walk(state, &value.get_item(&key)?, depth + 1)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The filter that charges for all that is inside a value.
pub(super) fn charged(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    inside(state, value)?;
    Ok(value.clone())
}

/// The filter that charges for the items of a list that is added to another.
pub(super) fn charged_items(state: &mut State<'_, '_>, value: &Value) -> Result<Value, Error> {
    tick()?;
    if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        let length = value.len().unwrap_or_default();
        if length > MAX_ITEMS {
            let reason =
                format!("a list of {length} items is added to another; {MAX_ITEMS} are the most");
            return Err(Error::new(ErrorKind::InvalidOperation, reason));
        }
        // A list of lists that are added is flattened now and then, at some nanoseconds an item.
        state.consume_fuel(1 + length as u64 / BYTES_PER_FUEL)?;
    }
    Ok(value.clone())
}
