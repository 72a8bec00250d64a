//! The switches: settings of naming that operators change while the server runs (Nacos `SwitchDomain`).

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};

use serde::{Deserialize, Serialize};

/// All switches with the reference's names; times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "the names are the reference's, described at GET operator/switches"
)]
pub struct Switches {
    pub masters: Option<Vec<String>>,
    pub default_push_cache_millis: u64,
    pub client_beat_interval: u64,
    pub default_cache_millis: u64,
    pub distro_threshold: f32,
    pub health_check_enabled: bool,
    pub auto_change_health_check_enabled: bool,
    pub distro_enabled: bool,
    pub enable_standalone: bool,
    pub push_enabled: bool,
    pub check_times: u32,
    pub http_health_params: CheckParams,
    pub tcp_health_params: CheckParams,
    pub mysql_health_params: CheckParams,
    pub server_status_synchronization_period_millis: u64,
    pub service_status_synchronization_period_millis: u64,
    pub disable_add_ip: bool,
    pub send_beat_only: bool,
    pub light_beat_enabled: bool,
    pub limited_url_map: BTreeMap<String, u16>,
    pub distro_server_expired_millis: u64,
    pub push_version_go: String,
    pub push_version_java: String,
    pub push_version_python: String,
    pub push_version_c: String,
    pub push_version_csharp: String,
    pub overridden_server_status: Option<String>,
    pub default_instance_ephemeral: bool,
    pub health_check_white_list: Vec<String>,
}

/// How often a kind of checker probes: the interval adapts between `min` and `max` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckParams {
    /// Longest interval.
    pub max: u32,
    /// Shortest interval.
    pub min: u32,
    /// Share of the old interval in the new one.
    pub factor: f32,
}

/// Statuses of a server (Nacos `ServerStatus`).
const STATUSES: [&str; 6] = [
    "UP",
    "DOWN",
    "STARTING",
    "PAUSED",
    "WRITE_ONLY",
    "READ_ONLY",
];

impl Default for Switches {
    fn default() -> Self {
        Self {
            masters: None,
            default_push_cache_millis: 10_000,
            client_beat_interval: 5_000,
            default_cache_millis: 3_000,
            distro_threshold: 0.7,
            health_check_enabled: true,
            auto_change_health_check_enabled: true,
            distro_enabled: true,
            enable_standalone: true,
            push_enabled: true,
            check_times: 3,
            http_health_params: CheckParams {
                max: 5_000,
                min: 500,
                factor: 0.85,
            },
            tcp_health_params: CheckParams {
                max: 5_000,
                min: 1_000,
                factor: 0.75,
            },
            mysql_health_params: CheckParams {
                max: 3_000,
                min: 2_000,
                factor: 0.65,
            },
            server_status_synchronization_period_millis: 2_000,
            service_status_synchronization_period_millis: 5_000,
            disable_add_ip: false,
            send_beat_only: false,
            light_beat_enabled: true,
            limited_url_map: BTreeMap::new(),
            distro_server_expired_millis: 10_000,
            push_version_go: "0.1.0".into(),
            push_version_java: "0.1.0".into(),
            push_version_python: "0.4.3".into(),
            push_version_c: "1.0.12".into(),
            push_version_csharp: "0.9.0".into(),
            overridden_server_status: None,
            default_instance_ephemeral: true,
            health_check_white_list: Vec::new(),
        }
    }
}

impl Switches {
    /// Sets one entry from its text (Nacos `SwitchManager.update`). An unknown entry is accepted and does nothing.
    ///
    /// # Errors
    /// What would be allowed, if the value is not; then nothing has changed.
    pub fn set(&mut self, entry: &str, value: &str) -> Result<(), String> {
        match entry {
            "distroThreshold" => {
                self.distro_threshold = value
                    .parse()
                    .ok()
                    .filter(|t: &f32| *t > 0.0 && t.is_finite())
                    .ok_or_else(|| refused(entry, value, "a number above 0"))?;
            }
            "clientBeatInterval" => self.client_beat_interval = at_least(entry, value, 0)?,
            "pushVersion" => self.set_push_version(value)?,
            "pushCacheMillis" => self.default_push_cache_millis = at_least(entry, value, 10_000)?,
            "defaultCacheMillis" => self.default_cache_millis = at_least(entry, value, 1_000)?,
            "masters" => self.masters = Some(value.split(',').map(String::from).collect()),
            "distro" => self.distro_enabled = strict(value),
            "check" => self.health_check_enabled = strict(value),
            "pushEnabled" => self.push_enabled = strict(value),
            "disableAddIP" => self.disable_add_ip = strict(value),
            "sendBeatOnly" => self.send_beat_only = strict(value),
            "defaultInstanceEphemeral" => self.default_instance_ephemeral = strict(value),
            "lightBeatEnabled" => self.light_beat_enabled = loose(value),
            "autoChangeHealthCheckEnabled" => self.auto_change_health_check_enabled = loose(value),
            "serviceStatusSynchronizationPeriodMillis" => {
                self.service_status_synchronization_period_millis = at_least(entry, value, 5_000)?;
            }
            "serverStatusSynchronizationPeriodMillis" => {
                self.server_status_synchronization_period_millis = at_least(entry, value, 1_000)?;
            }
            "distroServerExpiredMillis" => {
                self.distro_server_expired_millis = at_least(entry, value, 0)?;
            }
            "healthCheckTimes" => {
                self.check_times = value
                    .parse()
                    .map_err(|_| refused(entry, value, "a whole number"))?;
            }
            "limitedUrlMap" => self.limited_url_map = limited_urls(entry, value)?,
            "overriddenServerStatus" => {
                self.overridden_server_status = (value != "null").then(|| value.to_string());
            }
            "httpHealthParams" => self.http_health_params = check_params(entry, value, true)?,
            "tcpHealthParams" => self.tcp_health_params = check_params(entry, value, true)?,
            "mysqlHealthParams" => self.mysql_health_params = check_params(entry, value, false)?,
            _ => {}
        }
        Ok(())
    }

    /// What operators say that the status of the server is; up if they say nothing, or what is no status: the reference
    /// takes every text, and acts only on those that it knows.
    #[must_use]
    pub fn status(&self) -> &str {
        self.overridden_server_status
            .as_deref()
            .filter(|status| STATUSES.contains(status))
            .unwrap_or("UP")
    }

    /// Whether persistent instances of a service (`GROUP@@NAME`) are checked.
    #[must_use]
    pub fn checks(&self, grouped: &str) -> bool {
        self.health_check_enabled
            || self
                .health_check_white_list
                .iter()
                .any(|name| name == grouped)
    }

    fn set_push_version(&mut self, value: &str) -> Result<(), String> {
        let expected = "java|c|csharp|go|python:x.y.z";
        let (kind, version) = value
            .split_once(':')
            .ok_or_else(|| refused("pushVersion", value, expected))?;
        let numbers = version
            .split('.')
            .filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            .count();
        if numbers != 3 || version.split('.').count() != 3 {
            return Err(refused("pushVersion", value, expected));
        }
        let of = match kind {
            "java" => &mut self.push_version_java,
            "c" => &mut self.push_version_c,
            "csharp" => &mut self.push_version_csharp,
            "go" => &mut self.push_version_go,
            "python" => &mut self.push_version_python,
            _ => return Err(refused("pushVersion", value, expected)),
        };
        *of = version.to_string();
        Ok(())
    }
}

fn refused(entry: &str, value: &str, expected: &str) -> String {
    format!("illegal value `{value}` of {entry}: expected {expected}")
}

fn at_least(entry: &str, value: &str, least: u64) -> Result<u64, String> {
    value
        .parse()
        .ok()
        .filter(|n| *n >= least)
        .ok_or_else(|| refused(entry, value, &format!("a whole number of at least {least}")))
}

/// Java's `Boolean.parseBoolean`.
fn strict(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

/// `BooleanUtils.toBoolean` of the reference.
fn loose(value: &str) -> bool {
    ["true", "yes", "on", "y", "t"]
        .iter()
        .any(|yes| value.eq_ignore_ascii_case(yes))
}

fn limited_urls(entry: &str, value: &str) -> Result<BTreeMap<String, u16>, String> {
    let of = |pair: &str| {
        let (url, status) = pair.rsplit_once(':')?;
        let status = status.parse().ok().filter(|s| *s > 0)?;
        Some((url.to_string(), status))
    };
    value
        .split(',')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            of(pair)
                .ok_or_else(|| refused(entry, value, "url:status,url:status with a status above 0"))
        })
        .collect()
}

fn check_params(entry: &str, value: &str, bounded: bool) -> Result<CheckParams, String> {
    let expected = "JSON {max ≥ 3000, min ≥ 500, 0 ≤ factor ≤ 1}";
    let params: CheckParams =
        serde_json::from_str(value).map_err(|_| refused(entry, value, expected))?;
    let factor = (0.0..=1.0).contains(&params.factor);
    if bounded && !(params.min >= 500 && params.max >= 3_000 && factor) {
        return Err(refused(entry, value, expected));
    }
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets `entry` and gives back what changed, as the debug texts before and after differ; none if refused.
    fn set(entry: &str, value: &str) -> Option<Switches> {
        let mut switches = Switches::default();
        let outcome = switches.set(entry, value);
        assert!(
            outcome.is_ok() || switches == Switches::default(),
            "a refusal changes nothing"
        );
        outcome.ok().map(|()| switches)
    }

    #[test]
    fn numbers_have_bounds() {
        for (entry, bad, good) in [
            ("distroThreshold", "0", "0.5"),
            ("pushCacheMillis", "9999", "10000"),
            ("defaultCacheMillis", "999", "1000"),
            ("serviceStatusSynchronizationPeriodMillis", "4999", "5000"),
            ("serverStatusSynchronizationPeriodMillis", "999", "1000"),
            ("clientBeatInterval", "soon", "4000"),
            ("healthCheckTimes", "x", "2"),
            ("limitedUrlMap", "/a:0", "/a:403,/b:404"),
            (
                "httpHealthParams",
                r#"{"max":2999,"min":500,"factor":0.5}"#,
                r#"{"max":3000,"min":500,"factor":0.5}"#,
            ),
            (
                "tcpHealthParams",
                r#"{"max":3000,"min":499,"factor":0.5}"#,
                r#"{"max":3000,"min":500,"factor":1.0}"#,
            ),
            (
                "tcpHealthParams",
                r#"{"max":3000,"min":500,"factor":1.5}"#,
                r#"{"max":3000,"min":500,"factor":0.0}"#,
            ),
            (
                "mysqlHealthParams",
                "{",
                r#"{"max":1,"min":1,"factor":0.5}"#,
            ),
            ("pushVersion", "java:1.2", "java:1.2.3"),
            ("pushVersion", "rust:1.2.3", "csharp:0.0.1"),
        ] {
            assert_eq!(set(entry, bad), None, "{entry}={bad}");
            let set = set(entry, good);
            assert!(
                set.is_some() && (set != Some(Switches::default()) || good.ends_with("000")),
                "{entry}={good}"
            );
        }
    }

    #[test]
    fn booleans_are_strict_or_loose_by_entry() {
        assert!(!set("check", "yes").unwrap().health_check_enabled);
        assert!(set("check", "TRUE").unwrap().health_check_enabled);
        assert!(set("lightBeatEnabled", "on").unwrap().light_beat_enabled);
        assert!(!set("lightBeatEnabled", "off").unwrap().light_beat_enabled);
        assert!(set("disableAddIP", "true").unwrap().disable_add_ip);
    }

    #[test]
    fn unknown_entries_do_nothing_and_null_unsets() {
        assert_eq!(set("noSuchEntry", "1"), Some(Switches::default()));
        assert_eq!(set("enableStandalone", "false"), Some(Switches::default()));
        assert_eq!(
            set("overriddenServerStatus", "null")
                .unwrap()
                .overridden_server_status,
            None
        );
        let down = set("overriddenServerStatus", "DOWN").unwrap();
        assert_eq!(down.overridden_server_status.as_deref(), Some("DOWN"));
        assert_eq!(down.status(), "DOWN");
        for none in ["", "down", "closed"] {
            let set = set("overriddenServerStatus", none).unwrap();
            assert_eq!(set.status(), "UP", "{none:?} shuts nobody out");
        }
        assert_eq!(
            set("masters", "a,b").unwrap().masters,
            Some(alloc::vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn a_white_list_keeps_checks_on() {
        let mut switches = set("check", "false").unwrap();
        assert!(!switches.checks("g@@s"));
        switches.health_check_white_list.push("g@@s".into());
        assert!(switches.checks("g@@s") && !switches.checks("g@@t"));
    }
}
