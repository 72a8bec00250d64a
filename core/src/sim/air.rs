//! Time, chance and the network between clients and members.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};

use super::member::Arrival;
use crate::{
    balance::{Rng, SplitMix64},
    model::{ConfigKey, InstanceKey, Md5, ServiceKey},
    node::{
        input::{ConnId, Input, Now, Origin},
        op::Op,
        reply::Answered,
    },
};

/// The wall clock at the beginning: some day of 2026.
const BEGAN: u64 = 1_780_000_000_000;

/// A service's list as its readers get it: health, and what tells two registrations apart.
pub(super) type List = BTreeMap<InstanceKey, (bool, Arc<str>)>;

/// What reaches a client.
#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// An answer; with the list, where the request asks for one.
    Reply {
        id: u64,
        result: Answered,
        list: Option<Arc<List>>,
    },
    /// No answer came: the network or the member failed.
    Failed { id: u64 },
    /// A gRPC push.
    Push {
        conn: ConnId,
        push: u64,
        body: Pushed,
    },
    /// A UDP push; `order` is the order of rendering.
    Datagram {
        push: u64,
        order: u64,
        list: Arc<List>,
    },
    /// MD5 of a config, as asked for; `order` is the order of reading.
    Config {
        key: ConfigKey,
        md5: Option<Md5>,
        order: u64,
    },
    /// A connection ended.
    Closed { conn: ConnId },
}

/// What a gRPC push says, rendered.
#[derive(Clone, Debug)]
pub(super) enum Pushed {
    Service(ServiceKey, Arc<List>),
    Config(ConfigKey),
    /// Of configs (or services): keys, each with whether it exists.
    Fuzzy(bool, Vec<(String, bool)>),
}

/// What happens at a time.
#[derive(Debug)]
pub(super) enum Event {
    Wake(usize),
    Arrive(usize, Arrival),
    Deliver(usize, Packet),
    /// A client reads a config.
    Read(usize, usize, ConfigKey, Arc<str>),
    Tick(usize),
    Log(usize),
    State(usize),
    Chaos,
    Resume(usize),
}

/// Whom an answer is for, and whether it gets there.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) client: usize,
    pub(super) conn: Option<ConnId>,
    pub(super) lost: bool,
}

/// How bad the network is, in parts of a thousand; times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    pub(super) lose: u32,
    pub(super) duplicate: u32,
    pub(super) late: u32,
    pub(super) delay: u32,
}

/// A network and its time.
#[derive(Debug)]
pub(super) struct Air {
    pub(super) now: u64,
    /// How far the wall clock was stepped.
    pub(super) stepped: i64,
    pub(super) random: SplitMix64,
    pub(super) faults: Faults,
    pub(super) queue: BTreeMap<(u64, u64), Event>,
    pub(super) asked: BTreeMap<u64, Asked>,
    /// Connections that the network still carries.
    pub(super) open: BTreeSet<ConnId>,
    /// When the last thing on a connection gets there: to the member, to the client.
    order: BTreeMap<(ConnId, bool), u64>,
    seq: u64,
    last_request: u64,
    last_conn: u64,
}

impl Air {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            now: 1_000,
            stepped: 0,
            random: SplitMix64::new(seed),
            faults: Faults {
                lose: 0,
                duplicate: 0,
                late: 0,
                delay: 20,
            },
            queue: BTreeMap::new(),
            asked: BTreeMap::new(),
            open: BTreeSet::new(),
            order: BTreeMap::new(),
            seq: 0,
            last_request: 0,
            last_conn: 0,
        }
    }

    pub(super) fn clocks(&self) -> Now {
        Now {
            mono: self.now,
            wall: (BEGAN + self.now).saturating_add_signed(self.stepped),
        }
    }

    /// One of `0..bound`.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.random.int(bound)
    }

    /// True so many times in a thousand.
    pub(super) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < per_mille
    }

    pub(super) fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u32) as usize]
    }

    pub(super) fn at(&mut self, at: u64, event: Event) {
        self.seq += 1;
        self.queue.insert((at.max(self.now), self.seq), event);
    }

    /// A number that grows with everything that happens.
    pub(super) fn order(&self) -> u64 {
        self.seq
    }

    pub(super) fn after(&mut self, ms: u64, event: Event) {
        self.at(self.now + ms, event);
    }

    pub(super) fn wake(&mut self, client: usize, ms: u64) {
        self.after(ms, Event::Wake(client));
    }

    /// How long something travels.
    pub(super) fn travel(&mut self) -> u64 {
        u64::from(1 + self.below(self.faults.delay))
    }

    /// When something on a connection gets there: never before what was sent before it.
    fn ordered(&mut self, conn: ConnId, to_member: bool) -> u64 {
        let at = self.now + self.travel();
        let last = self.order.entry((conn, to_member)).or_default();
        *last = at.max(*last);
        *last
    }

    /// Sends a request over HTTP; it, or its answer, may be lost, which the client learns.
    pub(super) fn ask(
        &mut self,
        client: usize,
        ip: &Arc<str>,
        op: Op,
        content: Option<Vec<u8>>,
    ) -> u64 {
        self.last_request += 1;
        let id = self.last_request;
        if self.chance(self.faults.lose) {
            self.after(1_000, Event::Deliver(client, Packet::Failed { id }));
            return id;
        }
        let lost = self.chance(self.faults.lose);
        let asked = Asked {
            client,
            conn: None,
            lost,
        };
        self.asked.insert(id, asked);
        let origin = Origin {
            ip: ip.clone(),
            ..Origin::default()
        };
        let request = Arrival::Request {
            id,
            origin,
            op,
            content,
        };
        let travel = self.travel();
        self.after(travel, Event::Arrive(0, request));
        id
    }

    /// Sends a request on a connection.
    pub(super) fn call(&mut self, client: usize, conn: ConnId, ip: &Arc<str>, op: Op) -> u64 {
        self.last_request += 1;
        let id = self.last_request;
        let asked = Asked {
            client,
            conn: Some(conn),
            lost: false,
        };
        self.asked.insert(id, asked);
        let origin = Origin {
            conn: Some(conn),
            ip: ip.clone(),
            ..Origin::default()
        };
        let request = Arrival::Request {
            id,
            origin,
            op,
            content: None,
        };
        let at = self.ordered(conn, true);
        self.at(at, Event::Arrive(0, request));
        id
    }

    pub(super) fn new_conn(&mut self) -> ConnId {
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        self.open.insert(conn);
        conn
    }

    /// Tells the member something on a connection, in order.
    pub(super) fn tell(&mut self, conn: ConnId, input: Input) {
        let at = self.ordered(conn, true);
        self.at(at, Event::Arrive(0, Arrival::Told(input)));
    }

    /// Tells the member something after some time, out of any order.
    pub(super) fn tell_later(&mut self, ms: u64, input: Input) {
        self.after(ms, Event::Arrive(0, Arrival::Told(input)));
    }

    /// Sends a client something on a connection, if the network still carries it.
    pub(super) fn deliver(&mut self, client: usize, conn: ConnId, packet: Packet) {
        if self.open.contains(&conn) {
            let at = self.ordered(conn, false);
            self.at(at, Event::Deliver(client, packet));
        }
    }

    /// A connection breaks because the member is gone: what is under way to it never arrives.
    pub(super) fn reset(&mut self, conn: ConnId) {
        self.cut(conn);
        self.queue.retain(|_, event| match event {
            Event::Arrive(_, Arrival::Request { origin, .. }) => origin.conn != Some(conn),
            Event::Arrive(
                _,
                Arrival::Told(Input::Connected { conn: of, .. } | Input::Ack { conn: of, .. }),
            ) => *of != conn,
            _ => true,
        });
    }

    /// A connection breaks; what is under way to the client is lost.
    pub(super) fn cut(&mut self, conn: ConnId) {
        self.open.remove(&conn);
        self.order.remove(&(conn, true));
        self.order.remove(&(conn, false));
    }
}
