//! Where the core's outputs go: each kind to its edge.

use std::sync::{Arc, Weak};

use nacrite_core::{api::ClientRequest, node::output::Output};

use crate::{
    drive::{Asked, Drive, Edges},
    grpc::Connections,
    probes::Prober,
    udp::UdpEdge,
};

/// All edges that the core speaks to.
pub struct Outlets {
    drive: Weak<Drive>,
    runtime: tokio::runtime::Handle,
    connections: Arc<Connections>,
    udp: Option<Arc<UdpEdge>>,
    prober: Prober,
}

impl Outlets {
    /// The edges of one server.
    #[must_use]
    pub fn new(
        drive: &Arc<Drive>,
        runtime: tokio::runtime::Handle,
        connections: Arc<Connections>,
        udp: Option<Arc<UdpEdge>>,
    ) -> Self {
        Self {
            drive: Arc::downgrade(drive),
            runtime,
            connections,
            udp,
            prober: Prober::default(),
        }
    }
}

impl Edges for Outlets {
    fn ask(&self, ids: Vec<Arc<str>>, request: ClientRequest) -> Asked {
        let connections = self.connections.clone();
        Box::pin(async move { connections.ask(&ids, &request).await })
    }

    fn send(&self, output: Output) {
        let Some(drive) = self.drive.upgrade() else {
            return;
        };
        match output {
            Output::Push { push, body, conns } => {
                self.connections.push(&drive, push, &body, &conns);
            }
            Output::Close { conn, reason } => self.connections.close(conn, &reason),
            Output::Datagram { .. } => {
                if let Some(udp) = &self.udp {
                    udp.send(&drive, &output);
                }
            }
            Output::Probe { probe, target } => {
                self.prober.start(&self.runtime, &drive, probe, target);
            }
            Output::Reply { .. }
            | Output::Propose { .. }
            | Output::Store { .. }
            | Output::View(_) => {
                debug_assert!(false, "the drive itself takes this output");
            }
        }
    }
}
