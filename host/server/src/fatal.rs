//! Nothing is half alive: a part that fails stops the process with its reason.

use std::any::Any;
use std::io::Write;

/// Exit code of a process that stopped itself (`EX_SOFTWARE`).
const EXIT: i32 = 70;

/// Ends the process, saying why.
pub fn fatal(reason: &str) -> ! {
    tracing::error!(target: "nacrite", "stopping: {reason}");
    // The log's writer may be behind, or be what failed.
    let _said = writeln!(std::io::stderr(), "nacrite: stopping: {reason}");
    std::process::exit(EXIT);
}

/// What a panic said.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
        .unwrap_or_else(|| "a panic without words".to_owned())
}

/// Starts a thread whose panic or error ends the process.
pub fn thread(
    name: &str,
    work: impl FnOnce() -> Result<(), String> + Send + 'static,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let title = name.to_owned();
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(
            move || match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
                Ok(Ok(())) => {}
                Ok(Err(reason)) => fatal(&format!("{title}: {reason}")),
                Err(panic) => fatal(&format!("{title}: {}", panic_text(&*panic))),
            },
        )
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::sync::{Arc, mpsc};

    use nacrite_consensus::{Consensus, Start};
    use nacrite_core::node::{Node, NodeSettings, input::Input, output::Output};
    use nacrite_storage::{Options, SimDisk, Store};
    use tokio::sync::watch;

    use super::*;
    use crate::{
        contents::Contents,
        drive::{Clock, Drive, Inner, QueueLimits, Replayed},
        engine::{Batch, Core, Engine, Fault, Image, Runner},
        views::Views,
    };

    /// Says to a child of this program that it is the one to fail.
    const CHILD: &str = "FATAL_TEST_CHILD";

    /// Runs the test of this name in a process of its own, which must end as one that stopped itself.
    fn ends_with_reason(test: &str, reason: &str, fails: impl FnOnce()) {
        if std::env::var_os(CHILD).is_some() {
            fails();
            return;
        }
        let own = std::env::current_exe().expect("a program knows where it is");
        let output = Command::new(own)
            .args(["--exact", &format!("fatal::tests::{test}")])
            .env(CHILD, "1")
            .output()
            .expect("it can be started once more");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(EXIT), "{said}");
        assert!(said.contains(&format!("stopping: {reason}")), "{said}");
    }

    /// Waits for a thread whose end ends the process.
    fn outlive(thread: std::io::Result<std::thread::JoinHandle<()>>) {
        let _ended = thread.expect("a thread can be started").join();
    }

    #[test]
    fn a_writer_that_panics() {
        ends_with_reason("a_writer_that_panics", "log-writer: no such page", || {
            outlive(thread("log-writer", || panic!("no such page")));
        });
    }

    #[test]
    fn a_writer_that_fails() {
        ends_with_reason("a_writer_that_fails", "state-writer: disk full", || {
            outlive(thread("state-writer", || Err("disk full".to_owned())));
        });
    }

    struct Broken;

    impl Engine for Broken {
        fn batch(&mut self, _: &mut Batch) -> Result<Vec<Output>, Fault> {
            panic!("entry 7 cannot be read");
        }

        fn deadline(&mut self) -> Result<Option<u64>, Fault> {
            Ok(None)
        }

        fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
            Ok(Vec::new())
        }

        fn image(&mut self, _: Option<Image>) -> Image {
            Image::Node(Box::new(Node::new(&NodeSettings::default())))
        }
    }

    #[test]
    fn a_core_that_panics_under_the_lock() {
        let reason = "the core stopped: entry 7 cannot be read";
        ends_with_reason("a_core_that_panics_under_the_lock", reason, || {
            let options = Options {
                new_node_id: 1,
                ..Options::default()
            };
            let Store { log, state, .. } =
                Store::open(Arc::new(SimDisk::new()), &options).expect("a new disk is sound");
            let start = Start {
                id: 1,
                voters: vec![1],
                ..Start::default()
            };
            let consensus = Consensus::new(start, Arc::new(log.handle())).expect("it is new");
            let replayed = Replayed { last: 0, from: 0 };
            let (jobs, _jobs) = mpsc::channel();
            let (rows, _rows) = mpsc::channel();
            let engine = Runner::of(Core::Native, Box::new(Broken));
            let inner = Inner::new(engine, consensus, jobs, rows, replayed);
            let drive = Drive::new(
                inner,
                QueueLimits { count: 1, bytes: 1 },
                Arc::new(Views::default()),
                Arc::new(Contents::new(state.reader(), 1 << 20)),
                Clock::start(),
                watch::channel(0).1,
                1 << 20,
                1,
            );
            drive.control(Input::Tick);
        });
    }
}
