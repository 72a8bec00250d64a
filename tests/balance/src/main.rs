//! Measures a pick: every rule, by the length of the list, natively and by every host, beside Ribbon's own rules and tower's
//! balancer in one run. `cargo xtask bench balance` builds what it needs and starts it.
//!
//! Not for judging: no test depends on a figure. Targets stand with the figures in `tests/bench/RESULTS.md`.

mod clock;
mod hosts;
#[cfg(feature = "wasmtime")]
mod plugins;
mod programs;
mod subjects;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, thread};

use clap::Parser;
use nacrite_core::balance::Policy;
use nacrite_core::balance::names::NAMES;

/// What went wrong, for the person at the terminal.
pub(crate) type Failure = Box<dyn Error>;

/// Measure a pick: ns by rule, length of the list and host
#[derive(Parser)]
#[command(name = "cargo xtask bench balance")]
struct Cli {
    /// Lengths of the list
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000,10000")]
    sizes: Vec<u32>,
    /// Rules by our own names (default: all)
    #[arg(long, value_delimiter = ',')]
    rules: Vec<String>,
    /// Rules that are measured in Go, Java and Python, where each takes two runs of a program
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "round-robin,nacos-weighted,p2c-ewma,zone-avoidance,maglev"
    )]
    host_rules: Vec<String>,
    /// Lengths of the list there
    #[arg(long, value_delimiter = ',', default_value = "10,1000")]
    host_sizes: Vec<u32>,
    /// Leave out what other programs measure: Ribbon, Node, Go, Java, Python
    #[arg(long)]
    native: bool,
    /// What `cargo xtask wasm` built
    #[arg(long, hide = true)]
    modules: PathBuf,
    /// A folder for what is built and written down
    #[arg(long, hide = true)]
    work: PathBuf,
}

/// Figures by rule and length; why there is none where there is none.
type Figures = BTreeMap<(String, u32), Result<f64, String>>;

fn main() -> ExitCode {
    match measure(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench balance: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Each figure of these rules and lengths.
fn each(
    rules: &[&str],
    sizes: &[u32],
    figure: impl Fn(&str, u32) -> Result<f64, Failure>,
) -> Figures {
    let mut figures = Figures::new();
    for rule in rules {
        for size in sizes {
            let ns = figure(rule, *size).map_err(|why| why.to_string());
            figures.insert(((*rule).to_owned(), *size), ns);
        }
    }
    figures
}

fn read(lines: Result<Vec<(String, u32, f64)>, Failure>, name: &str) -> Figures {
    match lines {
        Ok(lines) => lines
            .into_iter()
            .map(|(rule, size, ns)| ((rule, size), Ok(ns)))
            .collect(),
        Err(why) => {
            println!("* {name}: not measured: {why}");
            Figures::new()
        }
    }
}

fn measure(cli: &Cli) -> Result<(), Failure> {
    let own = NAMES.iter().map(|(name, _)| *name);
    let own: Vec<&str> = own.filter(|name| !name.contains('.')).collect();
    let rules: Vec<&str> = if cli.rules.is_empty() {
        own
    } else {
        cli.rules.iter().map(String::as_str).collect()
    };
    let work = hosts::Work {
        root: Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        folder: cli.work.clone(),
        modules: cli.modules.clone(),
    };
    println!("{}\n", machine());
    let native = each(&rules, &cli.sizes, |rule, size| {
        subjects::native(Policy::of(rule), size)
    });
    table("native, ns a pick", &rules, &cli.sizes, &native);
    #[cfg(feature = "wasmtime")]
    {
        let module = fs::read(cli.modules.join("nacrite-balance.wasm"))
            .map_err(|e| format!("nacrite-balance.wasm: {e}: cargo xtask wasm builds it"))?;
        let plugin = plugins::plugin(&module)?;
        let wasmtime = each(&rules, &cli.sizes, |rule, size| {
            plugins::pick(&plugin, &Policy::of(rule), size)
        });
        table(
            "wasmtime, by the host of plugins",
            &rules,
            &cli.sizes,
            &wasmtime,
        );
    }
    let others = [
        each(
            &["tower's p2c with peak EWMA: poll_ready and call"],
            &cli.sizes,
            |_, size| subjects::tower(size),
        ),
        each(
            &["p2c-ewma, choose, start, finish and the clock"],
            &cli.sizes,
            |_, size| subjects::call("p2c-ewma", size),
        ),
        each(&["start and finish, p2c-ewma"], &cli.sizes, |_, size| {
            subjects::feedback(Policy::of("p2c-ewma"), size)
        }),
        each(&["zone-avoidance, exact"], &cli.sizes, |_, size| {
            subjects::native(
                Policy::of("zone-avoidance").in_mode(nacrite_core::balance::Mode::Exact),
                size,
            )
        }),
        each(
            &["zone-avoidance, one zone over its load"],
            &cli.sizes,
            |_, size| subjects::zone_to_avoid(size),
        ),
    ];
    let others: Figures = others.into_iter().flatten().collect();
    let names: std::collections::BTreeSet<&str> =
        others.keys().map(|(name, _)| name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    table("native, beside it", &names, &cli.sizes, &others);
    if cli.native {
        return Ok(());
    }
    let node = read(work.node(&rules, &cli.sizes), "Node");
    table("Node, @nacrite/core", &rules, &cli.sizes, &node);
    let ribbon = read(work.ribbon(&cli.sizes), "Ribbon");
    let of_ribbon: Vec<&str> = rules
        .iter()
        .copied()
        .filter(|rule| ribbon.keys().any(|(known, _)| known == rule))
        .collect();
    table(
        "Ribbon 2.7.18, its own rules in Java",
        &of_ribbon,
        &cli.sizes,
        &ribbon,
    );
    slower(&native, &ribbon);
    let host_rules: Vec<&str> = cli.host_rules.iter().map(String::as_str).collect();
    for (name, host) in work.hosts() {
        match host {
            Ok(host) => {
                let figures = each(&host_rules, &cli.host_sizes, |rule, size| {
                    work.pick(&host, &Policy::of(rule), size)
                });
                table(
                    &format!("{name}, its host of wasm/examples (CPU)"),
                    &host_rules,
                    &cli.host_sizes,
                    &figures,
                );
            }
            Err(why) => println!("* {name}: not measured: {why}"),
        }
    }
    Ok(())
}

/// Which of our rules take longer than the original.
fn slower(native: &Figures, ribbon: &Figures) {
    let figure = |figures: &Figures, key: &(String, u32)| figures.get(key)?.as_ref().ok().copied();
    let compared: Vec<(&(String, u32), f64, f64)> = ribbon
        .keys()
        .filter_map(|key| Some((key, figure(native, key)?, figure(ribbon, key)?)))
        .collect();
    let slower = compared.iter().filter(|(_, ours, theirs)| ours > theirs);
    let slower: Vec<String> = slower
        .map(|((rule, size), ours, theirs)| {
            format!("{rule} of {size}: {ours:.0} against {theirs:.0}")
        })
        .collect();
    println!(
        "Slower than Ribbon natively: {} of {} figures{}\n",
        slower.len(),
        compared.len(),
        slower
            .iter()
            .map(|one| format!("; {one}"))
            .collect::<String>()
    );
}

fn table(title: &str, rules: &[&str], sizes: &[u32], figures: &Figures) {
    let heads: String = sizes.iter().map(|size| format!(" {size} |")).collect();
    println!("| {title} |{heads}\n|---|{}", "---|".repeat(sizes.len()));
    let mut failures = Vec::new();
    for rule in rules {
        let mut line = format!("| {rule} |");
        for size in sizes {
            match figures.get(&((*rule).to_owned(), *size)) {
                Some(Ok(ns)) if *ns < 100.0 => line.push_str(&format!(" {ns:.1} |")),
                Some(Ok(ns)) => line.push_str(&format!(" {ns:.0} |")),
                Some(Err(why)) => {
                    line.push_str(" – |");
                    failures.push(format!("* {rule} of {size}: {why}"));
                }
                None => line.push_str(" |"),
            }
        }
        println!("{line}");
    }
    println!(
        "\n{}",
        failures
            .iter()
            .map(|one| format!("{one}\n"))
            .collect::<String>()
    );
}

/// The machine, and how busy it is: by it the figures are to be read.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |model| {
        model.trim_start_matches([' ', '\t', ':'])
    });
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = read("/proc/sys/kernel/osrelease");
    let load = read("/proc/loadavg");
    format!(
        "{cores} × {model}, Linux {}; load {}",
        kernel.trim(),
        load.split(' ').take(3).collect::<Vec<_>>().join(" ")
    )
}
