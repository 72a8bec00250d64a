//! What must hold in every simulated world, all in one place. The accounts that they are compared with are in
//! [`super::truth`] and [`super::durable`].

use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    sync::Arc,
};
use core::fmt;

use super::{
    Sim,
    air::List,
    clients::{Client, config, service, writing::persistent},
    durable::{Config, Durable, Expected, Version},
    member::Member,
    truth::Wrong,
};
use crate::{
    model::{ConfigKey, Md5, ServiceKey},
    node::reply::Totals,
    view::{ConfigFilter, Reading, ServiceFilter, TextFilter},
};

/// How late a tick may be in a simulated world without being a pause, milliseconds.
pub(super) const LATE_TICK: u64 = 3_000;
/// A change reaches a gRPC subscriber or listener within this, two bad acknowledgements and a busy host included.
pub(super) const HEARD_WITHIN: u64 = 20_000;
/// A change is sent to a UDP subscriber within this: the window of 500 ms and a late tick.
const SENT_WITHIN: u64 = 500 + LATE_TICK + 100;

/// Something that must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariant {
    /// What was acknowledged is there after a power cut, whole; the rest in order or not at all.
    AcknowledgedSurvives,
    /// Readers see what was answered, in the order of the log.
    ReadersSeeTheLog,
    /// Writes are decided and answered in the order in which they came.
    OrderOfTheLog,
    /// A write's outcome is that of its precondition on the state before it; no lock is held twice.
    OutcomesAreRight,
    /// The list of a service is that of those who live: nobody goes early.
    ListIsTrue,
    /// Nobody stays for longer than its time.
    ExpiryOnTime,
    /// A beat is "known" exactly if its instance is.
    BeatsAreKnown,
    /// A poll ends because its MD5 changed, or because its time is up, and for no other reason.
    PollsWakeForAChange,
    /// No poll waits for a change that has been.
    NoWakeIsLost,
    /// Who subscribes or listens knows what holds, or held a moment ago.
    SubscribersConverge,
    /// Every change is sent to UDP subscribers, at most twice.
    DatagramsAreSent,
    /// No more pushes than changes, windows and repeats allow.
    PushesAreBounded,
    /// What is refused is refused for a reason.
    NothingRefused,
    /// When all clients have left, nothing of them is kept.
    NothingLeaks,
    /// The member goes on.
    MemberLives,
}

/// An invariant that does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When, milliseconds of the simulated monotonic clock.
    pub at: u64,
    /// How.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} ms: {}", self.invariant, self.at, self.what)
    }
}

/// How often somebody was pushed to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    pub(super) count: u64,
    /// When the newest left.
    pub(super) last: u64,
    /// When the first subscription came, and how many changes there had been.
    pub(super) since: u64,
    pub(super) changes: u64,
    /// Repeats that were allowed: acknowledgements that were lost or bad.
    pub(super) faults: u64,
    /// Number of the newest, what had changed when it left, and whether it was acknowledged.
    pub(super) push: u64,
    pub(super) at_changes: u64,
    pub(super) acked: bool,
    /// It was sent again, although it was acknowledged.
    pub(super) again: bool,
}

/// The list of a service as a reader gets it.
pub(super) fn list_of(view: &impl Reading, key: &ServiceKey) -> List {
    let Some(service) = view.service(key) else {
        return List::new();
    };
    let version = |i: &crate::model::Instance| Arc::from(i.metadata.get("v").unwrap_or_default());
    let shown = service.instances().filter(|i| i.enabled);
    shown
        .map(|i| (i.key.clone(), (i.healthy, version(i))))
        .collect()
}

impl<M: Member> Sim<M> {
    /// After every step.
    pub(super) fn check_step(&self, member: usize, durable: bool) -> Result<(), Wrong> {
        let view = self.members[member].member.view();
        for key in self.services() {
            let (found, truth) = (list_of(view, &key), self.truth.current(&key));
            let fits = match truth {
                Some(truth) => **truth == found,
                None => found.is_empty(),
            };
            if !fits {
                return Err((
                    Invariant::ListIsTrue,
                    format!("{key}: readers see {found:?}, true is {truth:?}"),
                ));
            }
        }
        self.truth.overdue(self.air.now, LATE_TICK + 100)?;
        self.truth.polls(self.air.now, LATE_TICK + 100)?;
        if durable {
            self.differs(member, self.truth.durable.now())
                .map_or(Ok(()), |what| Err((Invariant::ReadersSeeTheLog, what)))?;
        }
        Ok(())
    }

    fn services(&self) -> impl Iterator<Item = ServiceKey> + '_ {
        let ephemeral = (0..self.sizes.services).map(service);
        ephemeral.chain(core::iter::once(persistent()))
    }

    /// Where a member's durable state is not this; none if it is.
    pub(super) fn differs(&self, member: usize, want: &Expected) -> Option<String> {
        let view = self.members[member].member.view();
        for n in 0..self.sizes.configs {
            let key = config(n);
            let (found, want) = (view.config(&key), want.configs.get(&key));
            let formal = found.as_ref().and_then(|item| item.formal.as_ref());
            let gray = found.as_ref().and_then(|item| item.grays.first());
            let of = |version: Option<&Version>| version.map(|v| v.md5);
            let want_beta = want.and_then(|c| c.beta.as_ref());
            let fits = formal.map(|v| v.content.md5) == of(want.and_then(|c| c.formal.as_ref()))
                && gray.map(|g| (g.rule.expr(), g.version.content.md5))
                    == want_beta.map(|(ips, v)| (&**ips, v.md5));
            if !fits {
                return Some(format!("{}: {found:?}, not {want:?}", key.data_id));
            }
        }
        let namespaces: BTreeMap<Arc<str>, Arc<str>> = view
            .namespaces()
            .into_iter()
            .map(|(id, item)| (id, item.desc))
            .collect();
        if namespaces != want.namespaces {
            return Some(format!(
                "namespaces {namespaces:?}, not {:?}",
                want.namespaces
            ));
        }
        let found = list_of(view, &persistent());
        let of = want.instances.get(&persistent());
        let fits = of
            .into_iter()
            .flatten()
            .eq(found.iter().map(|(k, (_, v))| (k, v)));
        (!fits).then(|| format!("persistent instances {found:?}, not {of:?}"))
    }

    /// After a power cut: what was acknowledged is there, and of the rest a beginning.
    pub(super) fn check_survival(&mut self, member: usize) -> Result<(), Wrong> {
        let mut states = self.truth.survivors();
        let found = states.find(|state| self.differs(member, state).is_none());
        drop(states);
        let Some(found) = found else {
            let now = self.truth.durable.now();
            let what = self.differs(member, now).unwrap_or_default();
            return Err((
                Invariant::AcknowledgedSurvives,
                format!(
                    "{what}; {} writes were waiting; acknowledged were {}",
                    self.truth.durable.waiting(),
                    Durable::word(now),
                ),
            ));
        };
        self.truth.durable.restarted(found);
        self.check_contents(member)
    }

    /// Contents are those whose MD5s readers see.
    pub(super) fn check_contents(&self, member: usize) -> Result<(), Wrong> {
        let wrong = |what: String| Err((Invariant::AcknowledgedSurvives, what));
        let at = &self.members[member].member;
        for (key, Config { formal, beta }) in &self.truth.durable.now().configs {
            let item = at.view().config(key);
            let item = item.as_ref();
            let shown = [
                (item.and_then(|i| i.formal.as_ref()), formal.as_ref()),
                (
                    item.and_then(|i| i.grays.first()).map(|g| &g.version),
                    beta.as_ref().map(|(_, v)| v),
                ),
            ];
            for (shown, want) in shown {
                let (Some(shown), Some(want)) = (shown, want) else {
                    continue;
                };
                match at.content(shown.content.index) {
                    Ok(Some(bytes)) if *bytes == *want.content.0 => {}
                    Ok(found) => {
                        let found = found.map(|bytes| Md5::of(&bytes));
                        return wrong(format!("content of {}: {found:?}", key.data_id));
                    }
                    Err(error) => return wrong(error),
                }
            }
        }
        Ok(())
    }

    /// Now and then: who follows something knows what holds, or held a moment ago.
    pub(super) fn check_followers(&self, within: u64) -> Result<(), Wrong> {
        let now = self.air.now;
        if self.members.iter().any(super::Place::stands_still) || self.overloaded {
            return Ok(());
        }
        let stale = |ended: u64, since: u64| now > ended.max(since).max(self.disturbed) + within;
        for client in &self.clients {
            let Client::Connected(client) = client else {
                continue;
            };
            if client.conn.is_none() {
                continue;
            }
            for (key, followed) in &client.subscribed {
                let ended = match &followed.known {
                    Some(list) => self.list_ended(key, list),
                    None => Some(0),
                };
                if let Some(ended) = ended
                    && stale(ended, followed.since)
                {
                    return Err((
                        Invariant::SubscribersConverge,
                        format!(
                            "{:?} knows {:?} of {key}, which is {:?}",
                            client.conn,
                            followed.known,
                            self.truth.current(key)
                        ),
                    ));
                }
            }
            for (key, followed) in &client.listened {
                let known = followed.known.flatten();
                if let Some(ended) = self.md5_ended(key, &client.ip, known)
                    && stale(ended, followed.since)
                {
                    return Err((
                        Invariant::SubscribersConverge,
                        format!(
                            "{:?} has {known:?} of {}, which is {:?}",
                            client.conn,
                            key.data_id,
                            self.truth.durable.md5(key, &client.ip, "")
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// When a list stopped to hold; none if it holds.
    fn list_ended(&self, key: &ServiceKey, list: &Arc<List>) -> Option<u64> {
        let Some(history) = self.truth.lists.get(key) else {
            return (!list.is_empty()).then_some(0);
        };
        let at = history.iter().rposition(|(_, l)| l == list);
        match at {
            Some(at) => history.get(at + 1).map(|(from, _)| *from),
            // Before its first list a service had none.
            None if list.is_empty() => history.first().map(|(from, _)| *from),
            None => Some(0),
        }
    }

    /// When an MD5 stopped to be what an address gets; none if it is.
    fn md5_ended(&self, key: &ConfigKey, ip: &Arc<str>, md5: Option<Md5>) -> Option<u64> {
        let Some(history) = self.md5s.get(&(key.clone(), ip.clone())) else {
            return md5.map(|_| 0);
        };
        match history.iter().rposition(|(_, m)| *m == md5) {
            Some(at) => history.get(at + 1).map(|(from, _)| *from),
            None if md5.is_none() => history.first().map(|(from, _)| *from),
            None => Some(0),
        }
    }

    /// Every change of a service was sent to those who subscribe to it over UDP.
    pub(super) fn check_datagrams(&self) -> Result<(), Wrong> {
        let now = self.air.now;
        if self.members.iter().any(super::Place::stands_still) {
            return Ok(());
        }
        for ((ip, key), sent) in &self.datagrams {
            let Some(changed) = self.truth.lists.get(key).and_then(|l| l.last()) else {
                continue;
            };
            let changed = changed.0;
            let fresh = now < sent.since + 10_000 || self.disturbed + SENT_WITHIN > now;
            // Who was silent for long is forgotten; 25 s are not long.
            let heard = self.udp_heard.get(&(ip.clone(), key.clone()));
            let alive = heard.is_some_and(|at| now < at + 25_000);
            if alive
                && !fresh
                && changed > sent.since
                && sent.last < changed
                && now > changed + SENT_WITHIN
            {
                return Err((
                    Invariant::DatagramsAreSent,
                    format!("{ip} was not told of the change of {key} at {changed}"),
                ));
            }
            if sent.again {
                return Err((
                    Invariant::PushesAreBounded,
                    format!("{ip} was sent {key} again, which it had acknowledged"),
                ));
            }
            let allowed = 2 * (self.truth.changes(key) - sent.changes + 2);
            if sent.count > allowed {
                return Err((
                    Invariant::PushesAreBounded,
                    format!(
                        "{ip} was sent {} datagrams of {key}; {allowed} are enough",
                        sent.count
                    ),
                ));
            }
        }
        for ((conn, key), sent) in &self.pushes {
            let changes = self.truth.changes(key) - sent.changes;
            let windows = (now - sent.since) / 500 + 1;
            let allowed = 2 + changes.min(windows) + sent.faults;
            if sent.count > allowed {
                return Err((
                    Invariant::PushesAreBounded,
                    format!(
                        "{conn:?} was pushed {key} {} times; {allowed} are enough",
                        sent.count
                    ),
                ));
            }
        }
        Ok(())
    }

    /// When it was calm for long, everybody knows exactly what holds.
    pub(super) fn check_calm(&self) -> Result<(), Wrong> {
        self.check_followers(0)?;
        let view = self.members[0].member.view();
        let wrong = |what: String| Err((Invariant::SubscribersConverge, what));
        let services = ServiceFilter {
            namespace: Some(Arc::from("public")),
            group: TextFilter::Equal("DEFAULT_GROUP".to_string()),
            ..ServiceFilter::default()
        };
        let configs = view.configs(&ConfigFilter::default(), 0, 1_000).items;
        let exist: BTreeSet<(bool, String)> = view
            .services(&services, 0, 1_000)
            .items
            .iter()
            .map(|s| (false, s.key.fuzzy()))
            .chain(configs.iter().map(|(key, _)| {
                (
                    true,
                    format!("{}+{}+{}", key.data_id, key.group, key.namespace),
                )
            }))
            .collect();
        for client in &self.clients {
            match client {
                Client::Udp(client) => {
                    let list = client.list.clone().unwrap_or_default();
                    if self.list_ended(&client.service, &list).is_some() {
                        return wrong(format!(
                            "{} knows {list:?} of {}",
                            client.ip, client.service
                        ));
                    }
                }
                Client::Polling(client) => {
                    for (key, held) in &client.held {
                        if *held != self.truth.durable.md5(key, &client.ip, "") {
                            return wrong(format!(
                                "{} holds {held:?} of {}",
                                client.ip, key.data_id
                            ));
                        }
                    }
                }
                Client::Connected(client)
                    if client.conn.is_some() && client.watches && client.seen != exist =>
                {
                    return wrong(format!(
                        "{:?} has heard of {:?}; there are {exist:?}",
                        client.conn, client.seen
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// When all clients have left.
    pub(super) fn check_empty(totals: &Totals) -> Result<(), Wrong> {
        let left = Totals {
            configs: 0,
            namespaces: 0,
            locks: 0,
            ..*totals
        };
        if left == Totals::default() {
            Ok(())
        } else {
            Err((Invariant::NothingLeaks, format!("{left:?}")))
        }
    }
}
