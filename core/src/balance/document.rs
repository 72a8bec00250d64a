//! Reads policy documents: JSON straight into the fields, without a tree between.
//!
//! Not serde's reader: that is as large as all rules together, and these documents are read by a module which browsers
//! load. What is wrong is told with the path of the field.

use alloc::{
    boxed::Box,
    collections::BTreeMap,
    string::{String, ToString},
    vec::Vec,
};

use super::decimal;

/// Objects and lists inside one another that are followed.
const DEPTH: u32 = 16;

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Path of the field; empty for the document.
    pub(crate) path: String,
    /// What is wrong.
    pub(crate) why: String,
}

impl Wrong {
    #[cold]
    pub(crate) fn new(why: &str) -> Box<Self> {
        Self::saying(why.to_string())
    }

    #[cold]
    fn saying(why: String) -> Box<Self> {
        let path = String::new();
        Box::new(Self { path, why })
    }

    #[cold]
    fn within(mut self: Box<Self>, field: &str) -> Box<Self> {
        self.path = if self.path.is_empty() {
            field.to_string()
        } else {
            [field, ".", &self.path].concat()
        };
        self
    }
}

/// That something was read, or why not.
type Done = Result<(), Box<Wrong>>;

/// A value that a document can hold. Fields that a document leaves out keep what they have.
pub(crate) trait Read {
    /// Reads it off the front.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>>;
}

/// What is left of a document.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

/// Reads a whole document.
///
/// # Errors
/// It is no JSON, or not what is wanted.
pub(crate) fn read<T: Read + Default>(text: &[u8]) -> Result<T, Box<Wrong>> {
    let text = core::str::from_utf8(text).map_err(|_| Wrong::new("it is not UTF-8"))?;
    let mut reader = Reader {
        text,
        at: 0,
        depth: 0,
    };
    let mut value = T::default();
    value.read(&mut reader)?;
    reader.space();
    if reader.at < text.len() {
        return Err(reader.unexpected("the end"));
    }
    Ok(value)
}

/// Whether a key is this field's name in camel case.
pub(crate) fn is_named(key: &str, field: &str) -> bool {
    let mut key = key.bytes();
    let mut after = false;
    for byte in field.bytes() {
        if byte == b'_' {
            after = true;
            continue;
        }
        let wanted = if after {
            byte.to_ascii_uppercase()
        } else {
            byte
        };
        after = false;
        if key.next() != Some(wanted) {
            return false;
        }
    }
    key.next().is_none()
}

impl<'a> Reader<'a> {
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\r' | b'\n') {
            self.at += 1;
        }
    }

    #[cold]
    fn unexpected(&self, wanted: &str) -> Box<Wrong> {
        let mut why = [wanted, " is expected at byte "].concat();
        decimal::push(&mut why, u32::try_from(self.at).unwrap_or(u32::MAX));
        Wrong::saying(why)
    }

    /// Takes a byte, if it is the next but for space.
    fn takes(&mut self, byte: u8) -> bool {
        self.space();
        let is = self.peek() == byte;
        self.at += usize::from(is);
        is
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.space();
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let is = rest.starts_with(word.as_bytes());
        self.at += if is { word.len() } else { 0 };
        is
    }

    /// Reads an object, each value by `field`, which is given its key.
    pub(crate) fn object(&mut self, field: &mut dyn FnMut(&mut Self, &str) -> Done) -> Done {
        if !self.takes(b'{') {
            return Err(self.unexpected("an object"));
        }
        self.deeper()?;
        let mut keys = Vec::new();
        if !self.takes(b'}') {
            loop {
                let key = self.string()?;
                if !self.takes(b':') {
                    return Err(self.unexpected("a colon"));
                }
                if keys.contains(&key) {
                    return Err(Wrong::new("it is there twice").within(&key));
                }
                field(self, &key).map_err(|wrong| wrong.within(&key))?;
                keys.push(key);
                if self.takes(b'}') {
                    break;
                }
                if !self.takes(b',') {
                    return Err(self.unexpected("a comma or the object's end"));
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an object that has these fields and no others.
    // The fields as a list and not as code: there are eighty, and the module carries what reads them.
    #[inline(never)]
    pub(crate) fn section(
        &mut self,
        fields: &mut [(&str, &mut dyn Read)],
    ) -> Result<(), Box<Wrong>> {
        self.object(&mut |reader, key| {
            let mut named = fields.iter_mut().filter(|(name, _)| is_named(key, name));
            match named.next() {
                Some((_, field)) => field.read(reader),
                None => Err(Wrong::new("unknown field")),
            }
        })
    }

    fn deeper(&mut self) -> Result<(), Box<Wrong>> {
        self.depth += 1;
        if self.depth > DEPTH {
            let mut why = String::from("more than ");
            decimal::push(&mut why, DEPTH);
            why.push_str(" objects inside one another");
            return Err(Wrong::saying(why));
        }
        Ok(())
    }

    /// Reads a text.
    pub(crate) fn string(&mut self) -> Result<String, Box<Wrong>> {
        if !self.takes(b'"') {
            return Err(self.unexpected("a text"));
        }
        let mut out = String::new();
        loop {
            let from = self.at;
            while !matches!(self.peek(), b'"' | b'\\' | 0..0x20) {
                self.at += 1;
            }
            // Both ends are beside a byte of ASCII.
            out.push_str(self.text.get(from..self.at).unwrap_or_default());
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(out);
                }
                b'\\' => {
                    self.at += 1;
                    let escaped = self.escape();
                    out.push(escaped.ok_or_else(|| self.unexpected("an escape"))?);
                }
                _ => return Err(self.unexpected("the end of a text")),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Option<char> {
        let byte = self.peek();
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                if !(0xd800..0xdc00).contains(&first) {
                    return char::from_u32(first);
                }
                // The second half of a character beyond 16 bits.
                let pair = self.text.as_bytes().get(self.at..self.at + 2)?;
                self.at += 2;
                let second = self.unit().filter(|_| pair == b"\\u")?;
                let second = second.checked_sub(0xdc00).filter(|half| *half < 0x400)?;
                return char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + second);
            }
            _ => return None,
        })
    }

    fn unit(&mut self) -> Option<u32> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, digit| {
            Some(unit << 4 | char::from(*digit).to_digit(16)?)
        })
    }

    fn digits(&mut self, number: &mut Number, fraction: bool) -> bool {
        let from = self.at;
        while let digit @ b'0'..=b'9' = self.peek() {
            self.at += 1;
            let digit = u64::from(digit - b'0');
            match number
                .digits
                .checked_mul(10)
                .and_then(|n| n.checked_add(digit))
            {
                Some(digits) if !number.full => {
                    number.digits = digits;
                    number.exponent -= i32::from(fraction);
                }
                // More digits than count.
                _ => {
                    number.full = true;
                    number.exponent = number.exponent.saturating_add(i32::from(!fraction));
                }
            }
        }
        self.at > from
    }

    fn number(&mut self) -> Result<Number, Box<Wrong>> {
        self.space();
        let mut number = Number::default();
        let start = self.at;
        if self.peek() == b'-' {
            number.negative = true;
            self.at += 1;
        }
        let zero = self.peek() == b'0';
        let first = self.at;
        let mut whole = self.digits(&mut number, false) && !(zero && self.at > first + 1);
        if self.peek() == b'.' {
            self.at += 1;
            number.real = true;
            whole &= self.digits(&mut number, true);
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            number.real = true;
            let down = self.peek() == b'-';
            if matches!(self.peek(), b'-' | b'+') {
                self.at += 1;
            }
            let mut power = Number::default();
            whole &= self.digits(&mut power, false);
            let power = i32::try_from(power.digits).unwrap_or(i32::MAX).min(100_000);
            number.exponent = number
                .exponent
                .saturating_add(if down { -power } else { power });
        }
        if whole {
            return Ok(number);
        }
        self.at = start;
        Err(self.unexpected("a number"))
    }

    /// Passes over a value of any kind, and gives its text.
    #[cfg(feature = "node")]
    fn skip(&mut self) -> Result<&'a str, Box<Wrong>> {
        self.space();
        let from = self.at;
        self.pass()?;
        Ok(self.text.get(from..self.at).unwrap_or_default())
    }

    #[cfg(feature = "node")]
    fn pass(&mut self) -> Result<(), Box<Wrong>> {
        self.space();
        match self.peek() {
            b'{' => self.object(&mut |reader, _| reader.pass()),
            b'"' => self.string().map(drop),
            b'[' => {
                self.at += 1;
                self.deeper()?;
                if !self.takes(b']') {
                    loop {
                        self.pass()?;
                        if self.takes(b']') {
                            break;
                        }
                        if !self.takes(b',') {
                            return Err(self.unexpected("a comma or the list's end"));
                        }
                    }
                }
                self.depth -= 1;
                Ok(())
            }
            _ if ["true", "false", "null"]
                .iter()
                .any(|word| self.takes_word(word)) =>
            {
                Ok(())
            }
            _ => self.number().map(drop),
        }
    }
}

/// A number as it is written: digits × 10^exponent.
#[derive(Default)]
struct Number {
    negative: bool,
    digits: u64,
    exponent: i32,
    /// It has a fraction or an exponent.
    real: bool,
    /// It has more digits than are kept.
    full: bool,
}

impl Number {
    /// Exact for up to 15 digits and powers of ten up to 22, which is what people write.
    fn value(&self) -> f64 {
        let mut value = self.digits as f64;
        let (mut left, down) = (self.exponent.unsigned_abs(), self.exponent < 0);
        while left > 0 && value != 0.0 && value.is_finite() {
            let step = left.min(22);
            let power = (0..step).fold(1.0, |power: f64, _| power * 10.0);
            value = if down { value / power } else { value * power };
            left -= step;
        }
        if self.negative { -value } else { value }
    }

    fn integer(&self) -> Option<u64> {
        (!self.real && !self.full && (!self.negative || self.digits == 0)).then_some(self.digits)
    }
}

impl Read for bool {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        *self = reader.takes_word("true");
        if *self || reader.takes_word("false") {
            return Ok(());
        }
        Err(reader.unexpected("true or false"))
    }
}

impl Read for f64 {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        *self = reader.number()?.value();
        if self.is_finite() {
            return Ok(());
        }
        Err(Wrong::new("it must be a number that fits 64 bits"))
    }
}

impl Read for u64 {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        let number = reader.number()?.integer();
        *self = number.ok_or_else(|| Wrong::new("it must be a whole number of at least 0"))?;
        Ok(())
    }
}

impl Read for u32 {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        let number = reader.number()?.integer();
        let number = number.and_then(|number| number.try_into().ok());
        *self =
            number.ok_or_else(|| Wrong::new("it must be a whole number from 0 to 4294967295"))?;
        Ok(())
    }
}

impl Read for i64 {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        let number = reader.number()?;
        let size = Self::try_from(number.digits).ok();
        let size = size.filter(|_| !number.real && !number.full);
        let size = size.ok_or_else(|| Wrong::new("it must be a whole number"))?;
        *self = if number.negative { -size } else { size };
        Ok(())
    }
}

impl Read for String {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        *self = reader.string()?;
        Ok(())
    }
}

impl<T: Read + Default> Read for Option<T> {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        if reader.takes_word("null") {
            *self = None;
            return Ok(());
        }
        self.insert(T::default()).read(reader)
    }
}

impl Read for BTreeMap<String, f64> {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        reader.object(&mut |reader, key| {
            let mut value = 0.0;
            value.read(reader)?;
            self.insert(key.to_string(), value);
            Ok(())
        })
    }
}

#[cfg(feature = "node")]
impl Read for serde_json::Value {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        let text = reader.skip()?;
        *self = serde_json::from_str(text).map_err(|why| Wrong::saying(why.to_string()))?;
        Ok(())
    }
}

#[cfg(not(feature = "node"))]
impl Read for () {
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Box<Wrong>> {
        if reader.takes_word("null") {
            return Ok(());
        }
        Err(Wrong::new("there are no plugins here"))
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use proptest::prelude::*;

    use super::*;

    fn why(text: &str) -> String {
        let wrong = read::<Option<serde_json::Value>>(text.as_bytes()).unwrap_err();
        wrong.why
    }

    #[test]
    fn keys_are_fields_in_camel_case() {
        assert!(is_named(
            "activeConnectionsLimit",
            "active_connections_limit"
        ));
        assert!(is_named("rule", "rule") && is_named("factorS", "factor_s"));
        for other in ["", "rul", "rules", "Rule", "active_connections_limit"] {
            assert!(!is_named(other, "rule"), "{other}");
        }
    }

    #[test]
    fn numbers_are_held_to_their_kind() {
        assert_eq!(read::<u32>(b" 4294967295 "), Ok(u32::MAX));
        assert_eq!(read::<u64>(b"18446744073709551615"), Ok(u64::MAX));
        assert_eq!(read::<i64>(b"-500"), Ok(-500));
        for bad in [
            "4294967296",
            "-1",
            "1.0",
            "1e3",
            "",
            "01",
            "0x1",
            "true",
            "\"1\"",
        ] {
            assert!(read::<u32>(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in ["18446744073709551616", "-1"] {
            assert!(read::<u64>(bad.as_bytes()).is_err(), "{bad}");
        }
        for bad in ["1.", ".5", "-", "1e", "1e400", "NaN", "+1"] {
            assert!(read::<f64>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for (text, said) in [
            ("", "a number is expected at byte 0"),
            ("{", "a text is expected at byte 1"),
            (r#"{"a" 1}"#, "a colon is expected at byte 5"),
            (
                r#"{"a":1"#,
                "a comma or the object's end is expected at byte 6",
            ),
            (r#"{"a":1}x"#, "the end is expected at byte 7"),
            (r#""\q""#, "an escape is expected at byte 3"),
            ("\"a\nb\"", "the end of a text is expected at byte 2"),
            (r#""\ud800""#, "an escape is expected"),
            ("[1 2]", "a comma or the list's end is expected at byte 3"),
        ] {
            let why = why(text);
            assert!(why.starts_with(said), "{text}: {why}");
        }
        assert!(why(&"[".repeat(100)).contains("inside one another"));
        assert_eq!(read::<bool>(b"\xff").unwrap_err().why, "it is not UTF-8");
        let twice = read::<BTreeMap<String, f64>>(br#"{"a":1,"a":2}"#).unwrap_err();
        assert_eq!((&*twice.path, &*twice.why), ("a", "it is there twice"));
    }

    proptest! {
        #[test]
        fn texts_are_those_of_serde(text in "\\PC*|[\\x00-\\x7f]*") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(read::<String>(json.as_bytes()), Ok(text));
        }

        #[test]
        fn numbers_are_those_of_the_standard_library(digits in 0_u64..1 << 53, exponent in -22_i32..=22) {
            let text = format!("{digits}e{exponent}");
            prop_assert_eq!(read::<f64>(text.as_bytes()), Ok(text.parse::<f64>().unwrap()));
        }

        #[test]
        fn any_bytes_have_an_end(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read::<serde_json::Value>(&bytes);
        }

        #[test]
        fn any_json_like_text_is_judged_as_serde_does(text in r#"[\[\]{}:,"a0-9.eE\\ -]{0,12}"#) {
            // Serde takes a key twice, and numbers without an end.
            let serde = serde_json::from_str::<serde_json::Value>(&text);
            let here = read::<serde_json::Value>(text.as_bytes());
            match (serde, here) {
                (serde, Ok(value)) => prop_assert_eq!(Some(value), serde.ok()),
                (Ok(value), Err(wrong)) => {
                    prop_assert!(wrong.why == "it is there twice", "{} {:?}", value, wrong);
                }
                (Err(_), Err(_)) => {}
            }
        }
    }
}
