//! Three voters and a network that loses, doubles and delays: the same interface carries election and replication.

use nacrite_consensus::{Consensus, MessageError, TICK_MILLIS};

use crate::host::{Chosen, Host, Rng};

/// Milliseconds between two looks at the group.
const STEP: u64 = 10;

struct Group {
    hosts: Vec<Host>,
    /// Messages by time of delivery.
    network: Vec<(u64, u64, u64, Vec<u8>)>,
    now: u64,
    rng: Rng,
    /// One message in so many is lost; 0: none.
    loss: u64,
    /// A member that nobody reaches.
    apart: Option<u64>,
    tickets: u64,
}

impl Group {
    fn new(seed: u64) -> Self {
        let chosen = Chosen::default();
        let mut hosts: Vec<_> = (1..=3)
            .map(|id| Host::new(id, &[1, 2, 3], seed, chosen.clone()))
            .collect();
        for host in &mut hosts {
            host.start().expect("an empty folder is no damage");
        }
        Self {
            hosts,
            network: Vec::new(),
            now: 1_000,
            rng: Rng(seed),
            loss: 0,
            apart: None,
            tickets: 0,
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        let mut due = Vec::new();
        self.network.retain_mut(|message| {
            let waits = message.0 > now;
            if !waits {
                due.push(std::mem::take(message));
            }
            waits
        });
        for (_, from, to, bytes) in due {
            if self.apart == Some(from) || self.apart == Some(to) {
                continue;
            }
            if let Some(consensus) =
                &mut self.hosts[usize::try_from(to - 1).expect("small")].consensus
            {
                consensus
                    .on_message(from, &bytes)
                    .expect("members understand each other");
            }
        }
        for host in &mut self.hosts {
            if host.consensus.is_none() {
                continue;
            }
            if host.running().deadline().expect("three voters need ticks") <= now {
                host.running().tick(now);
            }
            let mut sent = host.drain();
            if !self.rng.one_in(3) {
                host.sync(1 + usize::try_from(self.rng.below(3)).expect("small"));
                sent.extend(host.drain());
            }
            if self.rng.one_in(4) {
                host.applied();
            }
            for (to, bytes) in sent {
                if self.loss != 0 && self.rng.one_in(self.loss) {
                    continue;
                }
                if self.loss != 0 && self.rng.one_in(self.loss) {
                    self.network.push((
                        now + STEP * self.rng.below(30),
                        host.id,
                        to,
                        bytes.clone(),
                    ));
                }
                self.network
                    .push((now + STEP * self.rng.below(4), host.id, to, bytes));
            }
        }
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis / STEP {
            self.step();
        }
    }

    /// The running member that leads in the latest term.
    fn leader(&mut self) -> Option<usize> {
        let leads = |host: &Host| host.consensus.as_ref().is_some_and(Consensus::is_leader);
        (0..3)
            .filter(|at| leads(&self.hosts[*at]))
            .max_by_key(|at| self.hosts[*at].led.last().copied())
    }

    fn propose(&mut self, at: usize) {
        self.tickets += 1;
        let payload = self.tickets.to_be_bytes().to_vec();
        self.hosts[at]
            .propose(self.tickets, payload)
            .expect("leads");
    }

    fn check_one_leader_per_term(&self) {
        let mut led: Vec<u64> = Vec::new();
        for host in &self.hosts {
            let mut own = host.led.clone();
            own.dedup();
            led.extend(own);
        }
        let all = led.len();
        led.sort_unstable();
        led.dedup();
        assert_eq!(led.len(), all, "two leaders in one term");
    }

    /// Everything comes back, and what was acknowledged is everywhere.
    fn heal_and_check(&mut self) {
        (self.loss, self.apart) = (0, None);
        for host in &mut self.hosts {
            if host.consensus.is_none() {
                host.start().expect("a crash is no damage");
            }
        }
        self.run(5_000);
        let leader = self.leader().expect("a leader within seconds");
        self.propose(leader);
        self.run(2_000);
        self.check_one_leader_per_term();
        for host in &self.hosts {
            assert!(
                host.open.is_empty(),
                "{} left {:?} unanswered",
                host.id,
                host.open.keys()
            );
            assert_eq!(host.state, self.hosts[leader].state);
        }
        for host in &self.hosts {
            for (index, payload) in &host.acknowledged {
                assert_eq!(
                    self.hosts[leader].state[usize::try_from(index - 1).expect("small")],
                    *payload
                );
            }
        }
    }
}

#[test]
fn one_is_elected_and_its_proposals_reach_all() {
    let mut group = Group::new(1);
    group.run(3_000);
    let leader = group.leader().expect("a leader within three seconds");
    for _ in 0..50 {
        group.propose(leader);
    }
    group.run(500);
    assert_eq!(group.hosts[leader].acknowledged.len(), 50);
    group.heal_and_check();
    assert!(
        group.hosts.iter().map(|host| host.led.len()).sum::<usize>() == 1,
        "nobody disturbs a good leader"
    );
}

#[test]
fn proposals_of_a_leader_set_apart_are_rejected_once() {
    let mut group = Group::new(2);
    group.run(3_000);
    let old = group.leader().expect("a leader within three seconds");
    group.apart = Some(old as u64 + 1);
    for _ in 0..20 {
        group.propose(old);
    }
    group.run(3_000);
    let new = group.leader().expect("the others elect one of them");
    assert_ne!(old, new);
    assert!(
        !group.hosts[old].running().is_leader(),
        "who reaches no majority steps down"
    );
    assert_eq!(
        (
            group.hosts[old].acknowledged.len(),
            group.hosts[old].rejected
        ),
        (0, 0)
    );
    group.propose(new);
    group.heal_and_check();
    assert_eq!(
        (
            group.hosts[old].acknowledged.len(),
            group.hosts[old].rejected
        ),
        (0, 20)
    );
}

fn storm(seed: u64) -> Group {
    let mut group = Group::new(seed);
    group.loss = 5;
    for _ in 0..1_500 {
        group.step();
        match group.rng.below(100) {
            0..30 => {
                if let Some(leader) = group.leader() {
                    group.propose(leader);
                }
            }
            30 => {
                let at = usize::try_from(group.rng.below(3)).expect("small");
                let written = usize::try_from(group.rng.below(3)).expect("small");
                if group.hosts[at].consensus.is_some() {
                    group.hosts[at].crash(written);
                }
            }
            31..34 => {
                for host in &mut group.hosts {
                    if host.consensus.is_none() {
                        host.start().expect("a crash is no damage");
                    }
                }
            }
            34 => group.apart = Some(1 + group.rng.below(3)),
            35..37 => group.apart = None,
            37..40 => {
                let at = usize::try_from(group.rng.below(3)).expect("small");
                group.hosts[at].make_durable();
            }
            _ => {}
        }
    }
    group.heal_and_check();
    group
}

#[test]
fn storms_lose_nothing_that_was_acknowledged() {
    let mut acknowledged = 0;
    for seed in 0..60 {
        let group = storm(seed);
        acknowledged += group
            .hosts
            .iter()
            .map(|host| host.acknowledged.len())
            .sum::<usize>();
    }
    assert!(
        acknowledged > 500,
        "only {acknowledged} proposals came through"
    );
}

#[test]
fn the_same_seed_gives_the_same_storm() {
    let (one, other) = (storm(99), storm(99));
    for (one, other) in one.hosts.iter().zip(&other.hosts) {
        assert!(
            one.trace == other.trace,
            "member {} behaved differently",
            one.id
        );
    }
}

#[test]
fn what_is_no_message_for_this_member_is_refused() {
    let mut group = Group::new(1);
    let host = group.hosts[0].running();
    assert!(matches!(
        host.on_message(2, &[0xFF; 9]),
        Err(MessageError::Malformed(_))
    ));
    assert!(matches!(
        host.on_message(2, &[]),
        Err(MessageError::Misdirected {
            from: 0,
            to: 0,
            sender: 2
        })
    ));
    // A forwarded proposal (kind 2) from 2 to 1.
    assert_eq!(
        host.on_message(2, &[0x08, 2, 0x10, 1, 0x18, 2]),
        Err(MessageError::Kind(2))
    );
    // The answer to an append (kind 4) from a stranger.
    assert_eq!(
        host.on_message(9, &[0x08, 4, 0x10, 1, 0x18, 9]),
        Err(MessageError::NoMember(9))
    );
}

/// The host keeps a member under a lock that any thread may take.
#[test]
fn a_member_may_move_between_threads() {
    fn movable<T: Send>() {}
    movable::<Consensus>();
}

#[test]
fn a_late_tick_counts_once() {
    let mut group = Group::new(1);
    let host = group.hosts[0].running();
    assert_eq!(host.deadline(), Some(0));
    host.tick(5_000);
    assert_eq!(host.deadline(), Some(5_000 + TICK_MILLIS));
    host.tick(5_049);
    assert_eq!(host.deadline(), Some(5_050), "too early");
    host.tick(5_060);
    assert_eq!(
        host.deadline(),
        Some(5_100),
        "a little late: the next one is on time"
    );
    host.tick(60_000);
    assert_eq!(host.deadline(), Some(60_050));
}
