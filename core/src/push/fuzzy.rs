//! Fuzzy watches: who watches which pattern, and the dialogue that brings a watcher up to date batch by batch.
//!
//! A change that comes while batches wait is pushed on its own, and taken out of the batches, so that an older word
//! never follows a newer one.

use alloc::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use super::{
    Push,
    pattern::{Pattern, config_text, service_text},
    waves::Topic,
};
use crate::{
    model::{ConfigKey, ServiceKey},
    node::{
        Turn,
        input::ConnId,
        output::{PushBody, SyncKind},
        reply::{Answered, Refusal, Reply},
    },
};

/// All fuzzy watches; each pair of flag and pattern is of configs (or services).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Fuzzy {
    patterns: BTreeMap<(bool, Arc<str>), Watched>,
    dialogues: BTreeMap<(ConnId, bool, Arc<str>), Dialogue>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Watched {
    pattern: Pattern,
    conns: BTreeSet<ConnId>,
}

/// What is still to be sent to a watcher; the first batch is under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Dialogue {
    kind: SyncKind,
    batches: VecDeque<Vec<(Arc<str>, bool)>>,
    /// Batches in all.
    total: u32,
}

impl Fuzzy {
    /// How many (connection, pattern) pairs there are.
    pub(super) fn watches(&self) -> u64 {
        self.patterns.values().map(|w| w.conns.len() as u64).sum()
    }

    /// Whether a connection watches that service or config.
    pub(super) fn wants(
        &self,
        conn: ConnId,
        config: bool,
        ns: &str,
        group: &str,
        name: &str,
    ) -> bool {
        self.of_kind(config)
            .any(|(_, w)| w.conns.contains(&conn) && w.pattern.matches(ns, group, name))
    }

    /// What is to be sent next in a dialogue.
    pub(super) fn batch(&self, conn: ConnId, config: bool, pattern: &Arc<str>) -> Option<PushBody> {
        let dialogue = self.dialogues.get(&(conn, config, pattern.clone()))?;
        let (keys, current) = match dialogue.batches.front() {
            Some(keys) => (
                keys.clone(),
                dialogue.total + 1 - dialogue.batches.len() as u32,
            ),
            None => (Vec::new(), dialogue.total),
        };
        let pattern = pattern.clone();
        Some(PushBody::FuzzySync {
            config,
            pattern,
            kind: dialogue.kind,
            keys,
            total: dialogue.total,
            current,
        })
    }

    pub(super) fn forget_sync(&mut self, conn: ConnId, config: bool, pattern: &Arc<str>) {
        self.dialogues.remove(&(conn, config, pattern.clone()));
    }

    /// Forgets a connection.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.patterns.retain(|_, watched| {
            watched.conns.remove(&conn);
            !watched.conns.is_empty()
        });
        self.dialogues.retain(|(of, ..), _| *of != conn);
    }

    fn of_kind(&self, config: bool) -> impl Iterator<Item = (&Arc<str>, &Watched)> {
        self.patterns
            .iter()
            .filter(move |((c, _), _)| *c == config)
            .map(|((_, p), w)| (p, w))
    }

    /// The watchers of a service or config, each once; what is said of it in waiting batches is out of date now.
    fn changed(&mut self, config: bool, ns: &str, group: &str, name: &str) -> BTreeSet<ConnId> {
        let mut all = BTreeSet::new();
        let mut patterns = BTreeSet::new();
        for (text, watched) in self.of_kind(config) {
            if watched.pattern.matches(ns, group, name) {
                all.extend(&watched.conns);
                patterns.insert(text.clone());
            }
        }
        if all.is_empty() || self.dialogues.is_empty() {
            return all;
        }
        let key = text(config, ns, group, name);
        for ((_, c, pattern), dialogue) in &mut self.dialogues {
            if *c == config && patterns.contains(pattern) {
                dialogue
                    .batches
                    .iter_mut()
                    .for_each(|batch| batch.retain(|(k, _)| *k != key));
            }
        }
        all
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.dialogues.is_empty()
    }
}

fn text(config: bool, ns: &str, group: &str, name: &str) -> Arc<str> {
    if config {
        config_text(ns, group, name)
    } else {
        service_text(ns, group, name)
    }
}

/// Gives each key that exists (namespace, group, name) to its argument, in a fixed order.
pub type EachKey<'a> = &'a dyn Fn(&mut dyn FnMut(&str, &str, &str));

impl Push {
    /// Watches by pattern (or stops). `known` is what the client believes to exist, in the form of the messages;
    /// `initializing` asks for a closing message. A watch of too much stands, but is told of no removals now.
    ///
    /// # Errors
    /// `Unregistered`, `Illegal` for what is no pattern, `TooManyPatterns`, `TooManyMatches`.
    #[expect(
        clippy::too_many_arguments,
        reason = "they are the operation's own fields"
    )]
    pub fn fuzzy_watch(
        &mut self,
        turn: Turn<'_>,
        config: bool,
        pattern: &Arc<str>,
        watch: bool,
        known: &[Arc<str>],
        initializing: bool,
        each_key: EachKey<'_>,
    ) -> Answered {
        let conn = turn
            .origin
            .conn
            .filter(|conn| self.conns.contains_key(conn));
        let conn = conn.ok_or(Refusal::Unregistered)?;
        if !watch {
            self.fuzzy_cancel(conn, config, pattern);
            return Ok(Reply::Done);
        }
        let parsed = Pattern::parse(pattern)
            .ok_or_else(|| Refusal::Illegal("a pattern is namespace>>group>>name".into()))?;
        let (diff, over) = self.difference(config, &parsed, known, each_key);
        let slot = (config, pattern.clone());
        if !self.fuzzy.patterns.contains_key(&slot)
            && self.fuzzy.of_kind(config).count() >= self.limits.fuzzy_patterns
        {
            return Err(Refusal::TooManyPatterns);
        }
        let watched = self.fuzzy.patterns.entry(slot);
        watched
            .or_insert_with(|| Watched {
                pattern: parsed,
                conns: BTreeSet::new(),
            })
            .conns
            .insert(conn);

        let topic = Topic::Sync(config, pattern.clone());
        self.withdraw(conn, &topic);
        self.fuzzy.forget_sync(conn, config, pattern);
        let size = if config {
            self.limits.config_batch
        } else {
            self.limits.naming_batch
        };
        let batches: VecDeque<_> = diff.chunks(size.max(1)).map(Vec::from).collect();
        if !batches.is_empty() || initializing {
            let kind = match (initializing, batches.is_empty()) {
                (true, true) => SyncKind::Finish,
                (true, false) => SyncKind::Init,
                (false, _) => SyncKind::Diff,
            };
            let total = batches.len() as u32;
            self.fuzzy.dialogues.insert(
                (conn, config, pattern.clone()),
                Dialogue {
                    kind,
                    batches,
                    total,
                },
            );
            self.offer([conn], &topic, true, turn.now.mono, turn.now.mono);
        }
        if over {
            Err(Refusal::TooManyMatches)
        } else {
            Ok(Reply::Done)
        }
    }

    /// What a client must be told to know what exists, and whether that is more than is allowed.
    fn difference(
        &self,
        config: bool,
        pattern: &Pattern,
        known: &[Arc<str>],
        each_key: EachKey<'_>,
    ) -> (Vec<(Arc<str>, bool)>, bool) {
        let mut gone: BTreeSet<&str> = BTreeSet::new();
        gone.extend(known.iter().map(|key| &**key));
        let mut diff = Vec::new();
        let (mut matches, limit) = (0, self.limits.fuzzy_matches);
        each_key(&mut |ns, group, name| {
            if pattern.matches(ns, group, name) {
                matches += 1;
                if matches <= limit {
                    let key = text(config, ns, group, name);
                    if !gone.remove(&*key) {
                        diff.push((key, true));
                    }
                }
            }
        });
        let over = matches > limit;
        if !over {
            diff.extend(gone.into_iter().map(|key| (Arc::from(key), false)));
        }
        (diff, over)
    }

    fn fuzzy_cancel(&mut self, conn: ConnId, config: bool, pattern: &Arc<str>) {
        let slot = (config, pattern.clone());
        if let Some(watched) = self.fuzzy.patterns.get_mut(&slot) {
            watched.conns.remove(&conn);
            if watched.conns.is_empty() {
                self.fuzzy.patterns.remove(&slot);
            }
        }
        self.fuzzy.forget_sync(conn, config, pattern);
        self.withdraw(conn, &Topic::Sync(config, pattern.clone()));
    }

    /// The batch under way was taken: the next one leaves.
    pub(super) fn fuzzy_batch_done(
        &mut self,
        conn: ConnId,
        config: bool,
        pattern: &Arc<str>,
        now: u64,
    ) {
        let slot = (conn, config, pattern.clone());
        let Some(dialogue) = self.fuzzy.dialogues.get_mut(&slot) else {
            return;
        };
        dialogue.batches.pop_front();
        if dialogue.batches.is_empty() {
            if dialogue.kind != SyncKind::Init {
                self.fuzzy.dialogues.remove(&slot);
                return;
            }
            dialogue.kind = SyncKind::Finish;
        }
        self.offer(
            [conn],
            &Topic::Sync(config, pattern.clone()),
            true,
            now,
            now,
        );
    }

    /// A service came or went.
    pub(super) fn fuzzy_service(&mut self, key: &ServiceKey, exists: bool, now: u64) {
        let conns = self
            .fuzzy
            .changed(false, &key.namespace, &key.group, &key.name);
        self.offer(conns, &Topic::FuzzyService(key.clone()), exists, now, now);
    }

    /// A config changed or went.
    pub(super) fn fuzzy_config(&mut self, key: &ConfigKey, exists: bool, now: u64) {
        let conns = self
            .fuzzy
            .changed(true, &key.namespace, &key.group, &key.data_id);
        self.offer(conns, &Topic::FuzzyConfig(key.clone()), exists, now, now);
    }
}
