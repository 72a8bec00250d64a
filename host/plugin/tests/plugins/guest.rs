//! A guest written as text, whose parts can be replaced.

/// The parts of a sound guest that gives its first instance.
const PARTS: &[(&str, &str)] = &[
    ("import", ""),
    ("memory", r#"(memory (export "memory") 2)"#),
    ("more", ""),
    (
        "abi",
        r#"(func (export "lb_abi") (result i32) (i32.const 1))"#,
    ),
    (
        "alloc",
        r#"(global $top (mut i32) (i32.const 4096))
        (func (export "lb_alloc") (param $length i32) (result i32) (local $at i32)
          (local.set $at (global.get $top))
          (global.set $top (i32.add (global.get $top) (i32.and (i32.add (local.get $length) (i32.const 15)) (i32.const -16))))
          (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
            (then (drop (memory.grow (i32.const 4)))))
          (local.get $at))"#,
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
