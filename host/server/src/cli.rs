//! The command line: what `nacrite` is asked to do, with its settings. Parsing only; the commands are carried out elsewhere.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap, value_parser};

use nacrite_core::balance::Mode;

use crate::admin::Ask;
use crate::plugins::{Language, Publish};
use crate::record::replay::Replay;
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
    /// Hand a plugin to a server.
    PublishPlugin(Publish),
    /// Ask a running server about its engine, or change it.
    Core(Ask),
    /// Make what was recorded happen again.
    Replay(Replay),
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
const COMMON: &[&str] = &["data", "bind", "port", "compat", "engine", "log.level"];

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
        let short = (key.name == "record.dir").then_some("record");
        serve = serve.arg(
            Arg::new(key.name)
                .long(key.flag())
                .visible_aliases(short)
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
        .subcommand(core_command())
        .subcommand(replay_command())
}

fn core_command() -> Clap {
    let data = || {
        Arg::new("data")
            .long("data")
            .value_name("DIR")
            .value_parser(value_parser!(PathBuf))
            .default_value("data")
            .help("The server's data folder, which holds its admin token")
    };
    let port = || {
        Arg::new("port")
            .long("port")
            .value_parser(value_parser!(u16))
            .default_value("8848")
            .help("The server's HTTP port on this machine")
    };
    Clap::new("core")
        .about("Ask a running server about its engine, or change it while clients stay connected")
        .subcommand_required(true)
        .subcommand(
            Clap::new("status")
                .about("What runs, its memory, its faults")
                .args([data(), port()]),
        )
        .subcommand(
            Clap::new("swap")
                .about("Have another engine take over: it must answer all that the running one has answered the same")
                .args([data(), port()])
                .arg(
                    Arg::new("engine")
                        .value_name("FILE.wasm|native|wasm|back")
                        .required(true)
                        .help("A module's file, an engine of the server's program, or the one before the last change"),
                ),
        )
}

fn replay_command() -> Clap {
    let engine = |name: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("native|wasm|FILE.wasm")
            .help(help)
    };
    Clap::new("replay")
        .about("Make what was recorded with --record happen again")
        .arg(
            Arg::new("file")
                .value_name("FILE")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("A recording"),
        )
        .arg(engine("engine", "What runs it").default_value("native"))
        .arg(engine("diff", "Run this beside it and print the first difference"))
        .arg(
            Arg::new("outputs")
                .long("outputs")
                .action(ArgAction::SetTrue)
                .help("Print every output with the number of its batch"),
        )
        .arg(
            Arg::new("speed")
                .long("speed")
                .value_parser(value_parser!(f64))
                .help("So many times as fast as it happened [default: as fast as possible]"),
        )
        .arg(
            Arg::new("until")
                .long("until")
                .value_name("MS")
                .value_parser(value_parser!(u64))
                .help("Stop at this wall clock, milliseconds since 1970"),
        )
        .arg(
            Arg::new("until-key")
                .long("until-key")
                .value_name("KEY")
                .help("Stop when config:NAMESPACE/GROUP/DATAID or service:NAMESPACE/GROUP/NAME changes"),
        )
}

fn core_asked(matches: &ArgMatches) -> Ask {
    let (_, of) = matches.subcommand().expect("clap requires one");
    Ask {
        data: of.get_one::<PathBuf>("data").cloned().unwrap_or_default(),
        port: of.get_one("port").copied().unwrap_or_default(),
        engine: of.try_get_one::<String>("engine").ok().flatten().cloned(),
    }
}

fn replay_asked(of: &ArgMatches) -> Replay {
    let text = |name: &str| of.get_one::<String>(name).cloned();
    Replay {
        file: of.get_one::<PathBuf>("file").cloned().unwrap_or_default(),
        engine: text("engine").unwrap_or_default(),
        diff: text("diff"),
        outputs: of.get_flag("outputs"),
        speed: of.get_one("speed").copied(),
        until: of.get_one("until").copied(),
        until_key: text("until-key"),
    }
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
    let publish = Clap::new("publish")
        .about("Publish a plugin on a server, which tries it first")
        .arg(file("file").value_name("WASM").required(true))
        .arg(
            Arg::new("name")
                .long("name")
                .value_name("NAME")
                .required(true)
                .help("Name of the plugin; a policy's rule is wasm:NAME then"),
        )
        .arg(
            Arg::new("server")
                .long("server")
                .value_name("URL")
                .default_value("http://127.0.0.1:8848")
                .help("The server"),
        )
        .arg(Arg::new("token").long("token").value_name("TOKEN").help(
            "The server's admin token, which is in its data folder (default: read from there)",
        ))
        .arg(
            file("data")
                .long("data")
                .value_name("DIR")
                .default_value("data")
                .help("The server's data folder, if it is on this machine"),
        )
        .arg(
            config()
                .default_value("{}")
                .help("The plugin's configuration, with which the server tries it"),
        );
    [
        Clap::new("balance")
            .about("Balancing rules")
            .subcommand_required(true)
            .subcommand(verify),
        Clap::new("plugin")
            .about("Load-balancing plugins")
            .subcommand_required(true)
            .subcommands([new, check, publish]),
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
            Some(("publish", matches)) => Command::PublishPlugin(Publish {
                file: path(matches, "file"),
                name: text(matches, "name"),
                server: text(matches, "server"),
                token: matches.get_one::<String>("token").cloned(),
                data: path(matches, "data"),
                config: text(matches, "config"),
            }),
            Some((_, matches)) => Command::CheckPlugin {
                file: path(matches, "file"),
                config: text(matches, "config"),
                large: matches.get_flag("large"),
            },
            None => unreachable!("clap asks for one"),
        }),
        Some(("core", matches)) => Ok(Command::Core(core_asked(matches))),
        Some(("replay", matches)) => Ok(Command::Replay(replay_asked(matches))),
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
        let publish = Command::PublishPlugin(Publish {
            file: "f".into(),
            name: "n".to_owned(),
            server: "http://127.0.0.1:8848".to_owned(),
            token: Some("t".to_owned()),
            data: "data".into(),
            config: "{}".to_owned(),
        });
        let line = "nacrite plugin publish f --name n --token t";
        assert_eq!(run(line).unwrap(), publish);
        for line in [
            "nacrite plugin publish f",
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
    fn the_engine_is_asked_about_and_changed() {
        let asked = |line: &str| match run(line).unwrap() {
            Command::Core(asked) => (asked.data.display().to_string(), asked.port, asked.engine),
            other => panic!("{other:?}"),
        };
        let swap = asked("nacrite core swap --data d --port 9 new.wasm");
        assert_eq!(swap, ("d".into(), 9, Some("new.wasm".into())));
        assert_eq!(asked("nacrite core status"), ("data".into(), 8848, None));
        usage("nacrite core");
        let Command::Replay(replay) =
            run("nacrite replay f.rec --diff wasm --speed 2.5 --until-key config:/g/d").unwrap()
        else {
            panic!("not replay");
        };
        assert_eq!(
            (replay.engine.as_str(), replay.diff.as_deref(), replay.speed),
            ("native", Some("wasm"), Some(2.5))
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
