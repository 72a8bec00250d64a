//! The table of bad plugins: name, module, what the message must say.

use crate::guest::{NOBODY, choosing, module, text};

type Row = (&'static str, Vec<u8>, &'static str);

/// Refused before a caller meets them.
pub(crate) fn refused() -> Vec<Row> {
    let sound = module(&[]);
    let oversize = [
        sound.as_slice(),
        &[0, 0x84, 0x80, 0x40, 1, b'x'],
        &vec![0; 1 << 20],
    ]
    .concat();
    let with = |part: &str, text: &str| module(&[(part, text)]);
    vec![
        ("nothing", Vec::new(), "it is empty"),
        (
            "text",
            text(&[]).into_bytes(),
            "it is text; assemble it first",
        ),
        (
            "other bytes",
            vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 0],
            "does not begin with \\0asm",
        ),
        (
            "truncated",
            sound[..sound.len() - 9].to_vec(),
            "not a WebAssembly module",
        ),
        (
            "cut after its head",
            sound[..8].to_vec(),
            "the export memory is missing",
        ),
        (
            "a component",
            b"\0asm\x0d\0\x01\0".to_vec(),
            "not a WebAssembly module",
        ),
        ("oversize", oversize, "at most 1048576 are taken"),
        (
            "a body of the wrong type",
            {
                // The constant that lb_abi gives becomes one of another type.
                let mut wrong = sound.clone();
                let at = wrong
                    .windows(4)
                    .position(|code| code == [0, 0x41, 1, 0x0b])
                    .expect("lb_abi's body");
                wrong[at + 1] = 0x42;
                wrong
            },
            "not a WebAssembly module",
        ),
        (
            "a function wanted",
            with("import", r#"(import "env" "now" (func (result i64)))"#),
            "wants env.now",
        ),
        (
            "a memory wanted",
            with("import", r#"(import "env" "table" (table 1 funcref))"#),
            "wants env.table",
        ),
        (
            "WASI wanted",
            with(
                "import",
                r#"(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))"#,
            ),
            "wants wasi_snapshot_preview1.fd_write",
        ),
        (
            "no lb_choose",
            with("choose", ""),
            "the export lb_choose is missing",
        ),
        (
            "no lb_error",
            with("error", ""),
            "the export lb_error is missing",
        ),
        (
            "memory kept to itself",
            with("memory", "(memory 2)"),
            "the export memory is missing",
        ),
        (
            "memory is a number",
            with(
                "memory",
                r#"(memory 2) (global (export "memory") i32 (i32.const 1))"#,
            ),
            "memory must be a memory; it is a global",
        ),
        (
            "memory of 64 bits",
            with("memory", r#"(memory (export "memory") i64 2)"#),
            "not a WebAssembly module",
        ),
        (
            "lb_choose without time",
            with(
                "choose",
                r#"(func (export "lb_choose") (param i64 i64 i32) (result i32) (i32.const 0))"#,
            ),
            "lb_choose must be (i64, i64, i64, i32) -> i32; it is (i64, i64, i32) -> i32",
        ),
        (
            "lb_choose without an answer",
            with(
                "choose",
                r#"(func (export "lb_choose") (param i64 i64 i64 i32))"#,
            ),
            "it is (i64, i64, i64, i32)",
        ),
        (
            "lb_alloc of 64 bits",
            with("more", r#"(func (export "lb_start") (param i64 i64))"#),
            "lb_start must be (i32, i64)",
        ),
        (
            "lb_abi is a number",
            with("abi", r#"(global (export "lb_abi") i32 (i32.const 1))"#),
            "lb_abi must be () -> i32; it is a global",
        ),
        (
            "a function too many",
            with("more", r#"(func (export "debug"))"#),
            "the export debug is not part of the ABI",
        ),
        (
            "a table shown",
            with(
                "more",
                r#"(table (export "__indirect_function_table") 1 funcref)"#,
            ),
            "__indirect_function_table is not part of the ABI",
        ),
        (
            "lb_start alone",
            with("more", r#"(func (export "lb_start") (param i32 i64))"#),
            "only lb_start is exported",
        ),
        (
            "another version",
            with(
                "abi",
                r#"(func (export "lb_abi") (result i32) (i32.const 2))"#,
            ),
            "lb_abi gave 2",
        ),
        (
            "much memory at once",
            with("memory", r#"(memory (export "memory") 100)"#),
            "out of memory: more than 4194304 bytes",
        ),
        (
            "a huge table",
            with("more", "(table 1000000 funcref)"),
            "more than 10000 table elements",
        ),
        (
            "a trap at its start",
            with("more", "(func $s unreachable) (start $s)"),
            "instantiation: trap: wasm `unreachable`",
        ),
        (
            "no end at its start",
            with("more", "(func $s (loop (br 0))) (start $s)"),
            "out of time: instantiation",
        ),
        (
            "no end in _initialize",
            with("more", r#"(func (export "_initialize") (loop (br 0)))"#),
            "out of time: _initialize",
        ),
        (
            "no end in lb_init",
            with(
                "init",
                r#"(func (export "lb_init") (param i32 i32) (result i32) (loop (br 0)) unreachable)"#,
            ),
            "out of time: lb_init",
        ),
        (
            "no end in lb_abi",
            with(
                "abi",
                r#"(func (export "lb_abi") (result i32) (loop (br 0)) unreachable)"#,
            ),
            "out of time: lb_abi",
        ),
        (
            "the configuration refused, in words",
            module(&[
                (
                    "init",
                    r#"(func (export "lb_init") (param i32 i32) (result i32) (i32.const 1)) (data (i32.const 64) "zone is missing")"#,
                ),
                (
                    "error",
                    r#"(func (export "lb_error") (result i64) (i64.const 0x400000000f))"#,
                ),
            ]),
            "refuses the configuration: zone is missing",
        ),
        (
            "the configuration refused, with a place outside",
            module(&[
                (
                    "init",
                    r#"(func (export "lb_init") (param i32 i32) (result i32) (i32.const 7))"#,
                ),
                (
                    "error",
                    r#"(func (export "lb_error") (result i64) (i64.const -1))"#,
                ),
            ]),
            "refuses the configuration: lb_init gave 7",
        ),
        (
            "the configuration refused, with a trap",
            module(&[
                (
                    "init",
                    r#"(func (export "lb_init") (param i32 i32) (result i32) (i32.const 7))"#,
                ),
                (
                    "error",
                    r#"(func (export "lb_error") (result i64) unreachable)"#,
                ),
            ]),
            "refuses the configuration: lb_init gave 7",
        ),
        (
            "no buffer",
            with(
                "alloc",
                r#"(func (export "lb_alloc") (param i32) (result i32) (i32.const 0))"#,
            ),
            "lb_alloc had no 2 bytes",
        ),
        (
            "a buffer outside",
            with(
                "alloc",
                r#"(func (export "lb_alloc") (param i32) (result i32) (i32.const -8))"#,
            ),
            "lb_alloc gave a place outside the plugin's memory",
        ),
    ]
}

/// Accepted by looking, and wrong when they run.
pub(crate) fn contained() -> Vec<Row> {
    let with = |part: &str, text: &str| module(&[(part, text)]);
    let update = |body: &str| {
        with(
            "update",
            &format!(r#"(func (export "lb_update") (param i32 i32 i64) (result i32) {body})"#),
        )
    };
    vec![
        (
            "no end in lb_choose",
            choosing("(loop (br 0)) unreachable"),
            "out of time: lb_choose",
        ),
        (
            "no end, with calls",
            choosing("(loop (drop (memory.grow (i32.const 0))) (br 0)) unreachable"),
            "out of time: lb_choose",
        ),
        (
            "no end in lb_update",
            update("(loop (br 0)) unreachable"),
            "out of time: lb_update",
        ),
        (
            "endless recursion",
            choosing("(call $choose (i64.const 0) (i64.const 0) (i64.const 0) (i32.const 0))"),
            "stack overflow",
        ),
        (
            "the end of the list",
            choosing("(i32.const 3)"),
            "lb_choose gave 3; the list has 3 instances",
        ),
        (
            "far outside",
            choosing("(i32.const 2147483647)"),
            "lb_choose gave 2147483647",
        ),
        (
            "an answer that is none",
            choosing("(i32.const -3)"),
            "lb_choose gave -3",
        ),
        (
            "the list before",
            module(&[
                (
                    "update",
                    r#"(global $most (mut i32) (i32.const 4))
                (func (export "lb_update") (param i32 i32 i64) (result i32) (i32.const 0))"#,
                ),
                (
                    "choose",
                    r#"(func (export "lb_choose") (param i64 i64 i64 i32) (result i32) (global.get $most))"#,
                ),
            ]),
            "lb_choose gave 4; the list has 3 instances",
        ),
        (
            "a trap",
            choosing("unreachable"),
            "trap: wasm `unreachable`",
        ),
        (
            "a trap with words",
            module(&[
                (
                    "choose",
                    r#"(func (export "lb_choose") (param i64 i64 i64 i32) (result i32) unreachable) (data (i32.const 64) "weights are empty")"#,
                ),
                (
                    "error",
                    r#"(func (export "lb_error") (result i64) (i64.const 0x4000000011))"#,
                ),
            ]),
            "trap: weights are empty",
        ),
        (
            "a trap and endless words",
            module(&[
                (
                    "choose",
                    r#"(func (export "lb_choose") (param i64 i64 i64 i32) (result i32) unreachable)"#,
                ),
                (
                    "error",
                    r#"(func (export "lb_error") (result i64) (loop (br 0)) unreachable)"#,
                ),
            ]),
            "trap: wasm `unreachable`",
        ),
        (
            "a trap on the third call",
            traps_every(3),
            "trap: wasm `unreachable`",
        ),
        (
            "memory without end",
            choosing(
                "(loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable",
            ),
            "out of memory: more than 4194304 bytes",
        ),
        (
            "memory all at once",
            choosing(
                "(if (i32.eq (memory.grow (i32.const 60000)) (i32.const -1)) (then unreachable)) (i32.const 0)",
            ),
            "out of memory",
        ),
        (
            "a load outside",
            choosing("(i32.load (i32.const -4))"),
            "out of bounds memory access",
        ),
        (
            "a store outside",
            choosing("(i32.store (i32.const -4) (i32.const 1)) (i32.const 0)"),
            "out of bounds memory access",
        ),
        (
            "a fill outside",
            choosing("(memory.fill (i32.const 0) (i32.const 0) (i32.const -1)) (i32.const 0)"),
            "out of bounds memory access",
        ),
        (
            "division by zero",
            choosing("(i32.div_u (i32.const 1) (i32.const 0))"),
            "integer divide by zero",
        ),
        (
            "a function that is none",
            module(&[
                ("more", "(table 2 funcref) (type $f (func))"),
                (
                    "choose",
                    r#"(func (export "lb_choose") (param i64 i64 i64 i32) (result i32) (call_indirect (type $f) (i32.const 1)) (i32.const 0))"#,
                ),
            ]),
            "uninitialized element",
        ),
        (
            "a table that grows",
            module(&[
                ("more", "(table $t 2 funcref)"),
                (
                    "choose",
                    r#"(func (export "lb_choose") (param i64 i64 i64 i32) (result i32)
                (if (i32.eq (table.grow $t (ref.null func) (i32.const 1)) (i32.const -1)) (then unreachable)) (i32.const 0))"#,
                ),
            ]),
            "more than 10000 table elements",
        ),
        (
            "a list refused",
            update("(i32.const 2)"),
            "lb_update gave 2",
        ),
        (
            "a buffer outside, later",
            module(&[(
                "alloc",
                r#"(global $n (mut i32) (i32.const 0))
            (func (export "lb_alloc") (param i32) (result i32)
              (global.set $n (i32.add (global.get $n) (i32.const 1)))
              (select (i32.const 64) (i32.const -8) (i32.eq (global.get $n) (i32.const 1))))"#,
            )]),
            "outside the plugin's memory",
        ),
        (
            "a trap when told",
            with(
                "more",
                r#"(func (export "lb_start") (param i32 i64) unreachable) (func (export "lb_report") (param i32 i32 i64 i64))"#,
            ),
            "trap: wasm `unreachable`",
        ),
        (
            "no end when told",
            with(
                "more",
                r#"(func (export "lb_start") (param i32 i64)) (func (export "lb_report") (param i32 i32 i64 i64) (loop (br 0)))"#,
            ),
            "out of time: lb_report",
        ),
    ]
}

/// Traps on every nth pick; sound otherwise.
pub(crate) fn traps_every(picks: u32) -> Vec<u8> {
    let body = format!(
        "(global.set $n (i32.add (global.get $n) (i32.const 1)))
         (if (i32.eq (global.get $n) (i32.const {picks})) (then unreachable)) (i32.const 0)"
    );
    let function =
        format!(r#"(func (export "lb_choose") (param i64 i64 i64 i32) (result i32) {body})"#);
    module(&[
        ("more", "(global $n (mut i32) (i32.const 0))"),
        ("choose", &function),
    ])
}

/// Takes new memory for each list, and never gives any back.
pub(crate) fn keeps_every_list() -> Vec<u8> {
    let alloc = (
        "alloc",
        r#"(global $top (mut i32) (i32.const 4096))
        (func (export "lb_alloc") (param $length i32) (result i32) (local $at i32)
          (local.set $at (global.get $top))
          (global.set $top (i32.add (global.get $top) (i32.and (i32.add (local.get $length) (i32.const 15)) (i32.const -16))))
          (if (i32.gt_u (global.get $top) (i32.mul (memory.size) (i32.const 65536)))
            (then (drop (memory.grow (i32.const 4)))))
          (local.get $at))"#,
    );
    module(&[alloc, NOBODY])
}
