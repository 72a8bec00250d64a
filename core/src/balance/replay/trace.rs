//! Recordings of kind `trace`, and distributions with steps.

use super::document::{answers, count, flag, list, millis, near, real, reals, same, text, wrong};
use super::draws::Scripted;
use super::{Mismatch, chi_square};
use crate::balance::{
    Balancer, Candidate, Context, Cyclic, Flags, Mode, Outcome, Policy, Report, Rng, Xoshiro256,
};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use serde_json::Value;

/// What the recorded client is called in property names.
const CLIENT: &str = "golden";
/// The clock at the first step.
const START_MS: u64 = 1_000_000;
const SEED: u64 = 0x006e_6163_7269_7465;
const ZONE_AWARE: &str = "com.netflix.loadbalancer.ZoneAwareLoadBalancer+";
const PREDICATE: &str = "com.netflix.loadbalancer.PredicateBasedRule";

/// A rule under test: the built-in ones, or a plugin behind its host.
pub trait Subject {
    /// Replaces the list; `reachable` is the answer to the last probe when there are probes.
    fn update(&mut self, now_ms: u64, candidates: Vec<Candidate>, reachable: Option<&[bool]>);
    /// Changes a flag of a member of the list.
    fn set_flag(&mut self, index: u32, flag: Flags, on: bool);
    /// A request to this server begins.
    fn start(&mut self, id: &str, now_ms: u64);
    /// A request to this server ends well.
    fn finish(&mut self, id: &str, now_ms: u64, response_ms: f64);
    /// A connection to this server fails.
    fn fail(&mut self, id: &str, now_ms: u64);
    /// A response time of this server is noted.
    fn observe(&mut self, id: &str, response_ms: f64);
    /// Response-time weights are computed; gives the cumulative ones when it has any.
    fn maintain_weights(&mut self) -> Option<Vec<f64>>;
    /// Takes the draws of the next choices, (bound, value) with bound 0 for a unit draw, when the subject holds its own random
    /// source; false when it draws from the generator that `choose` is given.
    fn script(&mut self, _draws: &[(u32, f64)]) -> bool {
        false
    }
    /// After choices with a script that was taken: 0 when exactly its draws were used with their bounds, -1-n when draw n was
    /// another, else how many are left.
    fn script_left(&mut self) -> i32 {
        0
    }
    /// Chooses an index of the list.
    fn choose(&mut self, now_ms: u64, rng: &mut dyn Rng, key: Option<&str>) -> Option<u32>;
}

/// A built-in rule; `turns` stands in for the predicate rule, which has no name.
struct BuiltIn {
    balancer: Balancer,
    turns: Option<Cyclic>,
}

/// The recorded predicate: odd host numbers without a key, even ones with one.
fn recorded_predicate(candidate: &Candidate, key: Option<&str>) -> bool {
    let host = candidate
        .id
        .split(':')
        .next()
        .and_then(|host| host.rsplit('.').next());
    let number: u32 = host.and_then(|number| number.parse().ok()).unwrap_or(0);
    (number % 2 == 1) == key.is_none()
}

impl Subject for BuiltIn {
    fn update(&mut self, now_ms: u64, candidates: Vec<Candidate>, reachable: Option<&[bool]>) {
        self.balancer.update_probed(now_ms, candidates, reachable);
    }

    fn set_flag(&mut self, index: u32, flag: Flags, on: bool) {
        self.balancer.set_flag(index, flag, on);
    }

    fn start(&mut self, id: &str, now_ms: u64) {
        self.balancer.start_id(id, now_ms);
    }

    fn finish(&mut self, id: &str, now_ms: u64, response_ms: f64) {
        let report = Report {
            outcome: Outcome::Success,
            response_ms: Some(response_ms),
            retry_after_ms: None,
        };
        self.balancer.finish_id(id, now_ms, report);
    }

    fn fail(&mut self, id: &str, now_ms: u64) {
        self.balancer.note_failure(id, now_ms);
    }

    fn observe(&mut self, id: &str, response_ms: f64) {
        self.balancer.note_response(id, response_ms);
    }

    fn maintain_weights(&mut self) -> Option<Vec<f64>> {
        self.balancer.maintain_weights();
        self.balancer.response_weights()
    }

    fn choose(&mut self, now_ms: u64, rng: &mut dyn Rng, key: Option<&str>) -> Option<u32> {
        let pick = match &self.turns {
            Some(turns) => self.balancer.choose_where(now_ms, turns, |_, candidate| {
                recorded_predicate(candidate, key)
            }),
            None => self.balancer.choose(
                now_ms,
                rng,
                &Context {
                    key,
                    ..Context::default()
                },
            ),
        };
        pick.ok().map(|pick| pick.index)
    }
}

pub(super) fn policy(document: &Value, mode: Mode) -> Result<Policy, Mismatch> {
    let rule = text(document, "rule")?;
    let mut policy = Policy::of(rule.strip_prefix(ZONE_AWARE).unwrap_or(rule)).in_mode(mode);
    if rule == PREDICATE {
        policy.rule = "round-robin".to_string();
    }
    policy.ribbon.zone_aware = document["balancer"] == "zone_aware";
    policy.retry.window_ms = document["max_retry_ms"]
        .as_i64()
        .unwrap_or(policy.retry.window_ms);
    // The sub-rule of a retry was passed by constructor; only the random one draws.
    let draws = document["steps"]
        .as_array()
        .is_some_and(|steps| steps.iter().any(|step| step["draws"].is_array()));
    if draws && policy.rule.ends_with("RetryRule") {
        policy.sub_rule = "random".to_string();
    }
    let mut properties = BTreeMap::new();
    for (key, value) in document["config"].as_object().into_iter().flatten() {
        properties.insert(
            key.clone(),
            value
                .as_str()
                .map_or_else(|| value.to_string(), ToString::to_string),
        );
    }
    Ok(policy.with_properties(CLIENT, &properties)?)
}

pub(super) fn run_builtin(document: &Value, mode: Mode) -> Result<u32, Mismatch> {
    let turns = (text(document, "rule")? == PREDICATE).then(Cyclic::default);
    let balancer = Balancer::new(policy(document, mode)?)?;
    run_trace(document, &mut BuiltIn { balancer, turns })
}

struct Server {
    candidate: Candidate,
    answers: bool,
    reached: bool,
}

/// The world of one trace: servers, the list, the clock.
struct World<'a> {
    subject: &'a mut dyn Subject,
    servers: Vec<Server>,
    list: Vec<usize>,
    probes: bool,
    now: u64,
    compared: u32,
}

/// Runs the steps of a trace; the number of answers that were compared.
///
/// # Errors
/// The first [`Mismatch`].
pub fn run_trace(document: &Value, subject: &mut dyn Subject) -> Result<u32, Mismatch> {
    let mut servers = Vec::new();
    for server in list(document, "servers")? {
        let mut candidate = Candidate::new(text(server, "id")?);
        candidate.zone = server["zone"].as_str().map(String::from);
        servers.push(Server {
            candidate,
            answers: true,
            reached: true,
        });
    }
    let list_of_all = (0..servers.len()).collect();
    let probes = document["reachable"] == "alive_at_last_ping";
    let mut world = World {
        subject,
        servers,
        list: list_of_all,
        probes,
        now: START_MS,
        compared: 0,
    };
    world.publish();
    for (number, step) in list(document, "steps")?.iter().enumerate() {
        let at = format!("step {number} ({})", text(step, "op")?);
        world.step(step, &at).map_err(|mut mismatch| {
            if mismatch.at != at {
                mismatch.at = format!("{at}, {}", mismatch.at);
            }
            mismatch
        })?;
    }
    Ok(world.compared)
}

impl World<'_> {
    fn publish(&mut self) {
        let candidates = self
            .list
            .iter()
            .map(|&server| self.servers[server].candidate.clone())
            .collect();
        let reached: Vec<bool> = self
            .list
            .iter()
            .map(|&server| self.servers[server].reached)
            .collect();
        self.subject
            .update(self.now, candidates, self.probes.then_some(&reached));
    }

    fn server(&mut self, step: &Value) -> Result<usize, Mismatch> {
        let server = count(step, "server")? as usize;
        if server < self.servers.len() {
            Ok(server)
        } else {
            wrong("server", "no such server in the recording")
        }
    }

    fn flag(&mut self, server: usize, flag: Flags, on: bool) {
        let flags = &mut self.servers[server].candidate.flags;
        *flags = flags.with(flag, on);
        if let Some(index) = self.list.iter().position(|&listed| listed == server) {
            self.subject.set_flag(index as u32, flag, on);
        }
    }

    fn step(&mut self, step: &Value, at: &str) -> Result<(), Mismatch> {
        match text(step, "op")? {
            "choose" => self.choose(step, at)?,
            "choose_many" => self.choose_many(step, at)?,
            "set_alive" => {
                let server = self.server(step)?;
                self.flag(server, Flags::ALIVE, flag(step, "value")?);
            }
            "set_ready" => {
                let server = self.server(step)?;
                self.flag(server, Flags::READY, flag(step, "value")?);
            }
            "ping_result" => {
                let server = self.server(step)?;
                self.servers[server].answers = flag(step, "value")?;
            }
            "ping" => {
                for server in &mut self.servers {
                    server.reached = server.answers;
                    server.candidate.flags =
                        server.candidate.flags.with(Flags::ALIVE, server.answers);
                }
                self.publish();
            }
            "set_servers" => {
                let next = answers(step, "servers")?;
                self.list = next
                    .into_iter()
                    .flatten()
                    .map(|server| server as usize)
                    .collect();
                if self.list.iter().any(|&server| server >= self.servers.len()) {
                    return wrong("servers", "no such server in the recording");
                }
                if !self.probes {
                    // Without a ping the original marks every member of a new list alive.
                    for &server in &self.list {
                        let flags = &mut self.servers[server].candidate.flags;
                        *flags = flags.with(Flags::ALIVE, true);
                    }
                }
                self.publish();
            }
            "request_start" => {
                let server = self.server(step)?;
                for _ in 0..count(step, "count")? {
                    self.subject
                        .start(&self.servers[server].candidate.id, self.now);
                }
            }
            "request_success" => {
                let server = self.server(step)?;
                let response = real(&step["response_ms"])?;
                self.subject
                    .finish(&self.servers[server].candidate.id, self.now, response);
            }
            "connection_failure" => {
                let server = self.server(step)?;
                for _ in 0..count(step, "count")? {
                    self.subject
                        .fail(&self.servers[server].candidate.id, self.now);
                }
            }
            "response_times" => {
                let server = self.server(step)?;
                for response in reals(step, "ms")? {
                    self.subject
                        .observe(&self.servers[server].candidate.id, response);
                }
            }
            "advance_ms" => self.now += millis(step, "value")?,
            "maintain_weights" => {
                let expected = reals(step, "expect_cumulative")?;
                let got = self.subject.maintain_weights();
                if let Some(got) = got {
                    same(at, &got.len(), &expected.len())?;
                    for (got, expected) in got.into_iter().zip(expected) {
                        near(at, got, expected)?;
                        self.compared += 1;
                    }
                }
            }
            op => return wrong(at, format!("no step is called {op}")),
        }
        Ok(())
    }

    /// The server that was chosen; an index outside the list is a mismatch.
    fn chosen(
        &mut self,
        rng: &mut dyn Rng,
        key: Option<&str>,
        at: &str,
    ) -> Result<Option<u32>, Mismatch> {
        match self.subject.choose(self.now, rng, key) {
            None => Ok(None),
            Some(index) => match self.list.get(index as usize) {
                Some(&server) => Ok(Some(server as u32)),
                None => wrong(
                    at,
                    format!("index {index} is outside the list of {}", self.list.len()),
                ),
            },
        }
    }

    fn choose(&mut self, step: &Value, at: &str) -> Result<(), Mismatch> {
        let mut rng = Scripted::read(&step["draws"])?;
        let key = step["key"].as_str();
        let mut got = Vec::new();
        let own_source = self.subject.script(rng.draws());
        for _ in 0..count(step, "count")? {
            got.push(self.chosen(&mut rng, key, at)?);
        }
        same(at, &got, &answers(step, "expect")?)?;
        self.compared += got.len() as u32;
        match own_source.then(|| self.subject.script_left()) {
            None => rng.settled(at),
            Some(0) => Ok(()),
            Some(left) if left > 0 => {
                wrong(at, format!("{left} of the recorded draws were not taken"))
            }
            Some(code) => wrong(at, format!("draw {} is not the recorded one", -1 - code)),
        }
    }

    fn choose_many(&mut self, step: &Value, at: &str) -> Result<(), Mismatch> {
        let mut rng = Xoshiro256::new(SEED);
        let total = count(step, "count")?;
        let mut counts = vec![0_u64; self.servers.len() + 1];
        let none = self.servers.len();
        for _ in 0..total {
            let server = self.chosen(&mut rng, None, at)?;
            counts[server.map_or(none, |server| server as usize)] += 1;
        }
        let mut recorded: Vec<u64> = reals(step, "observed")?
            .into_iter()
            .map(|count| count as u64)
            .collect();
        recorded.push(u64::from(count(step, "observed_none")?));
        self.compared += 1;
        compare_shares(at, &counts, &recorded, real(&step["tolerance_abs"])?)
    }
}

/// Both tests of a recorded distribution: the allowed difference of each share, and χ² of the two samples.
pub(super) fn compare_shares(
    at: &str,
    counts: &[u64],
    recorded: &[u64],
    tolerance: f64,
) -> Result<(), Mismatch> {
    let share = |counts: &[u64], place: usize| {
        counts[place] as f64 / counts.iter().sum::<u64>().max(1) as f64
    };
    let off = counts.len() != recorded.len()
        || (0..counts.len())
            .any(|place| libm::fabs(share(counts, place) - share(recorded, place)) > tolerance);
    if off || !chi_square::agree(counts, recorded) {
        return wrong(
            at,
            format!("the shares differ: expected {recorded:?}, got {counts:?}"),
        );
    }
    Ok(())
}
