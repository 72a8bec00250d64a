//! One member without a server, whose log commits at once.

use alloc::{borrow::Cow, collections::BTreeMap, format, string::String, sync::Arc, vec::Vec};

use serde_json::Value;

use crate::{
    api::{
        Answer, Call, Compat, Method, Plan, Routes, RowsQuery, Then,
        grpc::{self, GrpcCall},
        tests::{View, facts},
    },
    log::{Row, RowWrite, Table},
    node::{
        Node, NodeSettings,
        input::{ConnDetails, ConnId, Input, Now, Origin},
        output::Output,
        reply::Answered,
    },
};

/// A member with all that its host would have.
pub(in crate::api) struct Member {
    routes: Routes,
    compat: Compat,
    node: Node,
    view: View,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    /// Contents by the index of their entry.
    pub(in crate::api) contents: BTreeMap<u64, Arc<[u8]>>,
    now: Now,
    index: u64,
    last_id: u64,
    /// Contents that came with requests and are not committed yet.
    waiting: BTreeMap<u64, Vec<u8>>,
    replies: BTreeMap<u64, Answered>,
    /// The gRPC connection that asks; none for HTTP.
    conn: Option<ConnId>,
}

/// A request that is not answered yet.
pub(in crate::api) struct Parked<A = Answer> {
    id: u64,
    then: Then<Answered, A>,
}

/// How far a request has come.
pub(in crate::api) enum Sent<A = Answer> {
    /// It is answered.
    Answered(A),
    /// It waits.
    Parked(Parked<A>),
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
            conn: None,
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
    pub(in crate::api) fn run<A>(&mut self, plan: Plan<A>) -> Sent<A> {
        let mut next = Ok(plan);
        loop {
            match next {
                Ok(plan) => next = self.step(plan),
                Err(sent) => return sent,
            }
        }
    }

    /// One step of a plan; `Err` is the last.
    pub(in crate::api) fn step<A>(&mut self, plan: Plan<A>) -> Result<Plan<A>, Sent<A>> {
        Ok(match plan {
            Plan::Answer(answer) => return Err(Sent::Answered(answer)),
            Plan::Submit { op, content, then } => {
                self.last_id += 1;
                let id = self.last_id;
                if let Some(content) = content {
                    self.waiting.insert(id, content);
                }
                let origin = Origin {
                    ip: "127.0.0.1".into(),
                    conn: self.conn,
                    ..Origin::default()
                };
                self.input(Input::Request { id, origin, op });
                match self.replies.remove(&id) {
                    Some(answered) => then(answered, &self.view),
                    None => return Err(Sent::Parked(Parked { id, then })),
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
            // It has no clients on gRPC that could be asked.
            Plan::Clients { then, .. } => then(Vec::new(), &self.view),
            Plan::Long(look) => look(&self.view),
        })
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
            self.input(Input::Connected {
                conn,
                details: details.clone(),
            });
        }
        let plan = grpc::plan(&GrpcCall {
            kind,
            body: format!("{body}").as_bytes(),
            header: &|_| None,
            details: &details,
            view: &self.view,
            now: self.now,
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
            self.input(Input::Disconnected { conn });
        }
    }

    /// What readers see.
    pub(in crate::api) fn view(&self) -> &View {
        &self.view
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
