//! A node behind the API, as far as a fuzz target needs one: a plan is carried out to its end.

use std::borrow::Cow;

use nacrite_core::{
    api::{Call, Compat, FormPart, Method, Plan, Route, Routes, ServerFacts},
    node::input::{ConnDetails, ConnId, Input, Now},
    sim::alone::{Alone, Sent},
};

use crate::differential::settings;

/// The connection that it has.
pub(super) const CONN: ConnId = ConnId(1);

/// A member with a connection.
pub(super) fn member() -> Alone {
    let now = Now {
        mono: 1_000,
        wall: 1_780_000_000_000,
    };
    let mut member = Alone::new(&settings(2), now, "10.0.0.1");
    member.input(Input::Connected {
        conn: CONN,
        details: details(),
    });
    member
}

/// Carries out a plan; none if it waits for something to happen: then it is given up.
pub(super) fn run<A>(member: &mut Alone, conn: Option<ConnId>, plan: Plan<A>) -> Option<A> {
    match member.run(conn, plan) {
        Sent::Answered(answer) => Some(answer),
        Sent::Parked(parked) => {
            member.give_up(&parked);
            None
        }
    }
}

/// What the connection says of itself.
pub(super) fn details() -> ConnDetails {
    ConnDetails {
        id: "1780000000000_10.0.0.1_4000".into(),
        ip: "10.0.0.1".into(),
        port: 4_000,
        version: "Nacos-Java-Client:v3.1.0".into(),
        app: "-".into(),
        labels: Vec::new(),
    }
}

/// A server of that kind.
pub(super) fn facts(compat: Compat) -> ServerFacts {
    ServerFacts {
        compat,
        version: "0.1.0".into(),
        ip: "127.0.0.1".into(),
        port: 8_848,
        standalone: true,
        max_content: 2_000,
        max_plugin: 1_000,
        capacity_check: true,
        quotas: [11, 5, 5],
        max_size: 2_000,
        retention_days: 1,
        max_poll_keys: 6,
        load: 0.0,
        cpu: 0.0,
        mem: 0.0,
    }
}

/// What a request of HTTP leads to: parameters a line, those with `@` are headers; what is after an empty line is the
/// body.
pub(super) fn plan(
    member: &Alone,
    routes: &Routes,
    route: &Route,
    facts: &ServerFacts,
    input: &[u8],
) -> Plan {
    let text = String::from_utf8_lossy(input);
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let lines = head.lines().filter_map(|line| line.split_once('='));
    let (headers, params): (Vec<_>, Vec<_>) = lines.partition(|(name, _)| name.starts_with('@'));
    let params: Vec<(Cow<'_, str>, Cow<'_, str>)> = params
        .into_iter()
        .map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)))
        .collect();
    let header = |name: &str| {
        let mut named = headers.iter().filter(|(n, _)| n[1..] == *name);
        named.next().map(|(_, value)| *value)
    };
    let parts = [FormPart {
        name: "file".into(),
        file: Some("import.zip".into()),
        bytes: body.as_bytes(),
    }];
    let (path, method) = (route.path, route.methods[0]);
    routes.plan(&Call {
        method,
        path,
        full_path: path,
        query: b"",
        params: &params,
        header: &header,
        body: body.as_bytes(),
        parts: if method == Method::Post { &parts } else { &[] },
        form_too_large: false,
        ip: "10.0.0.1",
        operator: true,
        view: member.view(),
        now: member.now(),
        server: facts,
    })
}
