//! Lists of instances as JavaScript and servers write them: our own array, or the answer of a Nacos list API of any generation.

use std::collections::BTreeMap;

use nacrite_core::balance::{Candidate, Flags};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::refusal::Refusal;

/// One instance. What is left out or null has its default; what is not known is ignored, since servers say much more.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Instance {
    /// `host:port`; else made of the next two.
    id: Option<String>,
    #[serde(alias = "host")]
    ip: Option<String>,
    port: Option<u16>,
    weight: Option<f64>,
    healthy: Option<bool>,
    #[serde(alias = "enable")]
    enabled: Option<bool>,
    alive: Option<bool>,
    ready: Option<bool>,
    /// Else the label `zone`.
    zone: Option<String>,
    #[serde(alias = "cluster")]
    cluster_name: Option<String>,
    metadata: Option<BTreeMap<String, Value>>,
}

/// An instance as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'a str>,
    cluster_name: &'a str,
    /// Null when JSON has no such number.
    weight: f64,
    healthy: bool,
    enabled: bool,
    alive: bool,
    ready: bool,
    metadata: &'a BTreeMap<String, String>,
}

impl<'a> Shown<'a> {
    pub(crate) fn new(candidate: &'a Candidate, flags: Flags) -> Self {
        Self {
            id: &candidate.id,
            zone: candidate.zone.as_deref(),
            cluster_name: &candidate.cluster,
            weight: candidate.weight,
            healthy: flags.has(Flags::HEALTHY),
            enabled: flags.has(Flags::ENABLED),
            alive: flags.has(Flags::ALIVE),
            ready: flags.has(Flags::READY),
            metadata: &candidate.metadata,
        }
    }
}

fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl Instance {
    /// What rules choose from; an error without an address.
    pub(crate) fn candidate(self) -> Result<Candidate, Refusal> {
        let id = match (self.id, self.ip, self.port) {
            (Some(id), ..) if !id.is_empty() => id,
            (_, Some(ip), Some(port)) if ip.contains(':') && !ip.starts_with('[') => {
                format!("[{ip}]:{port}")
            }
            (_, Some(ip), Some(port)) if !ip.is_empty() => format!("{ip}:{port}"),
            _ => return Err(Refusal::instances("it needs an id, or an ip and a port")),
        };
        let metadata = self.metadata.unwrap_or_default().into_iter();
        let metadata: BTreeMap<String, String> =
            metadata.map(|(name, value)| (name, text(value))).collect();
        let zone = self.zone.or_else(|| metadata.get("zone").cloned());
        let flags = [
            (Flags::ALIVE, self.alive),
            (Flags::READY, self.ready),
            (Flags::HEALTHY, self.healthy),
            (Flags::ENABLED, self.enabled),
        ];
        Ok(Candidate {
            id,
            zone,
            cluster: self.cluster_name.unwrap_or_default(),
            weight: self.weight.unwrap_or(1.0),
            flags: flags.into_iter().fold(Flags::SERVING, |all, (flag, on)| {
                all.with(flag, on != Some(false))
            }),
            metadata,
        })
    }
}

/// `{"hosts": […]}` of the first API, `{"code": 0, "data": …}` of the later ones.
#[derive(Deserialize)]
struct Answer {
    hosts: Option<Vec<Instance>>,
    data: Option<Data>,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Data {
    Instances(Vec<Instance>),
    Service { hosts: Vec<Instance> },
    Other(serde::de::IgnoredAny),
}

/// Reads a list.
pub(crate) fn read(json: &[u8]) -> Result<Vec<Candidate>, Refusal> {
    let malformed =
        |why: serde_json::Error| Refusal::instances(format!("not a list of instances: {why}"));
    let array = json.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let instances = if array {
        serde_json::from_slice(json).map_err(malformed)?
    } else {
        let answer: Answer = serde_json::from_slice(json).map_err(malformed)?;
        match (answer.hosts, answer.data) {
            (Some(hosts), _) | (None, Some(Data::Instances(hosts) | Data::Service { hosts })) => {
                hosts
            }
            _ => {
                let why = answer.message.unwrap_or_default();
                return Err(Refusal::instances(format!(
                    "the answer names no instances: {why}"
                )));
            }
        }
    };
    let numbered = instances.into_iter().enumerate();
    numbered
        .map(|(n, instance): (usize, Instance)| {
            instance.candidate().map_err(|why| {
                Refusal::instances(format!("instance {n} of the list: {}", why.message))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(json: &str) -> Vec<String> {
        let list = read(json.as_bytes()).expect("a list");
        list.into_iter().map(|candidate| candidate.id).collect()
    }

    #[test]
    fn every_generation_is_read() {
        let one = r#"[{"ip":"10.0.0.1","port":80,"instanceId":"x"},{"id":"b:1"},{"host":"::1","port":9}]"#;
        for json in [
            one.to_owned(),
            format!(r#" {{"hosts":{one},"name":"g@@s"}}"#),
            format!(r#"{{"code":0,"message":"success","data":{one}}}"#),
            format!(r#"{{"code":0,"data":{{"hosts":{one},"cacheMillis":1}}}}"#),
        ] {
            assert_eq!(ids(&json), ["10.0.0.1:80", "b:1", "[::1]:9"], "{json}");
        }
        assert!(ids("[]").is_empty());
    }

    #[test]
    fn an_instance_has_what_it_says_and_else_defaults() {
        let list = read(
            br#"[{"id":"a:1"},{"id":"b:1","weight":0.5,"healthy":false,"enable":false,"cluster":"c",
                 "metadata":{"zone":"z","cpu":7,"none":null}}]"#,
        )
        .expect("a list");
        assert_eq!(list[0], Candidate::new("a:1"));
        let b = &list[1];
        assert_eq!(
            (b.weight, b.zone.as_deref(), b.cluster.as_str()),
            (0.5, Some("z"), "c")
        );
        assert!(
            !b.flags.has(Flags::HEALTHY)
                && !b.flags.has(Flags::ENABLED)
                && b.flags.has(Flags::ALIVE)
        );
        assert_eq!(
            (b.metadata["cpu"].as_str(), b.metadata["none"].as_str()),
            ("7", "")
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (json, said) in [
            ("", "not a list of instances"),
            ("[1]", "not a list of instances"),
            ("{}", "names no instances"),
            (r#"{"code":403,"message":"who are you"}"#, "who are you"),
            (
                r#"{"code":403,"message":"no","data":"text"}"#,
                "names no instances: no",
            ),
            (
                r#"[{"id":"a:1"},{"ip":"10.0.0.1"}]"#,
                "instance 1 of the list: it needs an id",
            ),
        ] {
            let message = read(json.as_bytes()).expect_err(json).message;
            assert!(message.contains(said), "{json}: {message}");
        }
    }
}
