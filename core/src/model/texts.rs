//! Shared texts, made in one allocation, and in none if there is nothing in them: most of what a request may say it
//! does not.

use alloc::sync::Arc;
use core::fmt;

use serde::{
    Deserializer,
    de::{Error, Visitor},
};

/// A text to share.
#[must_use]
pub fn shared(text: &str) -> Arc<str> {
    if text.is_empty() {
        Arc::default()
    } else {
        Arc::from(text)
    }
}

/// Reads a text to share, for `deserialize_with`: serde's own way makes a box first, and copies it.
// One piece of code for all fields: a module's size has a limit.
#[inline(never)]
pub(crate) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    struct Shared;
    impl Visitor<'_> for Shared {
        type Value = Arc<str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Arc<str>, E> {
            Ok(shared(text))
        }
    }
    from.deserialize_str(Shared)
}
