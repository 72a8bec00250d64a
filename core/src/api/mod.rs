//! What each request of each generation of the API means: routes as data, requests ⇄ operations ⇄ answers.
//!
//! The wire edges parse bytes into a [`Call`] (HTTP) and write an [`Answer`]; what stands between is a [`Plan`]: the
//! steps that only a host can make, each with what to do with its result. No rule of the domain lives here either:
//! those are in the modules that own the state.

mod answer;
mod call;
pub mod console;
mod fault;
pub mod grpc;
pub mod hosts;
mod plan;
mod route;
pub mod v1;
pub mod v2;
pub mod v3;

pub use answer::{Answer, Body, json_string};
pub use call::{Args, Call, FormPart, ServerFacts};
pub use fault::{Area, Fault, code_text};
pub use plan::{Contents, Plan, RowsQuery, Then};
pub use route::{Check, Class, Compat, Generation, Kind, Method, Param, Right, Route, Routes};
