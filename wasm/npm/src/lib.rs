//! The inside of `@nacrite/core`: `nacrite_core::balance` for JavaScript.
//!
//! Nothing here has rules of its own. What crosses, and how, follows from what crossing costs: calls that are made for every
//! request take and give numbers, lists come and go as JSON text, small structured values (policies, errors, one instance)
//! as JavaScript objects. The typed API is `js/` around it.

mod engine;
mod instances;
mod refusal;
mod tickets;

pub use engine::Engine;

use wasm_bindgen::prelude::*;

/// Hash of a key of consistent hashing: xxHash64, seed 0, of its UTF-8 bytes. Callers that keep it save hashing anew.
#[wasm_bindgen(js_name = keyHash)]
#[must_use]
pub fn key_hash(key: &str) -> u64 {
    nacrite_core::balance::hash::xxh64(key.as_bytes(), 0)
}

/// Every accepted name of a rule.
///
/// # Errors
/// Never: texts always cross.
#[wasm_bindgen(js_name = ruleNames)]
pub fn rule_names() -> Result<JsValue, JsValue> {
    let names = nacrite_core::balance::names::NAMES.iter();
    let names: Vec<&str> = names.map(|(name, _)| *name).collect();
    Ok(serde_wasm_bindgen::to_value(&names)?)
}

/// Replays a recording of a real balancer; how many answers were compared.
///
/// # Errors
/// The first that differs, as text.
#[cfg(feature = "recordings")]
#[wasm_bindgen]
pub fn replay(document: &str, exact: bool) -> Result<u32, JsValue> {
    use nacrite_core::balance::{Mode, replay::Recording};
    let mode = if exact { Mode::Exact } else { Mode::Safe };
    let run = Recording::parse(document).and_then(|recording| recording.run(mode));
    run.map_err(|why| JsValue::from_str(&why.to_string()))
}
