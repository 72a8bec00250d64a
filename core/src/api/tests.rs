//! A view without locks and requests without sockets, for the tests of the API.

use alloc::{
    borrow::Cow,
    string::{String, ToString as _},
    vec::Vec,
};

use super::{Answer, Call, Compat, Method, Plan, Routes, ServerFacts};
use crate::{
    model::{ServiceKey, ServiceMetadata},
    naming::Switches,
    node::input::Now,
    view::{Delta, InstanceChange, ServiceState},
};

pub(crate) use crate::sim::SoloView as View;

impl View {
    /// After one more change.
    pub(crate) fn with(mut self, delta: Delta) -> Self {
        self.apply(delta);
        self
    }

    /// With a service, ephemeral unless its metadata says otherwise.
    pub(crate) fn with_service(
        self,
        key: &ServiceKey,
        metadata: Option<ServiceMetadata>,
        instances: Vec<InstanceChange>,
    ) -> Self {
        let ephemeral = metadata.as_ref().is_none_or(|m| m.ephemeral);
        let state = Some(ServiceState {
            ephemeral,
            metadata: metadata.map(Into::into),
            revision: 1,
        });
        self.with(Delta::Service {
            key: key.clone(),
            state,
            instances,
        })
    }

    /// With these switches.
    pub(crate) fn with_switches(self, switches: Switches) -> Self {
        self.with(Delta::Switches(switches.into()))
    }
}

/// What the tests' server says of itself.
pub(crate) fn facts(compat: Compat) -> ServerFacts {
    ServerFacts {
        compat,
        version: "0.1.0".into(),
        ip: "127.0.0.1".into(),
        port: 8848,
        standalone: true,
        max_content: 10_485_760,
        max_plugin: 1 << 20,
        capacity_check: false,
        quotas: [100_000, 200, 200],
        max_size: 102_400,
        retention_days: 30,
        max_poll_keys: 10_000,
        load: 0.0,
        cpu: 0.0,
        mem: 0.0,
    }
}

/// The first step of what a request leads to. The path may have a query, not encoded.
pub(crate) fn plan(
    routes: &Routes,
    view: &View,
    compat: Compat,
    method: Method,
    uri: &str,
) -> Plan {
    plan_with(routes, view, compat, method, uri, "")
}

/// As [`plan`], of a request with a body of JSON; empty for none.
pub(crate) fn plan_with(
    routes: &Routes,
    view: &View,
    compat: Compat,
    method: Method,
    uri: &str,
    json: &str,
) -> Plan {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let pairs = query.split('&').filter(|p| !p.is_empty());
    let params: Vec<(Cow<'_, str>, Cow<'_, str>)> = pairs
        .map(|p| p.split_once('=').unwrap_or((p, "")))
        .map(|(k, v)| (Cow::Borrowed(k), Cow::Borrowed(v)))
        .collect();
    let full_path = alloc::format!("/nacos{path}");
    let facts = facts(compat);
    let call = Call {
        method,
        path,
        full_path: &full_path,
        query: query.as_bytes(),
        params: &params,
        header: &|name| (name == "content-type" && !json.is_empty()).then_some("application/json"),
        body: json.as_bytes(),
        parts: &[],
        form_too_large: false,
        ip: "127.0.0.1",
        operator: false,
        view,
        now: Now {
            mono: 0,
            wall: 1_795_223_545_817,
        },
        server: &facts,
    };
    routes.plan(&call)
}

/// Status, content type and body of a request that is answered at once.
pub(crate) fn ask(
    routes: &Routes,
    view: &View,
    compat: Compat,
    method: Method,
    uri: &str,
) -> (u16, String, String) {
    match plan(routes, view, compat, method, uri) {
        Plan::Answer(answer) => told(&answer),
        _ => panic!("{uri} is not answered at once"),
    }
}

/// Status, content type and body of an answer.
pub(crate) fn told(answer: &Answer) -> (u16, String, String) {
    let body = String::from_utf8(answer.bytes().expect("bytes").into()).expect("text");
    (
        answer.status,
        answer.content_type.unwrap_or_default().to_string(),
        body,
    )
}
