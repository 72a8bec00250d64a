//! Passwords and credentials, which must not leave a node in a recording: how active checks log in.
//!
//! They are replaced by asterisks of the same length, in inputs and in a node's state alike: a replay that has only
//! these does what the original did, but for what it would tell the prober.

use alloc::{sync::Arc, vec::Vec};

use super::{Node, input::Input, op::Op};
use crate::{
    log::{Command, Row, Table, decode, encode},
    model::{HealthChecker, ServiceKey, ServiceMetadata},
};

fn masked(text: &Arc<str>) -> Arc<str> {
    "*".repeat(text.len()).into()
}

impl HealthChecker {
    /// Masks what it logs in with; whether there was anything.
    pub fn mask(&mut self) -> bool {
        let secret = match self {
            Self::Mysql { pwd, .. } => pwd,
            Self::Http { headers, .. } => headers,
            Self::Tcp | Self::None => return false,
        };
        *secret = masked(secret);
        !secret.is_empty()
    }
}

impl ServiceMetadata {
    /// Masks what its clusters' checks log in with; whether there was anything.
    pub fn mask(&mut self) -> bool {
        let mut any = false;
        for cluster in self.clusters.values_mut() {
            any |= cluster.checker.mask();
        }
        any
    }
}

impl Command {
    /// Whether encoded bytes are of a kind of command that can carry a password, by a look at their first bytes.
    #[must_use]
    pub fn may_hold_secrets(bytes: &[u8]) -> bool {
        // Version, then the number of the variant: from `CreateService` to `UpdateCluster`.
        bytes.get(1).is_none_or(|kind| (7..=10).contains(kind))
    }
}

fn masked_command(bytes: &[u8]) -> Option<Vec<u8>> {
    // What cannot be read stays as it is: it stops the node, and its recording must do so too.
    let mut command = Command::decode(bytes).ok()?;
    let any = match &mut command {
        Command::CreateService { metadata, .. } | Command::UpdateService { metadata, .. } => {
            metadata.mask()
        }
        Command::UpdateCluster { metadata, .. } => metadata.checker.mask(),
        _ => false,
    };
    any.then(|| command.encode())
}

fn mask_row(row: &mut Row) -> bool {
    if row.table != Table::Service {
        return false;
    }
    let Ok((key, mut metadata)) = decode::<(ServiceKey, ServiceMetadata)>(&row.value) else {
        return false;
    };
    let any = metadata.mask();
    if any {
        row.value = encode(&(key, metadata));
    }
    any
}

impl Input {
    /// Masks passwords and credentials; whether there were any.
    pub fn mask(&mut self) -> bool {
        match self {
            Self::Request { op, .. } => match op {
                Op::CreateService { metadata, .. } | Op::UpdateService { metadata, .. } => {
                    metadata.mask()
                }
                Op::UpdateCluster { metadata, .. } => metadata.checker.mask(),
                _ => false,
            },
            Self::Committed { command, .. } => match masked_command(command) {
                Some(other) => {
                    *command = other;
                    true
                }
                None => false,
            },
            Self::Restore { rows, .. } => {
                let mut any = false;
                for row in rows {
                    any |= mask_row(row);
                }
                any
            }
            _ => false,
        }
    }
}

impl Node {
    /// Masks passwords and credentials in the state. Only for a copy that is written down: checks that use them fail.
    pub fn mask(&mut self) {
        self.naming.mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ClusterMetadata;

    fn cluster(pwd: &str) -> ClusterMetadata {
        ClusterMetadata {
            checker: HealthChecker::Mysql {
                user: "u".into(),
                pwd: pwd.into(),
                cmd: "select 1".into(),
            },
            ..ClusterMetadata::default()
        }
    }

    #[test]
    fn a_password_is_masked_wherever_it_comes_in() {
        let service = ServiceKey::new("", "g", "s");
        let request = |pwd: &str| Input::Request {
            id: 1,
            origin: crate::node::input::Origin::default(),
            op: Op::UpdateCluster {
                service: service.clone(),
                cluster: "c".into(),
                metadata: cluster(pwd),
            },
        };
        let committed = |pwd: &str| Input::Committed {
            index: 1,
            proposal: None,
            command: Command::UpdateCluster {
                service: service.clone(),
                cluster: "c".into(),
                metadata: cluster(pwd),
                ephemeral: false,
            }
            .encode(),
        };
        let mut metadata = ServiceMetadata::default();
        metadata.clusters.insert("c".into(), cluster("hidden"));
        let stored = |metadata: &ServiceMetadata| Input::Restore {
            rows: alloc::vec![Row {
                table: Table::Service,
                key: Vec::new(),
                value: encode(&(&service, metadata)),
            }],
            applied: 1,
        };
        let mut hidden = metadata.clone();
        assert!(hidden.mask());
        for (mut input, expected) in [
            (request("hidden"), request("******")),
            (committed("hidden"), committed("******")),
            (stored(&metadata), stored(&hidden)),
        ] {
            assert!(input.mask());
            assert_eq!(input, expected);
        }
        assert!(!Input::Tick.mask());
        for (pwd, index) in [("hidden", 1), ("", 2)] {
            let Input::Committed { command, .. } = committed(pwd) else {
                panic!("it is one");
            };
            assert!(Command::may_hold_secrets(&command), "{index}");
        }
        for (command, may) in [
            (
                Command::CreateService {
                    service: service.clone(),
                    metadata: metadata.clone(),
                },
                true,
            ),
            (
                Command::UpdateService {
                    service: service.clone(),
                    metadata: metadata.clone(),
                },
                true,
            ),
            (Command::DeleteNamespace { id: "a".into() }, false),
        ] {
            assert_eq!(Command::may_hold_secrets(&command.encode()), may);
        }
        let mut node = Node::new(&crate::node::NodeSettings::default());
        let now = crate::node::input::Now::default();
        node.handle(now, committed("hidden"));
        while node.poll().is_some() {}
        let holds = |node: &Node| node.snapshot().windows(6).any(|w| w == b"hidden");
        assert!(holds(&node));
        node.mask();
        assert!(!holds(&node));
    }
}
