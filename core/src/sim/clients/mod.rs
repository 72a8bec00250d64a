//! The clients of a simulated world: each does on its own what clients of its kind do, and keeps what it was told.

pub(super) mod beating;
pub(super) mod connected;
pub(super) mod polling;
pub(super) mod udp;
pub(super) mod writing;

use alloc::{boxed::Box, format, sync::Arc};

use self::{
    beating::Beating, connected::Connected, polling::Polling, udp::UdpSubscriber, writing::Writing,
};
use super::air::{Air, Packet};
use crate::model::{ConfigKey, Instance, InstanceKey, Metadata, ServiceKey, Weight};

/// One client.
pub(super) enum Client {
    Beating(Beating),
    Udp(UdpSubscriber),
    Polling(Polling),
    Connected(Box<Connected>),
    Writing(Writing),
}

/// Whether clients go on, only keep what they have, or leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Busy,
    Calm,
    Leaving,
}

impl Client {
    pub(super) fn wake(&mut self, air: &mut Air, phase: Phase) {
        match self {
            Self::Beating(client) => client.wake(air, phase),
            Self::Udp(client) => client.wake(air, phase),
            Self::Polling(client) => client.wake(air, phase),
            Self::Connected(client) => client.wake(air, phase),
            Self::Writing(client) => client.wake(air, phase),
        }
    }

    pub(super) fn take(&mut self, air: &mut Air, packet: Packet, phase: Phase) {
        match self {
            Self::Beating(client) => client.take(&packet),
            Self::Udp(client) => client.take(air, packet),
            Self::Polling(client) => client.take(air, packet, phase),
            Self::Connected(client) => client.take(air, packet, phase),
            Self::Writing(_) => {}
        }
    }
}

/// What there is to work on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) services: u32,
    pub(super) configs: u32,
}

pub(super) fn service(n: u32) -> ServiceKey {
    ServiceKey::new("", "", &format!("service-{n}"))
}

pub(super) fn config(n: u32) -> ConfigKey {
    ConfigKey::new("", "DEFAULT_GROUP", &format!("config-{n}"))
}

/// An instance whose registrations differ by `version`.
pub(super) fn instance(key: &InstanceKey, version: u32, ephemeral: bool) -> Instance {
    Instance {
        key: key.clone(),
        weight: Weight::default(),
        healthy: true,
        enabled: true,
        ephemeral,
        metadata: Metadata::from_iter([("v", format!("{version}"))]),
        instance_id: Arc::from(""),
    }
}
