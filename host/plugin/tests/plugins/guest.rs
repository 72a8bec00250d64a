//! A guest written as text, whose parts can be replaced.

/// The parts of a sound guest that gives its first instance.
const PARTS: &[(&str, &str)] = &[
    ("import", ""),
    ("memory", r#"(memory (export "memory") 9)"#),
    ("more", ""),
    (
        "abi",
        r#"(func (export "lb_abi") (result i32) (i32.const 1))"#,
    ),
    (
        "alloc",
        // The half of memory that the table is not in.
        r#"(global $half (mut i32) (i32.const 4096))
        (func (export "lb_alloc") (param $length i32) (result i32)
          (global.set $half (i32.sub (i32.const 270336) (global.get $half)))
          (select (global.get $half) (i32.const 0) (i32.le_u (local.get $length) (i32.const 262144))))"#,
    ),
    (
        "init",
        r#"(func (export "lb_init") (param i32 i32) (result i32) (i32.const 0))"#,
    ),
    (
        "error",
        r#"(func (export "lb_error") (result i64) (i64.const 0))"#,
    ),
    (
        "update",
        r#"(func (export "lb_update") (param i32 i32 i64) (result i32) (i32.const 0))"#,
    ),
    (
        "choose",
        r#"(func (export "lb_choose") (param i64 i64 i64 i32) (result i32) (i32.const 0))"#,
    ),
];

/// An `lb_choose` that finds nobody, which is right for every list.
pub(crate) const NOBODY: (&str, &str) = (
    "choose",
    r#"(func (export "lb_choose") (param i64 i64 i64 i32) (result i32) (i32.const -1))"#,
);

/// The text of a guest with these parts in place of the sound ones.
pub(crate) fn text(replaced: &[(&str, &str)]) -> String {
    let part = |(name, sound): &(&str, &str)| {
        let other = replaced.iter().find(|(part, _)| part == name);
        other.map_or(*sound, |(_, text)| *text).to_owned()
    };
    for (name, _) in replaced {
        assert!(
            PARTS.iter().any(|(part, _)| part == name),
            "no part is called {name}"
        );
    }
    let parts: Vec<String> = PARTS.iter().map(part).collect();
    format!("(module {})", parts.join("\n"))
}

/// The same as a module.
pub(crate) fn module(replaced: &[(&str, &str)]) -> Vec<u8> {
    let text = text(replaced);
    wat::parse_str(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

/// A guest whose `lb_choose` has this body.
pub(crate) fn choosing(body: &str) -> Vec<u8> {
    let function = format!(
        r#"(func $choose (export "lb_choose") (param i64 i64 i64 i32) (result i32) {body})"#
    );
    module(&[("choose", &function)])
}
