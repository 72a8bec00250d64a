//! The whole member as the simulator drives it: the server's drive, consensus and writers over a disk whose power goes.

use std::collections::BTreeMap;

use nacrite::{open::OpenSettings, views::Views};
use nacrite_core::{
    node::{
        Node, NodeSettings,
        input::{Input, Now},
        output::Output,
    },
    sim::{Arrival, Core, Member, Report, Setting, Sim, Solo, Work, beginning},
};
use nacrite_storage::SimDisk;

use crate::member::{self, Asked};

/// Requests that may wait: few, so that a process that stood still refuses some.
const QUEUE: usize = 24;

/// A member.
pub struct Simulated {
    disk: SimDisk,
    settings: OpenSettings,
    member: member::Member,
    asked: BTreeMap<u64, Asked>,
}

impl Simulated {
    /// A member that has just started on an empty disk.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn new(seed: u64, now: Now) -> Self {
        let mut settings = member::settings(seed);
        settings.queues.count = QUEUE;
        let disk = SimDisk::new();
        let mut member = member::Member::open_at(&disk, &settings, now)
            .unwrap_or_else(|e| panic!("an empty disk opens: {e}"));
        member.start().expect("this disk has no faults");
        Self {
            disk,
            settings,
            member,
            asked: BTreeMap::new(),
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Told(input) => self.member.drive().control(input),
            // Whoever waits for an answer no longer does.
            Arrival::Gone { id } => drop(self.asked.remove(&id)),
            Arrival::Request {
                id,
                origin,
                op,
                content,
            } => {
                let asked = self.member.ask_from(origin, op, content.as_deref());
                self.asked.insert(id, asked);
            }
        }
    }

    /// Answers, and whatever else left.
    fn take(&mut self) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.asked.retain(|id, asked| match asked.answer() {
            Some(result) => {
                outputs.push(Output::Reply { id: *id, result });
                false
            }
            None => true,
        });
        outputs.extend(self.member.take_left());
        outputs
    }
}

impl Member for Simulated {
    type View = Views;

    fn handle(&mut self, now: Now, arrivals: Vec<Arrival>) -> Vec<Output> {
        self.member.at(now);
        // While the lock is held, what arrives only waits: this makes one batch of it. What means nothing starts it.
        let drive = self.member.drive().clone();
        drive.inspect(|_| arrivals.into_iter().for_each(|a| self.arrive(a)));
        drive.control(Input::Gone { id: 0 });
        self.take()
    }

    fn deadline(&mut self) -> Option<u64> {
        self.member.drive().inspect(|inner| inner.deadline())
    }

    fn work(&mut self, now: Now, work: Work) -> Result<Vec<Output>, String> {
        self.member.at(now);
        match work {
            Work::Log => self.member.turn_log()?,
            Work::State { most, due } => self.member.turn_state(most, due)?,
        }
        Ok(self.take())
    }

    fn restart(&mut self, now: Now, seed: u64) -> Result<(), String> {
        // What closing would still write must not get there.
        self.disk = self.disk.cut(seed);
        self.asked.clear();
        self.member = member::Member::open_at(&self.disk, &self.settings, now)
            .map_err(|e| format!("it does not open: {e}"))?;
        self.member.start()?;
        let _before_anybody_came = self.member.take_left();
        Ok(())
    }

    fn view(&self) -> &Views {
        &self.member.drive().views
    }

    fn content(&self, index: u64) -> Result<Option<Vec<u8>>, String> {
        let content = self.member.content(index)?;
        Ok(content.map(|bytes| bytes.to_vec()))
    }
}

/// A world around the server's own drive, consensus and writers.
#[must_use]
pub fn run_whole(setting: Setting) -> Report {
    let member = Simulated::new(setting.seed, beginning());
    Sim::new(setting, vec![member]).run()
}

/// A world around a bare node.
#[must_use]
pub fn run_solo(setting: Setting) -> Report {
    fn start(settings: &NodeSettings) -> Node {
        Node::new(settings)
    }
    run_solo_on(setting, start)
}

/// A world around a bare node, on the engine that `start` starts.
#[must_use]
pub fn run_solo_on<C: Core>(setting: Setting, start: fn(&NodeSettings) -> C) -> Report {
    let settings = member::settings(setting.seed).node;
    let member = Solo::new(&settings, beginning(), start);
    Sim::new(setting, vec![member]).run()
}
