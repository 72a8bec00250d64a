//! A plugin under the recordings of real balancers, as `nacrite balance verify --plugin` runs them.

use nacrite_balance_plugin::draws;
use nacrite_balance_plugin::table::{Instance as Row, flags};
use nacrite_balance_plugin::{Outcome, choose};
use nacrite_core::balance::replay::Subject;
use nacrite_core::balance::{Candidate, Flags, Policy, Rng};

use crate::failure::Failure;
use crate::instance::{Chosen, Instance};
use crate::snapshot::{Snapshot, row};

/// A plugin's instance as the subject of a recording. The first failure is kept; after it nothing is chosen.
#[derive(Debug)]
pub struct Replayed {
    instance: Instance,
    listed: Vec<Candidate>,
    /// Servers that left; they stand behind the listed ones, so that they can be reported.
    departed: Vec<Candidate>,
    epoch: u64,
    now_ms: u64,
    bits: u32,
    script: bool,
    failure: Option<Failure>,
    /// Random bits of the picks without a script: a seed that grows by the same step each time.
    rand: Option<u64>,
    transcript: Option<Transcript>,
}

/// Between the random bits of two picks.
// Not the generator's own step: then a pick's second draw would be the next pick's first.
pub const RAND_STEP: u64 = 0xd134_2543_de82_ef95;

/// What was called, with the answers, as lines that a host in any language can play: see `wasm/examples/README.md`.
#[derive(Debug, Default)]
struct Transcript {
    lines: String,
    /// Picks of the same kind in a row, which make one line: count, first random bits, time, sum.
    many: Option<(u64, u64, u64, u64)>,
    /// Picks of one line after which nothing more is written down.
    most: u64,
    full: bool,
}

impl Transcript {
    fn line(&mut self, line: &str) {
        if self.full {
            return;
        }
        if let Some((count, rand, now_ms, sum)) = self.many.take() {
            self.lines
                .push_str(&format!("many {count} {rand} {now_ms} {sum}\n"));
        }
        self.lines.push_str(line);
        self.lines.push('\n');
    }

    fn pick_of_many(&mut self, rand: u64, now_ms: u64, answer: i64) {
        let (count, first, _, sum) =
            self.many
                .filter(|many| many.2 == now_ms)
                .unwrap_or_else(|| {
                    self.flush();
                    (0, rand, now_ms, 0)
                });
        if self.full {
            return;
        }
        let sum = sum.wrapping_add((count % 1000 + 1).wrapping_mul((answer + 2) as u64));
        self.many = Some((count + 1, first, now_ms, sum));
        if count + 1 == self.most {
            self.flush();
            self.full = true;
        }
    }

    fn flush(&mut self) {
        if self.many.is_some() {
            self.line("#");
        }
    }
}

fn list(rows: &[Row<'_>], epoch: u64) -> String {
    let mut lines = format!("list {epoch} {}", rows.len());
    for row in rows {
        let Row {
            id,
            id_hash,
            weight,
            joined_ms,
            zone,
            cluster,
            flags,
            ..
        } = row;
        let (zone, cluster) = (word(zone), word(cluster));
        lines.push_str(&format!(
            "\nr {id} {id_hash} {weight} {joined_ms} {zone} {cluster} {flags}"
        ));
    }
    lines
}

/// A text of a transcript: `-` when it is empty.
fn word(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

impl Replayed {
    /// Over an instance.
    #[must_use]
    pub fn new(instance: Instance) -> Self {
        Self {
            instance,
            listed: Vec::new(),
            departed: Vec::new(),
            epoch: 0,
            now_ms: 0,
            bits: 0,
            script: false,
            failure: None,
            rand: None,
            transcript: None,
        }
    }

    /// The same, writing down what is called. `config` is what the instance was made with. After `most` picks in a row
    /// nothing more is written down: a host that interprets would take minutes for a distribution.
    #[must_use]
    pub fn written_down(instance: Instance, config: &str, most: u64) -> Self {
        let mut transcript = Transcript {
            most,
            ..Transcript::default()
        };
        transcript.line(&format!("init {config}"));
        Self {
            transcript: Some(transcript),
            ..Self::new(instance)
        }
    }

    /// The lines that were written down.
    #[must_use]
    pub fn transcript(mut self) -> String {
        self.note(|_| "#".to_owned());
        self.transcript
            .map(|transcript| transcript.lines)
            .unwrap_or_default()
    }

    fn note(&mut self, line: impl FnOnce(&mut Instance) -> String) {
        if let Some(transcript) = &mut self.transcript {
            transcript.line(&line(&mut self.instance));
        }
    }

    /// The configuration that stands for a recorded policy: periodic work is done only when the recording does it.
    #[must_use]
    pub fn config(mut policy: Policy) -> String {
        policy.ribbon.weight_interval_ms = u64::MAX;
        serde_json::to_string(&policy).expect("a policy is plain data")
    }

    /// How the plugin failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }

    fn index(&self, id: &str) -> Option<u32> {
        let place = self
            .listed
            .iter()
            .chain(&self.departed)
            .position(|one| one.id == id);
        place.map(|place| place as u32)
    }

    fn next_rand(&mut self, rng: &mut dyn Rng) -> u64 {
        let next = match self.rand {
            Some(rand) => rand.wrapping_add(RAND_STEP),
            None => u64::from(rng.int(u32::MAX)) << 32 | u64::from(rng.int(u32::MAX)),
        };
        self.rand = Some(next);
        next
    }

    fn keep<T>(&mut self, outcome: Result<T, Failure>) -> Option<T> {
        outcome
            .map_err(|failure| self.failure.get_or_insert(failure))
            .ok()
    }

    fn report(&mut self, id: &str, outcome: Outcome, response_ms: f64, now_ms: u64) {
        if let Some(index) = self.index(id) {
            let (code, latency_us) = (outcome.code(), (response_ms * 1000.0) as u64);
            self.note(|_| format!("report {index} {code} {latency_us} {now_ms}"));
            let told = self.instance.report(index, code, latency_us, now_ms);
            self.keep(told);
        }
    }
}

impl Subject for Replayed {
    fn update(&mut self, now_ms: u64, candidates: Vec<Candidate>, reachable: Option<&[bool]>) {
        let left = std::mem::take(&mut self.listed);
        self.departed.extend(left);
        self.departed
            .retain(|one| candidates.iter().all(|listed| listed.id != one.id));
        self.listed = candidates;
        self.epoch += 1;
        self.now_ms = now_ms;
        let joined_ms = if self.epoch == 1 { 0 } else { now_ms };
        let answered =
            |index: usize| reachable.is_none_or(|up| up.get(index).copied().unwrap_or(false));
        let listed = self.listed.iter().enumerate().map(|(index, one)| {
            let row = row(one, None);
            let unreached = if answered(index) { 0 } else { flags::UNREACHED };
            Row {
                joined_ms,
                flags: row.flags | unreached,
                ..row
            }
        });
        let departed = self.departed.iter().map(|one| Row {
            flags: flags::DEPARTED,
            ..row(one, None)
        });
        let rows: Vec<Row<'_>> = listed.chain(departed).collect();
        let snapshot = Snapshot::from_rows(&rows, self.epoch);
        let lines = self.transcript.is_some().then(|| list(&rows, self.epoch));
        if let Some(lines) = lines {
            self.note(|_| lines);
        }
        let updated = self.instance.update(&snapshot);
        self.keep(updated);
    }

    fn set_flag(&mut self, index: u32, flag: Flags, on: bool) {
        self.instance.flag(index, flag.bits(), on);
        self.bits |= choose::FLAGS;
        self.note(|instance| format!("flags {index} {}", instance.flags(index)));
    }

    fn start(&mut self, id: &str, now_ms: u64) {
        if let Some(index) = self.index(id) {
            let told = self.instance.start(index, now_ms);
            self.keep(told);
            self.note(|_| format!("start {index} {now_ms}"));
        }
    }

    fn finish(&mut self, id: &str, now_ms: u64, response_ms: f64) {
        self.report(id, Outcome::Success, response_ms, now_ms);
    }

    fn fail(&mut self, id: &str, now_ms: u64) {
        self.report(id, Outcome::FailureOnly, 0.0, now_ms);
    }

    fn observe(&mut self, id: &str, response_ms: f64) {
        self.report(id, Outcome::ResponseOnly, response_ms, self.now_ms);
    }

    fn maintain_weights(&mut self) -> Option<Vec<f64>> {
        let now_ms = self.now_ms;
        let maintained = self.instance.choose(0, 0, now_ms, choose::MAINTAIN);
        self.keep(maintained);
        self.note(|_| format!("pick 0 0 {now_ms} {} -1", choose::MAINTAIN));
        None
    }

    fn script(&mut self, script: &[(u32, f64)]) -> bool {
        let bytes = draws::script(script);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.note(|_| format!("draws {} 0", word(&hex)));
        let loaded = self.instance.script(Some(&bytes));
        self.script = loaded.is_some();
        if let Some(loaded) = loaded {
            self.keep(loaded);
        }
        self.script
    }

    fn script_left(&mut self) -> i32 {
        self.script = false;
        self.note(|_| "draws - 0".to_owned());
        let left = self.instance.script(None);
        left.and_then(|left| self.keep(left)).unwrap_or(0)
    }

    fn choose(&mut self, now_ms: u64, rng: &mut dyn Rng, key: Option<&str>) -> Option<u32> {
        self.now_ms = now_ms;
        if self.failure.is_some() {
            return None;
        }
        let key = key.map(|key| nacrite_core::balance::hash::xxh64(key.as_bytes(), 0));
        let rand = if self.script { 0 } else { self.next_rand(rng) };
        let bits = std::mem::take(&mut self.bits) | if key.is_some() { choose::KEY } else { 0 };
        let key = key.unwrap_or_default();
        let chosen = self.instance.choose(key, rand, now_ms, bits);
        let chosen = self.keep(chosen);
        let answer = match chosen {
            Some(Chosen::Index(index)) => i64::from(index),
            Some(Chosen::Fallback) => -2,
            _ => -1,
        };
        match &mut self.transcript {
            Some(transcript) if !self.script && bits == 0 => {
                transcript.pick_of_many(rand, now_ms, answer);
            }
            _ => self.note(|_| format!("pick {key} {rand} {now_ms} {bits} {answer}")),
        }
        match chosen {
            Some(Chosen::Index(index)) if (index as usize) < self.listed.len() => Some(index),
            Some(Chosen::Index(index)) => {
                self.failure.get_or_insert(Failure::BadIndex {
                    index: index as i32,
                    count: self.listed.len() as u32,
                });
                None
            }
            _ => None,
        }
    }
}
