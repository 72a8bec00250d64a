//! Names of agents as data ids and services spell them: those take fewer characters.

use alloc::{format, string::String};
use core::fmt::Write as _;

/// Beginning of a name in which characters are replaced.
const PREFIX: &str = "____:";

fn is_plain(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '-' | '.' | ':')
}

/// As data ids and services spell it: every character but letters and `-.:` becomes `_` with its code in three digits,
/// and the whole begins with `____:`. What begins so already is taken as spelt.
#[must_use]
pub(super) fn encode(name: &str) -> String {
    if name.chars().all(is_plain) || decode(name).is_some() {
        return name.into();
    }
    let mut out = String::from(PREFIX);
    for c in name.chars() {
        if is_plain(c) {
            out.push(c);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "_{:03}", u32::from(c));
        }
    }
    out
}

/// The name that is spelt so, if it is spelt with replaced characters.
fn decode(spelt: &str) -> Option<String> {
    let mut rest = spelt.strip_prefix(PREFIX)?;
    let mut out = String::new();
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        if is_plain(c) {
            out.push(c);
            continue;
        }
        let code = rest.get(..3).filter(|_| c == '_')?;
        out.push(char::from(code.parse::<u8>().ok()?));
        rest = &rest[3..];
    }
    Some(out)
}

/// The name that is spelt so.
#[must_use]
pub(super) fn name_of(spelt: &str) -> String {
    decode(spelt).unwrap_or_else(|| spelt.into())
}

/// Data id of a version.
pub(super) fn version_id(name: &str, version: &str) -> String {
    format!("{}-{version}", encode(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_spelt_as_in_the_reference() {
        for (name, spelt) in [
            ("agent-A.b:c", "agent-A.b:c"),
            ("My Agent", "____:My_032Agent"),
            ("bot1", "____:bot_049"),
            ("____:bot_049", "____:bot_049"),
            // Not spelt, though it begins so.
            ("____:a b", "____:_095_095_095_095:a_032b"),
        ] {
            assert_eq!(encode(name), spelt);
        }
        assert_eq!(name_of("____:bot_049"), "bot1");
        assert_eq!(name_of("plain_"), "plain_");
    }

    proptest! {
        #[test]
        fn every_name_is_found_again(name in "[ -~]{1,64}") {
            let spelt = encode(&name);
            let again = name_of(&spelt);
            prop_assert!(again == name || spelt == name);
            prop_assert!(spelt.chars().all(|c| is_plain(c) || c == '_' || c.is_ascii_digit()));
        }
    }
}
