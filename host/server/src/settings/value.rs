//! The kinds of setting: how each is written in a file, an environment variable or a flag, and how it is shown.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A type that a setting can have.
pub(crate) trait Value: Sized {
    /// What may be written, for help texts.
    const FORM: &'static str;

    /// Reads the text of a flag or variable.
    fn from_text(text: &str) -> Result<Self, String>;

    /// The text that [`from_text`](Self::from_text) reads back, as a person would write it.
    fn to_text(&self) -> String;

    /// Reads a value of a file: numbers and truth values may be bare or quoted.
    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::String(text) => Self::from_text(text),
            toml::Value::Integer(number) => Self::from_text(&number.to_string()),
            toml::Value::Boolean(truth) => Self::from_text(&truth.to_string()),
            other => Err(format!(
                "a value of type {} does not fit here",
                other.type_str()
            )),
        }
    }

    /// The value for a TOML file.
    fn to_toml(&self) -> toml::Value {
        toml::Value::String(self.to_text())
    }
}

/// A number of bytes, written as `4096`, `64KiB`, `10MiB` or `1GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many KiB.
    pub const fn kib(n: u64) -> Self {
        ByteSize(n << 10)
    }

    /// So many MiB.
    pub const fn mib(n: u64) -> Self {
        ByteSize(n << 20)
    }

    /// So many GiB.
    pub const fn gib(n: u64) -> Self {
        ByteSize(n << 30)
    }

    /// The size as a count of bytes in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Splits `10MiB` into number and unit.
fn number_and_unit(text: &str) -> Result<(u64, &str), String> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number = text[..digits]
        .parse()
        .map_err(|_| format!("{text:?} does not begin with a whole number"))?;
    Ok((number, text[digits..].trim()))
}

impl Value for ByteSize {
    const FORM: &'static str = "size such as 4096, 64KiB, 10MiB";

    fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text)?;
        let shift = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            _ => return Err(format!("{unit:?} is no unit of size; B, KiB, MiB, GiB are")),
        };
        number
            .checked_mul(1 << shift)
            .map(ByteSize)
            .ok_or_else(|| "the number is too large".to_owned())
    }

    fn to_text(&self) -> String {
        let (mut number, mut unit) = (self.0, "");
        for next in ["KiB", "MiB", "GiB"] {
            if number == 0 || number % 1_024 != 0 {
                break;
            }
            (number, unit) = (number / 1_024, next);
        }
        format!("{number}{unit}")
    }
}

impl Value for Duration {
    const FORM: &'static str = "milliseconds, or a time such as 500ms, 30s, 5m, 1h, 1d";

    fn from_text(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text)?;
        let millis = match unit {
            "" | "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(format!("{unit:?} is no unit of time; ms, s, m, h, d are")),
        };
        number
            .checked_mul(millis)
            .map(Duration::from_millis)
            .ok_or_else(|| "the number is too large".to_owned())
    }

    fn to_text(&self) -> String {
        let (mut number, mut unit) = (self.as_millis(), "ms");
        for (factor, next) in [(1_000, "s"), (60, "m"), (60, "h"), (24, "d")] {
            if number == 0 || number % factor != 0 {
                break;
            }
            (number, unit) = (number / factor, next);
        }
        format!("{number}{unit}")
    }

    fn to_toml(&self) -> toml::Value {
        // The key's name says milliseconds.
        toml::Value::Integer(i64::try_from(self.as_millis()).unwrap_or(i64::MAX))
    }
}

macro_rules! whole_numbers {
    ($($number:ty),+) => {$(
        impl Value for $number {
            const FORM: &'static str = "whole number";

            fn from_text(text: &str) -> Result<Self, String> {
                text.trim().parse().map_err(|_| format!("{text:?} is no whole number that fits"))
            }

            fn to_text(&self) -> String {
                self.to_string()
            }

            fn to_toml(&self) -> toml::Value {
                toml::Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }
    )+};
}
whole_numbers!(u16, u32, usize);

impl Value for bool {
    const FORM: &'static str = "true or false";

    fn from_text(text: &str) -> Result<Self, String> {
        text.trim()
            .parse()
            .map_err(|_| format!("{text:?} is neither true nor false"))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }

    fn to_toml(&self) -> toml::Value {
        toml::Value::Boolean(*self)
    }
}

impl Value for String {
    const FORM: &'static str = "text";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn to_text(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    const FORM: &'static str = "path";

    fn from_text(text: &str) -> Result<Self, String> {
        Ok(PathBuf::from(text))
    }

    fn to_text(&self) -> String {
        self.display().to_string()
    }
}

impl Value for IpAddr {
    const FORM: &'static str = "IPv4 or IPv6 address";

    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let inner = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        inner
            .parse()
            .map_err(|_| format!("{text:?} is no IP address"))
    }

    fn to_text(&self) -> String {
        self.to_string()
    }
}

/// Origins of web pages (`https://host:port`, as browsers write them), or `*` for every origin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(Vec<String>);

/// [`Origins`] that stand for every one.
const ANY: &str = "*";

impl Origins {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it is every origin.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.iter().any(|origin| origin == ANY)
    }

    /// Whether this one is listed.
    #[must_use]
    pub fn has(&self, origin: &str) -> bool {
        self.0.iter().any(|listed| listed == origin)
    }
}

impl std::str::FromStr for Origins {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let origin = |text: &str| {
            let text = text.to_ascii_lowercase();
            let host = text.split_once("://").map(|(_, host)| host);
            let fits = |host: &str| {
                !host.is_empty()
                    && host.bytes().all(|b| b.is_ascii_graphic())
                    && !host.contains('/')
            };
            match host {
                None if text == ANY => Ok(text),
                Some(host) if fits(host) => Ok(text),
                _ => Err(format!("{text:?} is no origin such as https://example.org")),
            }
        };
        let items = text.split(',').map(str::trim).filter(|one| !one.is_empty());
        items.map(origin).collect::<Result<_, _>>().map(Self)
    }
}

impl Value for Origins {
    const FORM: &'static str =
        "origins such as https://example.org or http://localhost:3000, comma-separated, or *";

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse()
    }

    fn to_text(&self) -> String {
        self.0.join(",")
    }

    fn from_toml(value: &toml::Value) -> Result<Self, String> {
        let items = match value {
            toml::Value::String(text) => return text.parse(),
            toml::Value::Array(items) => items.iter().map(toml::Value::as_str),
            _ => return Err("a list of texts is wanted".to_owned()),
        };
        let texts: Option<Vec<&str>> = items.collect();
        texts.ok_or("a list of texts is wanted")?.join(",").parse()
    }

    fn to_toml(&self) -> toml::Value {
        self.0.clone().into()
    }
}

/// Declares a setting that is one of a few words.
macro_rules! choice {
    ($(#[$attr:meta])* $name:ident { $first:ident = $first_word:literal: $first_doc:literal $(, $variant:ident = $word:literal: $doc:literal)* $(,)? }) => {
        $(#[$attr])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            #[doc = $first_doc]
            $first,
            $(#[doc = $doc] $variant,)*
        }

        impl Value for $name {
            const FORM: &'static str = concat!($first_word $(, " | ", $word)*);

            fn from_text(text: &str) -> Result<Self, String> {
                match text.trim() {
                    $first_word => Ok(Self::$first),
                    $($word => Ok(Self::$variant),)*
                    other => Err(format!("{other:?} is none of {}", Self::FORM)),
                }
            }

            fn to_text(&self) -> String {
                match self {
                    Self::$first => $first_word,
                    $(Self::$variant => $word,)*
                }
                .to_owned()
            }
        }
    };
}

choice! {
    /// How the old API generations answer.
    Compat {
        All = "all": "v1 and v2 answer as the 2.x line does, v3 as the 3.x line does.",
        Two = "2": "Everything answers as the 2.x line does.",
        Three = "3": "Everything answers as the 3.x line does.",
    }
}

choice! {
    /// What runs the core.
    EngineKind {
        Native = "native": "The core that is linked into the program.",
        Wasm = "wasm": "The core as WebAssembly: a fault in it is contained.",
    }
}

choice! {
    /// How much is logged.
    LogLevel {
        Off = "off": "Nothing.",
        Error = "error": "What needs a person.",
        Warn = "warn": "What may need one.",
        Info = "info": "What changes rarely: start, stop, roles.",
        Debug = "debug": "What each connection does.",
        Trace = "trace": "Everything.",
    }
}

choice! {
    /// How a log line looks.
    LogFormat {
        Full = "full": "Time, level, module, fields.",
        Compact = "compact": "Level and message first, for a terminal.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("64KiB", 65_536),
            (" 10 MiB", 10 << 20),
            ("1g", 1 << 30),
            ("3b", 3),
        ] {
            assert_eq!(ByteSize::from_text(text), Ok(ByteSize(bytes)), "{text}");
        }
        for (text, millis) in [
            ("500", 500),
            ("500ms", 500),
            ("30s", 30_000),
            ("5 m", 300_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(
                Duration::from_text(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "5 parsecs",
            "99999999999999999999",
            "18446744073709551615GiB",
        ] {
            assert!(ByteSize::from_text(text).is_err(), "{text}");
            assert!(Duration::from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for bytes in [0, 1, 1_000, 1_024, 10 << 20, (10 << 20) + 1, 3 << 30] {
            assert_eq!(
                ByteSize::from_text(&ByteSize(bytes).to_text()),
                Ok(ByteSize(bytes))
            );
        }
        for millis in [0, 1, 999, 1_000, 90_000, 3_600_000, 86_400_000, 86_400_001] {
            let time = Duration::from_millis(millis);
            assert_eq!(Duration::from_text(&time.to_text()), Ok(time));
            assert_eq!(Duration::from_toml(&time.to_toml()), Ok(time));
        }
        assert_eq!(ByteSize::mib(10).to_text(), "10MiB");
        assert_eq!(Duration::from_secs(90).to_text(), "90s");
    }

    #[test]
    fn choices_name_what_they_take() {
        assert_eq!(Compat::from_text("2"), Ok(Compat::Two));
        assert_eq!(
            Compat::from_text("1"),
            Err("\"1\" is none of all | 2 | 3".to_owned())
        );
        assert_eq!(IpAddr::from_text("[::1]"), Ok("::1".parse().unwrap()));
    }
    #[test]
    fn origins_are_listed_in_a_file_or_between_commas() {
        let two = Origins::from_text(" https://A.example, http://localhost:3000").unwrap();
        assert_eq!(two.to_text(), "https://a.example,http://localhost:3000");
        assert_eq!(Origins::from_toml(&two.to_toml()), Ok(two.clone()));
        assert_eq!(Origins::from_toml(&two.to_text().into()), Ok(two));
        assert_eq!(Origins::from_text(""), Ok(Origins::default()));
        assert!(Origins::from_text("*").unwrap().is_any());
        for bad in [
            "example.org",
            "https://",
            "https://a/",
            "https://a b",
            "null",
        ] {
            assert!(Origins::from_text(bad).is_err(), "{bad}");
        }
        for bad in [1.into(), toml::Value::Array(vec![1.into()])] {
            assert!(Origins::from_toml(&bad).is_err(), "{bad}");
        }
    }
}
