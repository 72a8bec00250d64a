//! Lower case, for names that are compared without letter case.
//!
//! Gives what `str::to_lowercase` gives, which brings 6 kB into a module that browsers load: tables of all letters for one Greek one,
//! and a panic of its own that shows the text, for which it has to know which characters can be printed.

use alloc::string::String;

/// The text in lower case.
pub(crate) fn lower(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, one) in text.char_indices() {
        if one == 'Σ' {
            out.push(sigma(text, at));
        } else {
            out.extend(one.to_lowercase());
        }
    }
    out
}

/// The only letter with a form of its own at the end of a word.
fn sigma(text: &str, at: usize) -> char {
    let (before, after) = (text.get(..at), text.get(at + 'Σ'.len_utf8()..));
    let is_letter = |one: Option<char>| one.is_some_and(has_case);
    let passed = |one: &char| {
        !matches!(
            one,
            '\'' | '.' | ':' | '^' | '`' | '’' | '\u{300}'..='\u{36f}'
        )
    };
    let before = before.unwrap_or_default().chars().rev().find(passed);
    let after = after.unwrap_or_default().chars().find(passed);
    if is_letter(before) && !is_letter(after) {
        'ς'
    } else {
        'σ'
    }
}

/// Letters of the scripts that stand beside Greek ones in any name.
fn has_case(one: char) -> bool {
    one.is_ascii_alphabetic()
        || matches!(one, 'À'..='Ö' | 'Ø'..='ö' | 'ø'..='ƺ' | 'Ά' | 'Έ'..='ԯ' | 'Ḁ'..='ῼ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn is_that_of_the_standard_library(
            word in "[a-cX-Z0-9ΑΔΣσςä-éÄЖжİ.:'^ _()-]{0,12}",
            any in "[^Σ]{0,12}",
        ) {
            prop_assert_eq!(lower(&word), word.to_lowercase());
            prop_assert_eq!(lower(&any), any.to_lowercase());
        }
    }
}
