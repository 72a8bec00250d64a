//! What an operator can set: defaults, overridden by a TOML file, by the environment (`NACRITE_…`) and by flags, in this
//! order. Every value is checked when it is read, and an error names the key, where it was written and what is allowed.
//!
//! Not for what changes while the server runs: switches of the operator API are the core's.

mod table;
mod value;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

pub use self::table::{
    Cache, Capacity, Config, CoreModule, Grpc, Http, KEYS, Key, Log, Poll, Push, Queue, Server,
    Settings, Store,
};
use self::table::{SECTIONS, Written};
pub(crate) use self::value::Value;
pub use self::value::{ByteSize, Compat, EngineKind, LogFormat, LogLevel, Origins};
use crate::http::limits::HttpLimits;

/// Names the configuration file in the environment.
pub const CONFIG_VARIABLE: &str = "NACRITE_CONFIG";
const PREFIX: &str = "NACRITE_";

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum SettingsError {
    /// A value of the wrong form or outside its range.
    #[error("{origin}: {key}: {reason}; allowed is: {allowed}")]
    Invalid {
        /// The setting.
        key: String,
        /// The file, variable or flag that says so.
        origin: String,
        /// What is wrong with it.
        reason: String,
        /// What would be accepted.
        allowed: String,
    },
    /// A key that does not exist.
    #[error("{origin}: there is no setting {key:?}{}", did_you_mean(nearest))]
    Unknown {
        /// The key.
        key: String,
        /// The file or variable that says so.
        origin: String,
        /// Settings of a similar name.
        nearest: Vec<String>,
    },
    /// The file cannot be read or is no TOML.
    #[error("configuration file {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Two settings that do not fit together.
    #[error("{0}")]
    Together(String),
}

fn did_you_mean(nearest: &[String]) -> String {
    if nearest.is_empty() {
        String::new()
    } else {
        format!("; did you mean {}?", nearest.join(", "))
    }
}

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The long flag that sets it, without its dashes.
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }

    /// What it is for, what may be written and what it is otherwise.
    pub fn help(&self) -> String {
        format!(
            "{} [{}; default {}]",
            self.doc.trim(),
            self.allowed(),
            quoted((self.text)(&Settings::default()))
        )
    }

    /// The heading of its section.
    pub fn heading(&self) -> &'static str {
        let prefix = self.name.find('.').map_or("", |dot| &self.name[..=dot]);
        SECTIONS
            .iter()
            .find(|section| section.0 == prefix)
            .map_or("", |section| section.1.trim())
    }

    /// The value in `settings`, as text.
    pub fn text(&self, settings: &Settings) -> String {
        (self.text)(settings)
    }

    fn allowed(&self) -> String {
        match (self.range)() {
            Some(range) => format!("{}, {range}", self.form),
            None => self.form.to_owned(),
        }
    }

    fn set(
        &self,
        settings: &mut Settings,
        written: Written<'_>,
        origin: String,
    ) -> Result<(), SettingsError> {
        (self.set)(settings, written).map_err(|reason| SettingsError::Invalid {
            key: self.name.to_owned(),
            origin,
            reason,
            allowed: self.allowed(),
        })
    }
}

fn quoted(text: String) -> String {
    if text.is_empty() {
        "empty".to_owned()
    } else {
        text
    }
}

fn unknown(key: &str, origin: String, spell: impl Fn(&Key) -> String) -> SettingsError {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let mut near: Vec<(f64, String)> = KEYS
        .iter()
        .map(|candidate| {
            let spelled = spell(candidate);
            // The right name in the wrong section is near, too.
            let likeness = strsim::jaro_winkler(key, &spelled)
                .max(0.95 * strsim::jaro_winkler(&last(key), &last(&spelled)));
            (likeness, spelled)
        })
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let nearest = near.into_iter().take(3).map(|(_, name)| name).collect();
    SettingsError::Unknown {
        key: key.to_owned(),
        origin,
        nearest,
    }
}

impl Settings {
    /// Reads all sources, later ones stronger: the file (of `file`, else of [`CONFIG_VARIABLE`]), `environment`, `flags`
    /// (by name of the setting).
    pub fn load<'a>(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (&'a Key, String)>,
    ) -> Result<Settings, SettingsError> {
        let mut settings = Settings::default();
        // Sorted, so that of several errors the same one is told each time.
        let environment: BTreeMap<String, String> = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        let file = file
            .map(Path::to_owned)
            .or_else(|| environment.get(CONFIG_VARIABLE).map(PathBuf::from));
        if let Some(path) = file {
            settings.read_file(&path)?;
        }
        settings.read_environment(&environment)?;
        for (key, text) in flags {
            key.set(
                &mut settings,
                Written::Text(&text),
                format!("flag --{}", key.flag()),
            )?;
        }
        settings.check_together()?;
        Ok(settings)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let broken = |reason: String| SettingsError::File {
            path: path.to_owned(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| broken(error.to_string()))?;
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| broken(error.to_string()))?;
        self.read_table(&table, "", path)
    }

    fn read_table(
        &mut self,
        table: &toml::Table,
        prefix: &str,
        path: &Path,
    ) -> Result<(), SettingsError> {
        let origin = || format!("configuration file {}", path.display());
        for (name, value) in table {
            let name = format!("{prefix}{name}");
            if let Some(key) = KEYS.iter().find(|key| key.name == name) {
                key.set(self, Written::Toml(value), origin())?;
                continue;
            }
            let section = format!("{name}.");
            match value {
                toml::Value::Table(inner)
                    if SECTIONS.iter().any(|known| known.0 == section) || !inner.is_empty() =>
                {
                    self.read_table(inner, &section, path)?;
                }
                _ => return Err(unknown(&name, origin(), |key| key.name.to_owned())),
            }
        }
        Ok(())
    }

    fn read_environment(
        &mut self,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), SettingsError> {
        for (name, text) in environment {
            if name == CONFIG_VARIABLE || is_service_link(name, text) {
                continue;
            }
            let Some(key) = KEYS.iter().find(|key| key.variable() == *name) else {
                return Err(unknown(name, "environment".to_owned(), Key::variable));
            };
            key.set(self, Written::Text(text), format!("environment {name}"))?;
        }
        Ok(())
    }

    fn check_together(&self) -> Result<(), SettingsError> {
        if self.http.max_body_memory < self.http.max_body {
            return Err(SettingsError::Together(
                "http.max_body_memory must not be smaller than http.max_body".to_owned(),
            ));
        }
        Ok(())
    }

    /// The settings as a TOML file with its explanations; reading it gives the same settings.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (prefix, about) in SECTIONS {
            let _ = writeln!(text, "#{about}");
            if let Some(section) = prefix.strip_suffix('.') {
                let _ = writeln!(text, "[{section}]");
            }
            for key in KEYS
                .iter()
                .filter(|key| key.name.find('.').map_or("", |dot| &key.name[..=dot]) == *prefix)
            {
                let _ = writeln!(
                    text,
                    "# {}\n{} = {}",
                    key.help(),
                    &key.name[prefix.len()..],
                    (key.toml)(self)
                );
            }
            text.push('\n');
        }
        text
    }

    /// The limits of the HTTP listener.
    pub fn http_limits(&self) -> HttpLimits {
        let http = &self.http;
        HttpLimits {
            max_connections: http.max_connections,
            max_connections_per_address: http.max_connections_per_address,
            max_url: http.max_url.bytes(),
            max_head: http.max_head.bytes(),
            max_headers: http.max_headers,
            head_timeout: http.head_timeout_ms,
            idle_timeout: http.idle_timeout_ms,
            body_timeout: http.body_timeout_ms,
            write_timeout: http.write_timeout_ms,
            max_body: http.max_body.bytes(),
            max_body_memory: http.max_body_memory.bytes(),
            shutdown_timeout: http.shutdown_timeout_ms,
        }
    }
}

/// Kubernetes describes a service named `nacrite` to every container in variables that look like settings
/// (`NACRITE_PORT=tcp://…`, `NACRITE_SERVICE_HOST`, `NACRITE_PORT_8848_TCP_ADDR`): they mean nothing to the server.
fn is_service_link(name: &str, text: &str) -> bool {
    let rest = &name[PREFIX.len()..];
    rest == "SERVICE_HOST"
        || rest.starts_with("SERVICE_PORT")
        || (rest == "PORT" && text.contains("://"))
        || rest
            .strip_prefix("PORT_")
            .is_some_and(|port| port.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn key(name: &str) -> &'static Key {
        KEYS.iter().find(|key| key.name == name).unwrap()
    }

    fn from_file(text: &str) -> Result<Settings, String> {
        let file = file(text);
        Settings::load(Some(file.path()), [], []).map_err(|error| {
            error
                .to_string()
                .replace(&file.path().display().to_string(), "F")
        })
    }

    fn from_environment(variables: &[(&str, &str)]) -> Result<Settings, String> {
        let variables = variables
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Settings::load(None, variables, []).map_err(|error| error.to_string())
    }

    #[test]
    fn later_sources_are_stronger() {
        let file = file(
            "port = 1\nbind = \"::1\"\n[http]\nmax_url = \"64KiB\"\nwrite_timeout_ms = 250\n[push]\ndelay_ms = \"2s\"\n",
        );
        let environment = [
            ("NACRITE_PORT", "2"),
            ("NACRITE_HTTP_MAX_URL", "65KiB"),
            ("HOME", "x"),
        ];
        let environment = environment.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let flags = [(key("port"), "3".to_owned())];
        let settings = Settings::load(Some(file.path()), environment, flags).unwrap();
        assert_eq!(settings.server.port, 3);
        assert_eq!(settings.server.bind.to_string(), "::1");
        assert_eq!(settings.http.max_url, ByteSize::kib(65));
        assert_eq!(
            settings.http_limits().write_timeout,
            Duration::from_millis(250)
        );
        assert_eq!(settings.push.delay_ms, Duration::from_secs(2));
        assert_eq!(settings.push.udp, Settings::default().push.udp);
        let by_variable = [(
            CONFIG_VARIABLE.to_owned(),
            file.path().display().to_string(),
        )];
        assert_eq!(
            Settings::load(None, by_variable, []).unwrap().server.port,
            1
        );
    }

    #[test]
    fn errors_name_key_source_and_range() {
        assert_eq!(
            from_environment(&[("NACRITE_HTTP_MAX_HEADERS", "5")]).unwrap_err(),
            "environment NACRITE_HTTP_MAX_HEADERS: http.max_headers: 5 is out of range; allowed is: whole number, 10 to 1000"
        );
        assert_eq!(
            from_file("[grpc]\nmax_message = [1]").unwrap_err(),
            "configuration file F: grpc.max_message: a value of type array does not fit here; \
             allowed is: size such as 4096, 64KiB, 10MiB, 64KiB to 256MiB"
        );
        assert_eq!(
            Settings::load(None, [], [(key("port"), "64535".to_owned())])
                .unwrap_err()
                .to_string(),
            "flag --port: port: 64535 is out of range; allowed is: whole number, 1 to 64534"
        );
        assert!(
            from_file("port = ")
                .unwrap_err()
                .starts_with("configuration file F: TOML parse error")
        );
        assert!(Settings::load(Some(Path::new("no/such/file")), [], []).is_err());
        assert!(
            from_file("[http]\nmax_body_memory = \"1MiB\"")
                .unwrap_err()
                .contains("max_body_memory")
        );
    }

    #[test]
    fn unknown_keys_are_errors_that_say_what_is_near() {
        assert_eq!(
            from_file("[http]\nmax_conections = 1")
                .unwrap_err()
                .split(',')
                .next()
                .unwrap(),
            "configuration file F: there is no setting \"http.max_conections\"; did you mean http.max_connections"
        );
        let wrong_section = from_file("[http]\nmax_message = 1").unwrap_err();
        assert!(
            wrong_section.contains("grpc.max_message"),
            "{wrong_section}"
        );
        let variable = from_environment(&[("NACRITE_PROT", "1")]).unwrap_err();
        assert!(variable.contains("did you mean NACRITE_PORT"), "{variable}");
        for text in [
            "htp = 1",
            "[nothing]",
            "http = 1",
            "[push.delay_ms]\nx = 1",
            "[push.udp]",
        ] {
            assert!(from_file(text).is_err(), "{text}");
        }
        assert_eq!(from_file("[http]\n"), Ok(Settings::default()));
    }

    #[test]
    fn what_kubernetes_sets_is_no_setting() {
        let links = [
            ("NACRITE_PORT", "tcp://10.0.0.1:8848"),
            ("NACRITE_SERVICE_HOST", "10.0.0.1"),
            ("NACRITE_SERVICE_PORT_HTTP", "8848"),
            ("NACRITE_PORT_8848_TCP_ADDR", "10.0.0.1"),
        ];
        assert_eq!(from_environment(&links), Ok(Settings::default()));
    }

    #[test]
    fn the_table_is_sound() {
        let (mut flags, mut variables) = (HashSet::new(), HashSet::new());
        for key in KEYS {
            assert!(
                flags.insert(key.flag()) && variables.insert(key.variable()),
                "{} is ambiguous",
                key.name
            );
            assert!(
                !key.heading().is_empty() && key.doc.trim().ends_with('.'),
                "{}",
                key.name
            );
            // Defaults pass their own checks.
            let mut settings = Settings::default();
            key.set(
                &mut settings,
                Written::Text(&key.text(&Settings::default())),
                String::new(),
            )
            .unwrap();
            assert_eq!(settings, Settings::default(), "{}", key.name);
        }
        Settings::default().check_together().unwrap();
    }

    #[test]
    fn http_limits_and_settings_agree_on_defaults() {
        assert_eq!(
            format!("{:?}", Settings::default().http_limits()),
            format!("{:?}", HttpLimits::default())
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// What `--print-config` prints is read back as the same settings.
        #[test]
        fn printed_settings_are_read_back(port in 1..=64_534u16, url in 8_192..(16u64 << 20), wait in 100..300_000u64, udp: bool, path in "[ -~]{0,20}") {
            let mut settings = Settings::default();
            settings.server.port = port;
            settings.server.data = PathBuf::from(path);
            settings.http.max_url = ByteSize(url);
            settings.http.head_timeout_ms = Duration::from_millis(wait);
            settings.push.udp = udp;
            prop_assert_eq!(from_file(&settings.to_toml()), Ok(settings));
        }
    }
}
