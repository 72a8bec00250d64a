//! Faults for tests of what a host does about them: only in a module that is built for these tests.
//!
//! They are set off by the dataId of a config: `planted-fault` panics when it is published, `planted-loop` never
//! returns, `planted-commit` panics when the command is applied, `planted-difference` is answered as removed where a
//! right core says that there was none, and a state that holds `planted-restore` panics in restore.

use nacrite_core::node::{input::Input, op::Op, output::Output, reply::Reply};

/// Looks at an input on its way to the node.
pub(super) fn before(input: &Input) {
    match input {
        Input::Request {
            op: Op::Publish(publish),
            ..
        } => match &*publish.key.data_id {
            "planted-fault" => panic!("planted fault"),
            "planted-loop" => loop {
                core::hint::black_box(());
            },
            _ => {}
        },
        Input::Committed { command, .. } if holds(command, b"planted-commit") => {
            panic!("planted fault in a committed command");
        }
        _ => {}
    }
}

/// Answers that there was no config with that there was one.
pub(super) fn differently(output: Output) -> Output {
    match output {
        Output::Reply {
            id,
            result: Ok(Reply::Removed(false)),
        } => Output::Reply {
            id,
            result: Ok(Reply::Removed(true)),
        },
        output => output,
    }
}

/// Looks at a state before it is restored.
pub(super) fn before_restore(snapshot: &[u8]) {
    assert!(
        !holds(snapshot, b"planted-restore"),
        "planted fault in restore"
    );
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
