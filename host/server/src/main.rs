//! The `nacrite` binary.
fn main() {}
