//! What tests of more than one crate share. The tests themselves are in `tests/`, one program a stage of
//! `cargo xtask test`.

pub mod differential;
