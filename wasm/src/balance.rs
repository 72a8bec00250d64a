//! `nacrite-balance.wasm`: every built-in rule as a plugin, for hosts in any language.
//!
//! The module is what `wasm/ABI.md` describes, no more: its configuration is a policy document (`{"rule": "p2c-ewma"}`), the
//! instance table becomes the balancer's list. With the feature `recordings`, a module for tests, a configuration
//! `{"recording": {…}, "mode": "exact"}` replays a recording of a real balancer inside the module instead.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use nacrite_balance_plugin::{
    Choice, Draws, Outcome as Ended, Pick, Record, Rule, Table, choose, table::flags,
};
use nacrite_core::balance::{Balancer, Candidate, Context, Flags, Outcome, Policy, Report, Rng};

/// Time between two looks at what is due at intervals.
const MAINTAIN_MS: u64 = 1000;

/// The flags that a candidate has in the core.
const CANDIDATE: u32 = flags::SERVING | flags::TRIPPED | flags::EJECTED;

/// A built-in rule behind the plugin ABI.
#[derive(Debug)]
pub struct BuiltIn {
    balancer: Balancer,
    /// Records that may be chosen; departed ones stand behind them.
    listed: u32,
    maintained_ms: u64,
    tried: Vec<u32>,
}

/// The draws of a pick, as the core asks for them.
struct Source<'a>(&'a mut Draws);

impl Rng for Source<'_> {
    #[inline]
    fn int(&mut self, bound: u32) -> u32 {
        self.0.int(bound)
    }

    fn unit(&mut self) -> f64 {
        self.0.unit()
    }
}

fn candidate(record: &Record<'_>) -> Candidate {
    let zone = record.zone();
    // Not `collect`, which sorts first: a sort is 8 kB of a module.
    let mut metadata = alloc::collections::BTreeMap::new();
    for (name, value) in record.metadata() {
        metadata.insert(name.to_string(), value.to_string());
    }
    Candidate {
        id: name(record),
        zone: (!zone.is_empty()).then(|| zone.to_string()),
        cluster: record.cluster().to_string(),
        weight: record.weight(),
        flags: Flags::from_bits(record.flags() & CANDIDATE),
        metadata,
    }
}

/// The id; a host that gives only its hash gets the same statistics, but its own ring.
fn name(record: &Record<'_>) -> String {
    match record.id() {
        // Not `format!`, which nothing else here needs.
        "" => (0..16)
            .rev()
            .filter_map(|at| char::from_digit((record.id_hash() >> (4 * at)) as u32 & 15, 16))
            .collect(),
        id => id.to_string(),
    }
}

/// Runs the recording of a configuration that holds one.
#[cfg(feature = "recordings")]
fn replayed(config: &[u8]) -> Option<Result<(), String>> {
    use nacrite_core::balance::{Mode, replay::Recording};
    // A policy never has the word; a policy is not parsed twice.
    if !config.windows(11).any(|word| word == b"\"recording\"") {
        return None;
    }
    let document: serde_json::Value = serde_json::from_slice(config).ok()?;
    let recording = document.get("recording").filter(|one| one.is_object())?;
    let mode = match document["mode"].as_str() {
        Some("exact") => Mode::Exact,
        _ => Mode::Safe,
    };
    let run = Recording::parse(&recording.to_string()).and_then(|recording| recording.run(mode));
    Some(match run {
        Ok(0) => Err("nothing was compared".to_string()),
        Ok(_) => Ok(()),
        Err(why) => Err(why.to_string()),
    })
}

impl BuiltIn {
    fn take_over(&self, index: u32, record: &Record<'_>, now_ms: u64) {
        if record.flags() & flags::COUNTED != 0 {
            let cost_ms = f64::from(record.ewma_us()) / 1000.0;
            self.balancer.take_over(
                index,
                now_ms,
                record.active(),
                cost_ms,
                record.failure_run(),
            );
        }
    }

    /// Follows what the host rewrote in place.
    fn follow(&mut self, table: &Table<'_>, pick: &Pick<'_>) {
        self.tried.clear();
        for (index, record) in (0..self.listed).zip(table.iter()) {
            let bits = record.flags();
            if pick.flags & choose::FLAGS != 0 {
                self.balancer
                    .set_flags(index, Flags::from_bits(bits & CANDIDATE));
            }
            if pick.flags & choose::COUNTS != 0 {
                self.take_over(index, &record, pick.now_ms);
            }
            if pick.flags & choose::TRIED != 0 && bits & flags::TRIED != 0 {
                self.tried.push(index);
            }
        }
    }
}

impl Rule for BuiltIn {
    fn init(config: &[u8]) -> Result<Self, String> {
        #[cfg(feature = "recordings")]
        let config = match replayed(config) {
            Some(run) => run.map(|()| b"{}".as_slice())?,
            None => config,
        };
        let policy = Policy::from_json(config).map_err(|why| why.message())?;
        if policy
            .rule
            .starts_with(nacrite_core::balance::names::PLUGIN_PREFIX)
        {
            return Err("rule must be a built-in one: a plugin holds no plugins".to_string());
        }
        Ok(Self {
            balancer: Balancer::new(policy).map_err(|why| why.message())?,
            listed: 0,
            maintained_ms: 0,
            tried: Vec::new(),
        })
    }

    fn update(&mut self, table: &Table<'_>) {
        let departed = |record: &Record<'_>| record.flags() & flags::DEPARTED != 0;
        let listed: Vec<Record<'_>> = table
            .iter()
            .take_while(|record| !departed(record))
            .collect();
        let reached: Vec<bool> = listed
            .iter()
            .map(|record| record.flags() & flags::UNREACHED == 0)
            .collect();
        let probed = reached.contains(&false).then_some(reached.as_slice());
        self.listed = listed.len() as u32;
        // The clock of an update is that of the newest joiner: the ABI gives no other, and only joining depends on it.
        let now_ms = listed
            .iter()
            .map(Record::joined_ms)
            .max()
            .unwrap_or(0)
            .max(self.maintained_ms);
        self.balancer
            .update_probed(now_ms, listed.iter().map(candidate).collect(), probed);
        for (index, record) in (0..).zip(&listed) {
            self.take_over(index, record, now_ms);
        }
    }

    fn choose(&mut self, table: &Table<'_>, pick: &mut Pick<'_>) -> Choice {
        if pick.flags & (choose::FLAGS | choose::COUNTS | choose::TRIED) != 0 {
            self.follow(table, pick);
        }
        if pick.flags & choose::MAINTAIN != 0 {
            self.balancer.maintain_weights();
            return Choice::None("maintained");
        }
        if pick.now_ms.saturating_sub(self.maintained_ms) >= MAINTAIN_MS {
            self.maintained_ms = pick.now_ms;
            self.balancer.maintain(pick.now_ms);
        }
        let tried: &[u32] = if pick.flags & choose::TRIED != 0 {
            &self.tried
        } else {
            &[]
        };
        let context = Context {
            key_hash: pick.key_hash,
            tried,
            ..Context::default()
        };
        match self
            .balancer
            .choose(pick.now_ms, &mut Source(pick.draws), &context)
        {
            Ok(chosen) => Choice::Index(chosen.index),
            Err(why) => Choice::None(why.as_str()),
        }
    }

    fn start(&mut self, table: &Table<'_>, index: u32, now_ms: u64) {
        if index < self.listed {
            self.balancer.begin(index, now_ms);
        } else if let Some(record) = table.get(index) {
            self.balancer.start_id(&name(&record), now_ms);
        }
    }

    fn report(
        &mut self,
        table: &Table<'_>,
        index: u32,
        outcome: Ended,
        latency_us: u64,
        now_ms: u64,
    ) {
        let response_ms = latency_us as f64 / 1000.0;
        let outcome = match outcome {
            Ended::Success => Outcome::Success,
            Ended::ServerError => Outcome::ServerError,
            Ended::GatewayError => Outcome::GatewayError,
            Ended::CircuitFailure => Outcome::CircuitFailure,
            Ended::OtherFailure => Outcome::OtherFailure,
            note => {
                let Some(record) = table.get(index) else {
                    return;
                };
                if note == Ended::ResponseOnly {
                    self.balancer.note_response(&name(&record), response_ms);
                } else {
                    self.balancer.note_failure(&name(&record), now_ms);
                }
                return;
            }
        };
        let report = Report {
            outcome,
            response_ms: Some(response_ms),
            retry_after_ms: None,
        };
        if index < self.listed {
            self.balancer.end(index, now_ms, report);
        } else if let Some(record) = table.get(index) {
            self.balancer.finish_id(&name(&record), now_ms, report);
        }
    }
}

nacrite_balance_plugin::exports!(BuiltIn);
