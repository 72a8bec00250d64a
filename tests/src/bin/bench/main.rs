//! Measures a release build of the server: one table, in one run, beside a bare axum server with the same answers.
//!
//! The load comes from this process, whose CPU is not counted; server and bare server are processes of their own with
//! their default settings. `cargo xtask bench` builds all of it and starts this. Not for judging: targets stand in
//! `tests/bench/RESULTS.md`, and no test depends on a figure.

mod bare;
mod bare_grpc;
mod data;
mod engines;
mod load;
mod memory;
mod process;
mod push;
mod rows;
mod start;
mod table;
mod wake;
mod wake_grpc;

use std::{error::Error, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
pub(crate) use nacrite_tests::wire;

/// What went wrong, for the person at the terminal.
pub(crate) type Failure = Box<dyn Error>;

/// Measure the server: CPU of its process for a request, throughput, latency, beside a bare server
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Cli {
    /// Rows whose names begin so (default: all); `--list` names them
    rows: Vec<String>,
    /// Another server to measure in the same run, as `http://HOST:PORT`
    #[arg(long)]
    peer: Option<String>,
    /// Number of the peer's process, if its CPU is to be measured
    #[arg(long)]
    peer_pid: Option<u32>,
    /// Runs of each row; the best of each server counts
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// Milliseconds of one run
    #[arg(long, default_value_t = 1_500)]
    millis: u64,
    /// The server's program (default: beside this one)
    #[arg(long)]
    server: Option<PathBuf>,
    /// Print the rows and leave
    #[arg(long)]
    list: bool,
    /// Be the bare server: answers are read from this file
    #[arg(long, hide = true, value_name = "FILE")]
    bare: Option<PathBuf>,
    /// Be it over gRPC
    #[arg(long, hide = true, requires = "bare")]
    bare_grpc: bool,
}

/// How a row is measured.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    /// Runs of each server.
    pub(crate) runs: u32,
    /// Time of one run.
    pub(crate) time: Duration,
}

/// A server that somebody else started.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Its process, if it runs here.
    pub(crate) pid: Option<u32>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.bare {
        Some(file) => cli
            .rows
            .first()
            .and_then(|port| port.parse().ok())
            .ok_or_else(|| "--bare FILE PORT".into())
            .and_then(|port| match cli.bare_grpc {
                true => bare_grpc::serve(file, port),
                false => bare::serve(file, port),
            }),
        None => measure(&cli),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> Result<(), Failure> {
    let names: Vec<&str> = rows::ROWS
        .iter()
        .map(|row| row.name)
        .chain([
            wake::NAME,
            wake_grpc::NAME,
            start::NAME,
            memory::NAME,
            data::NAME,
            push::NAME,
            engines::NAME,
        ])
        .collect();
    if cli.list {
        println!("{}", names.join("\n"));
        return Ok(());
    }
    let wanted = |name: &str| cli.rows.is_empty() || cli.rows.iter().any(|r| name.starts_with(r));
    if !names.iter().any(|name| wanted(name)) {
        return Err(format!("no such row; there are {}", names.join(", ")).into());
    }
    let peer = match &cli.peer {
        Some(url) => Some(Peer {
            address: url
                .trim_start_matches("http://")
                .trim_end_matches('/')
                .parse()?,
            pid: cli.peer_pid,
        }),
        None => None,
    };
    let program = match &cli.server {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("nacrite"),
    };
    if !program.is_file() {
        return Err(format!("{} is not built", program.display()).into());
    }
    let effort = Effort {
        runs: cli.runs.max(1),
        time: Duration::from_millis(cli.millis),
    };
    // One thread makes the load, so that on two processors one is left for the server.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        println!("{}\n\n{}", table::machine(), table::HEAD);
        for row in rows::ROWS.iter().filter(|row| wanted(row.name)) {
            match rows::measure(row, &program, effort, peer).await {
                Ok(measured) => println!("{measured}"),
                // A row that this server does not serve yet leaves the others their turn.
                Err(failure) => println!("| {} | not measured: {failure} |", row.name),
            }
        }
        println!();
        if wanted(wake::NAME) {
            said(wake::NAME, wake::measure(&program, peer).await);
        }
        if wanted(wake_grpc::NAME) {
            said(wake_grpc::NAME, wake_grpc::measure(&program).await);
        }
        if wanted(start::NAME) {
            said(start::NAME, start::measure(&program).await);
        }
        if wanted(memory::NAME) {
            said_all(memory::NAME, memory::measure(&program).await);
        }
        if wanted(data::NAME) {
            said_all(data::NAME, data::measure(&program).await);
        }
        if wanted(push::NAME) {
            push::say(&program, effort).await;
        }
        if wanted(engines::NAME) {
            said_all(engines::NAME, engines::measure(&program, effort).await);
        }
        Ok(())
    })
}

fn said_all(name: &str, outcome: Result<Vec<String>, Failure>) {
    match outcome {
        Ok(lines) => lines.iter().for_each(|line| println!("* {line}")),
        Err(failure) => println!("* {name}: not measured: {failure}"),
    }
}

fn said(name: &str, outcome: Result<String, Failure>) {
    match outcome {
        Ok(text) => println!("* {name}: {text}"),
        Err(failure) => println!("* {name}: not measured: {failure}"),
    }
}
