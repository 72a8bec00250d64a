//! Metadata and lists of instances as parameters carry them.

use alloc::{
    borrow::Cow,
    format,
    string::{String, ToString as _},
    vec::Vec,
};
use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};

use crate::model::Metadata;

/// Reads `{"k":"v"}` or `k=v,k=v`; blank is empty. The error is the reference's text.
///
/// As Jackson does: what follows the object is not looked at, numbers and flags become texts. A `null` counts as not
/// given.
pub fn parse_metadata(text: &str) -> Result<Metadata, String> {
    parse_pairs(text).map(Metadata::from_iter)
}

/// As [`parse_metadata`], the pairs as they stand there: a key may come again, and what need not be is not copied.
///
/// # Errors
/// The reference's text.
pub(super) fn parse_pairs(text: &str) -> Result<Vec<Pair<'_>>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if let Ok(pairs) = Pairs::deserialize(&mut serde_json::Deserializer::from_str(text)) {
        return Ok(pairs.0);
    }
    // Java's `split` forgets empty parts at the end, here of both marks.
    let items = text.trim_end_matches(',');
    let pairs = items.split(',').filter(|_| !items.is_empty()).map(|item| {
        let (key, value) = item.trim_end_matches('=').split_once('=')?;
        (!value.contains('=')).then_some((Cow::Borrowed(key), Cow::Borrowed(value)))
    });
    pairs
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| format!("metadata format incorrect:{text}"))
}

/// Key and value.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// An object of scalars, as texts.
struct Pairs<'a>(Vec<Pair<'a>>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_unit<E>(self) -> Result<Pairs<'de>, E> {
        Ok(Pairs(Vec::new()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
        let mut pairs = Vec::new();
        // Keys are texts always, in JSON.
        while let Some((key, value)) = map.next_entry::<Scalar<'_>, Scalar<'_>>()? {
            if let (Some(key), Some(value)) = (key.0, value.0) {
                pairs.push((key, value));
            }
        }
        Ok(Pairs(pairs))
    }
}

/// A text, number or flag as text; none for `null`.
struct Scalar<'a>(Option<Cow<'a, str>>);

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;
        fn owned<'a, E>(text: String) -> Result<Scalar<'a>, E> {
            Ok(Scalar(Some(Cow::Owned(text))))
        }
        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, number or flag")
            }
            fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Scalar<'de>, E> {
                Ok(Scalar(Some(Cow::Borrowed(v))))
            }
            fn visit_str<E>(self, v: &str) -> Result<Scalar<'de>, E> {
                owned(v.into())
            }
            fn visit_bool<E>(self, v: bool) -> Result<Scalar<'de>, E> {
                owned(v.to_string())
            }
            fn visit_i64<E>(self, v: i64) -> Result<Scalar<'de>, E> {
                owned(v.to_string())
            }
            fn visit_u64<E>(self, v: u64) -> Result<Scalar<'de>, E> {
                owned(v.to_string())
            }
            fn visit_f64<E>(self, v: f64) -> Result<Scalar<'de>, E> {
                // With a point also where nothing follows it, as Java writes it.
                owned(format!("{v:?}"))
            }
            fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
                Ok(Scalar(None))
            }
        }
        from.deserialize_any(ScalarVisitor)
    }
}

/// Reads the `instances` of a metadata batch: `[{"ip":…,"port":…,"clusterName":…}]`, as address, port and cluster (empty
/// if not given). Blank is none at all; `None` for what is no such list.
#[must_use]
pub fn parse_instances(text: &str) -> Option<Vec<(String, String, String)>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let items: Vec<serde_json::Value> = serde_json::from_str(text).ok()?;
    let field = |item: &serde_json::Value, name: &str| match item.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(serde_json::Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    items
        .iter()
        .map(|item| {
            item.is_object().then(|| {
                (
                    field(item, "ip"),
                    field(item, "port"),
                    field(item, "clusterName"),
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Option<Vec<(String, String)>> {
        let metadata = parse_metadata(text).ok()?;
        Some(metadata.iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    fn given(pairs: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
        Some(
            pairs
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
        )
    }

    #[test]
    fn metadata_is_json_or_pairs() {
        assert_eq!(pairs(" "), given(&[]));
        assert_eq!(
            pairs(r#"{"v":"1","n":2,"f":1.0,"b":true,"x":null}"#),
            given(&[("b", "true"), ("f", "1.0"), ("n", "2"), ("v", "1")])
        );
        assert_eq!(pairs("a=b,c=d"), given(&[("a", "b"), ("c", "d")]));
        assert_eq!(pairs("a=b,,"), given(&[("a", "b")]));
        assert_eq!(pairs("=b"), given(&[("", "b")]));
        assert_eq!(pairs("null"), given(&[]));
        for bad in [r#"{"a":"#, r#"{"a":{}}"#, "a", "a=", "a=b=c", ",a=b", "[]"] {
            assert_eq!(pairs(bad), None, "{bad}");
        }
        assert_eq!(
            parse_metadata("{bad").unwrap_err(),
            "metadata format incorrect:{bad"
        );
    }

    #[test]
    fn instances_of_a_batch() {
        let list = parse_instances(
            r#"[{"ip":"1.2.3.4","port":80,"ephemeral":false,"clusterName":"C"},{"port":"x"}]"#,
        );
        assert_eq!(
            list,
            Some(Vec::from([
                ("1.2.3.4".into(), "80".into(), "C".into()),
                ("".into(), "x".into(), "".into())
            ]))
        );
        assert_eq!(parse_instances(""), Some(Vec::new()));
        assert_eq!(parse_instances("[1]"), None);
        assert_eq!(parse_instances("{"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|[{\\[\"a=,:\\]}0-9nul ]{0,40}") {
            let _ = parse_metadata(&text);
            let _ = parse_instances(&text);
        }

        #[test]
        fn what_json_says_is_read_back(pairs in prop::collection::btree_map("\\PC{1,8}", "\\PC{0,8}", 0..6)) {
            let text = serde_json::to_string(&pairs).unwrap();
            let read = parse_metadata(&text).unwrap();
            let read: alloc::collections::BTreeMap<String, String> = read.iter().map(|(k, v)| (k.into(), v.into())).collect();
            prop_assert_eq!(read, pairs);
        }
    }
}
