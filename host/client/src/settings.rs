//! What a client is told before it starts. Every default is the Java client's.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{Credentials, Error, ServerAddress};

/// How to find the servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Servers {
    /// These: separated by commas or semicolons, each `[http://]host[:port]`; port 8848 if none is given.
    Fixed(String),
    /// Ask an address server, at once and every 30 s.
    Endpoint {
        /// `host[:port]` of the address server; port 8080 if none is given.
        address: String,
        /// Path of the list.
        path: String,
    },
}

/// Which protocol to speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC, as clients since 2.0 do.
    #[default]
    Grpc,
    /// HTTP with long polls and UDP pushes, for servers of the 1.x line.
    Http,
}

/// Settings of a client.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the servers are.
    pub servers: Servers,
    /// Which protocol they are spoken to in.
    pub protocol: Protocol,
    /// Namespace; empty for the default one.
    pub namespace: String,
    /// Application name.
    pub app: String,
    /// This client's address as it tells servers; found by the route to the first server if none is given.
    pub ip: Option<String>,
    /// Who this client is, for servers that ask.
    pub credentials: Option<Credentials>,
    /// Between two looks at whether the token must be made new.
    pub login_check: Duration,
    /// Least time between two logins after a refusal.
    pub login_pause: Duration,
    /// Further labels of connections.
    pub labels: BTreeMap<String, String>,
    /// What is added to a server's port for gRPC.
    pub grpc_offset: u16,
    /// For a whole request, retries included.
    pub request_timeout: Duration,
    /// Between two questions to the address server.
    pub endpoint_refresh: Duration,
    /// Between two repeats of what the server does not know yet.
    pub redo_delay: Duration,
    /// Silence after which a connection is checked.
    pub idle_check: Duration,
    /// Configs of one connection, and of one listen.
    pub batch: usize,
    /// Between two looks at what is to be listened to.
    pub listen_interval: Duration,
    /// Between two listens of everything.
    pub listen_all_interval: Duration,
    /// How long a long poll is held by the server.
    pub poll_timeout: Duration,
    /// Wait after a failed long poll.
    pub retry_penalty: Duration,
    /// Between two heart beats over HTTP.
    pub beat_interval: Duration,
    /// Folder for copies of what servers said; none keeps nothing.
    pub cache: Option<PathBuf>,
    /// Whether the copies of services are read at start.
    pub load_cache_at_start: bool,
    /// Ignore lists without any instance that can be called.
    pub empty_protection: bool,
    /// Between two looks at the failover switch.
    pub failover_check: Duration,
    /// Whether services come with the load-balancing policies that the server keeps for them.
    pub policies: bool,
    /// Lines of the `ribbon.*` configuration, which go before the server's policies.
    pub properties: BTreeMap<String, String>,
}

impl Settings {
    /// Settings for these servers.
    #[must_use]
    pub fn new(servers: impl Into<String>) -> Self {
        Self {
            servers: Servers::Fixed(servers.into()),
            protocol: Protocol::Grpc,
            namespace: String::new(),
            app: "unknown".into(),
            ip: None,
            credentials: None,
            login_check: Duration::from_secs(5),
            login_pause: Duration::from_secs(60),
            labels: BTreeMap::new(),
            grpc_offset: 1_000,
            request_timeout: Duration::from_secs(3),
            endpoint_refresh: Duration::from_secs(30),
            redo_delay: Duration::from_secs(3),
            idle_check: Duration::from_secs(5),
            batch: 3_000,
            listen_interval: Duration::from_secs(5),
            listen_all_interval: Duration::from_secs(180),
            poll_timeout: Duration::from_secs(30),
            retry_penalty: Duration::from_secs(2),
            beat_interval: Duration::from_secs(5),
            cache: None,
            load_cache_at_start: false,
            empty_protection: false,
            failover_check: Duration::from_secs(5),
            policies: true,
            properties: BTreeMap::new(),
        }
    }

    /// Settings for an address server (`host[:port]`), with the usual path.
    #[must_use]
    pub fn with_endpoint(address: impl Into<String>) -> Self {
        Self {
            servers: Servers::Endpoint {
                address: address.into(),
                path: "/nacos/serverlist".into(),
            },
            ..Self::new("")
        }
    }

    /// The namespace as naming spells it.
    #[must_use]
    pub fn naming_namespace(&self) -> &str {
        if self.namespace.trim().is_empty() {
            nacrite_core::model::DEFAULT_NAMESPACE
        } else {
            &self.namespace
        }
    }

    /// The namespace as config spells it: nothing for the default one.
    #[must_use]
    pub fn tenant(&self) -> &str {
        if self.namespace == nacrite_core::model::DEFAULT_NAMESPACE {
            ""
        } else {
            &self.namespace
        }
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |name, why: &str| {
            Err(Error::Setting {
                name,
                why: why.into(),
            })
        };
        if !(1..=3_000).contains(&self.batch) {
            return wrong("batch", "must be between 1 and 3000");
        }
        if self.poll_timeout < Duration::from_secs(10) {
            return wrong("poll_timeout", "must be at least 10 s");
        }
        if self.login_check.is_zero() {
            return wrong("login_check", "must not be 0");
        }
        if self.request_timeout.is_zero() {
            return wrong("request_timeout", "must not be 0");
        }
        if let Servers::Fixed(list) = &self.servers
            && ServerAddress::parse_list(list).is_empty()
        {
            return wrong("servers", "names no server");
        }
        Ok(())
    }
}
