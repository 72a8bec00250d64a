//! Reads the JSON of requests as Jackson does: unknown fields are ignored, numbers and flags may be texts, null is
//! absent.

use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use serde_json::{Map, Value};

use crate::model::Metadata;

/// A JSON object.
#[derive(Clone, Debug, Default)]
pub(super) struct Object(Map<String, Value>);

/// A scalar as text; null and what is no scalar are none.
pub(super) fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl Object {
    /// Reads a body; nothing at all counts as an empty one.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        match serde_json::from_slice(bytes) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err("the body is no JSON object".into()),
            Err(error) => Err(format!("the body is no JSON: {error}")),
        }
    }

    /// An object with one field.
    pub(super) fn with(name: &str, value: Value) -> Self {
        Self(Map::from_iter([(name.to_owned(), value)]))
    }

    /// A text; empty if it is absent.
    pub(super) fn text(&self, name: &str) -> String {
        self.0.get(name).and_then(text_of).unwrap_or_default()
    }

    /// A text, shared.
    pub(super) fn shared(&self, name: &str) -> Arc<str> {
        Arc::from(self.text(name))
    }

    /// A text, borrowed, if it is one.
    pub(super) fn str(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(Value::as_str)
    }

    /// A flag; null is false, as Java's primitives are; absent is the default.
    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        match self.0.get(name) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            Some(Value::Number(number)) => number.as_f64().is_some_and(|n| n != 0.0),
            Some(_) => false,
        }
    }

    /// A number; null is 0; absent is the default; a text that is none is an error.
    pub(super) fn number(&self, name: &str, default: f64) -> Result<f64, String> {
        match self.0.get(name) {
            None => Ok(default),
            Some(Value::Number(number)) => Ok(number.as_f64().unwrap_or(default)),
            Some(Value::String(text)) => text
                .trim()
                .parse()
                .map_err(|_| format!("{name} is no number: {text}")),
            Some(Value::Null) => Ok(0.0),
            Some(_) => Err(format!("{name} is no number")),
        }
    }

    /// A whole number; as [`Object::number`].
    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        match self.0.get(name) {
            Some(Value::Number(number)) if number.is_i64() => {
                Ok(number.as_i64().unwrap_or(default))
            }
            _ =>
            {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "saturates, and ranges are checked by the caller"
                )]
                #[expect(clippy::cast_precision_loss, reason = "defaults are small")]
                self.number(name, default as f64).map(|n| n as i64)
            }
        }
    }

    /// An object within this one.
    pub(super) fn object(&self, name: &str) -> Option<Self> {
        self.0
            .get(name)
            .and_then(Value::as_object)
            .cloned()
            .map(Self)
    }

    /// Objects of a list; what is none is passed over.
    pub(super) fn objects(&self, name: &str) -> Vec<Self> {
        let items = self
            .0
            .get(name)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        items
            .iter()
            .filter_map(|v| v.as_object().cloned().map(Self))
            .collect()
    }

    /// Texts of a list.
    pub(super) fn texts(&self, name: &str) -> Vec<Arc<str>> {
        let items = self
            .0
            .get(name)
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        items
            .iter()
            .filter_map(|v| v.as_str().map(Arc::from))
            .collect()
    }

    /// A map of texts; values that are null are absent, other scalars become text.
    pub(super) fn metadata(&self, name: &str) -> Metadata {
        self.pairs(name).into_iter().collect()
    }

    /// As [`Object::metadata`], as pairs in the order of their keys.
    pub(super) fn pairs(&self, name: &str) -> Vec<(String, String)> {
        let map = self.0.get(name).and_then(Value::as_object);
        map.into_iter()
            .flatten()
            .filter_map(|(k, v)| Some((k.to_owned(), text_of(v)?)))
            .collect()
    }

    /// An object within this one, as it came.
    pub(super) fn raw(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name).and_then(Value::as_object)
    }

    /// Whether a field is there and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|v| !v.is_null())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_is_read_leniently() {
        let body = br#"{"weight":"1.5","port":8080.0,"healthy":null,"enabled":"TRUE","metadata":{"a":5,"b":null,"c":"x"}}"#;
        let body = Object::parse(body).unwrap();
        assert_eq!(body.number("weight", 1.0), Ok(1.5));
        assert_eq!(body.int("port", 0), Ok(8_080));
        assert!(
            !body.flag("healthy", true)
                && body.flag("enabled", false)
                && body.flag("ephemeral", true)
        );
        assert_eq!(
            body.metadata("metadata").iter().collect::<Vec<_>>(),
            [("a", "5"), ("c", "x")]
        );
        assert_eq!(
            body.number("enabled", 0.0),
            Err("enabled is no number: TRUE".into())
        );
    }

    #[test]
    fn what_is_no_object_is_an_error() {
        assert!(
            Object::parse(b"[]").is_err()
                && Object::parse(b"{").is_err()
                && Object::parse(b"\xff").is_err()
        );
        assert!(Object::parse(b"").is_ok());
    }
}
