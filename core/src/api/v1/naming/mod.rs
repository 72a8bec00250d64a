//! Routes of `/v1/ns`.

pub mod catalog;
pub mod health;
pub mod instance;
pub mod operator;
pub mod prometheus;
pub mod service;
