//! The command line: what `nacrite` is asked to do, with its settings. Parsing only; the commands are carried out elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap, value_parser};

use nacrite_core::balance::Mode;

use crate::plugins::Language;
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
    /// Run recordings of balancers against a rule or a plugin.
    VerifyBalance(Verify),
    /// Make a plugin's project.
    NewPlugin {
        /// The new folder.
        folder: PathBuf,
        /// The language.
        language: Language,
    },
    /// Run the acceptance of a plugin.
    CheckPlugin {
        /// The module.
        file: PathBuf,
        /// Its configuration, JSON.
        config: String,
        /// Take a module of up to 4 MiB.
        large: bool,
    },
}

/// What to run recordings of balancers against.
#[derive(Debug, PartialEq)]
pub struct Verify {
    /// The recordings.
    pub files: Vec<PathBuf>,
    /// A plugin in place of the built-in rules.
    pub plugin: Option<PathBuf>,
    /// Its configuration; none = the policy that each recording stands for.
    pub config: Option<String>,
    /// With or without the defects of the originals.
    pub mode: Mode,
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
        .subcommands(balancing())
        .about("A config and service-discovery server that speaks Nacos")
        .version(env!("CARGO_PKG_VERSION"))
        .arg_required_else_help(true)
        .args_conflicts_with_subcommands(true)
        .arg(print_config())
        .subcommand(serve)
        .subcommand(check_data)
}

/// The commands about balancing rules.
fn balancing() -> [Clap; 2] {
    let file = |name: &'static str| Arg::new(name).value_parser(value_parser!(PathBuf));
    let config = || Arg::new("config").long("config").value_name("JSON");
    let verify = Clap::new("verify")
        .about("Run recordings of balancers against the built-in rules or a plugin; print what differs")
        .arg(file("file").value_name("FILE").required(true).num_args(1..))
        .arg(file("plugin").long("plugin").value_name("WASM").help("Run this plugin instead"))
        .arg(config().requires("plugin").help("The plugin's configuration (default: the policy of each recording)"))
        .arg(
            Arg::new("mode")
                .long("mode")
                .value_parser(["exact", "safe"])
                .default_value("exact")
                .help("With or without the defects of the originals"),
        );
    let new = Clap::new("new")
        .about("Make a project for a plugin")
        .arg(file("folder").value_name("DIR").required(true))
        .arg(
            Arg::new("lang")
                .long("lang")
                .value_parser(Language::ALL.map(Language::name))
                .default_value("rust")
                .help("The language"),
        );
    let check = Clap::new("check")
        .about("Run the acceptance of a plugin; print what a pick costs")
        .arg(file("file").value_name("WASM").required(true))
        .arg(
            config()
                .default_value("{}")
                .help("The plugin's configuration"),
        )
        .arg(
            Arg::new("large")
                .long("large")
                .action(ArgAction::SetTrue)
                .help("Take a module of up to 4 MiB instead of 1 MiB"),
        );
    [
        Clap::new("balance")
            .about("Balancing rules")
            .subcommand_required(true)
            .subcommand(verify),
        Clap::new("plugin")
            .about("Load-balancing plugins")
            .subcommand_required(true)
            .subcommands([new, check]),
    ]
}

fn path(matches: &ArgMatches, name: &str) -> PathBuf {
    matches
        .get_one::<PathBuf>(name)
        .cloned()
        .unwrap_or_default()
}

fn text(matches: &ArgMatches, name: &str) -> String {
    matches.get_one::<String>(name).cloned().unwrap_or_default()
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
        Some(("balance", matches)) => {
            let matches = matches.subcommand_matches("verify").unwrap_or(matches);
            let files = matches.get_many::<PathBuf>("file").unwrap_or_default();
            Ok(Command::VerifyBalance(Verify {
                files: files.cloned().collect(),
                plugin: matches.get_one::<PathBuf>("plugin").cloned(),
                config: matches.get_one::<String>("config").cloned(),
                mode: if text(matches, "mode") == "safe" {
                    Mode::Safe
                } else {
                    Mode::Exact
                },
            }))
        }
        Some(("plugin", matches)) => Ok(match matches.subcommand() {
            Some(("new", matches)) => Command::NewPlugin {
                folder: path(matches, "folder"),
                language: Language::of(&text(matches, "lang")),
            },
            Some((_, matches)) => Command::CheckPlugin {
                file: path(matches, "file"),
                config: text(matches, "config"),
                large: matches.get_flag("large"),
            },
            None => unreachable!("clap asks for one"),
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
    fn balancing_commands_are_read() {
        let verify = |plugin: Option<&str>, mode| {
            Command::VerifyBalance(Verify {
                files: vec!["a".into(), "b".into()],
                plugin: plugin.map(PathBuf::from),
                config: None,
                mode,
            })
        };
        assert_eq!(
            run("nacrite balance verify a b").unwrap(),
            verify(None, Mode::Exact)
        );
        assert_eq!(
            run("nacrite balance verify --plugin p --mode safe a b").unwrap(),
            verify(Some("p"), Mode::Safe)
        );
        let new = |language| Command::NewPlugin {
            folder: "d".into(),
            language,
        };
        for language in Language::ALL {
            let line = format!("nacrite plugin new d --lang {}", language.name());
            assert_eq!(run(&line).unwrap(), new(language));
        }
        let check = Command::CheckPlugin {
            file: "f".into(),
            config: "{}".to_owned(),
            large: true,
        };
        assert_eq!(run("nacrite plugin check f --large").unwrap(), check);
        for line in [
            "nacrite plugin",
            "nacrite balance",
            "nacrite balance verify",
            "nacrite plugin new d --lang cobol",
            "nacrite balance verify --config {} a",
        ] {
            usage(line);
        }
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
