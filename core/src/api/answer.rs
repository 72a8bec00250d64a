//! An HTTP answer before it is written.

use alloc::{string::String, vec::Vec};

use crate::model::ContentRef;

/// Status, headers and body.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`; none where the reference sends none.
    pub content_type: Option<&'static str>,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Body,
}

/// The bytes of a body, or where the host finds them.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A content that the host has (or reads).
    Content(ContentRef),
}

impl Answer {
    /// `text/plain;charset=UTF-8`
    pub const TEXT: &str = "text/plain;charset=UTF-8";
    /// `application/json`
    pub const JSON: &str = "application/json";
    /// `application/json;charset=UTF-8`
    pub const JSON_UTF8: &str = "application/json;charset=UTF-8";

    /// An answer with a body of text.
    #[must_use]
    pub fn new(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            headers: Vec::new(),
            body: Body::Bytes(body.into()),
        }
    }

    /// 200 with plain text.
    #[must_use]
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, Self::TEXT, body)
    }

    /// 200 with JSON.
    #[must_use]
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Self::new(200, Self::JSON, body)
    }

    /// This answer with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A text as a JSON string, quotes included.
#[must_use]
pub fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always JSON")
}
