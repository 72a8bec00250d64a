//! A small reader for configurations: flat JSON objects of texts, numbers and booleans, and objects of those.
//!
//! A full parser is larger than most rules. A plugin that wants more takes `serde_json`.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// A value of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object, in the order written.
    Object(Vec<(String, Value)>),
}

/// Objects and lists inside one another that are followed.
const DEPTH: u32 = 16;

impl Value {
    /// Reads one document.
    ///
    /// # Errors
    /// Where it stops being JSON.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(DEPTH);
        reader.space();
        match value {
            Some(value) if reader.at == text.len() => Ok(value),
            _ => {
                let mut said = String::new();
                let _ = write!(said, "not JSON at byte {}", reader.at);
                Err(said)
            }
        }
    }

    /// A field of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub const fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The fields, if it is an object.
    #[must_use]
    pub fn fields(&self) -> &[(String, Value)] {
        match self {
            Self::Object(fields) => fields,
            _ => &[],
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str, value: Value) -> Option<Value> {
        let end = self.at + word.len();
        (self.text.get(self.at..end)? == word.as_bytes()).then(|| {
            self.at = end;
            value
        })
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        self.space();
        match self.peek()? {
            b'n' => self.word("null", Value::Null),
            b't' => self.word("true", Value::Bool(true)),
            b'f' => self.word("false", Value::Bool(false)),
            b'"' => self.string().map(Value::Text),
            b'[' => self.list(depth.checked_sub(1)?),
            b'{' => self.object(depth.checked_sub(1)?),
            _ => self.number(),
        }
    }

    fn list(&mut self, depth: u32) -> Option<Value> {
        self.take(b'[')?;
        let mut values = Vec::new();
        if self.take(b']').is_some() {
            return Some(Value::List(values));
        }
        loop {
            values.push(self.value(depth)?);
            if self.take(b',').is_none() {
                self.take(b']')?;
                return Some(Value::List(values));
            }
        }
    }

    fn object(&mut self, depth: u32) -> Option<Value> {
        self.take(b'{')?;
        let mut fields = Vec::new();
        if self.take(b'}').is_some() {
            return Some(Value::Object(fields));
        }
        loop {
            self.space();
            let name = self.string()?;
            self.take(b':')?;
            fields.push((name, self.value(depth)?));
            if self.take(b',').is_none() {
                self.take(b'}')?;
                return Some(Value::Object(fields));
            }
        }
    }

    fn number(&mut self) -> Option<Value> {
        let rest = &self.text[self.at..];
        let length = rest
            .iter()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'))
            .count();
        let text = core::str::from_utf8(&rest[..length]).ok()?;
        let number = text.parse().ok()?;
        self.at += length;
        Some(Value::Number(number))
    }

    fn string(&mut self) -> Option<String> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(bytes).ok(),
                b'\\' => self.escape(&mut bytes)?,
                0..0x20 => return None,
                _ => bytes.push(byte),
            }
        }
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Option<()> {
        let byte = self.peek()?;
        self.at += 1;
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let high = self.hex()?;
                let code = if (0xd800..0xdc00).contains(&high) {
                    self.word("\\u", Value::Null)?;
                    let low = self.hex()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                    0x1_0000 + ((high - 0xd800) << 10) + low
                } else {
                    high
                };
                let mut buffer = [0; 4];
                bytes.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
                return Some(());
            }
            _ => return None,
        };
        bytes.push(plain);
        Some(())
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = core::str::from_utf8(self.text.get(self.at..self.at + 4)?).ok()?;
        let code = digits
            .bytes()
            .all(|b| b.is_ascii_hexdigit())
            .then(|| u32::from_str_radix(digits, 16))?;
        self.at += 4;
        code.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read() {
        let value = Value::parse(
            br#" {"a": 1.5e1, "b": {"c": "d\u00e9\n\ud83d\ude00"}, "e": [true, null]} "#,
        )
        .unwrap();
        assert_eq!(value.get("a").and_then(Value::number), Some(15.0));
        assert_eq!(
            value
                .get("b")
                .and_then(|b| b.get("c"))
                .and_then(Value::text),
            Some("d\u{e9}\n\u{1f600}")
        );
        assert_eq!(
            value.get("e"),
            Some(&Value::List([Value::Bool(true), Value::Null].into()))
        );
        assert_eq!(Value::parse(b"{}").unwrap().fields().len(), 0);
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "{\"a\"}",
            "[1,]",
            "nul",
            "1 2",
            "\"\\ud800\"",
            "\"\u{1}\"",
            "--1",
            "{\"a\":1,}",
        ] {
            assert!(Value::parse(text.as_bytes()).is_err(), "{text}");
        }
        let deep = alloc::vec![b'['; 100_000];
        assert!(Value::parse(&deep).is_err());
    }
}
