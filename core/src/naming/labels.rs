//! Labels of addresses, from the config `nacrite.cmdb`: which network means which zone, rack or unit.
//!
//! It stands in for the CMDB plugin of Nacos, which label selectors need.

use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::{cmp::Reverse, net::IpAddr};

use serde::Deserialize;

use crate::model::Metadata;

/// Labels by network; the longest prefix that holds an address wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels {
    /// By length of the prefix, longest first; IPv4 networks as those of mapped IPv6 addresses.
    networks: BTreeMap<Reverse<u8>, BTreeMap<u128, Metadata>>,
}

/// One network as the config writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    cidr: String,
    labels: BTreeMap<String, String>,
}

impl Labels {
    /// Reads `[{"cidr":"10.1.0.0/16","labels":{"zone":"a"}}]`; an address without a length is a network of one.
    ///
    /// # Errors
    /// What does not fit, for the person who wrote it.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let entries: Vec<Entry> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let mut labels = Self::default();
        for entry in entries {
            let (bits, len) = network(&entry.cidr).ok_or_else(|| {
                format!(
                    "`{}` is no network: expected an IPv4 or IPv6 address, or address/length",
                    entry.cidr
                )
            })?;
            labels
                .networks
                .entry(Reverse(len))
                .or_default()
                .insert(bits & mask(len), entry.labels.into_iter().collect());
        }
        Ok(labels)
    }

    /// The labels of an address; none if no network holds it, or if it is a host name.
    #[must_use]
    pub fn of(&self, ip: &str) -> Option<&Metadata> {
        if self.networks.is_empty() {
            return None;
        }
        let bits = bits(ip.parse().ok()?);
        self.networks
            .iter()
            .find_map(|(Reverse(len), networks)| networks.get(&(bits & mask(*len))))
    }

    /// Whether no network is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }
}

fn network(cidr: &str) -> Option<(u128, u8)> {
    let (ip, len) = cidr
        .trim()
        .split_once('/')
        .map_or((cidr.trim(), None), |(ip, len)| (ip, Some(len)));
    let ip: IpAddr = ip.parse().ok()?;
    let most = if ip.is_ipv4() { 32 } else { 128 };
    let len = len.map_or(Some(most), |len| {
        len.parse().ok().filter(|len| *len <= most)
    })?;
    Some((bits(ip), len + 128 - most))
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn mask(len: u8) -> u128 {
    if len == 0 {
        0
    } else {
        u128::MAX << (128 - len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone<'a>(labels: &'a Labels, ip: &str) -> Option<&'a str> {
        labels.of(ip)?.get("zone")
    }

    #[test]
    fn the_longest_prefix_wins_in_both_families() {
        let labels = Labels::parse(
            br#"[{"cidr":"10.0.0.0/8","labels":{"zone":"a"}},
                 {"cidr":"10.1.0.0/16","labels":{"zone":"b"}},
                 {"cidr":"10.1.2.3","labels":{"zone":"c"}},
                 {"cidr":"2001:db8::/32","labels":{"zone":"d"}},
                 {"cidr":"2001:db8:1::/48","labels":{"zone":"e"}}]"#,
        )
        .unwrap();
        for (ip, want) in [
            ("10.9.9.9", Some("a")),
            ("10.1.9.9", Some("b")),
            ("10.1.2.3", Some("c")),
            ("::ffff:10.1.2.3", Some("c")),
            ("11.0.0.1", None),
            ("2001:db8:2::1", Some("d")),
            ("2001:db8:1::1", Some("e")),
            ("2001:db9::1", None),
            ("some.host", None),
        ] {
            assert_eq!(zone(&labels, ip), want, "{ip}");
        }
    }

    #[test]
    fn a_network_of_length_0_holds_its_family_only() {
        let labels = Labels::parse(br#"[{"cidr":"0.0.0.0/0","labels":{"zone":"v4"}}]"#).unwrap();
        assert_eq!(
            (zone(&labels, "1.2.3.4"), zone(&labels, "::1")),
            (Some("v4"), None)
        );
        let labels = Labels::parse(br#"[{"cidr":"::/0","labels":{"zone":"all"}}]"#).unwrap();
        assert_eq!(
            (zone(&labels, "1.2.3.4"), zone(&labels, "::1")),
            (Some("all"), Some("all"))
        );
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for cidr in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "a/8",
            "10.0.0.0/-1",
            "",
        ] {
            let json = format!(r#"[{{"cidr":"{cidr}","labels":{{}}}}]"#);
            assert!(
                Labels::parse(json.as_bytes())
                    .unwrap_err()
                    .contains("is no network"),
                "{cidr}"
            );
        }
        assert!(Labels::parse(b"{").is_err());
        assert!(Labels::parse(b"[]").unwrap().is_empty());
    }
}
