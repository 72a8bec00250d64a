//! The instance table: records of 64 bytes, then the string table. Read in place by guests, written by hosts.
//!
//! The layout is part of the ABI (`wasm/ABI.md`); this is its only description in code.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Bytes of a record.
pub const RECORD: usize = 64;
/// Bytes of the string table's head: its own length with head and all, the number of strings.
const HEAD: usize = 8;
/// Bytes of one entry of the string index, and of one metadata pair.
const PAIR: usize = 8;

/// Bits of a record's flags.
pub mod flags {
    /// The host's last probe found it up.
    pub const ALIVE: u32 = 1;
    /// It says itself that it can serve.
    pub const READY: u32 = 1 << 1;
    /// The registry holds it for healthy.
    pub const HEALTHY: u32 = 1 << 2;
    /// An operator has not taken it out.
    pub const ENABLED: u32 = 1 << 3;
    /// The host's circuit breaker is open for it.
    pub const TRIPPED: u32 = 1 << 4;
    /// The host has ejected it.
    pub const EJECTED: u32 = 1 << 5;
    /// It is in the caller's zone.
    pub const SAME_ZONE: u32 = 1 << 6;
    /// This request tried it already.
    pub const TRIED: u32 = 1 << 7;
    /// It did not answer the host's last probe.
    pub const UNREACHED: u32 = 1 << 8;
    /// It left the list; the record is there so that running requests can still be reported. Stands behind all others and is
    /// never to be chosen.
    pub const DEPARTED: u32 = 1 << 9;
    /// The counts of this record are the host's and go before those the guest kept.
    pub const COUNTED: u32 = 1 << 10;
    /// What an instance needs to be served from.
    pub const SERVING: u32 = ALIVE | READY | HEALTHY | ENABLED;
}

/// Where the fields of a record are.
pub mod offset {
    /// Hash of the id, u64.
    pub const ID_HASH: usize = 0;
    /// Weight as registered, f64.
    pub const WEIGHT: usize = 8;
    /// When it joined, by the host's monotonic clock in ms, u64; 0 = with the first list.
    pub const JOINED: usize = 16;
    /// String number of the zone, u32.
    pub const ZONE: usize = 24;
    /// String number of the cluster, u32.
    pub const CLUSTER: usize = 28;
    /// Flags, u32; live.
    pub const FLAGS: usize = 32;
    /// Requests under way, u32; live.
    pub const ACTIVE: usize = 36;
    /// Moving average of response times in µs, f32; live.
    pub const EWMA: usize = 40;
    /// Failures in a row, u32; live.
    pub const FAILURES: usize = 44;
    /// Where the metadata pairs are, from the table's start, u32.
    pub const METADATA: usize = 48;
    /// Their length in bytes, u32.
    pub const METADATA_LENGTH: usize = 52;
    /// String number of the id, u32.
    pub const ID: usize = 56;
}

/// A table that a host handed over.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    bytes: &'a [u8],
    count: u32,
    strings: u32,
    /// Number of the list; grows with each update.
    pub epoch: u64,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

impl<'a> Table<'a> {
    /// Reads the head of a table.
    ///
    /// # Errors
    /// What is not as the layout says.
    pub fn new(bytes: &'a [u8], count: u32, epoch: u64) -> Result<Self, &'static str> {
        let records = (count as usize)
            .checked_mul(RECORD)
            .filter(|&end| end <= bytes.len().saturating_sub(HEAD))
            .ok_or("the table is shorter than its records and the head of the string table")?;
        let length = u32_at(bytes, records).unwrap_or(0) as usize;
        let strings = u32_at(bytes, records + 4).unwrap_or(0);
        let room = length.saturating_sub(HEAD) / PAIR;
        if length > bytes.len() - records || strings as usize > room || strings == 0 {
            return Err("the string table is longer than the buffer, or has no string 0");
        }
        Ok(Self {
            bytes: &bytes[..records + length],
            count,
            strings,
            epoch,
        })
    }

    /// The table without instances, before the first update.
    #[must_use]
    pub const fn empty() -> Table<'static> {
        Table {
            bytes: &[],
            count: 0,
            strings: 0,
            epoch: 0,
        }
    }

    /// The same without its bytes.
    pub(crate) const fn head(&self) -> Table<'static> {
        Table {
            bytes: &[],
            count: self.count,
            strings: self.strings,
            epoch: self.epoch,
        }
    }

    /// A head over the bytes it was read from.
    #[inline]
    pub(crate) const fn over<'b>(&self, bytes: &'b [u8]) -> Table<'b> {
        Table {
            bytes,
            count: self.count,
            strings: self.strings,
            epoch: self.epoch,
        }
    }

    /// How many records there are, departed ones with them.
    #[must_use]
    pub const fn len(&self) -> u32 {
        self.count
    }

    /// True when there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The record with this index.
    #[must_use]
    #[inline]
    pub fn get(&self, index: u32) -> Option<Record<'a>> {
        if index >= self.count {
            return None;
        }
        let at = index as usize * RECORD;
        let bytes = self.bytes.get(at..at + RECORD)?.first_chunk()?;
        Some(Record {
            table: *self,
            bytes,
        })
    }

    /// All records, in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let table = *self;
        (0..self.count).filter_map(move |index| table.get(index))
    }

    /// The string with this number; empty for 0 and for what is none.
    #[must_use]
    pub fn string(&self, number: u32) -> &'a str {
        let text = || {
            if number >= self.strings {
                return None;
            }
            let entry = self.count as usize * RECORD + HEAD + number as usize * PAIR;
            let at = u32_at(self.bytes, entry)? as usize;
            let length = u32_at(self.bytes, entry + 4)? as usize;
            core::str::from_utf8(self.bytes.get(at..at.checked_add(length)?)?).ok()
        };
        text().unwrap_or_default()
    }

    /// The number of this string, to compare numbers instead of texts in `choose`; none when no record has it.
    #[must_use]
    pub fn number(&self, text: &str) -> Option<u32> {
        (1..self.strings).find(|&number| self.string(number) == text)
    }
}

/// One instance of the table.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    table: Table<'a>,
    bytes: &'a [u8; RECORD],
}

impl<'a> Record<'a> {
    #[inline]
    fn word(&self, at: usize) -> u32 {
        let b = self.bytes;
        u32::from_le_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]])
    }

    #[inline]
    fn long(&self, at: usize) -> u64 {
        u64::from(self.word(at)) | u64::from(self.word(at + 4)) << 32
    }

    /// Hash of the id.
    #[must_use]
    pub fn id_hash(&self) -> u64 {
        self.long(offset::ID_HASH)
    }

    /// `host:port`.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.table.string(self.word(offset::ID))
    }

    /// Weight as registered; may be negative, infinite or not a number.
    #[must_use]
    #[inline]
    pub fn weight(&self) -> f64 {
        f64::from_bits(self.long(offset::WEIGHT))
    }

    /// When it joined, in ms of the host's monotonic clock; 0 = with the first list.
    #[must_use]
    pub fn joined_ms(&self) -> u64 {
        self.long(offset::JOINED)
    }

    /// String number of its zone; 0 = none.
    #[must_use]
    #[inline]
    pub fn zone_number(&self) -> u32 {
        self.word(offset::ZONE)
    }

    /// Its zone; empty = none.
    #[must_use]
    pub fn zone(&self) -> &'a str {
        self.table.string(self.zone_number())
    }

    /// Its Nacos cluster.
    #[must_use]
    pub fn cluster(&self) -> &'a str {
        self.table.string(self.word(offset::CLUSTER))
    }

    /// Bits of [`flags`].
    #[must_use]
    #[inline]
    pub fn flags(&self) -> u32 {
        self.word(offset::FLAGS)
    }

    /// Alive, ready, healthy, enabled, neither tripped nor ejected nor tried, and with a weight above 0.
    #[must_use]
    #[inline]
    pub fn is_usable(&self) -> bool {
        const WANTED: u32 =
            flags::SERVING | flags::TRIPPED | flags::EJECTED | flags::TRIED | flags::DEPARTED;
        self.flags() & WANTED == flags::SERVING && self.weight() > 0.0
    }

    /// Requests under way.
    #[must_use]
    #[inline]
    pub fn active(&self) -> u32 {
        self.word(offset::ACTIVE)
    }

    /// Moving average of its response times in µs; 0 = no sample.
    #[must_use]
    #[inline]
    pub fn ewma_us(&self) -> f32 {
        f32::from_bits(self.word(offset::EWMA))
    }

    /// Failures in a row.
    #[must_use]
    pub fn failure_run(&self) -> u32 {
        self.word(offset::FAILURES)
    }

    /// Labels as registered, name and value.
    pub fn metadata(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let table = self.table;
        let at = self.word(offset::METADATA) as usize;
        let length = self.word(offset::METADATA_LENGTH) as usize;
        let pairs = at
            .checked_add(length)
            .and_then(|end| table.bytes.get(at..end));
        let pairs = pairs.unwrap_or_default().chunks_exact(PAIR);
        pairs.filter_map(move |pair| {
            Some((
                table.string(u32_at(pair, 0)?),
                table.string(u32_at(pair, 4)?),
            ))
        })
    }

    /// The value of one label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&'a str> {
        self.metadata()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }
}

/// One instance as a host writes it.
#[derive(Clone, Debug)]
pub struct Instance<'a> {
    /// `host:port`.
    pub id: &'a str,
    /// Hash of the id (xxHash64, seed 0, in Nacrite's hosts).
    pub id_hash: u64,
    /// Weight as registered.
    pub weight: f64,
    /// When it joined, in ms of the host's monotonic clock; 0 = with the first list.
    pub joined_ms: u64,
    /// Zone; empty = none.
    pub zone: &'a str,
    /// Nacos cluster.
    pub cluster: &'a str,
    /// Bits of [`flags`].
    pub flags: u32,
    /// Requests under way.
    pub active: u32,
    /// Moving average of its response times in µs; 0 = no sample.
    pub ewma_us: f32,
    /// Failures in a row.
    pub failure_run: u32,
    /// Labels, name and value.
    pub metadata: Vec<(&'a str, &'a str)>,
}

impl<'a> Instance<'a> {
    /// A usable instance of weight 1 without labels.
    #[must_use]
    pub fn new(id: &'a str) -> Self {
        Self {
            id,
            id_hash: 0,
            weight: 1.0,
            joined_ms: 0,
            zone: "",
            cluster: "",
            flags: flags::SERVING,
            active: 0,
            ewma_us: 0.0,
            failure_run: 0,
            metadata: Vec::new(),
        }
    }
}

/// Strings on their way into a table.
struct Strings<'a> {
    numbers: BTreeMap<&'a str, u32>,
    texts: Vec<&'a str>,
    /// What was asked for last: neighbours often share zone and cluster.
    last: [(&'a str, u32); 2],
}

impl<'a> Strings<'a> {
    fn add(&mut self, text: &'a str) -> u32 {
        self.texts.push(text);
        self.texts.len() as u32 - 1
    }

    fn number(&mut self, text: &'a str) -> u32 {
        if text.is_empty() {
            return 0;
        }
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.add(text);
        self.numbers.insert(text, number);
        number
    }

    fn near(&mut self, column: usize, text: &'a str) -> u32 {
        if self.last[column].0 != text {
            self.last[column] = (text, self.number(text));
        }
        self.last[column].1
    }
}

/// The bytes of a table: what goes into the buffer of `lb_update`.
#[must_use]
pub fn encode(instances: &[Instance<'_>]) -> Vec<u8> {
    let mut strings = Strings {
        numbers: BTreeMap::new(),
        texts: alloc::vec![""],
        last: [("", 0); 2],
    };
    let mut pairs: Vec<(u32, u32)> = Vec::new();
    let mut bytes = Vec::with_capacity(instances.len() * (RECORD + 48) + HEAD);
    for one in instances {
        let (zone, cluster) = (strings.near(0, one.zone), strings.near(1, one.cluster));
        let first = pairs.len();
        for &(name, value) in &one.metadata {
            pairs.push((strings.number(name), strings.number(value)));
        }
        let mut record = [0_u8; RECORD];
        let mut put = |at: usize, field: &[u8]| record[at..at + field.len()].copy_from_slice(field);
        put(offset::ID_HASH, &one.id_hash.to_le_bytes());
        put(offset::WEIGHT, &one.weight.to_le_bytes());
        put(offset::JOINED, &one.joined_ms.to_le_bytes());
        put(offset::ZONE, &zone.to_le_bytes());
        put(offset::CLUSTER, &cluster.to_le_bytes());
        put(offset::FLAGS, &one.flags.to_le_bytes());
        put(offset::ACTIVE, &one.active.to_le_bytes());
        put(offset::EWMA, &one.ewma_us.to_le_bytes());
        put(offset::FAILURES, &one.failure_run.to_le_bytes());
        // The place among the pairs; where they begin is known when all strings are.
        put(offset::METADATA, &(first as u32).to_le_bytes());
        put(
            offset::METADATA_LENGTH,
            &(((pairs.len() - first) * PAIR) as u32).to_le_bytes(),
        );
        put(offset::ID, &strings.add(one.id).to_le_bytes());
        bytes.extend_from_slice(&record);
    }
    let records = bytes.len();
    let start_of_pairs = records + HEAD + strings.texts.len() * PAIR;
    for record in bytes.chunks_exact_mut(RECORD) {
        let at = &mut record[offset::METADATA..offset::METADATA + 4];
        let first = u32_at(at, 0).unwrap_or(0) as usize;
        at.copy_from_slice(&((start_of_pairs + first * PAIR) as u32).to_le_bytes());
    }
    let mut at = start_of_pairs + pairs.len() * PAIR;
    let texts: usize = strings.texts.iter().map(|text| text.len()).sum();
    bytes.reserve(at + texts - records);
    bytes.extend_from_slice(&((at + texts - records) as u32).to_le_bytes());
    bytes.extend_from_slice(&(strings.texts.len() as u32).to_le_bytes());
    for text in &strings.texts {
        bytes.extend_from_slice(&(at as u32).to_le_bytes());
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        at += text.len();
    }
    for (name, value) in &pairs {
        bytes.extend_from_slice(&name.to_le_bytes());
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    for text in &strings.texts {
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let a = Instance {
            id_hash: 0x0102_0304_0506_0708,
            weight: 2.5,
            joined_ms: 9,
            zone: "za",
            cluster: "c1",
            active: 3,
            ewma_us: 1.5,
            failure_run: 4,
            metadata: alloc::vec![("cpu", "70"), ("tenant", "")],
            ..Instance::new("10.0.0.1:80")
        };
        let b = Instance {
            zone: "za",
            metadata: alloc::vec![("cpu", "20")],
            flags: flags::SERVING | flags::TRIPPED,
            ..Instance::new("10.0.0.2:80")
        };
        let bytes = encode(&[a, b]);
        let table = Table::new(&bytes, 2, 5).unwrap();
        let [a, b] = [0, 1].map(|index| table.get(index).unwrap());
        assert_eq!(
            (a.id_hash(), a.id(), a.joined_ms()),
            (0x0102_0304_0506_0708, "10.0.0.1:80", 9)
        );
        assert_eq!(
            (a.zone(), a.cluster(), b.zone(), b.cluster()),
            ("za", "c1", "za", "")
        );
        assert_eq!(
            (a.weight().to_bits(), a.ewma_us().to_bits()),
            (2.5_f64.to_bits(), 1.5_f32.to_bits())
        );
        assert_eq!((a.active(), a.failure_run()), (3, 4));
        assert_eq!((a.is_usable(), b.is_usable()), (true, false));
        assert_eq!(
            (
                a.label("cpu"),
                a.label("tenant"),
                b.label("cpu"),
                b.label("x")
            ),
            (Some("70"), Some(""), Some("20"), None)
        );
        assert_eq!(table.number("za"), Some(a.zone_number()));
        assert!(table.get(2).is_none() && table.string(99).is_empty());
    }

    #[test]
    fn a_table_that_is_cut_is_refused_or_read_within_its_bytes() {
        let bytes = encode(&[Instance {
            zone: "z",
            metadata: alloc::vec![("a", "b")],
            ..Instance::new("x")
        }]);
        for length in 0..bytes.len() {
            assert!(Table::new(&bytes[..length], 1, 1).is_err(), "{length}");
        }
        for at in 0..bytes.len() {
            let mut wild = bytes.clone();
            wild[at] = 0xff;
            if let Ok(table) = Table::new(&wild, 1, 1) {
                let read = table
                    .iter()
                    .map(|one| one.id().len() + one.zone().len() + one.metadata().count());
                assert!(read.sum::<usize>() < 1000);
            }
        }
        assert!(Table::new(&bytes, u32::MAX, 1).is_err());
    }
}
