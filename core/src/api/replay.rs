//! For tests: one member without a server, whose log commits at once, to which recorded requests are sent in their
//! order; and the comparison of its answers with those recorded.

use alloc::{
    borrow::{Cow, ToOwned as _},
    collections::BTreeMap,
    format,
    string::String,
    sync::Arc,
    vec::Vec,
};

use serde_json::Value;

use super::{
    Answer, Body, Call, Compat, Method, Plan, Routes, RowsQuery, Then,
    tests::{View, facts},
};
use crate::{
    log::{Row, RowWrite, Table},
    node::{
        Node, NodeSettings,
        input::{Input, Now, Origin},
        output::Output,
        reply::Answered,
    },
};

const V2: &str = include_str!("../../../tests/golden/nacos-2.x.json");
const V3: &str = include_str!("../../../tests/golden/nacos-3.x.json");

/// A member with all that its host would have.
struct Member {
    routes: Routes,
    compat: Compat,
    node: Node,
    view: View,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    contents: BTreeMap<u64, Arc<[u8]>>,
    now: Now,
    index: u64,
    last_id: u64,
    /// Contents that came with requests and are not committed yet.
    waiting: BTreeMap<u64, Vec<u8>>,
    replies: BTreeMap<u64, Answered>,
}

/// A request that is not answered yet.
struct Parked {
    id: u64,
    then: Then<Answered, Answer>,
}

enum Sent {
    Answered(Answer),
    Parked(Parked),
}

impl Member {
    fn new(compat: Compat) -> Self {
        let settings = NodeSettings {
            seed: 7,
            retention_days: 30,
            max_locks: 100,
            max_namespaces: 100,
            ..NodeSettings::default()
        };
        let mut member = Self {
            routes: Routes::all(),
            compat,
            node: Node::new(&settings),
            view: View::default(),
            rows: BTreeMap::new(),
            contents: BTreeMap::new(),
            now: Now {
                mono: 1_000,
                wall: 1_795_223_545_817,
            },
            index: 0,
            last_id: 0,
            waiting: BTreeMap::new(),
            replies: BTreeMap::new(),
        };
        member.input(Input::Role {
            leader: true,
            term: 1,
        });
        member.input(Input::Ready);
        member
    }

    fn input(&mut self, input: Input) {
        let mut inputs = Vec::from([input]);
        while let Some(input) = inputs.pop() {
            self.node.handle(self.now, input);
            let outputs: Vec<Output> = core::iter::from_fn(|| self.node.poll()).collect();
            let mut committed = Vec::new();
            for output in outputs {
                match output {
                    Output::Reply { id, result } => drop(self.replies.insert(id, result)),
                    Output::Propose {
                        proposal,
                        request,
                        command,
                    } => {
                        self.index += 1;
                        if let Some(content) = self.waiting.remove(&request) {
                            self.contents.insert(self.index, content.into());
                        }
                        committed.push(Input::Committed {
                            index: self.index,
                            proposal: Some(proposal),
                            command,
                        });
                    }
                    Output::Store { rows, .. } => rows.into_iter().for_each(|row| self.write(row)),
                    Output::View(delta) => self.view = core::mem::take(&mut self.view).with(delta),
                    _ => {}
                }
            }
            committed.reverse();
            inputs.extend(committed);
        }
    }

    fn write(&mut self, write: RowWrite) {
        match write {
            RowWrite::Put {
                row: Row { table, key, value },
                ..
            } => {
                self.rows.insert((table, key), value);
            }
            RowWrite::Delete { table, key } => drop(self.rows.remove(&(table, key))),
            // No row is old enough within a replay.
            RowWrite::Cut { .. } => {}
        }
    }

    fn read(&self, query: &RowsQuery) -> (usize, Vec<Row>) {
        let mut found: Vec<Row> = self
            .rows
            .iter()
            .filter(|((table, key), _)| *table == query.table && key.starts_with(&query.prefix))
            .map(|((table, key), value)| Row {
                table: *table,
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        if query.reverse {
            found.reverse();
        }
        let total = if query.count { found.len() } else { 0 };
        (
            total,
            found
                .into_iter()
                .skip(query.skip)
                .take(query.limit)
                .collect(),
        )
    }

    /// What a host does with a plan, until it is an answer or waits.
    fn run(&mut self, mut plan: Plan) -> Sent {
        loop {
            plan = match plan {
                Plan::Answer(answer) => return Sent::Answered(answer),
                Plan::Submit { op, content, then } => {
                    self.last_id += 1;
                    let id = self.last_id;
                    if let Some(content) = content {
                        self.waiting.insert(id, content);
                    }
                    let origin = Origin {
                        ip: "127.0.0.1".into(),
                        ..Origin::default()
                    };
                    self.input(Input::Request { id, origin, op });
                    match self.replies.remove(&id) {
                        Some(answered) => then(answered, &self.view),
                        None => return Sent::Parked(Parked { id, then }),
                    }
                }
                Plan::Rows { query, then } => {
                    let found = self.read(&query);
                    then(found, &self.view)
                }
                Plan::Contents { indexes, then } => {
                    let found = indexes
                        .iter()
                        .map(|i| self.contents.get(i).cloned())
                        .collect();
                    then(found, &self.view)
                }
                Plan::Long(look) => look(&self.view),
            };
        }
    }

    /// Lets time pass for the node.
    fn pass(&mut self, ms: u64) {
        let until = self.now.mono + ms;
        while let Some(next) = self.node.deadline().filter(|at| *at <= until) {
            let step = next.saturating_sub(self.now.mono);
            self.now.mono += step;
            self.now.wall += step;
            self.input(Input::Tick);
        }
        self.now.wall += until - self.now.mono;
        self.now.mono = until;
    }

    /// The answer to a parked request, waiting for it if it must be.
    fn finish(&mut self, parked: Parked, wait: bool) -> Sent {
        let Parked { id, then } = parked;
        if wait {
            self.pass(30_000);
        }
        match self.replies.remove(&id) {
            Some(answered) => {
                let plan = then(answered, &self.view);
                self.run(plan)
            }
            None => Sent::Parked(Parked { id, then }),
        }
    }

    fn plan(&self, request: &Value, captured: &BTreeMap<String, String>) -> Plan {
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
            params: &params,
            header: &header,
            body: body.as_bytes(),
            parts: &[],
            form_too_large: too_large,
            ip: "127.0.0.1",
            view: &self.view,
            now: self.now,
            server: &facts,
        };
        self.routes.plan(&call)
    }
}

fn pairs(value: &Value) -> Vec<(String, String)> {
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

/// `a.b[2].c`
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split(['.', '['])
        .fold(value, |value, part| match part.strip_suffix(']') {
            Some(number) => &value[number.parse::<usize>().expect("an index")],
            None => &value[part],
        })
}

/// Replaces what differs from run to run, here and below.
fn mask(value: &mut Value, keys: &[&str]) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                if keys.contains(&&**name) && !field.is_null() {
                    *field = "masked".into();
                } else {
                    mask(field, keys);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| mask(item, keys)),
        _ => {}
    }
}

/// Brings lists whose order means nothing into one, here and below.
fn sort(value: &mut Value, name: &str, unordered: &[&str]) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                sort(field, name, unordered);
            }
        }
        Value::Array(items) => {
            for item in items.iter_mut() {
                sort(item, "", unordered);
            }
            if unordered.contains(&name) {
                items.sort_by_key(|item| format!("{item}"));
            }
        }
        _ => {}
    }
}

/// Replaces the server's own port and how many services it has, here and below.
fn hide_server(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(hide_server),
        Value::Array(items) => items.iter_mut().for_each(hide_server),
        Value::String(text) => {
            if text.starts_with("127.0.0.1:") {
                *text = "<server>".into();
            } else if let Some(at) = text.find("total services: ") {
                text.truncate(at);
            }
        }
        _ => {}
    }
}

fn texts(list: &Value) -> Vec<&str> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

struct Judge<'a> {
    recorded: &'a Value,
}

impl Judge<'_> {
    /// Status, kind, headers and body; none for a body that is not looked at.
    fn normal(&self, request: &Value, status: u64, kind: &str, body: &str) -> (u64, String, Value) {
        let mut body =
            serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
        let mut keys = texts(&self.recorded["masks"]["keys"]);
        keys.extend(texts(&request["mask"]));
        // Paths are of one step, or `*.` before the field.
        let keys: Vec<&str> = keys
            .iter()
            .map(|k| k.rsplit('.').next().unwrap_or(k))
            .collect();
        mask(&mut body, &keys);
        hide_server(&mut body);
        if request["ordered"] != true {
            sort(&mut body, "$", &texts(&self.recorded["masks"]["unordered"]));
        }
        for list in texts(&request["mask_items"]) {
            let items = body.get_mut(list).and_then(Value::as_array_mut);
            if let Some(items) = items.filter(|items| !items.is_empty()) {
                *items = Vec::from(["masked".into()]);
            }
        }
        if request["mask_body"] == true {
            body = Value::Null;
        }
        (
            status,
            kind.split(';').next().unwrap_or_default().to_owned(),
            body,
        )
    }

    /// What differs; empty if nothing.
    fn differences(&self, member: &Member, request: &Value, answer: &Answer) -> String {
        let want = &request["response"];
        let status = want["status"].as_u64().unwrap_or_default();
        // The reference broke off: any refusal will do.
        if status == 0 && answer.status >= 400 {
            return String::new();
        }
        let text = |field: &str| want[field].as_str().unwrap_or_default();
        let bytes = match &answer.body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Content(content) => member.contents[&content.index].to_vec(),
        };
        let body = String::from_utf8_lossy(&bytes);
        let kind = answer.content_type.unwrap_or_default();
        let got = self.normal(request, answer.status.into(), kind, &body);
        let wanted = self.normal(request, status, text("content_type"), text("body"));
        let header =
            |name: &str, value: &str| answer.headers.iter().any(|(k, v)| *k == name && v == value);
        let missing: Vec<_> = pairs(&want["headers"])
            .into_iter()
            .filter(|(k, v)| !header(k, v))
            .collect();
        if got == wanted && missing.is_empty() {
            return String::new();
        }
        format!("got {got:?}\nnot {wanted:?}\nmissing {missing:?}")
    }
}

/// Ids of the requests of these areas (by prefix) that are answered otherwise than recorded, and how; and how many were
/// judged.
pub(super) fn replay(text: &str, compat: Compat, areas: &[&str]) -> (usize, Vec<(String, String)>) {
    let recorded: Value = serde_json::from_str(text).expect("a recording is JSON");
    let mut member = Member::new(compat);
    let mut captured = BTreeMap::new();
    let mut parked: Vec<(&Value, Parked)> = Vec::new();
    let mut differing = Vec::new();
    let mut judged = 0;
    let judge = Judge {
        recorded: &recorded,
    };
    let mut look = |member: &Member, request: &Value, answer: &Answer| {
        let (id, area) = (&request["id"], request["area"].as_str().unwrap_or_default());
        if areas.iter().any(|a| area.starts_with(a)) {
            judged += 1;
            let how = judge.differences(member, request, answer);
            if !how.is_empty() {
                differing.push((id.as_str().unwrap_or_default().into(), how));
            }
        }
    };
    for request in recorded["requests"]
        .as_array()
        .expect("a recording has requests")
    {
        member.pass(300);
        let plan = member.plan(request, &captured);
        let sent = member.run(plan);
        match sent {
            Sent::Answered(answer) => {
                if let Some(Body::Bytes(bytes)) = Some(&answer.body) {
                    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
                    for (name, path) in pairs(&request["capture"]) {
                        let found = at(&body, &path).as_str().unwrap_or_default();
                        captured.insert(name, found.to_owned());
                    }
                }
                look(&member, request, &answer);
            }
            Sent::Parked(poll) if request["async"] == true => parked.push((request, poll)),
            Sent::Parked(poll) => match member.finish(poll, true) {
                Sent::Answered(answer) => look(&member, request, &answer),
                Sent::Parked(_) => panic!("{} is never answered", request["id"]),
            },
        }
        for (request, poll) in core::mem::take(&mut parked) {
            match member.finish(poll, false) {
                Sent::Answered(answer) => look(&member, request, &answer),
                Sent::Parked(poll) => parked.push((request, poll)),
            }
        }
    }
    assert!(
        parked.is_empty(),
        "{} requests were never answered",
        parked.len()
    );
    (judged, differing)
}

/// Areas of 2.x whose routes are all there: not v1.auth.
const AREAS_2: &[&str] = &["v1.console", "v1.cs", "v1.ns", "v1.end", "v2."];
/// Areas of 3.x whose routes are all there.
const AREAS_3: &[&str] = &[
    "v1.console",
    "v1.cs",
    "v1.ns",
    "v1.end",
    "v2.",
    "v3.client",
    "v3.admin.core",
    "v3.admin.namespace",
    "v3.admin.cs",
    "v3.admin.ns",
    "v3.console",
];

/// Where an answer differs on purpose.
const KNOWN_2: &[&str] = &[
    // `public` is the default namespace in every spelling.
    "a.v1.cs.configs.029-get-public-tenant",
    // The reference's statement fails.
    "a.v1.cs.beta.010-delete-tag",
    // The reference makes an ephemeral instance of the persistent one, and refuses its own.
    "a.v2.ns.029-health",
];
const KNOWN_3: &[&str] = &[
    "a.v1.cs.beta.010-delete-tag",
    // Where the newer parser stands in a text is not followed.
    "a.v1.ns.instance.019-beat-bad-json",
    // The reference's export fails without ids.
    "b.v3.admin.cs.047-export-none",
    // As in 2.x.
    "b.v3.admin.ns.028-health",
    // There are no MCP servers and there is no login.
    "b.v3.console.025-mcp-list",
    "b.v3.console.028-login-console-port",
    // The console is on the same port, where other paths are too.
    "b.v3.console.029-main-path-on-console",
];

fn judge(text: &str, compat: Compat, areas: &[&str], known: &[&str]) -> usize {
    let (judged, differing) = replay(text, compat, areas);
    let found: Vec<&str> = differing.iter().map(|(id, _)| &**id).collect();
    let unknown: Vec<_> = differing
        .iter()
        .filter(|(id, _)| !known.contains(&&**id))
        .collect();
    assert!(
        unknown.is_empty(),
        "{}",
        unknown
            .iter()
            .map(|(id, how)| format!("{id}\n{how}\n"))
            .collect::<String>()
    );
    assert_eq!(found, known, "what is known to differ differs");
    judged
}

#[test]
fn answers_are_those_of_2() {
    let judged = judge(V2, Compat::All, AREAS_2, KNOWN_2);
    assert_eq!(judged, judge(V2, Compat::V2, AREAS_2, KNOWN_2));
    assert_eq!(judged, 280);
}

#[test]
fn answers_are_those_of_3() {
    judge(V3, Compat::V3, AREAS_3, KNOWN_3);
}
