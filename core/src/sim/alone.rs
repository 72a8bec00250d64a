//! One member that carries out plans of the API to their end, with a log that commits at once: what it takes to answer
//! requests without a server.

use alloc::{collections::BTreeMap, sync::Arc, vec::Vec};

use super::{Arrival, Member, Solo, SoloView, Work};
use crate::{
    api::{Answer, Examined, Plan, RowsQuery, Then},
    log::Row,
    node::{
        Node, NodeSettings,
        input::{ConnId, Input, Now, Origin},
        output::Output,
        reply::Answered,
    },
};

/// Steps of one plan, at most: each is of one request, so that more is a plan without an end.
const STEPS: usize = 10_000;

/// A [`Solo`] on the linked core, and the clock it lives by.
pub struct Alone {
    solo: Solo<Node>,
    now: Now,
    /// The address that requests come from.
    ip: &'static str,
    last_id: u64,
    replies: BTreeMap<u64, Answered>,
}

/// A request that waits for something to happen.
pub struct Parked<A = Answer> {
    id: u64,
    then: Then<Answered, A>,
}

/// How far a request has come.
pub enum Sent<A = Answer> {
    /// It is answered.
    Answered(A),
    /// It waits.
    Parked(Parked<A>),
}

impl Alone {
    /// A member that starts with nothing; its callers come from `ip`.
    #[must_use]
    pub fn new(settings: &NodeSettings, now: Now, ip: &'static str) -> Self {
        fn start(settings: &NodeSettings) -> Node {
            Node::new(settings)
        }
        let mut alone = Self {
            solo: Solo::new(settings, now, start),
            now,
            ip,
            last_id: 0,
            replies: BTreeMap::new(),
        };
        alone.settle(Vec::new());
        alone
    }

    /// What time it is there.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now
    }

    /// What readers see.
    #[must_use]
    pub fn view(&self) -> &SoloView {
        self.solo.view()
    }

    /// The content of a log index.
    #[must_use]
    pub fn content(&self, index: u64) -> Option<Arc<[u8]>> {
        self.solo.content_of(index)
    }

    /// The rows that it wrote: keys and values.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.solo.rows()
    }

    /// Its state as bytes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        self.solo.core().snapshot()
    }

    /// An input, with everything that follows from it.
    pub fn input(&mut self, input: Input) {
        self.arrive(Arrival::Told(input));
    }

    /// A command that somebody else proposed is committed.
    pub fn commit(&mut self, command: Vec<u8>) {
        let outputs = self.solo.commit(self.now, command);
        self.settle(outputs);
    }

    /// Starts again from the rows that it wrote.
    ///
    /// # Panics
    /// A node does not start from its own rows.
    pub fn restart(&mut self) {
        let started = self.solo.restart(self.now, 0);
        started.expect("it starts from its own rows");
        self.settle(Vec::new());
    }

    /// Lets time pass, with the ticks that are wanted meanwhile.
    pub fn pass(&mut self, ms: u64) {
        let until = self.now.mono + ms;
        for _ in 0..STEPS {
            let Some(at) = self.solo.deadline().filter(|at| *at <= until) else {
                break;
            };
            self.advance(at.max(self.now.mono));
            self.input(Input::Tick);
        }
        self.advance(until);
    }

    fn advance(&mut self, mono: u64) {
        self.now.wall += mono - self.now.mono;
        self.now.mono = mono;
    }

    fn arrive(&mut self, arrival: Arrival) {
        let outputs = self.solo.handle(self.now, Vec::from([arrival]));
        self.settle(outputs);
    }

    /// Commits what is proposed, and what comes of that, until there is no more.
    fn settle(&mut self, mut outputs: Vec<Output>) {
        loop {
            for output in outputs {
                if let Output::Reply { id, result } = output {
                    self.replies.insert(id, result);
                }
            }
            if !self.solo.proposes() {
                break;
            }
            outputs = self.work(Work::Log);
        }
        self.work(Work::State {
            most: usize::MAX,
            due: true,
        });
    }

    fn work(&mut self, work: Work) -> Vec<Output> {
        self.solo
            .work(self.now, work)
            .expect("memory has no faults")
    }

    /// Carries out a plan until it is an answer, or waits.
    ///
    /// # Panics
    /// The plan has no end.
    pub fn run<A>(&mut self, conn: Option<ConnId>, plan: Plan<A>) -> Sent<A> {
        let mut next = plan;
        for _ in 0..STEPS {
            next = match self.step(conn, next) {
                Ok(plan) => plan,
                Err(sent) => return sent,
            };
        }
        panic!("a plan has no end");
    }

    /// One step of a plan.
    ///
    /// # Errors
    /// It was the last.
    pub fn step<A>(&mut self, conn: Option<ConnId>, plan: Plan<A>) -> Result<Plan<A>, Sent<A>> {
        Ok(match plan {
            Plan::Answer(answer) => return Err(Sent::Answered(answer)),
            Plan::Submit { op, content, then } => {
                self.last_id += 1;
                let id = self.last_id;
                let origin = Origin {
                    conn,
                    ip: self.ip.into(),
                    ..Origin::default()
                };
                self.arrive(Arrival::Request {
                    id,
                    origin,
                    op,
                    content,
                });
                match self.replies.remove(&id) {
                    Some(answered) => then(answered, self.solo.view()),
                    None => return Err(Sent::Parked(Parked { id, then })),
                }
            }
            Plan::Rows { query, then } => then(self.read(&query), self.solo.view()),
            Plan::Contents { indexes, then } => {
                let found = indexes.iter().map(|index| self.content(*index));
                then(found.collect(), self.solo.view())
            }
            // It has no clients on gRPC that could be asked.
            Plan::Clients { then, .. } => then(Vec::new(), self.solo.view()),
            // It runs no modules: what is none is refused, the others pass.
            Plan::Examine { module, then, .. } => {
                let verdict = if module.starts_with(b"\0asm") {
                    Ok(())
                } else {
                    Err("no module".into())
                };
                then(Examined { module, verdict }, self.solo.view())
            }
            // It logs nothing.
            Plan::LogLevel { then, .. } => then(Ok(()), self.solo.view()),
            Plan::Long(look) => look(self.solo.view()),
        })
    }

    /// The rest of a request that waited, if what it waited for has happened.
    pub fn finish<A>(&mut self, conn: Option<ConnId>, parked: Parked<A>) -> Sent<A> {
        match self.replies.remove(&parked.id) {
            Some(answered) => {
                let plan = (parked.then)(answered, self.solo.view());
                self.run(conn, plan)
            }
            None => Sent::Parked(parked),
        }
    }

    /// Whoever waited for this is gone.
    pub fn give_up<A>(&mut self, parked: &Parked<A>) {
        self.arrive(Arrival::Gone { id: parked.id });
    }

    fn read(&self, query: &RowsQuery) -> (usize, Vec<Row>) {
        let mut found = self.solo.rows_of(query.table, &query.prefix);
        if query.reverse {
            found.reverse();
        }
        let total = if query.count { found.len() } else { 0 };
        let page = found.into_iter().skip(query.skip).take(query.limit);
        (total, page.collect())
    }
}
