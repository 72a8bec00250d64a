//! Why something was refused, as JavaScript gets it.

use nacrite_core::balance::PolicyError;
use serde::Serialize;
use wasm_bindgen::JsValue;

/// Crosses as an object; the API makes an `Error` of it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Refusal {
    /// `policy`, `instances` or `draw`.
    pub(crate) kind: &'static str,
    pub(crate) message: String,
    /// What holds the wrong value.
    pub(crate) field: Option<String>,
    /// Known names that look like the one that is not known.
    pub(crate) nearest: Vec<String>,
}

impl Refusal {
    pub(crate) fn instances(message: impl Into<String>) -> Self {
        Self {
            kind: "instances",
            message: message.into(),
            ..Self::default()
        }
    }

    pub(crate) fn policy(message: impl Into<String>) -> Self {
        Self {
            kind: "policy",
            message: message.into(),
            ..Self::default()
        }
    }
}

impl From<PolicyError> for Refusal {
    fn from(why: PolicyError) -> Self {
        let mut refusal = Self::policy(why.to_string());
        match why {
            PolicyError::Rule { field, unknown } => {
                refusal.field = Some(field);
                refusal.nearest = unknown.nearest;
            }
            PolicyError::Value { field, .. } => refusal.field = Some(field),
            PolicyError::Malformed(_) => {}
        }
        refusal
    }
}

impl From<Refusal> for JsValue {
    fn from(refusal: Refusal) -> Self {
        serde_wasm_bindgen::to_value(&refusal)
            .unwrap_or_else(|why| Self::from_str(&why.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nacrite_core::balance::Policy;

    #[test]
    fn a_wrong_name_comes_with_the_nearest() {
        let refusal = Refusal::from(Policy::of("round-robbin").validate().unwrap_err());
        assert_eq!(refusal.field.as_deref(), Some("rule"));
        assert_eq!(refusal.nearest[0], "round-robin");
        assert!(refusal.message.contains("round-robbin"), "{refusal:?}");
    }
}
