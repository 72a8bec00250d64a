//! Cards of agents, as callers give them.

use alloc::{
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use serde_json::Value;

use crate::ai::{
    Fault, Object, check_version,
    fields::{Field, Kind, known, text},
};

const CARD: &[Field] = &[
    ("protocolVersion", Kind::Text),
    ("name", Kind::Text),
    ("description", Kind::Text),
    ("version", Kind::Text),
    ("iconUrl", Kind::Text),
    ("url", Kind::Text),
    ("preferredTransport", Kind::Text),
    ("additionalInterfaces", Kind::Objects),
    ("capabilities", Kind::Object),
    ("skills", Kind::Objects),
    ("provider", Kind::Object),
    ("documentationUrl", Kind::Text),
    ("securitySchemes", Kind::Object),
    ("security", Kind::Objects),
    ("defaultInputModes", Kind::List),
    ("defaultOutputModes", Kind::List),
    ("supportsAuthenticatedExtendedCard", Kind::Flag),
];

/// How an agent is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// At the address of its card.
    Url,
    /// At the endpoints that it registers.
    Service,
}

impl Registration {
    /// From a parameter; blank is none.
    ///
    /// # Errors
    /// It is neither (20002).
    pub fn parse(text: &str) -> Result<Option<Self>, Fault> {
        match text {
            "" => Ok(None),
            _ if text.eq_ignore_ascii_case(Self::Url.name()) => Ok(Some(Self::Url)),
            _ if text.eq_ignore_ascii_case(Self::Service.name()) => Ok(Some(Self::Service)),
            _ => Err(Fault::illegal(format!(
                "registrationType `{text}` is illegal: it is `URL` or `SERVICE`"
            ))),
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Url => "URL",
            Self::Service => "SERVICE",
        }
    }
}

/// A card, checked and complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    pub(super) fields: Object,
    /// Name of the agent.
    pub name: String,
    /// The version that it describes.
    pub version: String,
}

impl Card {
    /// What is given, with the defaults of what is not.
    ///
    /// # Errors
    /// What is missing (10000) or wrong (20002).
    pub fn new(given: &Object) -> Result<Self, Fault> {
        let mut fields = known(given, CARD).map_err(|why| {
            Fault::illegal(format!("agentCard is invalid. Can't be parsed. {why}"))
        })?;
        for must in [
            "name",
            "version",
            "protocolVersion",
            "preferredTransport",
            "url",
        ] {
            if text(&fields, must).is_empty() {
                return Err(Fault::missing(&format!("agentCard.{must}"), "String"));
            }
        }
        let list = || Value::Array(Vec::new());
        for (field, default) in [
            ("description", Value::from("")),
            ("capabilities", Value::Object(Object::new())),
            ("skills", list()),
            ("defaultInputModes", list()),
            ("defaultOutputModes", list()),
        ] {
            fields.entry(field).or_insert(default);
        }
        let (name, version) = (
            text(&fields, "name").to_string(),
            text(&fields, "version").to_string(),
        );
        check_version(&version)?;
        Ok(Self {
            fields,
            name,
            version,
        })
    }

    /// Reads the JSON text of a form's field.
    ///
    /// # Errors
    /// It is missing (10000) or cannot be read (20002); see also [`Self::new`].
    pub fn parse(json: &str) -> Result<Self, Fault> {
        if json.is_empty() {
            return Err(Fault::missing("agentCard", "AgentCard"));
        }
        match serde_json::from_str(json) {
            Ok(Value::Object(card)) => Self::new(&card),
            _ => Err(Fault::illegal("agentCard is invalid. Can't be parsed.")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"name":"n","version":"1","protocolVersion":"0.3","preferredTransport":"JSONRPC","url":"http://h","x":1}"#;

    #[test]
    fn a_card_is_completed_and_checked() {
        let card = Card::parse(GOOD).unwrap();
        assert_eq!((&*card.name, &*card.version), ("n", "1"));
        assert_eq!(card.fields["skills"], Value::Array(Vec::new()));
        assert!(!card.fields.contains_key("x"));
        for (from, to, code) in [
            ("\"n\"", "\"\"", 10_000),
            ("\"url\"", "\"uri\"", 10_000),
            ("\"1\"", "\"1/2\"", 20_002),
            ("\"JSONRPC\"", "[]", 20_002),
            ("{", "{{", 20_002),
        ] {
            let bad = Card::parse(&GOOD.replacen(from, to, 1));
            assert_eq!(bad.map_err(|f| f.code), Err(code), "{to}");
        }
        assert_eq!(Card::parse("").map_err(|f| f.code), Err(10_000));
    }

    #[test]
    fn a_registration_is_by_url_or_service() {
        assert_eq!(Registration::parse(""), Ok(None));
        assert_eq!(
            Registration::parse("service"),
            Ok(Some(Registration::Service))
        );
        assert_eq!(Registration::parse("x").map_err(|f| f.code), Err(20_002));
    }
}
