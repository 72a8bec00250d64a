//! What comes of a request.

use alloc::{string::String, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::model::{ConfigKey, InstanceKey, Md5, ServiceKey};

/// What came of a request.
pub type Answered = Result<Reply, Refusal>;

/// The good answers. The enum only grows at its end; a test pins the discriminants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done (and durable, where the operation is).
    Done,
    /// The beat was taken, or the instance is unknown and was not given in full.
    Beat {
        /// Milliseconds until the next beat.
        interval: u64,
        /// Whether the instance is known (10200) or must register again (20404).
        known: bool,
        /// Whether the next beat may be light.
        light: bool,
    },
    /// Which instances a metadata batch changed.
    Updated(Vec<InstanceKey>),
    /// A UDP subscription: whether pushes will come, and how often the client should ask itself.
    Subscribed {
        /// Whether the agent is pushed to.
        pushed: bool,
        /// `cacheMillis`.
        cache_millis: u64,
    },
    /// What differs, by position in the request; of a poll that waited none: its time is up.
    Changed(Vec<u32>),
    /// A config was published; its revision.
    Published {
        /// Log index.
        revision: u64,
    },
    /// A config was removed (`false`: there was none).
    Removed(bool),
    /// A namespace was created, with this id.
    Namespace(Arc<str>),
    /// Whether a lock was taken (given back).
    Locked(bool),
    /// Subscribers.
    Subscribers(Vec<Subscriber>),
    /// Listeners of a config: address and MD5 they hold.
    Listeners(Vec<Listener>),
    /// What an address listens to.
    Listened(Vec<(ConfigKey, Option<Md5>)>),
    /// Ids of clients.
    Clients(Vec<Arc<str>>),
    /// A client.
    Client(Client),
    /// Clients that publish or subscribe to a service.
    ServiceClients(Vec<ServiceClient>),
    /// Counters of pushes.
    PushState(PushState),
    /// Totals.
    Totals(Totals),
    /// Connections.
    Connections(Vec<Connection>),
    /// A poll that waits ended because this config differs. It names the config, so that what waits need not keep the names.
    Woken {
        /// Its position in the request.
        position: u32,
        /// The config.
        key: ConfigKey,
    },
    /// A policy was set or removed; the revision of that, 0 if there was nothing to remove.
    Policy(u64),
    /// A random UUID of version 4.
    Uuid(Arc<str>),
    /// A plugin was published or removed; the revision of that, 0 if there was nothing to remove.
    Plugin(u64),
}

/// Why a request is refused: what the caller did. How each generation of the API says so is [`crate::api`]'s.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The connection is unknown or closed.
    Unregistered,
    /// The node cannot take it now: too much is waiting.
    Busy,
    /// There is no leader to decide it.
    NoLeader,
    /// The service is unknown.
    ServiceNotFound,
    /// The service exists already.
    ServiceExists,
    /// The service has instances.
    ServiceNotEmpty,
    /// The instance is unknown.
    InstanceNotFound,
    /// The service holds the other kind of instances; `persistent` is the service's kind.
    OtherKind {
        /// Which service.
        service: ServiceKey,
        /// Its kind.
        persistent: bool,
    },
    /// The cluster's health is checked by the server.
    CheckedByServer,
    /// The client is unknown.
    ClientNotFound,
    /// The stored MD5 is another (`casMd5`), or the revision.
    CasMismatch,
    /// The config exists already (create only).
    ConfigExists,
    /// More than 10 gray versions.
    TooManyGrays,
    /// The namespace exists already.
    NamespaceExists,
    /// The quota of the whole server is used up (5031).
    ClusterQuota,
    /// The quota of the group is used up (5032).
    GroupQuota,
    /// The quota of the namespace is used up (5033).
    NamespaceQuota,
    /// The content is larger than its namespace or group allows (5034); with that limit, bytes.
    ContentSize(u32),
    /// A value is not allowed; with what would be.
    Illegal(String),
    /// Too many fuzzy watch patterns (50310).
    TooManyPatterns,
    /// The pattern matches too much (50311); the watch stands.
    TooManyMatches,
    /// A limit with a name in the settings is reached.
    LimitReached(String),
    /// The policy in force has another revision: this one, or 0 for none.
    PolicyConflict(u64),
    /// The core failed at this request; its state is as if the request had not come. Said by hosts that contain faults,
    /// never by a node itself.
    Failed(String),
}

/// A subscriber of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Subscriber {
    /// To which service.
    pub service: ServiceKey,
    /// Id of its client.
    pub client: Arc<str>,
    /// Address.
    pub ip: Arc<str>,
    /// Port; 0 for a connection that named none.
    pub port: u16,
    /// `User-Agent` or client version.
    pub agent: Arc<str>,
    /// Application.
    pub app: Arc<str>,
    /// Cluster filter.
    pub clusters: Arc<str>,
    /// Since when, wall clock, milliseconds.
    pub since: u64,
}

/// A listener of a config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Address.
    pub ip: Arc<str>,
    /// What it holds.
    pub md5: Option<Md5>,
    /// Id of its connection; empty for a poll.
    pub connection: Arc<str>,
    /// Since when, wall clock, milliseconds.
    pub since: u64,
}

/// A client: a gRPC connection, or an address that publishes or subscribes over HTTP.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Client {
    /// A connection's id, or `ip:port#true|false`.
    pub id: Arc<str>,
    /// Whether what it publishes is ephemeral.
    pub ephemeral: bool,
    /// When it last did something, wall clock, milliseconds.
    pub updated: u64,
    /// Its connection, if it is one.
    pub connection: Option<Connection>,
    /// What it publishes.
    pub published: Vec<(ServiceKey, InstanceKey)>,
    /// What it subscribes to.
    pub subscribed: Vec<Subscriber>,
}

/// A gRPC connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// The id that APIs show.
    pub id: Arc<str>,
    /// Address.
    pub ip: Arc<str>,
    /// Port.
    pub port: u16,
    /// Client version.
    pub version: Arc<str>,
    /// Application.
    pub app: Arc<str>,
    /// Labels.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Since when, wall clock, milliseconds.
    pub since: u64,
}

/// A client of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceClient {
    /// Its id.
    pub client: Arc<str>,
    /// Address and cluster it publishes; for a subscriber its own address and cluster filter.
    pub key: InstanceKey,
    /// `User-Agent` or client version; subscribers only.
    pub agent: Arc<str>,
    /// Application; subscribers only.
    pub app: Arc<str>,
}

/// Counters of pushes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PushState {
    /// Sent, all kinds.
    pub total: u64,
    /// Failed: neither acknowledged nor repeated with success.
    pub failed: u64,
    /// Of an empty list.
    pub empty: u64,
    /// Acknowledged.
    pub acknowledged: u64,
    /// Sum of milliseconds from change to acknowledgement.
    pub cost_sum: u64,
    /// Longest of these.
    pub cost_max: u64,
    /// Services that wait for a push.
    pub pending: u64,
}

/// Totals of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Services with an instance or metadata.
    pub services: u64,
    /// Instances.
    pub instances: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Those of them that are pushed to over UDP.
    pub udp_subscriptions: u64,
    /// gRPC connections with instances.
    pub grpc_publishers: u64,
    /// Clients of all kinds.
    pub clients: u64,
    /// gRPC connections.
    pub connections: u64,
    /// Addresses with ephemeral instances or subscriptions.
    pub ephemeral_addresses: u64,
    /// Addresses with persistent instances.
    pub persistent_addresses: u64,
    /// Configs.
    pub configs: u64,
    /// Namespaces, the default one not counted.
    pub namespaces: u64,
    /// Parked polls.
    pub polls: u64,
    /// Configs that they wait for, each counted for each poll.
    pub poll_keys: u64,
    /// (connection, config) pairs that are listened to.
    pub listens: u64,
    /// Distinct configs that are listened to or polled.
    pub watched: u64,
    /// Fuzzy watches.
    pub fuzzy_watches: u64,
    /// Locks held.
    pub locks: u64,
    /// Timers that are set.
    pub timers: u64,
}
