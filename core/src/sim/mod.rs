//! Virtual time and network for whole members: a world of clients of every protocol, with lost, late and repeated
//! messages, processes that stand still, wall clocks that are stepped, storms, and power cuts.
//!
//! A run is a function of its seed: the same seed gives the same trace, on every machine and with every engine. A
//! [`Sim`] drives whatever is a [`Member`]; it holds a list of them, because a cluster will be several, and one today.
//! What must hold is named in [`invariants`].
//!
//! A run has four parts: clients and faults as the seed draws them; calm, after which everybody must know the truth;
//! the clients leave, after which nothing of them may be kept; a last power cut.

mod air;
pub mod alone;
mod clients;
mod deliver;
mod durable;
pub mod invariants;
mod member;
mod trace;
mod truth;

use alloc::{boxed::Box, collections::BTreeMap, string::String, sync::Arc, vec, vec::Vec};

use self::{
    air::{Air, Event, Faults, Packet},
    clients::{
        Client, Phase, Sizes, beating::Beating, connected::Connected, polling::Polling,
        udp::UdpSubscriber, writing::Writing,
    },
    invariants::{HEARD_WITHIN, LATE_TICK, Sent},
    trace::Trace,
    truth::{Truth, Wrong},
};
pub use self::{
    invariants::{Invariant, Violation},
    member::{Arrival, Core, Member, Solo, SoloView, Work},
};
use crate::{
    config::effective_md5,
    model::{ConfigKey, Md5, ServiceKey},
    node::{
        input::{ConnId, Input, Now, Origin},
        op::{Op, Question},
        reply::{Refusal, Totals},
    },
    view::Reading,
};

/// What a world is like.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Decides everything.
    pub seed: u64,
    /// How long clients and faults go on, milliseconds.
    pub busy_ms: u64,
    /// Whether processes stand still, clocks step, power fails, and members refuse.
    pub chaos: bool,
    /// Whether messages are lost, late or repeated.
    pub faults: bool,
    /// Whether words are kept of what happens.
    pub words: bool,
}

impl Setting {
    /// Everything that can happen, in a minute and a half.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self {
            seed,
            busy_ms: 90_000,
            chaos: true,
            faults: true,
            words: false,
        }
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of everything that went into members and left them.
    pub hash: u64,
    /// Steps that members made.
    pub steps: u64,
    /// Writes that the log decided.
    pub writes: u64,
    /// Pushes and datagrams that left.
    pub pushes: u64,
    /// Power cuts.
    pub restarts: u64,
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// The last things that happened, if words were wanted.
    pub lines: Vec<String>,
}

/// A member and where it stands.
struct Place<M> {
    member: M,
    /// It stands still, and this waits for it.
    still: Option<Vec<Arrival>>,
    /// The deadline that the tick under way is for, and when that comes.
    tick: Option<(u64, u64)>,
    log_due: bool,
}

impl<M> Place<M> {
    fn stands_still(&self) -> bool {
        self.still.is_some()
    }
}

/// What an address got of a config, each with when it began to.
type Md5s = Vec<(u64, Option<Md5>)>;

/// A world.
pub struct Sim<M: Member> {
    setting: Setting,
    members: Vec<Place<M>>,
    clients: Vec<Client>,
    sizes: Sizes,
    air: Air,
    truth: Truth,
    trace: Trace,
    phase: Phase,
    /// Requests are refused as "busy" by the host.
    overloaded: bool,
    /// When a member last stood still, started, or refused.
    disturbed: u64,
    /// By address and service.
    datagrams: BTreeMap<(Arc<str>, ServiceKey), Sent>,
    udp_heard: BTreeMap<(Arc<str>, ServiceKey), u64>,
    pushes: BTreeMap<(ConnId, ServiceKey), Sent>,
    /// MD5s that addresses get, each with when it began to hold.
    md5s: BTreeMap<(ConfigKey, Arc<str>), Md5s>,
    checked: u64,
    order: u64,
    sent: u64,
    restarts: u64,
    totals: Option<Totals>,
}

/// When the first thing happens.
#[must_use]
pub fn beginning() -> Now {
    Air::new(0).clocks()
}

impl<M: Member> Sim<M> {
    /// A world around members that have just started, at [`beginning`].
    #[must_use]
    pub fn new(setting: Setting, members: Vec<M>) -> Self {
        let mut air = Air::new(setting.seed);
        let sizes = Sizes {
            services: 1 + air.below(3),
            configs: 1 + air.below(4),
        };
        if setting.faults {
            air.faults = Faults {
                lose: *air.one(&[0, 20, 60]),
                duplicate: *air.one(&[0, 50]),
                late: *air.one(&[0, 50]),
                delay: *air.one(&[10, 60, 400]),
            };
        }
        let place = |member| Place {
            member,
            still: None,
            tick: None,
            log_due: false,
        };
        let mut sim = Self {
            setting,
            members: members.into_iter().map(place).collect(),
            clients: Vec::new(),
            sizes,
            trace: Trace::new(setting.words),
            air,
            truth: Truth::default(),
            phase: Phase::Busy,
            overloaded: false,
            disturbed: 0,
            datagrams: BTreeMap::new(),
            udp_heard: BTreeMap::new(),
            pushes: BTreeMap::new(),
            md5s: BTreeMap::new(),
            checked: 0,
            order: 0,
            sent: 0,
            restarts: 0,
            totals: None,
        };
        sim.populate();
        sim
    }

    fn populate(&mut self) {
        let sizes = self.sizes;
        let air = &mut self.air;
        let mut clients: Vec<Client> = Vec::new();
        for _ in 0..1 + air.below(4) {
            let of = air.below(sizes.services);
            clients.push(Client::Beating(Beating::new(clients.len(), of)));
        }
        for _ in 0..air.below(3) {
            let of = air.below(sizes.services);
            clients.push(Client::Udp(UdpSubscriber::new(clients.len(), of)));
        }
        for _ in 0..air.below(3) {
            clients.push(Client::Polling(Polling::new(clients.len(), sizes.configs)));
        }
        for _ in 0..1 + air.below(3) {
            let client = Connected::new(clients.len(), sizes);
            clients.push(Client::Connected(Box::new(client)));
        }
        let rest = *air.one(&[200, 1_500, 8_000]);
        clients.push(Client::Writing(Writing::new(clients.len(), sizes, rest)));
        for client in 0..clients.len() {
            let ms = u64::from(air.below(3_000));
            air.wake(client, ms);
        }
        self.clients = clients;
        for member in 0..self.members.len() {
            self.air.after(1_000, Event::State(member));
        }
        if self.setting.chaos {
            let first = u64::from(self.air.below(40_000));
            self.air.after(first, Event::Chaos);
        }
    }

    /// Runs to the end, or to the first invariant that does not hold.
    pub fn run(mut self) -> Report {
        let violation = self.parts().err().map(|(invariant, what)| Violation {
            invariant,
            at: self.air.now,
            what,
        });
        Report {
            hash: self.trace.hash(),
            steps: self.trace.steps(),
            writes: self.truth.durable.writes,
            pushes: self.sent,
            restarts: self.restarts,
            violation,
            lines: self.trace.lines(),
        }
    }

    fn parts(&mut self) -> Result<(), Wrong> {
        for member in 0..self.members.len() {
            self.after_step(member)?;
        }
        self.until(self.air.now + self.setting.busy_ms)?;
        self.phase = Phase::Calm;
        self.air.faults = Faults {
            lose: 0,
            duplicate: 0,
            late: 0,
            delay: 10,
        };
        // Pauses and overloads end by themselves within 41 s; then everybody is told.
        self.until(self.air.now + 65_000)?;
        self.check_calm()?;
        self.phase = Phase::Leaving;
        // 30 s until instances go, 60 s until empty services do; the last answers.
        self.until(self.air.now + 130_000)?;
        self.leave()?;
        self.restart(0)?;
        self.until(self.air.now + 1_000)
    }

    /// Everybody has left.
    fn leave(&mut self) -> Result<(), Wrong> {
        for member in 0..self.members.len() {
            let question = Arrival::Request {
                id: u64::MAX - member as u64,
                origin: Origin::default(),
                op: Op::Ask(Question::Totals),
                content: None,
            };
            self.step(member, vec![question])?;
            let Some(totals) = self.totals.take() else {
                return Err((Invariant::MemberLives, "it does not answer".into()));
            };
            Self::check_empty(&totals)?;
        }
        Ok(())
    }

    fn until(&mut self, end: u64) -> Result<(), Wrong> {
        while let Some((&(at, _), _)) = self.air.queue.first_key_value()
            && at < end
        {
            let (_, event) = self.air.queue.pop_first().expect("there is a first");
            self.air.now = at;
            self.event(event)?;
            if at >= self.checked + 250 {
                self.checked = at;
                self.check_followers(HEARD_WITHIN)?;
                self.check_datagrams()?;
            }
        }
        self.air.now = end;
        Ok(())
    }

    fn event(&mut self, event: Event) -> Result<(), Wrong> {
        match event {
            Event::Wake(client) => self.clients[client].wake(&mut self.air, self.phase),
            Event::Deliver(client, packet) => {
                self.clients[client].take(&mut self.air, packet, self.phase);
            }
            Event::Arrive(member, first) => {
                let mut arrivals = vec![first];
                // What comes in the same moment is one batch.
                while let Some(entry) = self.air.queue.first_entry()
                    && entry.key().0 == self.air.now
                    && matches!(entry.get(), Event::Arrive(m, _) if *m == member)
                {
                    if let Event::Arrive(_, arrival) = entry.remove() {
                        arrivals.push(arrival);
                    }
                }
                return self.arrive(member, arrivals);
            }
            Event::Read(member, client, key, ip) => {
                if self.members[member].stands_still() {
                    self.air.after(1_000, Event::Read(member, client, key, ip));
                } else {
                    let item = self.members[member].member.view().config(&key);
                    let md5 = effective_md5(item.as_deref(), &ip, "");
                    let travel = self.air.travel();
                    let order = self.air.order();
                    let packet = Packet::Config { key, md5, order };
                    self.air.after(travel, Event::Deliver(client, packet));
                }
            }
            Event::Tick(member) => {
                let place = &mut self.members[member];
                if place.tick.is_some_and(|(_, at)| at == self.air.now) && !place.stands_still() {
                    place.tick = None;
                    return self.step(member, vec![Arrival::Told(Input::Tick)]);
                }
            }
            Event::Log(member) => return self.log(member),
            Event::State(member) => {
                self.air.after(1_000, Event::State(member));
                if !self.members[member].stands_still() {
                    let most = 1 + self.air.below(40) as usize;
                    let due = self.air.chance(700);
                    self.work(member, Work::State { most, due })?;
                }
            }
            Event::Chaos => return self.chaos(),
            Event::Resume(member) => return self.resume(member),
        }
        Ok(())
    }

    /// Something happens to a member.
    fn chaos(&mut self) -> Result<(), Wrong> {
        if self.phase != Phase::Busy {
            return Ok(());
        }
        let next = u64::from(1_000 + self.air.below(50_000));
        self.air.after(next, Event::Chaos);
        let member = self.air.below(self.members.len() as u32) as usize;
        match self.air.below(10) {
            0..3 if !self.members[member].stands_still() => {
                self.members[member].still = Some(Vec::new());
                let ms = u64::from(*self.air.one(&[300_u32, 4_000, 9_000, 20_000, 40_000]));
                self.air.after(ms, Event::Resume(member));
            }
            3..5 => {
                let by = i64::from(self.air.below(7_200_000)) - 3_600_000;
                self.air.stepped += by;
            }
            5 => {
                // A storm: everybody at once.
                for client in 0..self.clients.len() {
                    self.clients[client].wake(&mut self.air, self.phase);
                }
            }
            6..8 if !self.members[member].stands_still() && !self.overloaded => {
                self.overloaded = true;
                self.step(member, vec![Arrival::Told(Input::Overloaded(true))])?;
                let ms = u64::from(1_000 + self.air.below(40_000));
                self.air.after(ms, Event::Resume(member));
            }
            8.. if !self.members[member].stands_still() => self.restart(member)?,
            _ => {}
        }
        Ok(())
    }

    /// A pause or an overload ends.
    fn resume(&mut self, member: usize) -> Result<(), Wrong> {
        self.disturbed = self.air.now;
        if let Some(waiting) = self.members[member].still.take() {
            // The deadline has passed meanwhile, mostly.
            let mut arrivals = waiting;
            let due = self.members[member].member.deadline();
            if due.is_some_and(|at| at <= self.air.now) {
                self.members[member].tick = None;
                arrivals.push(Arrival::Told(Input::Tick));
            }
            self.arrive(member, arrivals)?;
        }
        if self.overloaded {
            self.overloaded = false;
            self.step(member, vec![Arrival::Told(Input::Overloaded(false))])?;
        }
        self.log(member)
    }

    fn restart(&mut self, member: usize) -> Result<(), Wrong> {
        self.restarts += 1;
        self.disturbed = self.air.now;
        self.overloaded = false;
        let seed = self.air.random.next_u64();
        let place = &mut self.members[member];
        let (now, died) = (self.air.clocks(), |what| (Invariant::MemberLives, what));
        place.still = None;
        place.tick = None;
        place.log_due = false;
        place.member.restart(now, seed).map_err(died)?;
        self.trace.note(now.mono, "restart", &seed);
        self.truth.restarted(now.mono);
        self.check_survival(member)?;
        self.datagrams.clear();
        self.udp_heard.clear();
        self.pushes.clear();
        self.note_md5s();
        // Nobody is answered; connections break.
        let asked = core::mem::take(&mut self.air.asked);
        for (id, asked) in asked {
            let travel = self.air.travel();
            let packet = Packet::Failed { id };
            self.air.after(travel, Event::Deliver(asked.client, packet));
        }
        let conns: Vec<ConnId> = self.air.open.iter().copied().collect();
        for conn in conns {
            self.air.reset(conn);
            for client in 0..self.clients.len() {
                let travel = self.air.travel();
                self.air
                    .after(travel, Event::Deliver(client, Packet::Closed { conn }));
            }
        }
        self.after_step(member)
    }

    fn arrive(&mut self, member: usize, arrivals: Vec<Arrival>) -> Result<(), Wrong> {
        if let Some(waiting) = &mut self.members[member].still {
            waiting.extend(arrivals);
            return Ok(());
        }
        let (refused, arrivals): (Vec<_>, Vec<_>) = arrivals
            .into_iter()
            .partition(|a| self.overloaded && matches!(a, Arrival::Request { .. }));
        for arrival in refused {
            if let Arrival::Request { id, .. } = arrival {
                self.answer(id, Err(Refusal::Busy), None);
            }
        }
        self.step(member, arrivals)
    }

    /// Hands a batch to a member, and carries out what it says.
    fn step(&mut self, member: usize, mut arrivals: Vec<Arrival>) -> Result<(), Wrong> {
        if arrivals.is_empty() {
            return Ok(());
        }
        arrivals.sort_by_key(|arrival| match arrival {
            Arrival::Told(Input::Tick) => 2,
            Arrival::Told(_) | Arrival::Gone { .. } => 0,
            Arrival::Request { .. } => 1,
        });
        let now = self.air.clocks();
        let place = &mut self.members[member];
        let deadline = place.member.deadline();
        if deadline.is_some_and(|at| now.mono > at + 5_000) {
            self.truth.pause_ended(now.mono);
        }
        let outputs = place.member.handle(now, arrivals.clone());
        self.trace.note(now.mono, "in", &(now.wall, &arrivals));
        self.trace.note(now.mono, "out", &outputs);
        self.note_udp(now.mono, &arrivals);
        self.truth.follow(now, &arrivals, &outputs)?;
        self.carry_out(member, &arrivals, outputs);
        self.note_md5s();
        self.check_step(member, false)?;
        self.after_step(member)
    }

    /// Notes what UDP subscribers say.
    fn note_udp(&mut self, now: u64, arrivals: &[Arrival]) {
        for arrival in arrivals {
            match arrival {
                Arrival::Request {
                    op: Op::SubscribeUdp { service, ip, .. },
                    ..
                } => {
                    let slot = (ip.clone(), service.clone());
                    let heard = self.udp_heard.insert(slot.clone(), now);
                    // Who was silent for long is new, and is sent its first list.
                    if heard.is_none_or(|at| now > at + 25_000)
                        && let Some(sent) = self.datagrams.get_mut(&slot)
                    {
                        sent.acked = false;
                    }
                }
                Arrival::Told(Input::UdpAck { ip, push, .. }) => {
                    let of = self.datagrams.iter_mut().filter(|((to, _), _)| to == ip);
                    of.for_each(|(_, sent)| sent.acked |= sent.push == *push);
                }
                _ => {}
            }
        }
    }

    /// Notes what follows from a member's state: its next tick, and whether its log has work.
    fn after_step(&mut self, member: usize) -> Result<(), Wrong> {
        let now = self.air.now;
        let deadline = self.members[member].member.deadline();
        if deadline != self.members[member].tick.map(|(of, _)| of) {
            self.members[member].tick = deadline.map(|of| {
                // Machines are busy now and then.
                let late = if self.air.chance(30) && self.phase == Phase::Busy {
                    u64::from(self.air.below(LATE_TICK as u32))
                } else {
                    u64::from(self.air.below(3))
                };
                let at = (of.max(now + 1) + late).min((of + LATE_TICK).max(now + 1));
                self.air.at(at, Event::Tick(member));
                (of, at)
            });
        }
        if self.truth.durable.waiting() > 0 && !self.members[member].log_due {
            self.members[member].log_due = true;
            let slow = if self.air.chance(50) { 400 } else { 8 };
            let ms = u64::from(self.air.below(slow));
            self.air.after(ms, Event::Log(member));
        }
        Ok(())
    }

    fn log(&mut self, member: usize) -> Result<(), Wrong> {
        if self.members[member].stands_still() {
            return Ok(());
        }
        self.members[member].log_due = false;
        self.work(member, Work::Log)
    }

    fn work(&mut self, member: usize, work: Work) -> Result<(), Wrong> {
        let now = self.air.clocks();
        let place = &mut self.members[member];
        if place
            .member
            .deadline()
            .is_some_and(|at| now.mono > at + 5_000)
            && work == Work::Log
        {
            self.truth.pause_ended(now.mono);
        }
        let outputs = place
            .member
            .work(now, work)
            .map_err(|what| (Invariant::MemberLives, what))?;
        self.trace.note(now.mono, "work", &(work, &outputs));
        self.truth.follow(now, &[], &outputs)?;
        self.carry_out(member, &[], outputs);
        self.note_md5s();
        self.check_step(member, true)?;
        self.after_step(member)
    }
}
