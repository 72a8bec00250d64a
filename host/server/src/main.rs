//! The `nacrite` binary: understands its command line and does what it says.

use std::process::ExitCode;

use nacrite::{check::check_data, cli, plugins, serve::serve};

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
        cli::Command::CheckData { data, salvage } => check_data(&data, salvage.as_deref()),
        cli::Command::VerifyBalance(verify) => plugins::verify(&verify),
        cli::Command::NewPlugin { folder, language } => {
            plugins::new_project(&folder, language).map(|()| true)
        }
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
