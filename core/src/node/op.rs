//! What a request asks a node for. Plain reads never come here: they are answered from [`crate::view`].

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};

use super::output::NameForm;
use crate::model::{
    ClusterMetadata, ConfigKey, ConfigType, ContentRef, Instance, InstanceKey, Md5, Metadata,
    ServiceKey, ServiceMetadata, Weight, text,
};
use crate::plugins::PluginModule;
use crate::policies::{PolicyPlugin, PolicyScope};

/// A write, a subscription, a poll or a question. The enum only grows at its end; a test pins the discriminants.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    // --- naming: instances ---
    /// Register one instance. HTTP: its client is `ip:port`; gRPC: the connection. `instance.ephemeral` says which kind.
    Register {
        /// Of which service.
        service: ServiceKey,
        /// The instance.
        instance: Instance,
    },
    /// Replace all that this connection publishes of a service (gRPC).
    BatchRegister {
        /// Of which service.
        service: ServiceKey,
        /// Its instances; may be none.
        instances: Vec<Instance>,
    },
    /// Remove. gRPC, ephemeral: whatever the connection publishes of the service; else by key.
    Deregister {
        /// Of which service.
        service: ServiceKey,
        /// Which instance.
        key: InstanceKey,
        /// Of which kind.
        ephemeral: bool,
    },
    /// Replace what operators say of an instance; the service must exist.
    UpdateInstance {
        /// Of which service.
        service: ServiceKey,
        /// Which instance.
        key: InstanceKey,
        /// Its weight.
        weight: Weight,
        /// Whether it is shown.
        enabled: bool,
        /// Metadata in the place of what it published.
        metadata: Metadata,
        /// Kind that the caller believes in.
        ephemeral: bool,
    },
    /// Change what is given of an instance; it must exist.
    PatchInstance {
        /// Of which service.
        service: ServiceKey,
        /// Which instance.
        key: InstanceKey,
        /// New weight.
        weight: Option<Weight>,
        /// New flag.
        enabled: Option<bool>,
        /// New metadata, laid over.
        metadata: Option<Metadata>,
    },
    /// Set (or remove) metadata keys of some or all instances.
    MetadataBatch {
        /// Of which service.
        service: ServiceKey,
        /// Of persistent instances (or of ephemeral ones).
        persistent: bool,
        /// Remove the keys.
        remove: bool,
        /// The pairs; for a removal only their keys count.
        metadata: Metadata,
        /// Which instances; none means all.
        instances: Option<Vec<InstanceKey>>,
    },
    /// A heartbeat over HTTP.
    Beat {
        /// Of which service.
        service: ServiceKey,
        /// Of which instance.
        key: InstanceKey,
        /// The full beat, from which an unknown instance is registered; none for a light beat.
        full: Option<Box<Instance>>,
    },
    /// Set the health of a persistent instance whose cluster is checked by nobody.
    SetHealth {
        /// Of which service.
        service: ServiceKey,
        /// Which instance.
        key: InstanceKey,
        /// Healthy or not.
        healthy: bool,
    },
    // --- naming: services ---
    /// Create a service with metadata.
    CreateService {
        /// Which.
        service: ServiceKey,
        /// Its metadata; `clusters` is not looked at.
        metadata: ServiceMetadata,
    },
    /// Replace a service's threshold, selector and pairs.
    UpdateService {
        /// Which.
        service: ServiceKey,
        /// Its metadata; `clusters` and `ephemeral` are kept as they are.
        metadata: ServiceMetadata,
    },
    /// Remove a service without instances.
    DeleteService {
        /// Which.
        service: ServiceKey,
    },
    /// Describe a cluster of a service.
    UpdateCluster {
        /// Of which service.
        service: ServiceKey,
        /// Which cluster.
        cluster: Arc<str>,
        /// Its metadata.
        metadata: ClusterMetadata,
    },
    /// Set a switch.
    SetSwitch {
        /// Name of the entry.
        entry: Arc<str>,
        /// Its value, as text.
        value: Arc<str>,
    },
    // --- naming: subscribers ---
    /// Subscribe a UDP port, or refresh the subscription; the answer says whether pushes will come.
    SubscribeUdp {
        /// To which service.
        service: ServiceKey,
        /// Cluster filter as written.
        clusters: Arc<str>,
        /// Address of the subscriber.
        ip: Arc<str>,
        /// Port of the subscriber; not 0.
        port: u16,
        /// Its `User-Agent`.
        agent: Arc<str>,
        /// Its application.
        app: Arc<str>,
        /// How it is told names.
        names: NameForm,
    },
    /// Subscribe this connection.
    Subscribe {
        /// To which service.
        service: ServiceKey,
        /// Cluster filter as written.
        clusters: Arc<str>,
        /// Application from the request, if the connection named none.
        app: Arc<str>,
    },
    /// End this connection's subscription.
    Unsubscribe {
        /// To which service.
        service: ServiceKey,
    },
    // --- config ---
    /// Publish a config or a gray version of it. The content's bytes stay with the host; `content.index` is 0 here.
    Publish(Box<Publish>),
    /// Remove a config or one gray version.
    RemoveConfig {
        /// Which.
        key: ConfigKey,
        /// Only this gray version (`beta`, `tag_<tag>`).
        gray: Option<Arc<str>>,
    },
    /// Wait until one of the configs differs from what the caller has.
    Poll {
        /// What the caller has; none for "nothing". At most 10 000.
        keys: Vec<(ConfigKey, Option<Md5>)>,
        /// How long to wait, milliseconds; 0 asks only.
        wait_ms: u64,
        /// `Vipserver-Tag` of the caller, or empty.
        tag: Arc<str>,
    },
    /// Listen (or stop listening) on this connection.
    Listen {
        /// Start or stop.
        listen: bool,
        /// What the caller has; and whether it spelt the default namespace as nothing.
        keys: Vec<(ConfigKey, Option<Md5>, bool)>,
        /// `Vipserver-Tag` of the request, or empty.
        tag: Arc<str>,
    },
    /// Set quotas of a namespace or group.
    SetCapacity {
        /// Whose.
        of: CapacityOf,
        /// What is given.
        change: CapacityChange,
    },
    // --- namespaces ---
    /// Create a namespace.
    CreateNamespace {
        /// Its id; empty asks for a random one.
        id: Arc<str>,
        /// Name that people see.
        name: Arc<str>,
        /// Description.
        desc: Arc<str>,
    },
    /// Change a namespace's name and description; an unknown one is no error.
    UpdateNamespace {
        /// Its id.
        id: Arc<str>,
        /// Name that people see.
        name: Arc<str>,
        /// Description.
        desc: Arc<str>,
    },
    /// Delete a namespace, not what is in it; an unknown one is no error.
    DeleteNamespace {
        /// Its id.
        id: Arc<str>,
    },
    // --- locks ---
    /// Take or give back a distributed lock.
    Lock {
        /// Which.
        key: Arc<str>,
        /// Of which type (`NACOS_LOCK`).
        kind: Arc<str>,
        /// Take it (or give it back).
        acquire: bool,
        /// Milliseconds until it frees itself; negative means the default of 30 s, at most 30 min.
        expires_ms: i64,
    },
    // --- fuzzy watches ---
    /// Watch (or stop watching) by pattern on this connection.
    FuzzyWatch {
        /// Configs (or services).
        config: bool,
        /// `namespace>>group>>resource`, each with `*` at its ends.
        pattern: Arc<str>,
        /// Start (or stop).
        watch: bool,
        /// Keys that the client already knows.
        known: Vec<Arc<str>>,
        /// Whether the client is still at its first synchronisation.
        initializing: bool,
    },
    // --- questions about what only the node knows ---
    /// Answered from the node's own state.
    Ask(Question),
    // --- load-balancing policies ---
    /// Set a policy; its document is checked already.
    PutPolicy {
        /// For what.
        scope: PolicyScope,
        /// The document, JSON.
        document: Arc<str>,
        /// The plugin that its rule is.
        plugin: Option<PolicyPlugin>,
        /// Only if this is the revision in force (0: none is).
        expected: Option<u64>,
    },
    /// Remove a policy; one that is not there is no error.
    RemovePolicy {
        /// For what.
        scope: PolicyScope,
        /// Only if this is the revision in force.
        expected: Option<u64>,
    },
    // --- config, conditional ---
    /// Remove a config's formal version, but only as long as it is of this revision.
    RemoveRevision {
        /// Which.
        key: ConfigKey,
        /// Log index of its content.
        revision: u64,
    },
    // --- load-balancing plugins ---
    /// Publish a plugin's module, which was accepted; its bytes go with the operation.
    PutPlugin {
        /// Its name.
        name: Arc<str>,
        /// Digest, MD5 and length of the bytes.
        module: PluginModule,
    },
    /// Remove a plugin; one that is not there is no error.
    RemovePlugin {
        /// Its name.
        name: Arc<str>,
    },
}

/// A config to publish.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    /// Which config.
    pub key: ConfigKey,
    /// MD5 and length of the content; `index` is 0 until it is committed.
    pub content: ContentRef,
    /// What the content is.
    pub kind: ConfigType,
    /// Application.
    #[serde(deserialize_with = "text")]
    pub app: Arc<str>,
    /// Description.
    #[serde(deserialize_with = "text")]
    pub desc: Arc<str>,
    /// `use` of the API.
    #[serde(deserialize_with = "text")]
    pub usage: Arc<str>,
    /// `effect` of the API.
    #[serde(deserialize_with = "text")]
    pub effect: Arc<str>,
    /// `schema` of the API.
    #[serde(deserialize_with = "text")]
    pub schema: Arc<str>,
    /// Comma-separated tags.
    #[serde(deserialize_with = "text")]
    pub tags: Arc<str>,
    /// Key with which the client encrypted the content.
    #[serde(deserialize_with = "text")]
    pub encrypted_data_key: Arc<str>,
    /// A gray version instead of the formal one.
    pub gray: Option<crate::model::GrayRule>,
    /// Only if the stored MD5 is this (`casMd5`, as text); a config that does not exist is inserted all the same.
    pub cas: Option<Arc<str>>,
    /// Only if the config does not exist (imports with policies other than overwrite).
    pub create_only: bool,
    /// `src_user` of the request, else the authenticated user.
    #[serde(deserialize_with = "text")]
    pub user: Arc<str>,
    /// Address of the caller.
    #[serde(deserialize_with = "text")]
    pub ip: Arc<str>,
}

/// Whose capacity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CapacityOf {
    /// Of a namespace.
    Namespace(Arc<str>),
    /// Of a group.
    Group(Arc<str>),
}

/// Quotas to set; what is not given stays, 0 means the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityChange {
    /// Configs.
    pub quota: Option<u32>,
    /// Bytes of one config.
    pub max_size: Option<u32>,
    /// Kept and shown only.
    pub max_aggr_count: Option<u32>,
    /// Kept and shown only.
    pub max_aggr_size: Option<u32>,
}

/// A question about connections, subscribers, listeners or clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Question {
    /// Subscribers of services whose names hold these texts (empty: all).
    Subscribers {
        /// Namespace.
        namespace: Arc<str>,
        /// Text in the group.
        group: String,
        /// Text in the name.
        name: String,
        /// Whether both must be equal instead.
        exact: bool,
    },
    /// Who listens to a config, over HTTP polls and gRPC.
    ListenersOf {
        /// Which config.
        key: ConfigKey,
    },
    /// What an address listens to.
    ListenedBy {
        /// Address.
        ip: Arc<str>,
        /// Only in this namespace; none for all.
        namespace: Option<Arc<str>>,
    },
    /// Ids of all clients.
    Clients,
    /// One client with what it publishes and subscribes.
    Client {
        /// Its id: a connection's, or `ip:port#true|false`.
        id: Arc<str>,
    },
    /// Clients that publish a service.
    PublishersOf {
        /// Which service.
        service: ServiceKey,
    },
    /// Clients that subscribe to a service.
    SubscribersOf {
        /// Which service.
        service: ServiceKey,
    },
    /// Counters of pushes since the start or the last reset.
    PushState {
        /// Reset them after answering.
        reset: bool,
    },
    /// Totals of the node.
    Totals,
    /// All gRPC connections.
    Connections,
    /// A random UUID.
    Uuid,
}
