//! The `nacrite` binary: understands its command line and does what it says.

use std::process::ExitCode;

use nacrite::{
    admin::ask,
    check::check_data,
    cli, plugins,
    record::replay::{Replay, replay},
    serve::serve,
};

/// What a load has used goes back to the system a second after it was freed, by a thread of the allocator's own: see
/// `.cargo/config.toml` for how it is told, and ARCHITECTURE.md for what others keep.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os(), std::env::vars()) {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    let result = match command {
        cli::Command::Serve(command) => serve(&command).map(|()| true),
        cli::Command::PrintConfig(settings) => {
            print!("{}", settings.to_toml());
            Ok(true)
        }
        cli::Command::Core(asked) => ask(&asked).map(|(done, text)| {
            println!("{text}");
            done
        }),
        cli::Command::Replay(asked) => replayed(&asked),
        cli::Command::CheckData { data, salvage } => check_data(&data, salvage.as_deref()),
        cli::Command::VerifyBalance(verify) => plugins::verify(&verify),
        cli::Command::NewPlugin { folder, language } => {
            plugins::new_project(&folder, language).map(|()| true)
        }
        cli::Command::PublishPlugin(asked) => plugins::publish(&asked),
        cli::Command::CheckPlugin {
            file,
            config,
            large,
        } => plugins::check_file(&file, &config, large).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("nacrite: {reason}");
            ExitCode::from(2)
        }
    }
}

/// Replays a recording; false if two engines differ.
fn replayed(asked: &Replay) -> Result<bool, String> {
    let done = replay(asked, &mut |line| println!("{line}"))?;
    println!(
        "{} batches, {} inputs, {} outputs",
        done.batches, done.inputs, done.outputs
    );
    if let Some(why) = &done.stopped {
        println!("stopped: {why}");
    }
    match &done.difference {
        Some(difference) => println!("first difference: {difference}"),
        None if asked.diff.is_some() => println!("no difference"),
        None => {}
    }
    Ok(done.difference.is_none())
}
