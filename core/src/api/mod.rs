//! What each request of each generation of the API means: routes as data, requests ⇄ operations ⇄ answers.
//!
//! The wire edges parse bytes into a [`Call`] (HTTP) and write an [`Answer`]; what stands between is a [`Plan`]: the
//! steps that only a host can make, each with what to do with its result. No rule of the domain lives here either:
//! those are in the modules that own the state.

mod answer;
pub mod beat;
mod call;
mod carry;
pub mod check;
mod clients;
pub mod console;
mod fault;
pub mod grpc;
pub mod hosts;
mod logs;
mod metadata;
pub mod own;
mod plan;
#[cfg(test)]
mod replay;
mod route;
mod routes;
pub mod service_json;
#[cfg(test)]
pub(crate) mod tests;
mod traffic;
pub mod udp;
pub mod v1;
pub mod v2;
pub mod v3;
mod wrapped;

pub use answer::{Answer, Body, iso_millis, json_string, push_json_string};
pub use call::{Args, Call, FormPart, ServerFacts};
pub use clients::ClientRequest;
pub use fault::{Area, Fault, Telling, code_text, container, refused};
pub use metadata::{parse_instances, parse_metadata};
pub use plan::{Contents, Examined, Look, Plan, RowsQuery, Then};
pub use route::{Check, Class, Compat, Generation, Kind, Method, Param, Right, Route};
pub use routes::{Routes, grouped_service};
