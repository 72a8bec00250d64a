//! The switches: settings of naming that operators change while the server runs (Nacos `SwitchDomain`).

use alloc::{collections::BTreeMap, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

/// All switches with the reference's names; times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the reference's, described at GET operator/switches")]
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
            http_health_params: CheckParams { max: 5_000, min: 500, factor: 0.85 },
            tcp_health_params: CheckParams { max: 5_000, min: 1_000, factor: 0.75 },
            mysql_health_params: CheckParams { max: 3_000, min: 2_000, factor: 0.65 },
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
