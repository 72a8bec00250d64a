//! JSON objects of callers, field by field: as Jackson reads them, what is unknown is dropped, null is absent, scalars
//! become texts, and what is of another kind makes the whole unreadable.

use alloc::{format, string::String, vec::Vec};

use serde_json::{Map, Value};

use super::Object;

/// What a field is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text.
    Text,
    /// A flag.
    Flag,
    /// An object, kept as it is.
    Object,
    /// A list of anything.
    List,
    /// A list of objects, kept as they are.
    Objects,
}

/// Name and kind.
pub(super) type Field = (&'static str, Kind);

/// The fields that are given of those known; `Err` names one that is of another kind.
pub(super) fn known(given: &Object, fields: &[Field]) -> Result<Object, String> {
    let mut out = Map::new();
    for (name, kind) in fields {
        let value = match given.get(*name) {
            None | Some(Value::Null) => continue,
            Some(value) => {
                as_kind(value, *kind).ok_or_else(|| format!("field {name} is no {kind:?}"))?
            }
        };
        out.insert((*name).into(), value);
    }
    Ok(out)
}

fn as_kind(value: &Value, kind: Kind) -> Option<Value> {
    match (kind, value) {
        (Kind::Text, value) => scalar(value).map(Value::from),
        (Kind::Flag, Value::String(text)) => text.parse::<bool>().ok().map(Value::from),
        (Kind::Flag, Value::Bool(_))
        | (Kind::Object, Value::Object(_))
        | (Kind::List, Value::Array(_)) => Some(value.clone()),
        (Kind::Objects, Value::Array(items)) if items.iter().all(Value::is_object) => {
            Some(value.clone())
        }
        _ => None,
    }
}

/// A text, number or flag as text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(format!("{number}")),
        Value::Bool(flag) => Some(format!("{flag}")),
        _ => None,
    }
}

/// A field as text; empty if it is absent or none.
pub(super) fn text<'a>(object: &'a Object, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// An object within.
pub(super) fn object<'a>(object: &'a Object, name: &str) -> Option<&'a Object> {
    object.get(name).and_then(Value::as_object)
}

/// The objects of a list within; what is none is passed over.
pub(super) fn objects<'a>(object: &'a Object, name: &str) -> Vec<&'a Object> {
    let items = object.get(name).and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .collect()
}

/// These fields, null where there is none.
pub(super) fn shown(object: &Object, names: &[&str]) -> Object {
    let field = |name: &&str| {
        let value = object.get(*name).cloned().unwrap_or(Value::Null);
        (String::from(*name), value)
    };
    names.iter().map(field).collect()
}

/// An object of fields and values.
pub(super) fn of<const N: usize>(fields: [(&str, Value); N]) -> Object {
    fields.into_iter().map(|(k, v)| (k.into(), v)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn known_fields_are_taken_and_wrong_kinds_refused() {
        const FIELDS: &[Field] = &[
            ("a", Kind::Text),
            ("b", Kind::Flag),
            ("c", Kind::Object),
            ("d", Kind::Objects),
        ];
        let read = |value: Value| known(value.as_object().unwrap(), FIELDS).map(Value::Object);
        let given = json!({"a": 5, "b": "true", "c": {"x": null}, "d": [{}], "e": 1});
        let want = json!({"a": "5", "b": true, "c": {"x": null}, "d": [{}]});
        assert_eq!(read(given), Ok(want));
        assert_eq!(read(json!({"a": null})), Ok(json!({})));
        for bad in [
            json!({"a": []}),
            json!({"b": "x"}),
            json!({"c": []}),
            json!({"d": [1]}),
        ] {
            assert!(read(bad).is_err());
        }
    }
}
