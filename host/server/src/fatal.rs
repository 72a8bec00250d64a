//! Nothing is half alive: a part that fails stops the process with its reason.

use std::any::Any;

/// Exit code of a process that stopped itself (`EX_SOFTWARE`).
const EXIT: i32 = 70;

/// Ends the process, saying why.
pub fn fatal(reason: &str) -> ! {
    tracing::error!(target: "nacrite", "stopping: {reason}");
    // The log's writer may be behind, or be what failed.
    eprintln!("nacrite: stopping: {reason}");
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
