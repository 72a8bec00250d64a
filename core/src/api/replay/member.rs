//! One member without a server, whose log commits at once.

use alloc::{borrow::Cow, collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};

use serde_json::Value;

use crate::{
    api::{
        Answer, Call, Compat, Method, Plan, Routes, RowsQuery, Then,
        tests::{View, facts},
    },
    log::{Row, RowWrite, Table},
    node::{
        Node, NodeSettings,
        input::{Input, Now, Origin},
        output::Output,
        reply::Answered,
    },
};

/// A member with all that its host would have.
pub(super) struct Member {
    routes: Routes,
    compat: Compat,
    node: Node,
    view: View,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// Contents by the index of their entry.
    pub(super) contents: BTreeMap<u64, Arc<[u8]>>,
    now: Now,
    index: u64,
    last_id: u64,
    /// Contents that came with requests and are not committed yet.
    waiting: BTreeMap<u64, Vec<u8>>,
    replies: BTreeMap<u64, Answered>,
}

/// A request that is not answered yet.
pub(super) struct Parked {
    id: u64,
    then: Then<Answered, Answer>,
}

/// How far a request has come.
pub(super) enum Sent {
    /// It is answered.
    Answered(Answer),
    /// It waits.
    Parked(Parked),
}

impl Member {
    /// One that knows nothing yet.
    pub(super) fn new(compat: Compat) -> Self {
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
    pub(super) fn run(&mut self, mut plan: Plan) -> Sent {
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
                // It has no clients on gRPC.
                Plan::Clients { then, .. } => then(Vec::new(), &self.view),
                Plan::Long(look) => look(&self.view),
            };
        }
    }

    /// Lets time pass for the node.
    pub(super) fn pass(&mut self, ms: u64) {
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
    pub(super) fn finish(&mut self, parked: Parked, wait: bool) -> Sent {
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

    /// What a recorded request leads to; `captured` are values of earlier answers.
    pub(super) fn plan(&self, request: &Value, captured: &BTreeMap<String, String>) -> Plan {
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
