//! A node behind the API, as far as a fuzz target needs one: a plan is carried out to its end.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use nacrite_core::{
    api::{Call, Compat, FormPart, Method, Plan, Route, Routes, RowsQuery, ServerFacts},
    log::{Row, RowWrite, Table},
    node::{
        Node,
        input::{ConnDetails, ConnId, Input, Now, Origin},
        output::Output,
        reply::Answered,
    },
    sim::SoloView,
};

use crate::differential::settings;

/// Steps of one plan, at most.
const STEPS: usize = 10_000;

/// A node whose log commits at once.
pub(super) struct Member {
    node: Node,
    pub(super) view: SoloView,
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    contents: BTreeMap<u64, Arc<[u8]>>,
    waiting: BTreeMap<u64, Vec<u8>>,
    replies: BTreeMap<u64, Answered>,
    pub(super) now: Now,
    index: u64,
    last_id: u64,
}

impl Member {
    /// One with a connection, ready.
    pub(super) fn new() -> Self {
        let mut member = Self {
            node: Node::new(&settings(2)),
            view: SoloView::default(),
            rows: BTreeMap::new(),
            contents: BTreeMap::new(),
            waiting: BTreeMap::new(),
            replies: BTreeMap::new(),
            now: Now {
                mono: 1_000,
                wall: 1_780_000_000_000,
            },
            index: 0,
            last_id: 0,
        };
        let leader = Input::Role {
            leader: true,
            term: 1,
        };
        let conn = ConnId(1);
        let details = details();
        for input in [leader, Input::Ready, Input::Connected { conn, details }] {
            member.input(input);
        }
        member
    }

    /// An input, with everything that follows from it; later than the last.
    pub(super) fn input(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.node.handle(self.now, input);
            while let Some(output) = self.node.poll() {
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
                        inputs.push_back(Input::Committed {
                            index: self.index,
                            proposal: Some(proposal),
                            command,
                        });
                    }
                    Output::Store { rows, .. } => rows.into_iter().for_each(|row| self.write(row)),
                    Output::View(delta) => self.view.apply(delta),
                    _ => {}
                }
            }
        }
    }

    /// A command of somebody else's.
    pub(super) fn commit(&mut self, command: Vec<u8>) {
        self.index += 1;
        self.input(Input::Committed {
            index: self.index,
            proposal: None,
            command,
        });
    }

    /// Lets time pass, with the ticks that are wanted meanwhile.
    pub(super) fn pass(&mut self, ms: u64) {
        let until = self.now.mono + ms;
        for _ in 0..STEPS {
            let Some(at) = self.node.deadline().filter(|at| *at <= until) else {
                break;
            };
            let at = at.max(self.now.mono);
            self.now.wall += at - self.now.mono;
            self.now.mono = at;
            self.input(Input::Tick);
        }
        self.now.mono = until;
    }

    /// What is kept of it: its state as bytes.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        self.node.snapshot()
    }

    /// The rows that it wrote: keys and values.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.rows.iter().map(|((_, key), value)| (key, value))
    }

    /// A new node from the rows that this one wrote.
    pub(super) fn restored(&self) -> Self {
        let mut new = Self::new();
        new.index = self.index;
        new.node = Node::new(&settings(2));
        let rows = self.rows.iter().filter(|((table, _), _)| table.restored());
        let rows = rows
            .map(|((table, key), value)| Row {
                table: *table,
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        new.view = SoloView::default();
        new.input(Input::Restore {
            rows,
            applied: self.index,
        });
        new.input(Input::Ready);
        new
    }

    fn write(&mut self, write: RowWrite) {
        match write {
            RowWrite::Put {
                row: Row { table, key, value },
                ..
            } => drop(self.rows.insert((table, key), value)),
            RowWrite::Delete { table, key } => drop(self.rows.remove(&(table, key))),
            RowWrite::Cut { index, to, rows } => {
                let range = (index, Vec::new())..(index, to);
                let cut: Vec<_> = self.rows.range(range).map(|(key, _)| key.clone()).collect();
                for key in cut {
                    if let Some(of) = self.rows.remove(&key) {
                        self.rows.remove(&(rows, of));
                    }
                }
            }
        }
    }

    fn read(&self, query: &RowsQuery) -> (usize, Vec<Row>) {
        let fits =
            |table: &Table, key: &[u8]| *table == query.table && key.starts_with(&query.prefix);
        let mut found: Vec<Row> = self
            .rows
            .iter()
            .filter(|((table, key), _)| fits(table, key))
            .map(|((table, key), value)| Row {
                table: *table,
                key: key.clone(),
                value: value.clone(),
            })
            .collect();
        if query.reverse {
            found.reverse();
        }
        let total = found.len();
        let page = found.into_iter().skip(query.skip).take(query.limit);
        (total, page.collect())
    }

    /// Carries out a plan; none if it waits for something to happen.
    pub(super) fn run<A>(&mut self, conn: Option<ConnId>, mut plan: Plan<A>) -> Option<A> {
        for _ in 0..STEPS {
            plan = match plan {
                Plan::Answer(answer) => return Some(answer),
                Plan::Submit { op, content, then } => {
                    self.last_id += 1;
                    let id = self.last_id;
                    if let Some(content) = content {
                        self.waiting.insert(id, content);
                    }
                    let origin = Origin {
                        conn,
                        ip: "10.0.0.1".into(),
                        user: "".into(),
                    };
                    self.input(Input::Request { id, origin, op });
                    match self.replies.remove(&id) {
                        Some(answered) => then(answered, &self.view),
                        None => {
                            self.input(Input::Gone { id });
                            return None;
                        }
                    }
                }
                Plan::Rows { query, then } => {
                    let found = self.read(&query);
                    then(found, &self.view)
                }
                Plan::Contents { indexes, then } => {
                    let of = |index: &u64| self.contents.get(index).cloned();
                    then(indexes.iter().map(of).collect(), &self.view)
                }
                // Nobody answers.
                Plan::Clients { then, .. } => then(Vec::new(), &self.view),
                Plan::Long(look) => look(&self.view),
            };
        }
        panic!("a plan has no end");
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
    member: &Member,
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
        params: &params,
        header: &header,
        body: body.as_bytes(),
        parts: if method == Method::Post { &parts } else { &[] },
        form_too_large: false,
        ip: "10.0.0.1",
        view: &member.view,
        now: member.now,
        server: facts,
    })
}
