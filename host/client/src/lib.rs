//! Nacrite's client host: discovery, config and load-balanced calls, for Nacrite and for every server that speaks Nacos.
//!
//! ```no_run
//! # async fn example() -> Result<(), nacrite_client::Error> {
//! use nacrite_client::{Client, Instance, Settings};
//!
//! let client = Client::start(Settings::new("127.0.0.1:8848")).await?;
//! client.naming().register("DEFAULT_GROUP", "orders", Instance::new("10.0.0.1", 8080)).await?;
//! let mut config = client.config().listen("DEFAULT_GROUP", "orders.yaml").await;
//! while let Some(now) = config.changed().await {
//!     println!("{:?}", now.content);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What it does when is the Java client's: `Settings` has its numbers. Rules of load balancing are the core's; here they are
//! fed with what servers push and with how calls end.

mod balance;
#[cfg(feature = "reqwest")]
mod by_reqwest;
mod config;
mod error;
mod files;
mod fuzzy;
mod http;
mod info;
pub mod layer;
mod login;
mod naming;
#[cfg_attr(not(feature = "plugins"), path = "plugins/absent.rs")]
mod plugins;
mod random;
mod rpc;
mod servers;
mod settings;
mod tasks;
mod v1;

use std::sync::Arc;

#[cfg(feature = "reqwest")]
pub use crate::by_reqwest::HttpClient;
pub use crate::{
    balance::{Balancing, Choice, Hints, PluginStatus},
    config::{Config, ConfigContent, ConfigListener},
    error::Error,
    fuzzy::{FuzzyWatch, Matches},
    info::{Instance, ServiceInfo, ServiceState, SharedState},
    layer::{LoadBalance, LoadBalanceLayer, Retries},
    login::Credentials,
    naming::{Naming, Subscription},
    servers::ServerAddress,
    settings::{Protocol, Servers, Settings},
};
use crate::{http::Http, login::Login, plugins::Plugins, servers::ServerList, tasks::Task};

/// A client: discovery and configs of one namespace. Clones share everything; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Client {
    naming: Naming,
    config: Config,
    balancing: Balancing,
    _login: Option<Arc<Task>>,
}

impl Client {
    /// Starts a client. It connects in the background if no server can be reached at once.
    ///
    /// # Errors
    /// A setting cannot be used, or there is no list of servers.
    pub async fn start(settings: Settings) -> Result<Self, Error> {
        settings.check()?;
        let settings = Arc::new(settings);
        let http = Http::new();
        let servers = ServerList::start(&settings, &http).await?;
        let login = Login::start(&settings, &servers, &http).await.map(Arc::new);
        let plugins = Plugins::new(http, servers.clone(), settings.cache.as_deref());
        let (naming, config) = tokio::join!(
            Naming::start(settings.clone(), servers.clone()),
            Config::start(settings.clone(), servers),
        );
        let naming = naming?;
        Ok(Self {
            balancing: Balancing::new(naming.clone(), settings, plugins),
            naming,
            config: config?,
            _login: login,
        })
    }

    /// Discovery.
    #[must_use]
    pub fn naming(&self) -> &Naming {
        &self.naming
    }

    /// Choices among instances.
    #[must_use]
    pub fn balancing(&self) -> &Balancing {
        &self.balancing
    }

    /// Configs.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }
}
