//! The `beat` parameter of a heartbeat: JSON, read as leniently as the reference's parser does.

use alloc::{
    format,
    string::{String, ToString as _},
};

use serde_json::Value;

use crate::model::Metadata;

/// A full beat.
#[derive(Clone, Debug, PartialEq)]
pub struct FullBeat {
    /// Address.
    pub ip: String,
    /// Port; 0 if it was not given.
    pub port: i64,
    /// Cluster; empty if it was not given.
    pub cluster: String,
    /// Weight; 0 if it was not given (a trap of the reference's).
    pub weight: f64,
    /// Whether the instance is ephemeral; true if it was not given.
    pub ephemeral: bool,
    /// Metadata.
    pub metadata: Metadata,
}

/// Reads a beat; blank is none. Unknown fields are passed over, numbers may be texts and the other way round.
/// The error is worded as Jackson's.
pub fn parse(text: &str) -> Result<Option<FullBeat>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let value: Value = serde_json::from_str(text).map_err(|error| unexpected(text, &error))?;
    let object = match value {
        Value::Null => return Ok(None),
        Value::Object(object) => object,
        _ => return Err("Cannot construct instance of `RsInfo`: it is no object".into()),
    };
    let string = |name| match object.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        _ => String::new(),
    };
    let number = |name: &str| match object.get(name) {
        Some(Value::Number(number)) => Ok(number.as_f64().unwrap_or_default()),
        Some(Value::String(text)) if !text.trim().is_empty() => {
            let parsed = text.trim().parse::<f64>().ok().filter(|n| n.is_finite());
            parsed.ok_or_else(|| format!("Cannot deserialize value of field `{name}` from String \"{text}\": not a valid number"))
        }
        _ => Ok(0.0),
    };
    let ephemeral = match object.get("ephemeral") {
        Some(Value::Bool(flag)) => *flag,
        Some(Value::String(text)) => !text.trim().eq_ignore_ascii_case("false"),
        _ => true,
    };
    let metadata = match object.get("metadata") {
        Some(Value::Object(pairs)) => pairs
            .iter()
            .filter_map(|(key, value)| match value {
                Value::String(text) => Some((key.clone(), text.clone())),
                Value::Number(number) => Some((key.clone(), number.to_string())),
                Value::Bool(flag) => Some((key.clone(), flag.to_string())),
                _ => None,
            })
            .collect(),
        _ => Metadata::default(),
    };
    Ok(Some(FullBeat {
        ip: string("ip"),
        // A fraction is cut off; what is outside of all ports is left to the parameter check.
        port: number("port")? as i64,
        cluster: string("cluster"),
        weight: number("weight")?,
        ephemeral,
        metadata,
    }))
}

/// Jackson's words for the place where a text is no JSON.
fn unexpected(text: &str, error: &serde_json::Error) -> String {
    let line = text
        .lines()
        .nth(error.line().saturating_sub(1))
        .unwrap_or_default();
    let at = error.column().saturating_sub(1);
    let found = line.get(at..).and_then(|rest| rest.chars().next());
    let place = format!(
        "\n at [Source: (String)\"{text}\"; line: {}, column: {}]",
        error.line(),
        error.column() + 1
    );
    match found {
        Some(c) if !error.is_eof() => {
            let wanted = if error.to_string().starts_with("key must be") {
                "was expecting double-quote to start field name"
            } else {
                "expected a valid value"
            };
            format!(
                "Unexpected character ('{c}' (code {})): {wanted}{place}",
                u32::from(c)
            )
        }
        _ => format!("Unexpected end-of-input{place}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_beat_is_read_leniently() {
        let text = r#"{"ip":"10.0.0.1","port":"8080","cluster":"C1","weight":"2.5","metadata":{"a":1,"b":null},"scheduled":true}"#;
        let beat = parse(text).unwrap().unwrap();
        assert_eq!(
            (&*beat.ip, beat.port, &*beat.cluster, beat.weight),
            ("10.0.0.1", 8080, "C1", 2.5)
        );
        assert!(beat.ephemeral);
        assert_eq!(
            beat.metadata.iter().collect::<alloc::vec::Vec<_>>(),
            [("a", "1")]
        );
        let empty = parse("{}").unwrap().unwrap();
        assert_eq!((&*empty.cluster, empty.weight, empty.port), ("", 0.0, 0));
        assert_eq!(parse(" "), Ok(None));
        assert!(parse(r#"{"port":"x"}"#).is_err());
        assert!(parse("[]").is_err());
    }

    #[test]
    fn what_is_no_json_is_told_as_recorded() {
        assert_eq!(
            parse("{bad").unwrap_err(),
            "Unexpected character ('b' (code 98)): was expecting double-quote to start field name\n at [Source: (String)\"{bad\"; line: 1, column: 3]"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|[{\\[\"a=,:\\]}0-9nul\n ]{0,40}") {
            let _ = parse(&text);
        }
    }
}
