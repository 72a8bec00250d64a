//! Distributed locks (Nacos 3.x `LockOperationRequest`): a lock is held by nobody in particular, until it is given
//! back or its time is up. Time here is the leader's stamp in the commands, so all members agree on it.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    sync::Arc,
    vec::Vec,
};

use serde::{Deserialize, Serialize};

use crate::{
    log::{Command, Decode, KeyReader, KeyWriter, Row, RowWrite, Table, decode, encode},
    node::{
        Step, Turn,
        op::Op,
        reply::{Answered, Refusal, Reply},
    },
};

/// How long a lock is held whose caller named no time, milliseconds.
pub const DEFAULT_HOLD_MS: u64 = 30_000;
/// How long a lock is held at most, milliseconds.
pub const MAX_HOLD_MS: u64 = 30 * 60 * 1000;
/// How many locks whose time is up one command removes: enough to outpace what it can add.
const REMOVED_PER_COMMAND: usize = 16;

/// (type, key) of a lock; the order of the rows.
type LockKey = (Arc<str>, Arc<str>);

/// All locks that are held, and some whose time is up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Locks {
    limit: u32,
    until: BTreeMap<LockKey, u64>,
    by_time: BTreeSet<(u64, LockKey)>,
}

/// Key of a lock's row.
#[must_use]
pub fn lock_key(kind: &str, key: &str) -> Vec<u8> {
    KeyWriter::new().text(kind).text(key).finish()
}

/// Reads what [`lock_key`] wrote: type and key.
#[must_use]
pub fn read_lock_key(bytes: &[u8]) -> Option<(String, String)> {
    let mut reader = KeyReader::new(bytes);
    let read = (reader.text()?, reader.text()?);
    reader.is_at_end().then_some(read)
}

/// Reads the value of a lock's row: until when it is held, on the leader's wall clock, milliseconds.
///
/// # Errors
/// See [`Decode`].
pub fn read_lock(value: &[u8]) -> Result<u64, Decode> {
    decode(value)
}

impl Locks {
    /// None yet. At `limit` of them no other is proposed; those that were being decided at that moment still come.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        Self {
            limit,
            until: BTreeMap::new(),
            by_time: BTreeSet::new(),
        }
    }

    /// Proposes [`Op::Lock`].
    pub fn request(&mut self, turn: Turn<'_>, op: Op) -> Step {
        let Op::Lock {
            key,
            kind,
            acquire,
            expires_ms,
        } = op
        else {
            return Err(Refusal::Illegal("no operation on locks".into())).into();
        };
        if acquire
            && self.len() >= self.limit as usize
            && self.held(turn.stamp) >= self.limit as usize
        {
            return Err(Refusal::LimitReached("max locks".into())).into();
        }
        let hold = u64::try_from(expires_ms).map_or(DEFAULT_HOLD_MS, |ms| ms.min(MAX_HOLD_MS));
        let stamp = turn.stamp;
        Step::Propose(Command::Lock {
            key,
            kind,
            acquire,
            until: stamp.saturating_add(hold),
            stamp,
        })
    }

    /// Decides a committed command: taking succeeds if the lock is free or its time is up, giving back if it is held,
    /// by whomever.
    ///
    /// # Errors
    /// Commands of other modules are refused and change nothing.
    pub fn apply(&mut self, command: Command, rows: &mut Vec<RowWrite>) -> Answered {
        let Command::Lock {
            key,
            kind,
            acquire,
            until,
            stamp,
        } = command
        else {
            return Err(Refusal::Illegal("no command on locks".into()));
        };
        self.remove_expired(stamp, rows);
        let lock = (kind, key);
        let held = self.until.get(&lock).is_some_and(|until| *until > stamp)
            && !(acquire && crate::planted!(HeldLockIsTaken));
        if held != acquire {
            if acquire {
                self.put(lock, until, rows);
            } else {
                // Its time may be up without its row being gone yet; it is gone now.
                self.remove(&lock, rows);
            }
        }
        Ok(Reply::Locked(held != acquire))
    }

    fn put(&mut self, lock: LockKey, until: u64, rows: &mut Vec<RowWrite>) {
        let row = Row {
            table: Table::Lock,
            key: lock_key(&lock.0, &lock.1),
            value: encode(&until),
        };
        rows.push(RowWrite::Put { row, content: None });
        self.insert(lock, until);
    }

    fn insert(&mut self, lock: LockKey, until: u64) {
        if let Some(old) = self.until.insert(lock.clone(), until) {
            self.by_time.remove(&(old, lock.clone()));
        }
        self.by_time.insert((until, lock));
    }

    fn remove(&mut self, lock: &LockKey, rows: &mut Vec<RowWrite>) {
        if let Some(until) = self.until.remove(lock) {
            self.by_time.remove(&(until, lock.clone()));
            if crate::planted!(LockRowStays) {
                return;
            }
            rows.push(RowWrite::Delete {
                table: Table::Lock,
                key: lock_key(&lock.0, &lock.1),
            });
        }
    }

    fn remove_expired(&mut self, stamp: u64, rows: &mut Vec<RowWrite>) {
        for _ in 0..REMOVED_PER_COMMAND {
            match self.by_time.first() {
                Some((until, lock)) if *until <= stamp => {
                    let lock = lock.clone();
                    self.remove(&lock, rows);
                }
                _ => return,
            }
        }
    }

    /// Takes a row of [`Table::Lock`] back in.
    ///
    /// # Errors
    /// The row is not one of this release or an older one.
    pub fn restore(&mut self, row: &Row) -> Result<(), Decode> {
        let (kind, key) = read_lock_key(&row.key).ok_or(Decode::Malformed)?;
        self.insert((kind.into(), key.into()), read_lock(&row.value)?);
        Ok(())
    }

    /// How many locks are held at that wall clock time, milliseconds.
    #[must_use]
    pub fn held(&self, wall: u64) -> usize {
        let expired = self
            .by_time
            .iter()
            .take_while(|(until, _)| *until <= wall)
            .count();
        self.len() - expired
    }

    /// How many there are, those whose time is up included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.until.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.until.is_empty()
    }

    /// The whole state as bytes.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads what [`Self::snapshot`] wrote.
    ///
    /// # Errors
    /// The bytes are not of this release.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, Decode> {
        decode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::node::input::{Now, Origin};

    fn command(key: &str, acquire: bool, stamp: u64, until: u64) -> Command {
        Command::Lock {
            key: key.into(),
            kind: "NACOS_LOCK".into(),
            acquire,
            until,
            stamp,
        }
    }

    fn propose(locks: &mut Locks, acquire: bool, expires_ms: i64, stamp: u64) -> Step {
        let origin = Origin::default();
        let turn = Turn {
            id: 1,
            origin: &origin,
            now: Now::default(),
            stamp,
        };
        locks.request(
            turn,
            Op::Lock {
                key: "k".into(),
                kind: "NACOS_LOCK".into(),
                acquire,
                expires_ms,
            },
        )
    }

    #[test]
    fn a_held_lock_is_not_taken_again_until_its_time_is_up() {
        let mut locks = Locks::new(10);
        let mut apply = |acquire, stamp, until| {
            locks.apply(command("k", acquire, stamp, until), &mut Vec::new())
        };
        assert_eq!(apply(true, 100, 200), Ok(Reply::Locked(true)));
        assert_eq!(apply(true, 199, 300), Ok(Reply::Locked(false)));
        assert_eq!(apply(true, 200, 300), Ok(Reply::Locked(true)));
        assert_eq!(apply(false, 250, 0), Ok(Reply::Locked(true)));
        assert_eq!(apply(false, 250, 0), Ok(Reply::Locked(false)));
        assert_eq!(apply(true, 250, 260), Ok(Reply::Locked(true)));
        assert_eq!(
            apply(false, 260, 0),
            Ok(Reply::Locked(false)),
            "what ran out is no longer given back"
        );
    }

    #[test]
    fn the_time_is_bounded() {
        let mut locks = Locks::new(10);
        for (given, hold) in [
            (-1, 30_000),
            (i64::MIN, 30_000),
            (0, 0),
            (5, 5),
            (i64::MAX, 1_800_000),
        ] {
            assert_eq!(
                propose(&mut locks, true, given, 7),
                Step::Propose(command("k", true, 7, 7 + hold))
            );
        }
    }

    #[test]
    fn the_limit_counts_only_what_is_held() {
        let mut locks = Locks::new(1);
        locks
            .apply(command("a", true, 100, 200), &mut Vec::new())
            .expect("a lock's command");
        let full = Step::Done(Err(Refusal::LimitReached("max locks".into())));
        assert_eq!(propose(&mut locks, true, 1, 199), full);
        assert_ne!(propose(&mut locks, true, 1, 200), full);
        assert_ne!(propose(&mut locks, false, 1, 199), full);
    }

    #[test]
    fn the_rows_bytes_never_change() {
        let mut rows = Vec::new();
        let mut locks = Locks::new(10);
        locks
            .apply(command("k", true, 100, 300), &mut rows)
            .expect("a lock's command");
        locks
            .apply(command("k", false, 100, 0), &mut rows)
            .expect("a lock's command");
        let key = b"NACOS_LOCK\0k\0".to_vec();
        let row = Row {
            table: Table::Lock,
            key: key.clone(),
            value: b"\x01\xac\x02".to_vec(),
        };
        assert_eq!(
            rows,
            [
                RowWrite::Put { row, content: None },
                RowWrite::Delete {
                    table: Table::Lock,
                    key
                }
            ]
        );
    }

    proptest! {
        /// Against a model: the last taker's time, forgotten when given back.
        #[test]
        fn locks_do_as_a_simple_model_and_rows_hold_the_state(
            steps in prop::collection::vec((0..6_u8, any::<bool>(), 0..20_u64, 0..60_u64), 1..120),
        ) {
            let mut locks = Locks::new(100);
            let mut model: BTreeMap<u8, u64> = BTreeMap::new();
            let mut store: BTreeMap<Vec<u8>, Row> = BTreeMap::new();
            let mut stamp = 0;
            for (key, acquire, passed, hold) in steps {
                stamp += passed;
                let held = model.get(&key).is_some_and(|until| *until > stamp);
                let mut rows = Vec::new();
                let name = alloc::format!("{key}");
                let answer = locks.apply(command(&name, acquire, stamp, stamp + hold), &mut rows);
                prop_assert_eq!(answer, Ok(Reply::Locked(held != acquire)));
                match (acquire, held) {
                    (true, false) => drop(model.insert(key, stamp + hold)),
                    (false, _) => drop(model.remove(&key)),
                    _ => {}
                }
                for write in rows {
                    match write {
                        RowWrite::Put { row, .. } => drop(store.insert(row.key.clone(), row)),
                        RowWrite::Delete { key, .. } => drop(store.remove(&key)),
                        RowWrite::Cut { .. } => prop_assert!(false, "locks cut nothing"),
                    }
                }
                let mut restored = Locks::new(100);
                for row in store.values() {
                    restored.restore(row).expect("a row of this release");
                }
                prop_assert_eq!(&restored, &locks);
                prop_assert_eq!(locks.held(stamp), model.values().filter(|until| **until > stamp).count());
            }
            prop_assert_eq!(Locks::from_snapshot(&locks.snapshot()), Ok(locks));
        }
    }
}
