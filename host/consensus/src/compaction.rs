//! When the log is cut, and where: by count and by bytes.
//!
//! Bytes are counted roughly, in steps of a MiB, and only for entries appended since the start: the log is at most that
//! much larger than the rule allows, once, and a start reads no payloads to weigh them.

use std::collections::VecDeque;

/// The log is cut when it holds this many entries ...
const CUT_ENTRIES: u64 = 20_000;
/// ... and keeps this many, so that a member that was away for a short while needs no snapshot.
const KEEP_ENTRIES: u64 = 10_000;
/// It is cut as well when its entries hold this many bytes ...
const CUT_BYTES: u64 = 64 << 20;
/// ... and keeps this many then.
const KEEP_BYTES: u64 = 32 << 20;
/// Distance of the marks.
const MARK_BYTES: u64 = 1 << 20;
/// What an entry costs besides its payload.
const ENTRY_BYTES: u64 = 32;

/// Running size of the log.
#[derive(Debug, Default)]
pub(crate) struct LogSize {
    /// `(index, bytes of all entries up to and with it)`, both growing.
    marks: VecDeque<(u64, u64)>,
    /// Bytes of all entries.
    total: u64,
}

impl LogSize {
    /// Counts an entry; those at and after its index are gone. `first` is the log's first index.
    pub(crate) fn append(&mut self, index: u64, payload: usize, first: u64) {
        while self.marks.back().is_some_and(|mark| mark.0 >= index) {
            self.marks.pop_back();
            self.total = self.marks.back().map_or(0, |mark| mark.1);
        }
        while self.marks.get(1).is_some_and(|mark| mark.0 < first) {
            self.marks.pop_front();
        }
        self.total += payload as u64 + ENTRY_BYTES;
        if self.total - self.marks.back().map_or(0, |mark| mark.1) >= MARK_BYTES {
            self.marks.push_back((index, self.total));
        }
    }

    fn up_to(&self, index: u64) -> u64 {
        let after = self.marks.partition_point(|mark| mark.0 <= index);
        after.checked_sub(1).map_or(0, |at| self.marks[at].1)
    }

    /// The index up to which a log that begins at `first` is to be cut when the state is durable up to `durable`.
    pub(crate) fn cut(&self, first: u64, durable: u64) -> Option<u64> {
        let by_count =
            (durable.saturating_sub(first) >= CUT_ENTRIES).then(|| durable - KEEP_ENTRIES);
        let end = self.up_to(durable);
        let by_bytes =
            (end - self.up_to(first.saturating_sub(1)).min(end) > CUT_BYTES).then(|| {
                let at = self
                    .marks
                    .partition_point(|mark| end.saturating_sub(mark.1) > KEEP_BYTES);
                self.marks.get(at).map_or(durable, |mark| mark.0)
            });
        by_count
            .max(by_bytes)
            .map(|index| index.min(durable))
            .filter(|index| *index >= first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(entries: u64, payload: usize) -> LogSize {
        let mut size = LogSize::default();
        for index in 1..=entries {
            size.append(index, payload, 1);
        }
        size
    }

    #[test]
    fn cuts_by_count_and_keeps_ten_thousand() {
        let size = log(30_000, 100);
        assert_eq!(size.cut(1, 20_000), None);
        assert_eq!(size.cut(1, 20_001), Some(10_001));
        assert_eq!(size.cut(10_002, 30_000), None);
        assert_eq!(size.cut(1, 0), None);
    }

    #[test]
    fn cuts_by_bytes_and_never_past_the_durable_index() {
        let size = log(100, 1 << 20);
        assert_eq!(size.cut(1, 63), None);
        let cut = size.cut(1, 100).expect("100 MiB are too much");
        assert!((67..=69).contains(&cut), "keeps about 32 MiB, not {cut}");
        assert_eq!(size.cut(cut + 1, 100), None);
        let one = log(70, 1 << 20).cut(1, 66).expect("66 MiB are too much");
        assert!(one <= 66);
    }

    #[test]
    fn one_huge_entry_is_cut_whole() {
        let mut size = log(10, 10);
        size.append(11, 80 << 20, 1);
        assert_eq!(size.cut(1, 10), None);
        assert_eq!(size.cut(1, 11), Some(11));
    }

    #[test]
    fn a_cut_tail_is_not_counted() {
        let mut size = log(60, 1 << 20);
        for index in 2..=60 {
            size.append(index, 1, 1);
        }
        assert_eq!(size.cut(1, 60), None);
        assert!(size.total < 3 << 20);
    }

    #[test]
    fn marks_before_the_log_are_forgotten() {
        let mut size = log(100, 1 << 20);
        size.append(101, 1 << 20, 90);
        assert!(size.marks.len() <= 13);
        assert_eq!(size.cut(90, 101), None);
    }
}
