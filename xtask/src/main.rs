//! The project's tasks, one command each: `cargo xtask --help`.
//!
//! This crate starts other programs, watches them and counts; it holds no rule of the server and links none of its
//! crates, so that it is built in seconds on a fresh machine.

mod clients;
mod counts;
mod golden;
mod lint;
mod npm;
mod packages;
mod process;
mod schedule;
mod serve;
mod server;
mod stages;
mod text_rules;
mod unit;
mod wasm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// What went wrong, as a sentence for the person at the terminal.
pub(crate) type Failure = String;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    about = "Build, run and test Nacrite",
    disable_help_subcommand = true
)]
struct Cli {
    /// Engine of the servers that `clients` and `golden` start: native or wasm
    #[arg(long, global = true)]
    engine: Option<String>,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build for release and start a standalone server on 8848 with its data in ./data
    Run {
        /// More arguments of `nacrite serve`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Everything CI runs: named stages, a table of results, `N passed, N failed`
    Test {
        /// The numbers of the full proof instead of CI's samples
        #[arg(long)]
        full: bool,
        /// Only these stages
        #[arg(long, num_args = 1.., value_name = "STAGE")]
        only: Vec<String>,
        /// Print the stages and leave
        #[arg(long)]
        list: bool,
    },
    /// Build the workspace
    Build {
        /// With the release profile
        #[arg(long)]
        release: bool,
    },
    /// Formatting, clippy, dependency policy and the house rules
    Lint {
        /// Also look for security advisories (fetches the advisory database)
        #[arg(long)]
        advisories: bool,
    },
    /// Measure: passes its arguments to the bench program
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run real client libraries against a server of each suite's own
    Clients {
        /// Suites (default: those that CI judges); `--list` names them
        suites: Vec<String>,
        /// Only fetch and build them
        #[arg(long)]
        prepare: bool,
        /// How often each is run, one after the other; every run must pass
        #[arg(long, default_value_t = 1)]
        runs: u32,
        /// Print the suites and leave
        #[arg(long)]
        list: bool,
    },
    /// Replay recordings of real servers and compare the answers
    Golden {
        /// Recordings: 2.x, 3.x (default: those that CI judges)
        recordings: Vec<String>,
        /// Judge these areas instead (prefixes, separated by commas)
        #[arg(long, value_delimiter = ',')]
        areas: Vec<String>,
    },
    /// Build the WebAssembly modules
    Wasm,
    /// Build a plugin's project in Rust (`nacrite plugin new`) to DIR/NAME.wasm, with a compiler that it finds or installs
    Plugin {
        /// The project's folder
        folder: std::path::PathBuf,
    },
    /// The tests that the crates carry: all but those of `tests/tests`
    #[command(hide = true)]
    Unit,
    /// One client suite and its server, inside the network namespace this runs in
    #[command(hide = true)]
    Suite { name: String, port: u16 },
    /// Kill a suite's server as a crash would and start it again
    #[command(hide = true)]
    Crash { name: String, port: u16 },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(engine) = cli.engine
        && std::env::var_os(server::ENGINE).is_none()
    {
        // By the environment, so that what this starts, and that in turn, is told too.
        let mut again = process::again();
        let failed = std::os::unix::process::CommandExt::exec(again.env(server::ENGINE, engine));
        eprintln!("xtask: {failed}");
        return ExitCode::FAILURE;
    }
    let outcome = match cli.task {
        Task::Run { arguments } => serve::run(&arguments),
        Task::Test { list: true, .. } => {
            schedule::list();
            Ok(())
        }
        Task::Test { full, only, .. } => schedule::test(full, &only),
        Task::Build { release } => serve::build(release),
        Task::Lint { advisories } => lint::lint(advisories),
        Task::Bench { arguments } => serve::bench(&arguments),
        Task::Clients { list: true, .. } => {
            clients::list();
            Ok(())
        }
        Task::Clients {
            suites,
            prepare: true,
            ..
        } => clients::prepare(&suites),
        Task::Clients { suites, runs, .. } => clients::clients(&suites, runs),
        Task::Golden { recordings, areas } => golden::golden(&recordings, &areas),
        Task::Wasm => wasm::wasm(),
        Task::Plugin { folder } => wasm::plugin(&folder),
        Task::Unit => unit::unit(),
        Task::Crash { name, port } => server::crash_and_restart(&name, port),
        Task::Suite { name, port } => clients::suite_here(&name, port),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Closing lines stay last on stdout; the reason goes beside them.
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}
