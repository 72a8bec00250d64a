//! A gRPC client (2.x, 3.x): a connection on which it registers, subscribes, listens and watches by pattern, and which
//! it makes anew, with everything on it, when it breaks.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::String,
    sync::Arc,
    vec,
    vec::Vec,
};

use super::{
    super::air::{Air, Event, List, Packet, Pushed},
    Phase, Sizes, config, instance, service,
};
use crate::{
    model::{ConfigKey, InstanceKey, Md5, ServiceKey},
    node::{
        input::{AckOutcome, ConnDetails, ConnId, Input, POLICY_LABEL},
        op::Op,
        reply::Reply,
    },
};

/// After how many acknowledgements in a row that were lost, late or bad a client does its duty.
const FAULTS_IN_A_ROW: u32 = 2;

/// What it knows of a service or config that it follows.
#[derive(Clone, Debug)]
pub(in crate::sim) struct Followed<T> {
    pub(in crate::sim) known: Option<T>,
    /// Since when it follows, on this connection.
    pub(in crate::sim) since: u64,
    /// When what it knows was read, in the order of what happens.
    order: u64,
}

pub(in crate::sim) struct Connected {
    me: usize,
    pub(in crate::sim) ip: Arc<str>,
    sizes: Sizes,
    pub(in crate::sim) conn: Option<ConnId>,
    /// It connects again at its first wake after this.
    offline: u64,
    version: u32,
    /// Versions of what it registers.
    registered: BTreeMap<ServiceKey, u32>,
    pub(in crate::sim) subscribed: BTreeMap<ServiceKey, Followed<Arc<List>>>,
    pub(in crate::sim) listened: BTreeMap<ConfigKey, Followed<Option<Md5>>>,
    /// Whether it watches configs, services by pattern, and what it has heard of.
    pub(in crate::sim) watches: bool,
    pub(in crate::sim) seen: BTreeSet<(bool, String)>,
    asked: BTreeMap<u64, Asked>,
    faults: u32,
}

enum Asked {
    Subscribe(ServiceKey),
    Listen(Vec<ConfigKey>),
    Other,
}

impl Connected {
    pub(in crate::sim) fn new(me: usize, sizes: Sizes) -> Self {
        Self {
            me,
            ip: format!("10.4.0.{}", me % 4).into(),
            sizes,
            conn: None,
            offline: 0,
            version: 0,
            registered: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            listened: BTreeMap::new(),
            watches: false,
            seen: BTreeSet::new(),
            asked: BTreeMap::new(),
            faults: 0,
        }
    }

    pub(in crate::sim) fn wake(&mut self, air: &mut Air, phase: Phase) {
        let rest = u64::from(500 + air.below(2_000));
        air.wake(self.me, rest);
        if phase == Phase::Leaving {
            self.hang_up(air);
            self.offline = u64::MAX;
            return;
        }
        let Some(conn) = self.conn else {
            if air.now >= self.offline {
                self.connect(air);
            }
            return;
        };
        if phase == Phase::Calm {
            return;
        }
        let of = service(air.below(self.sizes.services));
        match air.below(100) {
            0..14 => {
                self.version += 1;
                self.registered.insert(of.clone(), self.version);
                self.register(air, conn, &of);
            }
            14..22 => {
                self.registered.remove(&of);
                let key = self.key();
                let op = if air.chance(500) {
                    Op::BatchRegister {
                        service: of,
                        instances: vec![],
                    }
                } else {
                    Op::Deregister {
                        service: of,
                        key,
                        ephemeral: true,
                    }
                };
                self.call(air, conn, op, Asked::Other);
            }
            22..40 => self.subscribe(air, conn, of),
            40..44 => {
                self.subscribed.remove(&of);
                self.call(air, conn, Op::Unsubscribe { service: of }, Asked::Other);
            }
            44..60 => {
                let key = config(air.below(self.sizes.configs));
                self.listen(air, conn, vec![key]);
            }
            60..62 => {
                let key = config(air.below(self.sizes.configs));
                self.listened.remove(&key);
                let op = Op::Listen {
                    listen: false,
                    keys: vec![(key, None, false)],
                    tag: Arc::from(""),
                };
                self.call(air, conn, op, Asked::Other);
            }
            62..66 => {
                self.watches = true;
                self.watch(air, conn);
            }
            66..70 => {
                self.hang_up(air);
                self.offline = air.now + u64::from(air.below(6_000));
            }
            _ => {}
        }
    }

    fn key(&self) -> InstanceKey {
        InstanceKey::new(&format!("10.5.0.{}", self.me), 7_000, "")
    }

    fn call(&mut self, air: &mut Air, conn: ConnId, op: Op, asked: Asked) {
        let ip = self.ip.clone();
        let id = air.call(self.me, conn, &ip, op);
        self.asked.insert(id, asked);
    }

    fn connect(&mut self, air: &mut Air) {
        let conn = air.new_conn();
        self.conn = Some(conn);
        let details = ConnDetails {
            id: format!("{}_{}_{}", air.now, self.ip, conn.0).into(),
            ip: self.ip.clone(),
            port: 4_000,
            version: Arc::from("Nacos-Java-Client:v3.1.0"),
            app: Arc::from("-"),
            // Some ask for load-balancing policies, and are pushed to apart from the others.
            labels: if self.me.is_multiple_of(2) {
                Vec::new()
            } else {
                vec![(Arc::from(POLICY_LABEL), Arc::from("true"))]
            },
        };
        air.tell(conn, Input::Connected { conn, details });
        let registered: Vec<_> = self.registered.keys().cloned().collect();
        registered
            .iter()
            .for_each(|of| self.register(air, conn, of));
        let subscribed: Vec<_> = self.subscribed.keys().cloned().collect();
        for of in subscribed {
            self.subscribe(air, conn, of);
        }
        let listened: Vec<_> = self.listened.keys().cloned().collect();
        if !listened.is_empty() {
            self.listen(air, conn, listened);
        }
        if self.watches {
            self.watch(air, conn);
        }
    }

    /// The connection breaks; the member hears of it later, as of a peer whose cable was pulled.
    fn hang_up(&mut self, air: &mut Air) {
        if let Some(conn) = self.conn.take() {
            air.cut(conn);
            let late = u64::from(500 + air.below(4_000));
            air.tell_later(late, Input::Disconnected { conn });
        }
        self.asked.clear();
    }

    fn register(&mut self, air: &mut Air, conn: ConnId, of: &ServiceKey) {
        let version = self.registered.get(of).copied().unwrap_or_default();
        let instance = instance(&self.key(), version, true);
        let service = of.clone();
        let op = if version.is_multiple_of(3) {
            Op::BatchRegister {
                service,
                instances: vec![instance],
            }
        } else {
            Op::Register { service, instance }
        };
        self.call(air, conn, op, Asked::Other);
    }

    fn subscribe(&mut self, air: &mut Air, conn: ConnId, of: ServiceKey) {
        let since = air.now;
        let followed = self.subscribed.entry(of.clone());
        followed
            .and_modify(|f| f.since = since)
            .or_insert(Followed {
                known: None,
                since,
                order: 0,
            });
        let op = Op::Subscribe {
            service: of.clone(),
            clusters: Arc::from(""),
            app: Arc::from("-"),
        };
        self.call(air, conn, op, Asked::Subscribe(of));
    }

    fn listen(&mut self, air: &mut Air, conn: ConnId, keys: Vec<ConfigKey>) {
        let since = air.now;
        let mut told = Vec::new();
        for key in &keys {
            let followed = self.listened.entry(key.clone());
            let followed = followed
                .and_modify(|f| f.since = since)
                .or_insert(Followed {
                    known: None,
                    since,
                    order: 0,
                });
            told.push((key.clone(), followed.known.flatten(), false));
        }
        let op = Op::Listen {
            listen: true,
            keys: told,
            tag: Arc::from(""),
        };
        self.call(air, conn, op, Asked::Listen(keys));
    }

    fn watch(&mut self, air: &mut Air, conn: ConnId) {
        for config in [false, true] {
            let known = self.seen.iter().filter(|(c, _)| *c == config);
            let op = Op::FuzzyWatch {
                config,
                pattern: Arc::from("public>>DEFAULT_GROUP>>*"),
                watch: true,
                known: known.map(|(_, key)| key.as_str().into()).collect(),
                initializing: self.seen.is_empty(),
            };
            self.call(air, conn, op, Asked::Other);
        }
    }

    fn read(&mut self, air: &mut Air, key: ConfigKey) {
        let travel = air.travel();
        air.after(travel, Event::Read(0, self.me, key, self.ip.clone()));
    }

    pub(in crate::sim) fn take(&mut self, air: &mut Air, packet: Packet, phase: Phase) {
        match packet {
            Packet::Reply { id, result, list } => match (self.asked.remove(&id), result) {
                (Some(Asked::Subscribe(of)), Ok(_)) => {
                    if let Some(followed) = self.subscribed.get_mut(&of) {
                        followed.known = list;
                    }
                }
                (Some(Asked::Listen(keys)), Ok(Reply::Changed(positions))) => {
                    for at in positions {
                        if let Some(key) = keys.get(at as usize) {
                            self.read(air, key.clone());
                        }
                    }
                }
                // Refused: it makes its connection anew, as a client that cannot synchronise does.
                (Some(_), Err(_)) => {
                    self.hang_up(air);
                    self.offline = air.now + 1_000;
                }
                _ => {}
            },
            Packet::Push { conn, push, body } if self.conn == Some(conn) => {
                self.pushed(air, body);
                self.acknowledge(air, conn, push, phase);
            }
            // Answers may overtake each other.
            Packet::Config { key, md5, order } => {
                if let Some(followed) = self.listened.get_mut(&key)
                    && followed.order <= order
                {
                    followed.order = order;
                    followed.known = Some(md5);
                }
            }
            Packet::Closed { conn } if self.conn == Some(conn) => {
                self.conn = None;
                self.asked.clear();
                self.offline = air.now + u64::from(air.below(1_000));
            }
            _ => {}
        }
    }

    fn pushed(&mut self, air: &mut Air, body: Pushed) {
        match body {
            Pushed::Service(of, list) => {
                if let Some(followed) = self.subscribed.get_mut(&of) {
                    followed.known = Some(list);
                }
            }
            Pushed::Config(key) => self.read(air, key),
            Pushed::Fuzzy(config, keys) => {
                for (key, exists) in keys {
                    if exists {
                        self.seen.insert((config, key));
                    } else {
                        self.seen.remove(&(config, key));
                    }
                }
            }
        }
    }

    /// Acknowledges, or does it late, badly, twice or not at all; but never so for long.
    fn acknowledge(&mut self, air: &mut Air, conn: ConnId, push: u64, phase: Phase) {
        let ack = |outcome| Input::Ack {
            conn,
            push,
            outcome,
        };
        let faulty = phase == Phase::Busy && self.faults < FAULTS_IN_A_ROW;
        let fate = if faulty { air.below(1_000) } else { 999 };
        let (lose, late) = (air.faults.lose, air.faults.late);
        self.faults += 1;
        if fate < lose {
        } else if fate < lose + late {
            let after = u64::from(3_000 + air.below(5_000));
            air.tell_later(after, ack(AckOutcome::Done));
        } else if fate < lose + late + 30 {
            air.tell(conn, ack(AckOutcome::Failed));
        } else {
            self.faults = 0;
            air.tell(conn, ack(AckOutcome::Done));
            if air.chance(air.faults.duplicate) {
                air.tell(conn, ack(AckOutcome::Done));
            }
        }
    }
}
