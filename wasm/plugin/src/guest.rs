//! The guest's state behind the exports: buffers, the table, the rule. Safe code throughout; the exports only pass numbers.

use crate::draws::Draws;
use crate::rule::{Choice, Outcome, Pick, Rule};
use crate::table::Table;
use crate::{FALLBACK, NONE, choose, error};
use alloc::borrow::Cow;
use alloc::vec::Vec;

/// Buffers that were asked for and not handed back yet; the oldest goes when there are more.
const PENDING: usize = 4;

/// One plugin instance.
#[derive(Debug)]
pub struct Guest<R> {
    rule: Option<R>,
    pending: Vec<Vec<u8>>,
    table: Vec<u8>,
    head: Table<'static>,
    draws: Draws,
    said: Cow<'static, str>,
}

impl<R: Rule> Default for Guest<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Rule> Guest<R> {
    /// Without a rule.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            rule: None,
            pending: Vec::new(),
            table: Vec::new(),
            head: Table::empty(),
            draws: Draws::seeded(0),
            said: Cow::Borrowed(""),
        }
    }

    /// `lb_alloc`: the address of a new buffer; 0 when there is no memory.
    pub fn alloc(&mut self, length: usize) -> usize {
        let mut buffer = Vec::new();
        if length == 0 || buffer.try_reserve_exact(length).is_err() {
            return 0;
        }
        buffer.resize(length, 0);
        if self.pending.len() == PENDING {
            self.pending.remove(0);
        }
        let at = buffer.as_ptr() as usize;
        self.pending.push(buffer);
        at
    }

    /// The buffer at this address, which is no longer pending.
    fn claim(&mut self, at: usize) -> Option<Vec<u8>> {
        let place = self
            .pending
            .iter()
            .position(|buffer| buffer.as_ptr() as usize == at)?;
        Some(self.pending.swap_remove(place))
    }

    fn refuse(&mut self, code: i32, why: impl Into<Cow<'static, str>>) -> i32 {
        self.said = why.into();
        code
    }

    /// `lb_init`: takes the configuration in a buffer, which is given back by that.
    pub fn init(&mut self, at: usize, length: usize) -> i32 {
        let Some(config) = self.claim(at).filter(|buffer| length <= buffer.len()) else {
            return self.refuse(error::BUFFER, "lb_init needs a buffer of lb_alloc");
        };
        self.configure(&config[..length])
    }

    /// The same with bytes from elsewhere.
    pub fn configure(&mut self, config: &[u8]) -> i32 {
        self.rule = None;
        match R::init(config) {
            Ok(rule) => {
                self.rule = Some(rule);
                self.said = Cow::Borrowed("");
                error::OK
            }
            Err(why) => self.refuse(error::CONFIG, why),
        }
    }

    /// `lb_update`: takes the table in a buffer and keeps it; the buffer of the table before is free then. The host may also write a
    /// new table into that one and name it again.
    pub fn update(&mut self, at: usize, count: u32, epoch: u64) -> i32 {
        if self.table.as_ptr() as usize != at || self.table.is_empty() {
            let Some(table) = self.claim(at) else {
                return self.refuse(error::BUFFER, "lb_update needs a buffer of lb_alloc");
            };
            self.table = table;
        }
        self.list(count, epoch)
    }

    /// The same with bytes from elsewhere.
    pub fn hand_over(&mut self, table: Vec<u8>, count: u32, epoch: u64) -> i32 {
        self.table = table;
        self.list(count, epoch)
    }

    fn list(&mut self, count: u32, epoch: u64) -> i32 {
        self.head = Table::empty();
        match Table::new(&self.table, count, epoch) {
            Ok(table) => self.head = table.head(),
            Err(why) => return self.refuse(error::TABLE, why),
        }
        let Some(rule) = &mut self.rule else {
            return self.refuse(error::STATE, "lb_update before lb_init");
        };
        rule.update(&self.head.over(&self.table));
        error::OK
    }

    /// `lb_choose`.
    #[inline]
    pub fn choose(&mut self, key_hash: u64, rand: u64, now_ms: u64, flags: u32) -> i32 {
        let Some(rule) = &mut self.rule else {
            return self.refuse(NONE, "lb_choose before lb_init");
        };
        self.draws.seed(rand);
        let mut pick = Pick {
            key_hash: (flags & choose::KEY != 0).then_some(key_hash),
            now_ms,
            draws: &mut self.draws,
            flags,
        };
        match rule.choose(&self.head.over(&self.table), &mut pick) {
            Choice::Index(index) => index as i32,
            Choice::Fallback => FALLBACK,
            Choice::None(why) => self.refuse(NONE, why),
        }
    }

    /// `lb_start`.
    #[inline]
    pub fn start(&mut self, index: u32, now_ms: u64) {
        if let Some(rule) = self.rule.as_mut().filter(|_| index < self.head.len()) {
            rule.start(&self.head.over(&self.table), index, now_ms);
        }
    }

    /// `lb_report`; an outcome or an index that is none is ignored.
    #[inline]
    pub fn report(&mut self, index: u32, outcome: i32, latency_us: u64, now_ms: u64) {
        let Some(outcome) = Outcome::of(outcome) else {
            return;
        };
        if let Some(rule) = self.rule.as_mut().filter(|_| index < self.head.len()) {
            rule.report(
                &self.head.over(&self.table),
                index,
                outcome,
                latency_us,
                now_ms,
            );
        }
    }

    /// `lb_draws`: a script in place of the generator, or none when `at` is 0. What became of the script before.
    pub fn script(&mut self, at: usize, length: usize) -> i32 {
        let script = self.claim(at).filter(|buffer| length <= buffer.len());
        self.draws
            .load(script.as_ref().map(|script| &script[..length]))
    }

    /// `lb_error`: why the last call that did not succeed did not.
    #[must_use]
    pub fn said(&self) -> &str {
        &self.said
    }

    /// The table's bytes, to rewrite live columns in place.
    pub fn table_mut(&mut self) -> &mut [u8] {
        &mut self.table
    }

    /// A pending buffer, to write into it.
    pub fn buffer_mut(&mut self, at: usize) -> Option<&mut [u8]> {
        let buffers = self.pending.iter_mut();
        let mut found = buffers.filter(|buffer| buffer.as_ptr() as usize == at);
        found.next().map(Vec::as_mut_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Instance, encode};
    use alloc::string::{String, ToString};

    struct First;

    impl Rule for First {
        fn init(config: &[u8]) -> Result<Self, String> {
            if config == b"{}" {
                Ok(First)
            } else {
                Err("no settings are known".to_string())
            }
        }

        fn choose(&mut self, table: &Table<'_>, _: &mut Pick<'_>) -> Choice {
            match table.get(0) {
                Some(one) if one.is_usable() => Choice::Index(0),
                Some(_) => Choice::Fallback,
                None => Choice::None("no-instances"),
            }
        }
    }

    fn put(guest: &mut Guest<First>, bytes: &[u8]) -> usize {
        let at = guest.alloc(bytes.len());
        guest.buffer_mut(at).unwrap().copy_from_slice(bytes);
        at
    }

    #[test]
    fn a_life_through_the_buffers() {
        let mut guest = Guest::<First>::new();
        assert_eq!(
            (guest.choose(0, 0, 0, 0), guest.said()),
            (NONE, "lb_choose before lb_init")
        );
        let at = put(&mut guest, b"[]");
        assert_eq!(
            (guest.init(at, 2), guest.said()),
            (error::CONFIG, "no settings are known")
        );
        assert_eq!(
            guest.init(at, 2),
            error::BUFFER,
            "the buffer was given back"
        );
        let at = put(&mut guest, b"{}");
        assert_eq!(guest.init(at, 3), error::BUFFER, "longer than the buffer");
        let at = put(&mut guest, b"{}");
        assert_eq!(guest.init(at, 2), error::OK);
        assert_eq!(
            (guest.choose(0, 0, 0, 0), guest.said()),
            (NONE, "no-instances")
        );
        let at = put(&mut guest, &encode(&[Instance::new("a")]));
        assert_eq!(guest.update(at, 1, 1), error::OK);
        assert_eq!(guest.choose(0, 0, 0, 0), 0);
        guest.table_mut()[crate::table::offset::FLAGS] = 0;
        assert_eq!(
            guest.choose(0, 0, 0, 0),
            FALLBACK,
            "live columns are read in place"
        );
        assert_eq!(guest.update(at, 1, 2), error::OK, "the same buffer again");
        assert_eq!(guest.update(at, 2, 3), error::TABLE);
        assert_eq!(
            guest.choose(0, 0, 0, 0),
            NONE,
            "no list is left after a bad one"
        );
    }

    #[test]
    fn buffers_that_never_come_back_are_bounded() {
        let mut guest = Guest::<First>::new();
        for _ in 0..1000 {
            assert_ne!(guest.alloc(1000), 0);
        }
        assert_eq!(guest.pending.len(), PENDING);
        assert_eq!((guest.alloc(usize::MAX / 2), guest.alloc(0)), (0, 0));
    }
}
