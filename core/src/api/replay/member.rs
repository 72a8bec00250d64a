//! One member without a server, asked as recorded requests ask.

use alloc::{borrow::Cow, collections::BTreeMap, format, string::String, vec::Vec};

use serde_json::Value;

pub(in crate::api) use crate::sim::alone::{Parked, Sent};
use crate::{
    api::{
        Answer, Call, Compat, Method, Plan, Routes,
        grpc::{self, GrpcCall},
        tests::{View, facts},
    },
    node::{
        NodeSettings,
        input::{ConnDetails, ConnId, Input, Now},
    },
    sim::alone::Alone,
};

/// A member with the routes of a generation.
pub(in crate::api) struct Member {
    routes: Routes,
    compat: Compat,
    alone: Alone,
    /// The gRPC connection that asks; none for HTTP.
    conn: Option<ConnId>,
}

impl Member {
    /// One that knows nothing yet.
    pub(in crate::api) fn new(compat: Compat) -> Self {
        let settings = NodeSettings {
            seed: 7,
            retention_days: 30,
            max_locks: 100,
            max_namespaces: 100,
            ..NodeSettings::default()
        };
        let now = Now {
            mono: 1_000,
            wall: 1_795_223_545_817,
        };
        Self {
            routes: Routes::all(),
            compat,
            alone: Alone::new(&settings, now, "127.0.0.1"),
            conn: None,
        }
    }

    /// The content of a log index that has one.
    pub(in crate::api) fn content(&self, index: u64) -> Vec<u8> {
        let content = self.alone.content(index).expect("it has a content");
        content.to_vec()
    }

    /// What a host does with a plan, until it is an answer or waits.
    pub(in crate::api) fn run<A>(&mut self, plan: Plan<A>) -> Sent<A> {
        self.alone.run(self.conn, plan)
    }

    /// One step of a plan; `Err` is the last.
    pub(in crate::api) fn step<A>(&mut self, plan: Plan<A>) -> Result<Plan<A>, Sent<A>> {
        self.alone.step(self.conn, plan)
    }

    /// The answer to an HTTP request with these parameters: its status and body.
    pub(in crate::api) fn http(&mut self, request: &Value) -> (u16, Value) {
        match self.run(self.plan(request, &BTreeMap::new())) {
            Sent::Answered(answer) => body_of(&answer),
            _ => panic!("{request} is not answered"),
        }
    }

    /// The answer to a gRPC request, on the one connection there is: its kind and body.
    pub(in crate::api) fn grpc(&mut self, kind: &str, body: &Value) -> (&'static str, Value) {
        let conn = ConnId(1);
        let details = ConnDetails {
            id: "1".into(),
            ip: "127.0.0.1".into(),
            ..ConnDetails::default()
        };
        if self.conn.is_none() {
            self.conn = Some(conn);
            self.alone.input(Input::Connected {
                conn,
                details: details.clone(),
            });
        }
        let plan = grpc::plan(&GrpcCall {
            kind,
            body: format!("{body}").as_bytes(),
            header: &|_| None,
            details: &details,
            view: self.alone.view(),
            now: self.alone.now(),
            server: &facts(self.compat),
        });
        let Sent::Answered(answer) = self.run(plan) else {
            panic!("{kind} is not answered")
        };
        let body = serde_json::from_slice(&answer.json).expect("JSON");
        (answer.kind, body)
    }

    /// Ends the one connection there is.
    pub(in crate::api) fn disconnect(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.alone.input(Input::Disconnected { conn });
        }
    }

    /// What readers see.
    pub(in crate::api) fn view(&self) -> &View {
        self.alone.view()
    }

    /// Lets time pass for the node.
    pub(super) fn pass(&mut self, ms: u64) {
        self.alone.pass(ms);
    }

    /// The answer to a parked request, waiting for it if it must be.
    pub(super) fn finish(&mut self, parked: Parked, wait: bool) -> Sent {
        if wait {
            self.alone.pass(30_000);
        }
        self.alone.finish(self.conn, parked)
    }

    /// What a recorded request leads to; `captured` are values of earlier answers.
    pub(in crate::api) fn plan(
        &self,
        request: &Value,
        captured: &BTreeMap<String, String>,
    ) -> Plan {
        let too_large = !request["fill"].is_null();
        let target = request["path"].as_str().expect("a request has a path");
        let (full_path, query) = target.split_once('?').unwrap_or((target, ""));
        let in_target = query.split('&').filter_map(|pair| pair.split_once('='));
        let given: Vec<(String, String)> = in_target
            .map(|(k, v)| (k.into(), v.into()))
            .chain(pairs(&request["query"]))
            .chain(pairs(&request["form"]))
            .map(|(k, v)| {
                let v = captured
                    .iter()
                    .fold(v, |v, (name, is)| v.replace(&format!("${{{name}}}"), is));
                (k, v)
            })
            .collect();
        let params: Vec<(Cow<'_, str>, Cow<'_, str>)> = given
            .iter()
            .map(|(k, v)| (Cow::Borrowed(&**k), Cow::Borrowed(&**v)))
            .collect();
        let headers = pairs(&request["headers"]);
        let form = request["form"].is_object();
        let header = |name: &str| {
            let sent = headers
                .iter()
                .find(|(k, _)| k.eq_ignore_ascii_case(name))
                .map(|(_, v)| &**v);
            sent.or((form && name == "content-type")
                .then_some("application/x-www-form-urlencoded;charset=UTF-8"))
        };
        let body = if request["json"].is_null() {
            String::new()
        } else {
            format!("{}", request["json"])
        };
        let facts = facts(self.compat);
        let call = Call {
            method: method(request["method"].as_str().expect("a request has a method")),
            path: full_path.strip_prefix("/nacos").unwrap_or(full_path),
            full_path,
            query: query.as_bytes(),
            params: &params,
            header: &header,
            body: body.as_bytes(),
            parts: &[],
            form_too_large: too_large,
            ip: "127.0.0.1",
            operator: false,
            view: self.alone.view(),
            now: self.alone.now(),
            server: &facts,
        };
        self.routes.plan(&call)
    }
}

/// Status and body of an answer; a body that is no JSON as text.
pub(in crate::api) fn body_of(answer: &Answer) -> (u16, Value) {
    let bytes = answer.bytes().expect("bytes");
    let text = || String::from_utf8_lossy(bytes).into_owned().into();
    (
        answer.status,
        serde_json::from_slice(bytes).unwrap_or_else(|_| text()),
    )
}

/// The fields of an object as texts.
pub(super) fn pairs(value: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().map_or_else(|| format!("{v}"), Into::into);
    let object = value.as_object().into_iter().flatten();
    object.map(|(k, v)| (k.clone(), text(v))).collect()
}

fn method(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "PATCH" => Method::Patch,
        _ => Method::Delete,
    }
}
