//! Labels of addresses, from the config `nacrite.cmdb`.

use alloc::{string::String, vec::Vec};

use crate::model::Metadata;

/// Labels by network; the longest prefix that holds an address wins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Labels {
    networks: Vec<(String, Metadata)>,
}

impl Labels {
    /// Whether no network is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }
}
