//! What a node is told.

use alloc::{string::String, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use super::op::Op;
use crate::{log::Row, model::text};

/// The two clocks of an input, in milliseconds. Time-outs use `mono` alone; `wall` is for stamps that people read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Since some fixed point of this run; never goes back.
    pub mono: u64,
    /// Since 1970-01-01 UTC; may jump.
    pub wall: u64,
}

/// A connection of a gRPC client; never used twice in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnId(pub u64);

/// Who sent a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The gRPC connection; none for HTTP.
    pub conn: Option<ConnId>,
    /// Address of the caller, as the API defines it (headers of proxies, then the socket).
    #[serde(deserialize_with = "text")]
    pub ip: Arc<str>,
    /// Its user, empty until users exist (or as the request claims, for history rows).
    #[serde(deserialize_with = "text")]
    pub user: Arc<str>,
}

/// Label by which a connection asks for load-balancing policies; its value is `true`.
pub const POLICY_LABEL: &str = "nacrite.policies";

/// What a connection said at its set-up.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnDetails {
    /// `<epoch ms>_<ip>_<port>`, the id that APIs show.
    pub id: Arc<str>,
    /// The client's own idea of its address, used for gray rules; the socket's if it gave none.
    pub ip: Arc<str>,
    /// Port of the socket.
    pub port: u16,
    /// `Nacos-Java-Client:v3.1.0` and the like.
    pub version: Arc<str>,
    /// `AppName` label, or `-`.
    pub app: Arc<str>,
    /// All labels, sorted by name.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
}

impl ConnDetails {
    /// Whether it asked, by the label [`POLICY_LABEL`], for load-balancing policies with its services.
    #[must_use]
    pub fn wants_policies(&self) -> bool {
        let label = self.labels.iter().find(|(name, _)| &**name == POLICY_LABEL);
        label.is_some_and(|(_, value)| &**value == "true")
    }
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AckOutcome {
    /// The client took it.
    Done,
    /// The client refused it, or it could not be written.
    Failed,
}

/// Why a proposal will never be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RejectReason {
    /// This node leads nobody at present.
    NotLeader,
    /// Too much is waiting to be committed.
    Busy,
}

/// One thing that happened to a node. The enum only grows at its end; a test pins the discriminants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A parsed write, subscription, poll or question.
    Request {
        /// Chosen by the host, never used twice in one run; the reply carries it.
        id: u64,
        /// Who asks.
        origin: Origin,
        /// What for.
        op: Op,
    },
    /// A gRPC connection is set up; comes before its first request.
    Connected {
        /// Which.
        conn: ConnId,
        /// What it said of itself.
        details: ConnDetails,
    },
    /// A gRPC connection ended.
    Disconnected {
        /// Which.
        conn: ConnId,
    },
    /// A gRPC client answered a push, or the push could not be written.
    Ack {
        /// From which connection.
        conn: ConnId,
        /// Which push.
        push: u64,
        /// How it ended.
        outcome: AckOutcome,
    },
    /// A UDP acknowledgement arrived.
    UdpAck {
        /// Address of the socket it came from.
        ip: Arc<str>,
        /// Its port.
        port: u16,
        /// The number it names.
        push: u64,
    },
    /// A log entry is committed.
    Committed {
        /// Its index, one more than that of the last.
        index: u64,
        /// The number of this node's proposal in this run, if it is one.
        proposal: Option<u64>,
        /// The encoded command ([`crate::log::Command`]); empty for entries that change nothing.
        #[serde(with = "serde_bytes")]
        command: Vec<u8>,
    },
    /// A proposal will never be committed.
    Rejected {
        /// Which.
        proposal: u64,
        /// Why.
        reason: RejectReason,
    },
    /// Who leads changed.
    Role {
        /// Whether this node leads.
        leader: bool,
        /// In which term.
        term: u64,
    },
    /// Rows of the state store, at start, in any number of pieces.
    Restore {
        /// The rows.
        rows: Vec<Row>,
        /// Index up to which they are applied.
        applied: u64,
    },
    /// All rows are restored and the log is replayed to its end; clients are served from here on.
    Ready,
    /// The deadline passed.
    Tick,
    /// A probe of a persistent instance ended.
    Probed {
        /// Which probe.
        probe: u64,
        /// How.
        outcome: ProbeOutcome,
        /// After how many milliseconds.
        took_ms: u32,
    },
    /// The host refuses requests as "busy" (true) or no longer does (false); meanwhile nobody's silence counts.
    Overloaded(bool),
    /// A parked poll's caller went away.
    Gone {
        /// Id of the poll's request.
        id: u64,
    },
}

/// How a probe of a persistent instance ended (Nacos 2.x health checkers).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeOutcome {
    /// It answered as it should.
    Healthy,
    /// A soft failure: three in a row make it unhealthy.
    Soft(String),
    /// A hard failure: unhealthy at once.
    Hard(String),
    /// No answer in time: soft, and the next probe comes later.
    TimedOut,
}
