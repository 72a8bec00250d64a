//! A client without the feature `plugins`: the rule that a policy falls back to answers for its plugin.

use std::{convert::Infallible, path::Path, sync::Arc, time::Duration};

use nacrite_core::balance::{Balancer, Context, NoPick, Outcome, Pick};

use crate::{
    balance::{PluginStatus, Wanted},
    http::Http,
    servers::ServerList,
};

/// Where plugins would come from.
#[derive(Debug)]
pub(crate) struct Plugins;

/// There is none.
#[derive(Debug)]
pub(crate) struct Front(Infallible);

impl Plugins {
    pub(crate) fn new(_: Http, _: Arc<ServerList>, _: Option<&Path>) -> Self {
        Self
    }

    #[expect(clippy::unused_async, reason = "as it is with the feature")]
    pub(crate) async fn load(self: &Arc<Self>, _: &Wanted) -> Result<Front, String> {
        Err("this client was built without the feature `plugins`".to_owned())
    }
}

impl Front {
    pub(crate) fn choose(&self, _: &Balancer, _: u64, _: &Context<'_>) -> Result<Pick, NoPick> {
        match self.0 {}
    }

    pub(crate) fn start(&self, _: Pick, _: u64) {
        match self.0 {}
    }

    pub(crate) fn report(&self, _: Pick, _: Outcome, _: Duration, _: u64) {
        match self.0 {}
    }

    pub(crate) fn status(&self) -> PluginStatus {
        match self.0 {}
    }

    pub(crate) fn resume(&self) {
        match self.0 {}
    }
}
