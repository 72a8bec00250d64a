//! The command line: what `nacrite` is asked to do, with its settings. Parsing only; the commands are carried out elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap, value_parser};

use crate::settings::{CONFIG_VARIABLE, KEYS, Settings, SettingsError};

/// What to do.
#[derive(Debug, PartialEq)]
pub enum Command {
    /// Run a server.
    Serve(Box<Serve>),
    /// Print the effective settings as TOML.
    PrintConfig(Box<Settings>),
    /// Verify a data folder, and optionally save what is readable.
    CheckData {
        /// The data folder.
        data: PathBuf,
        /// Folder to write what is readable to.
        salvage: Option<PathBuf>,
    },
}

/// How to run a server.
#[derive(Debug, PartialEq)]
pub struct Serve {
    /// The checked settings.
    pub settings: Settings,
    /// Set damaged data aside and begin with none.
    pub start_empty: bool,
}

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Help, version, or a command line that cannot be understood. Print it with [`clap::Error::exit`].
    #[error(transparent)]
    Usage(#[from] clap::Error),
    /// Settings that cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl CliError {
    /// Prints the reason and ends the process: 0 after help or version, 2 after an error.
    pub fn exit(self) -> ! {
        match self {
            CliError::Usage(error) => error.exit(),
            CliError::Settings(error) => {
                clap::Error::raw(clap::error::ErrorKind::InvalidValue, format!("{error}\n")).exit()
            }
        }
    }
}

/// Settings that `-h` shows; `--help` shows all.
const COMMON: &[&str] = &["data", "bind", "port", "compat", "log.level"];

const SOURCES: &str = "Settings come from the file of --config (TOML, sections as below), the environment (NACRITE_ and the \
name of the setting, as NACRITE_HTTP_MAX_URL) and flags; later ones are stronger. --print-config shows the outcome.";

/// The command line of `nacrite`, made from the table of settings.
pub fn command() -> Clap {
    let print_config = || {
        Arg::new("print-config")
            .long("print-config")
            .action(ArgAction::SetTrue)
            .help("Print the effective settings as TOML and stop")
    };
    let mut serve = Clap::new("serve")
        .about("Run a server")
        .after_help(SOURCES)
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help(format!(
                    "Configuration file [environment {CONFIG_VARIABLE}]"
                )),
        )
        .arg(print_config())
        .arg(
            Arg::new("start-empty")
                .long("start-empty")
                .action(ArgAction::SetTrue)
                .help("Set damaged data aside and begin with none"),
        );
    for key in KEYS {
        serve = serve.arg(
            Arg::new(key.name)
                .long(key.flag())
                .value_name("VALUE")
                .help(key.help())
                .help_heading(key.heading())
                .allow_hyphen_values(true)
                .hide_short_help(!COMMON.contains(&key.name)),
        );
    }
    let check_data = Clap::new("check-data")
        .about("Verify the checksums, the log and every row of a data folder")
        .arg(
            Arg::new("data")
                .value_name("DIR")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The data folder"),
        )
        .arg(
            Arg::new("salvage")
                .long("salvage")
                .value_name("OUT")
                .value_parser(NonEmptyStringValueParser::new())
                .help("Write what is readable to this new folder"),
        );
    Clap::new("nacrite")
        .about("A config and service-discovery server that speaks Nacos")
        .version(env!("CARGO_PKG_VERSION"))
        .arg_required_else_help(true)
        .args_conflicts_with_subcommands(true)
        .arg(print_config())
        .subcommand(serve)
        .subcommand(check_data)
}

/// Reads the command line (with the program's name) and the environment.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Command, CliError> {
    let matches = command().try_get_matches_from(arguments)?;
    match matches.subcommand() {
        Some(("serve", matches)) => {
            let settings = settings(matches, environment)?;
            if matches.get_flag("print-config") {
                return Ok(Command::PrintConfig(Box::new(settings)));
            }
            Ok(Command::Serve(Box::new(Serve {
                settings,
                start_empty: matches.get_flag("start-empty"),
            })))
        }
        Some(("check-data", matches)) => Ok(Command::CheckData {
            data: matches
                .get_one::<PathBuf>("data")
                .cloned()
                .unwrap_or_default(),
            salvage: matches.get_one::<String>("salvage").map(PathBuf::from),
        }),
        _ => Ok(Command::PrintConfig(Box::new(Settings::load(
            None,
            environment,
            [],
        )?))),
    }
}

fn settings(
    matches: &ArgMatches,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Settings, SettingsError> {
    let flags = KEYS
        .iter()
        .filter_map(|key| Some((key, matches.get_one::<String>(key.name)?.clone())));
    Settings::load(
        matches.get_one::<PathBuf>("config").map(PathBuf::as_path),
        environment,
        flags,
    )
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    fn run(line: &str) -> Result<Command, CliError> {
        parse(
            line.split_whitespace().map(OsString::from),
            [("NACRITE_PORT".to_owned(), "9".to_owned())],
        )
    }

    fn usage(line: &str) -> clap::Error {
        match run(line) {
            Err(CliError::Usage(error)) => error,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn serve_takes_settings_as_flags() {
        let Command::Serve(serve) =
            run("nacrite serve --data d --bind :: --port 80 --http-max-url 1MiB --push-udp false --start-empty").unwrap()
        else {
            panic!("not serve");
        };
        assert!(serve.start_empty && !serve.settings.push.udp);
        assert_eq!(
            (serve.settings.server.port, serve.settings.http.max_url.0),
            (80, 1 << 20)
        );
        assert_eq!(
            (
                serve.settings.server.bind.to_string().as_str(),
                serve.settings.server.data.to_str()
            ),
            ("::", Some("d"))
        );
        let error = run("nacrite serve --http-max-url -1")
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("flag --http-max-url: http.max_url: "),
            "{error}"
        );
    }

    #[test]
    fn print_config_is_the_outcome_of_all_sources() {
        for line in ["nacrite --print-config", "nacrite serve --print-config"] {
            let Command::PrintConfig(settings) = run(line).unwrap() else {
                panic!("{line}")
            };
            assert_eq!(settings.server.port, 9);
        }
    }

    #[test]
    fn check_data_names_a_folder() {
        let check = |salvage: Option<&str>| Command::CheckData {
            data: "d".into(),
            salvage: salvage.map(PathBuf::from),
        };
        assert_eq!(run("nacrite check-data d").unwrap(), check(None));
        assert_eq!(
            run("nacrite check-data d --salvage out").unwrap(),
            check(Some("out"))
        );
        assert_eq!(
            usage("nacrite check-data").kind(),
            ErrorKind::MissingRequiredArgument
        );
    }

    #[test]
    fn help_and_version_are_shown() {
        assert_eq!(usage("nacrite --version").kind(), ErrorKind::DisplayVersion);
        let long = usage("nacrite serve --help").to_string();
        for key in KEYS {
            assert!(
                long.contains(&format!("--{} ", key.flag())),
                "{} is missing",
                key.name
            );
        }
        assert!(long.contains("8KiB to 16MiB; default 512KiB"), "{long}");
        let short = usage("nacrite serve -h").to_string();
        assert!(
            short.contains("--port") && !short.contains("--http-max-url"),
            "{short}"
        );
        let typo = usage("nacrite serve --prot 1").to_string();
        assert!(typo.contains("--port"), "{typo}");
    }
}
