//! An HTTP answer before it is written, and the few pieces of JSON that every generation is built of.

use alloc::{format, string::String, vec::Vec};
use core::fmt::Write as _;

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

    /// 200 with what serialises as JSON.
    #[must_use]
    pub fn json_of(value: &impl serde::Serialize) -> Self {
        Self::json(serde_json::to_vec(value).expect("answers have text keys and no failing fields"))
    }

    /// 200 with the `Result` wrapper of v2 and v3 around a JSON text: `{"code":0,"message":"success","data":…}`.
    #[must_use]
    pub fn wrapped(data: &str) -> Self {
        Self::json(format!(r#"{{"code":0,"message":"success","data":{data}}}"#))
    }

    /// 200 with the `RestResult` wrapper of v1 around a JSON text: `{"code":200,"message":null,"data":…}`.
    #[must_use]
    pub fn rest(data: &str) -> Self {
        Self::json(format!(r#"{{"code":200,"message":null,"data":{data}}}"#))
    }

    /// This answer with another status.
    #[must_use]
    pub fn status(self, status: u16) -> Self {
        Self { status, ..self }
    }

    /// This answer with one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// This answer with the three headers by which the reference forbids caching.
    #[must_use]
    pub fn not_cached(self) -> Self {
        self.with("Pragma", "no-cache")
            .with("Expires", "0")
            .with("Cache-Control", "no-cache,no-store")
    }

    /// The bytes of the body; none if the host finds them.
    #[must_use]
    pub fn bytes(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Bytes(bytes) => Some(bytes),
            Body::Content(_) => None,
        }
    }
}

/// A text as a JSON string, quotes included.
#[must_use]
pub fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("a text is always JSON")
}

/// Writes a text as a JSON string, quotes included, at the end of `out`. Runs that need no escape are copied whole.
pub fn push_json_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, byte) in bytes.iter().copied().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            _ => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                out.extend(b"\\u00");
                out.extend([
                    DIGITS[usize::from(byte >> 4)],
                    DIGITS[usize::from(byte & 15)],
                ]);
            }
        }
    }
    out.extend_from_slice(&bytes[from..]);
    out.push(b'"');
}

/// A moment as `2026-11-21T01:12:25.817`, UTC and without its zone; milliseconds since 1970.
#[must_use]
pub fn iso_millis(wall: u64) -> String {
    let (days, in_day) = (wall / 86_400_000, wall % 86_400_000);
    // Years that begin in March, so that the leap day comes last (H. Hinnant's civil calendar).
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let date = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let mut out = String::with_capacity(23);
    let (hour, minute, second) = (
        in_day / 3_600_000,
        in_day / 60_000 % 60,
        in_day / 1_000 % 60,
    );
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{:03}",
        era * 400 + year + carry,
        in_day % 1_000,
    );
    out
}

/// A moment as `2026-11-21T01:12:25Z`; milliseconds since 1970.
#[must_use]
pub(super) fn iso_seconds(wall: u64) -> String {
    let whole = iso_millis(wall);
    let seconds = whole.split('.').next().unwrap_or_default();
    format!("{seconds}Z")
}

/// `Sat, 21 Nov 2026 01:12:25 GMT`; milliseconds since 1970.
#[must_use]
pub(super) fn http_date(wall: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let iso = iso_millis(wall);
    // `2026-11-21T01:12:25.817`; only a year past 9999 is not of this shape.
    let part = |from: usize, to: usize| iso.get(from..to).unwrap_or_default();
    let month = part(5, 7)
        .parse::<usize>()
        .map_or("", |m| MONTHS[(m - 1) % 12]);
    format!(
        "{}, {} {month} {} {} GMT",
        DAYS[(wall / 86_400_000 % 7) as usize],
        part(8, 10),
        part(0, 4),
        part(11, 19),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_dates() {
        assert_eq!(iso_seconds(1_795_223_545_817), "2026-11-21T01:12:25Z");
        assert_eq!(iso_millis(0), "1970-01-01T00:00:00.000");
        assert_eq!(iso_millis(1_795_223_545_817), "2026-11-21T01:12:25.817");
        assert_eq!(iso_millis(1_709_164_799_999), "2024-02-28T23:59:59.999");
        assert_eq!(iso_millis(1_709_164_800_000), "2024-02-29T00:00:00.000");
        assert_eq!(iso_millis(951_868_800_000), "2000-03-01T00:00:00.000");
    }

    proptest! {
        #[test]
        fn strings_are_escaped_as_json_wants(text in "\\PC*|[\\x00-\\x7f]*") {
            let mut out = Vec::new();
            push_json_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }

    #[test]
    fn dates_are_those_of_http() {
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(
            http_date(1_795_223_545_817),
            "Sat, 21 Nov 2026 01:12:25 GMT"
        );
    }
}
