//! Numbers as text, without `fmt`: it costs more time than the hash of a ring's point, and 2 kB of a module that browsers load.

use alloc::string::String;

/// Appends the digits of a number.
pub(crate) fn push(text: &mut String, number: u32) {
    if number >= 10 {
        push(text, number / 10);
    }
    text.push(char::from(b'0' + (number % 10) as u8));
}

#[cfg(test)]
mod tests {
    use alloc::string::{String, ToString};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_are_those_of_fmt(number in prop_oneof![any::<u32>(), 0_u32..1000, Just(u32::MAX)]) {
            let mut text = String::from("a_");
            super::push(&mut text, number);
            prop_assert_eq!(&text[2..], number.to_string());
        }
    }
}
