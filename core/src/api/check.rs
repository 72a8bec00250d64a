//! The reference's parameter-check filter ("layer A"): lengths and characters of names, before any handler runs.
//!
//! Blank values always pass; of several violations the first in a fixed order is told.

use alloc::{format, string::String};

use super::{
    beat,
    call::Call,
    fault::{Area, Fault},
    metadata::parse_pairs,
    route::Check,
};
use crate::model::{Metadata, split_grouped};

/// Longest metadata: the sum of the lengths of all keys and values.
const METADATA_LENGTH: usize = 1024;

/// What one request names; empty for what it does not.
#[derive(Clone, Debug, Default)]
pub struct Names<'a> {
    /// Name of a namespace that people see.
    pub show_name: &'a str,
    /// Namespace id or tenant.
    pub namespace: &'a str,
    /// Data id.
    pub data_id: &'a str,
    /// Service, with or without its group.
    pub service: &'a str,
    /// Group.
    pub group: &'a str,
    /// Cluster.
    pub cluster: &'a str,
    /// Comma-separated clusters.
    pub clusters: &'a str,
    /// Address.
    pub ip: &'a str,
    /// Port.
    pub port: &'a str,
    /// Length of all keys and values of metadata.
    pub metadata: usize,
    /// MCP server.
    pub mcp: &'a str,
    /// Agent.
    pub agent: &'a str,
}

impl Names<'_> {
    /// The line that refuses these names, without its end; none if all are good.
    #[must_use]
    pub fn refusal(&self) -> Option<String> {
        let (group, service) = match split_grouped(self.service) {
            (Some(group), service) => (group, service),
            (None, service) => (self.group, service),
        };
        text("namespaceShowName", self.show_name, 256, |s| {
            !s.contains(['@', '#', '$', '%', '^', '&', '*'])
        })
        .or_else(|| {
            text("namespaceId/tenant", self.namespace, 64, |s| {
                s.bytes().all(is_word)
            })
        })
        .or_else(|| text("dataId", self.data_id, 256, |s| s.bytes().all(is_name)))
        .or_else(|| text("serviceName", service, 512, is_service))
        .or_else(|| text("group", group, 128, |s| s.bytes().all(is_name)))
        .or_else(|| {
            let all = core::iter::once(self.cluster).chain(self.clusters.split(','));
            all.filter_map(|c| text("cluster", c, 64, |s| s.bytes().all(is_word)))
                .next()
        })
        .or_else(|| text("ip", self.ip, 128, |s| !s.contains(is_refused)))
        .or_else(|| {
            let good = self.port.is_empty()
                || self
                    .port
                    .parse::<i64>()
                    .is_ok_and(|p| (0..=65_535).contains(&p));
            (!good)
                .then(|| "Param 'port' is illegal, the value should be between 0 and 65535.".into())
        })
        .or_else(|| {
            let long = self.metadata > METADATA_LENGTH;
            long.then(|| too_long("Metadata", METADATA_LENGTH))
        })
        .or_else(|| text("mcpName", self.mcp, 64, |s| s.bytes().all(is_word)))
        .or_else(|| {
            let printable = |b: u8| (32..=126).contains(&b);
            text("agentName", self.agent, 64, |s| s.bytes().all(printable))
        })
    }

    fn fault(&self) -> Option<Fault> {
        self.refusal().map(Fault::Checked)
    }
}

fn text(label: &str, value: &str, most: usize, good: impl FnOnce(&str) -> bool) -> Option<String> {
    if value.trim().is_empty() {
        None
    } else if utf16(value) > most {
        Some(too_long(label, most))
    } else if good(value) {
        None
    } else {
        Some(format!(
            "Param '{label}' is illegal, illegal characters should not appear in the param."
        ))
    }
}

fn too_long(label: &str, most: usize) -> String {
    format!("Param '{label}' is illegal, the param length should not exceed {most}.")
}

/// Lengths count as Java counts them.
fn utf16(text: &str) -> usize {
    if text.is_ascii() {
        text.len()
    } else {
        text.encode_utf16().count()
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn is_name(byte: u8) -> bool {
    is_word(byte) || byte == b':' || byte == b'.'
}

/// Neither in addresses nor, but for its first character, in a service's name.
fn is_refused(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b' || ('\u{4e00}'..='\u{9fa5}').contains(&c)
}

fn is_service(name: &str) -> bool {
    let mut rest = name.chars();
    !name.starts_with('@')
        && rest.next().is_some()
        && !rest.as_str().contains("@@")
        && !rest.as_str().contains(is_refused)
}

/// What the filter says to a request; none if it passes.
pub(super) fn fault(check: Check, area: Area, call: &Call<'_>) -> Option<Fault> {
    match check {
        Check::None => None,
        Check::Naming => naming(call, area),
        Check::NamingList => {
            let names = Names {
                clusters: one(call, &["clusters"]),
                ..service(call)
            };
            names.fault()
        }
        Check::Beat => beat_names(call, area),
        Check::MetadataBatch => naming(call, area).or_else(|| {
            let instances =
                super::metadata::parse_instances(one(call, &["instances"])).unwrap_or_default();
            instances.iter().find_map(|(ip, port, cluster)| {
                Names {
                    ip,
                    port,
                    cluster,
                    ..Names::default()
                }
                .fault()
            })
        }),
        Check::Config => config(call).fault(),
        Check::ConfigSearch if call.param("search") == Some("blur") => None,
        Check::ConfigSearch => config(call).fault(),
        Check::Ai => {
            let names = Names {
                namespace: one(call, &["namespaceId"]),
                mcp: one(call, &["mcpName"]),
                agent: one(call, &["agentName"]),
                ..Names::default()
            };
            names.fault()
        }
        Check::Namespace => {
            let namespace = one(call, &["namespaceId", "customNamespaceId"]);
            Names {
                namespace,
                show_name: one(call, &["namespaceName"]),
                ..Names::default()
            }
            .fault()
        }
    }
}

/// The first of these parameters that is there and not blank.
fn one<'a>(call: &Call<'a>, names: &[&str]) -> &'a str {
    names
        .iter()
        .find_map(|n| call.param(n).filter(|v| !v.is_empty()))
        .unwrap_or_default()
}

fn service<'a>(call: &Call<'a>) -> Names<'a> {
    Names {
        service: one(call, &["serviceName", "serviceNameParam"]),
        group: one(call, &["groupName", "groupNameParam"]),
        namespace: one(call, &["namespaceId"]),
        ..Names::default()
    }
}

fn config<'a>(call: &Call<'a>) -> Names<'a> {
    Names {
        namespace: one(call, &["namespaceId", "tenant", "namespace"]),
        data_id: one(call, &["dataId"]),
        group: one(call, &["groupName", "group"]),
        ip: one(call, &["ip"]),
        ..Names::default()
    }
}

/// The lengths of all keys and values, together.
pub(super) fn length_of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> usize {
    pairs.map(|(key, value)| utf16(key) + utf16(value)).sum()
}

/// As [`length_of`], of metadata as a parameter carries it.
fn metadata_length(text: &str) -> Result<usize, String> {
    let pairs = parse_pairs(text)?;
    let most = length_of(pairs.iter().map(|(k, v)| (&**k, &**v)));
    if most <= METADATA_LENGTH {
        return Ok(most);
    }
    // A key that came again counts once.
    Ok(length_of(Metadata::from_iter(pairs).iter()))
}

fn naming(call: &Call<'_>, area: Area) -> Option<Fault> {
    let metadata = match metadata_length(one(call, &["metadata"])) {
        Ok(length) => length,
        // The filter itself fails while it parses, and the container answers.
        Err(error) => {
            let error = format!("ErrCode:400, ErrMsg:{error}");
            return Some(escaped(
                area,
                &error,
                &error["ErrCode:400, ErrMsg:".len()..],
            ));
        }
    };
    let names = Names {
        ip: one(call, &["ip"]),
        port: one(call, &["port", "checkPort"]),
        cluster: one(call, &["clusterName", "cluster"]),
        metadata,
        ..service(call)
    };
    names.fault()
}

fn beat_names(call: &Call<'_>, area: Area) -> Option<Fault> {
    let text = one(call, &["beat"]);
    let parsed = match beat::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            let whole = format!(
                "errCode: 101, errMsg: Nacos deserialize for class [com.alibaba.nacos.naming.healthcheck.RsInfo] failed, cause error[{error}].  "
            );
            return Some(escaped(area, &whole, &error));
        }
    };
    let own = Names {
        ip: one(call, &["ip"]),
        port: one(call, &["port"]),
        ..service(call)
    };
    own.fault().or_else(|| {
        let parsed = parsed?;
        let port = format!("{}", parsed.port);
        Names {
            ip: &parsed.ip,
            port: &port,
            cluster: &parsed.cluster,
            ..Names::default()
        }
        .fault()
    })
}

/// What escapes the filter: `/v1/ns` has one more filter around it, which adds its words.
fn escaped(area: Area, error: &str, cause: &str) -> Fault {
    let message = if area == Area::NamingV1 {
        format!("Server failed, caused: {error};caused: {cause};")
    } else {
        error.into()
    };
    Fault::Container {
        status: 500,
        message,
    }
}

/// Names of several things, of which the first that is refused is told.
#[must_use]
pub fn first_refusal<'a>(names: impl IntoIterator<Item = Names<'a>>) -> Option<Fault> {
    names.into_iter().find_map(|names| names.fault())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(names: &Names<'_>) -> String {
        names.refusal().unwrap_or_default()
    }

    #[test]
    fn characters_and_lengths_are_told_by_label() {
        let ip = refused(&Names {
            ip: "not an ip",
            ..Names::default()
        });
        assert_eq!(
            ip,
            "Param 'ip' is illegal, illegal characters should not appear in the param."
        );
        let id = "d".repeat(257);
        let data_id = refused(&Names {
            data_id: &id,
            ..Names::default()
        });
        assert_eq!(
            data_id,
            "Param 'dataId' is illegal, the param length should not exceed 256."
        );
        for port in ["99999", "eighty", "-1"] {
            let port = refused(&Names {
                port,
                ..Names::default()
            });
            assert_eq!(
                port,
                "Param 'port' is illegal, the value should be between 0 and 65535."
            );
        }
        assert!(
            refused(&Names {
                clusters: "a,b*",
                ..Names::default()
            })
            .starts_with("Param 'cluster'")
        );
        assert!(
            refused(&Names {
                show_name: "a@b",
                ..Names::default()
            })
            .starts_with("Param 'namespaceShowName'")
        );
    }

    #[test]
    fn a_services_name_is_checked_without_its_group() {
        let service = |service| {
            refused(&Names {
                service,
                group: "g",
                ..Names::default()
            })
        };
        for good in ["", "a", "GG@@a", "名a", "a@b", "a/b"] {
            assert_eq!(service(good), "", "{good}");
        }
        for bad in ["a b", "a名", "@a", "g@@a@@b"] {
            assert!(service(bad).starts_with("Param 'serviceName'"), "{bad}");
        }
        assert!(service("g g@@a").starts_with("Param 'group'"));
    }

    #[test]
    fn metadata_has_a_length_in_all() {
        let of = |text: &str| metadata_length(text).unwrap();
        let long = "v".repeat(1023);
        assert_eq!(
            (of(""), of(r#"{"k":"名","l":10}"#), of("a=b,cd=e")),
            (0, 5, 5)
        );
        assert_eq!(of(&format!("k={long},k=v")), 2, "the last of a key counts");
        let refused = |metadata| {
            refused(&Names {
                metadata,
                ..Names::default()
            })
        };
        assert_eq!(refused(of(&format!("k={long}"))), "");
        assert_eq!(
            refused(of(&format!("kk={long}"))),
            "Param 'Metadata' is illegal, the param length should not exceed 1024."
        );
    }

    #[test]
    fn the_first_in_the_order_of_labels_is_told() {
        let names = Names {
            ip: "a b",
            port: "x",
            namespace: "bad ns*",
            ..Names::default()
        };
        assert!(refused(&names).starts_with("Param 'namespaceId/tenant'"));
        let first = first_refusal([
            Names::default(),
            Names {
                ip: " a b",
                ..Names::default()
            },
        ]);
        assert!(matches!(first, Some(Fault::Checked(line)) if line.starts_with("Param 'ip'")));
    }
}
