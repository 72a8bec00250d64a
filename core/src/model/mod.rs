//! The words of the domain: types built by a parse that can fail, so that nothing past the boundary checks again.
//!
//! Lengths and characters that a generation of the API refuses are data in [`crate::api`]; what stands here are
//! the rules without which a value has no meaning.

mod config;
mod digest;
mod instance;
mod names;
mod service;
mod texts;

pub use config::{ConfigItem, ConfigType, ConfigVersion, ContentRef, GrayItem, GrayRule, Md5};
pub use digest::Sha256;
pub use instance::{BeatTimes, Instance, InstanceKey, KeyHead, Metadata, OperatorMetadata, Weight};
pub use names::{
    ConfigKey, DEFAULT_CLUSTER, DEFAULT_GROUP, DEFAULT_NAMESPACE, ServiceKey, split_grouped,
};
pub use service::{ClusterMetadata, HealthChecker, Selector, ServiceMetadata};
pub use texts::shared;
pub(crate) use texts::text;
