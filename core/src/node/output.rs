//! What a node asks its host to do.

use alloc::{string::String, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use super::{input::ConnId, reply::Answered};
use crate::{
    log::RowWrite,
    model::{ConfigKey, ServiceKey},
    view::Delta,
};

/// One thing a host must do. The enum only grows at its end; a test pins the discriminants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// Answer a request. Comes after the views that the answer depends on.
    Reply {
        /// Id of the request.
        id: u64,
        /// What came of it.
        result: Answered,
    },
    /// End a connection.
    Close {
        /// Which.
        conn: ConnId,
        /// Why, for the log.
        reason: String,
    },
    /// Send a push to gRPC connections; the host renders it once from the newest view.
    Push {
        /// Number of the wave; its `requestId` and the number that acks name.
        push: u64,
        /// What it says.
        body: PushBody,
        /// To whom.
        conns: Vec<ConnId>,
    },
    /// Send a UDP push; the host renders it from the newest view.
    Datagram {
        /// Number that the ack names; below 2^53.
        push: u64,
        /// Address of the subscriber.
        ip: Arc<str>,
        /// Its port.
        port: u16,
        /// Which service.
        service: ServiceKey,
        /// In which form.
        class: RenderClass,
    },
    /// Propose a command. The content that came with request `request`, if any, goes with it.
    Propose {
        /// Number of the proposal.
        proposal: u64,
        /// The request whose content belongs to the command; 0 for none.
        request: u64,
        /// The encoded command.
        #[serde(with = "serde_bytes")]
        command: Vec<u8>,
    },
    /// What applying the entry `applied` wrote: one transaction of the state store.
    Store {
        /// Index of the entry.
        applied: u64,
        /// Rows to write.
        rows: Vec<RowWrite>,
    },
    /// A change for readers.
    View(Delta),
    /// Probe a persistent instance.
    Probe {
        /// Number that the outcome names.
        probe: u64,
        /// What to probe.
        target: ProbeTarget,
    },
}

/// What a gRPC push says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PushBody {
    /// `NotifySubscriberRequest`.
    Service {
        /// Which service.
        key: ServiceKey,
        /// In which form.
        class: RenderClass,
    },
    /// `ConfigChangeNotifyRequest`.
    Config {
        /// Which config.
        key: ConfigKey,
        /// Whether the listener spelt the default namespace as nothing (echoed).
        blank_tenant: bool,
    },
    /// `NamingFuzzyWatchChangeNotifyRequest`.
    FuzzyService {
        /// Which service.
        key: ServiceKey,
        /// It appeared (or went).
        added: bool,
    },
    /// `NamingFuzzyWatchSyncRequest` or `ConfigFuzzyWatchSyncRequest`.
    FuzzySync {
        /// Configs (or services).
        config: bool,
        /// The watch's pattern.
        pattern: Arc<str>,
        /// Which part of the dialogue.
        kind: SyncKind,
        /// Keys, each added (true) or gone.
        keys: Vec<(Arc<str>, bool)>,
        /// Batches in all.
        total: u32,
        /// This batch, from 1.
        current: u32,
    },
    /// `ConfigFuzzyWatchChangeNotifyRequest`.
    FuzzyConfig {
        /// Which config.
        key: ConfigKey,
        /// It exists or changed (or went).
        exists: bool,
    },
    /// `NotifySubscriberRequest` with the load-balancing policy in force, for connections that ask for it.
    ServicePolicy {
        /// Which service.
        key: ServiceKey,
        /// In which form.
        class: RenderClass,
    },
}

/// Part of a fuzzy watch's dialogue (Nacos `syncType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncKind {
    /// `FUZZY_WATCH_INIT_NOTIFY`.
    Init,
    /// `FINISH_FUZZY_WATCH_INIT_NOTIFY`.
    Finish,
    /// `FUZZY_WATCH_DIFF_SYNC_NOTIFY`.
    Diff,
}

/// Everything on which the bytes of a service's list depend, beside the service itself: subscribers of one class
/// share one rendering.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RenderClass {
    /// Comma-separated cluster filter as the client wrote it (echoed); empty for all.
    pub clusters: Arc<str>,
    /// Only healthy instances.
    pub healthy_only: bool,
    /// How names are spelt.
    pub names: NameForm,
    /// The consumer's address, if the service's selector looks at it; else empty.
    pub consumer: Arc<str>,
}

/// How a list spells the service's name.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum NameForm {
    /// `name` is the plain name, `groupName` apart; gRPC.
    #[default]
    Plain,
    /// `name` is `GROUP@@NAME`; HTTP v1/v2 and UDP.
    Grouped,
    /// As `Grouped`, with bare names in `dom` and the hosts' `serviceName`; Java before 1.0.0 and agents of other kinds.
    GroupedOld,
}

/// What to probe, and how (Nacos 2.x health checkers).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeTarget {
    /// Connect within 500 ms.
    Tcp {
        /// Address.
        ip: Arc<str>,
        /// Port.
        port: u16,
    },
    /// `GET` within 500 ms.
    Http {
        /// Address.
        ip: Arc<str>,
        /// Port.
        port: u16,
        /// Path.
        path: Arc<str>,
        /// `k:v|k:v`.
        headers: Arc<str>,
    },
    /// Run a command; connect within 500 ms, answer within 1 s.
    Mysql {
        /// Address.
        ip: Arc<str>,
        /// Port.
        port: u16,
        /// User.
        user: Arc<str>,
        /// Password.
        pwd: Arc<str>,
        /// Command.
        cmd: Arc<str>,
    },
}
