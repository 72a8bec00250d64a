//! A balancer behind calls that JavaScript can make cheaply.

use std::collections::BTreeMap;

use js_sys::{Function, Uint8Array};
use nacrite_core::balance::{
    Balancer, Candidate, Context, Cyclic, Flags, NoPick, Outcome, Pick, Policy, PolicyError,
    Report, Rng, Ticket, Xoshiro256,
};
use serde::Serialize;
use serde_json::Value;
use wasm_bindgen::prelude::*;

use crate::instances::{self, Instance, Shown};
use crate::refusal::Refusal;
use crate::tickets::Tickets;

/// Time between two looks at what is due at intervals.
const MAINTAIN_MS: u64 = 1_000;

/// Chooses instances of one service.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Engine {
    balancer: Balancer,
    random: Xoshiro256,
    tickets: Tickets<Ticket>,
    turns: Cyclic,
    maintained_ms: u64,
}

/// Draws that a function of the caller's makes: it is asked with the bound, 0 for a number in [0, 1).
struct Asked<'a> {
    function: &'a Function,
    failed: Option<JsValue>,
}

impl Asked<'_> {
    fn draw(&mut self, bound: u32) -> f64 {
        match self.function.call1(&JsValue::NULL, &JsValue::from(bound)) {
            Ok(value) => value.as_f64().unwrap_or(0.0).max(0.0),
            Err(why) => {
                self.failed.get_or_insert(why);
                0.0
            }
        }
    }
}

impl Rng for Asked<'_> {
    fn int(&mut self, bound: u32) -> u32 {
        (self.draw(bound) as u32).min(bound.saturating_sub(1))
    }

    fn unit(&mut self) -> f64 {
        // The greatest number below 1.
        self.draw(0).min(1.0 - f64::EPSILON / 2.0)
    }
}

/// One instance of a report. Times are in ms.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    id: &'a str,
    active: u32,
    ended: u64,
    cost_ms: f64,
    mean_ms: f64,
    min_ms: f64,
    max_ms: f64,
    failure_run: u32,
    tripped: bool,
    ejected: bool,
}

/// A pick, or why there is none: the index, or below 0 minus one and the place of the reason in the API's list of them.
fn number(pick: Result<Pick, NoPick>) -> i32 {
    match pick {
        Ok(pick) => i32::try_from(pick.index).unwrap_or(i32::MAX),
        Err(NoPick::NoInstances) => -1,
        Err(NoPick::NoneHealthy) => -2,
        Err(NoPick::NoWeight) => -3,
        Err(NoPick::BadWeights) => -4,
        Err(NoPick::NoMatch) => -5,
        Err(NoPick::GaveUp) => -6,
    }
}

/// A policy from its document or the name of its rule; undefined is the default.
fn policy(given: JsValue) -> Result<Policy, Refusal> {
    if given.is_undefined() {
        return Ok(Policy::default());
    }
    if let Some(name) = given.as_string() {
        let policy = Policy::of(&name);
        policy.validate()?;
        return Ok(policy);
    }
    // By way of a value: read directly, fields that a policy has not would be passed over.
    let document: Value = serde_wasm_bindgen::from_value(given)
        .map_err(|why| Refusal::from(PolicyError::Malformed(why.to_string())))?;
    Ok(Policy::from_json(document.to_string().as_bytes())?)
}

fn shown(value: &impl Serialize) -> Result<JsValue, JsValue> {
    // Objects for maps and null for nothing, as JSON has it.
    Ok(value.serialize(&serde_wasm_bindgen::Serializer::json_compatible())?)
}

fn outcome(code: u32) -> Outcome {
    match code {
        0 => Outcome::Success,
        1 => Outcome::ServerError,
        2 => Outcome::GatewayError,
        3 => Outcome::CircuitFailure,
        _ => Outcome::OtherFailure,
    }
}

fn given(number: f64) -> Option<f64> {
    (!number.is_nan()).then_some(number)
}

/// What is taken and given is described with the API; `now` is always in ms of a clock that never goes back.
#[wasm_bindgen]
impl Engine {
    /// A balancer without instances, under a policy document or the name of a rule.
    ///
    /// # Errors
    /// The policy is not valid.
    #[wasm_bindgen(constructor)]
    pub fn new(policy: JsValue, seed: u64) -> Result<Engine, JsValue> {
        Ok(Self::under(self::policy(policy)?, seed)?)
    }

    /// The same with lines of a properties file over the policy, as Ribbon's configuration of a service has them.
    ///
    /// # Errors
    /// The policy or a line is not valid.
    #[wasm_bindgen(js_name = withProperties)]
    pub fn with_properties(
        policy: JsValue,
        service: &str,
        properties: JsValue,
        seed: u64,
    ) -> Result<Engine, JsValue> {
        let lines: BTreeMap<String, Value> = serde_wasm_bindgen::from_value(properties)
            .map_err(|why| Refusal::policy(format!("properties: {why}")))?;
        let lines = lines.into_iter().map(|(name, value)| match value {
            Value::String(text) => (name, text),
            other => (name, other.to_string()),
        });
        let policy = self::policy(policy)?.with_properties(service, &lines.collect());
        Ok(Self::under(policy.map_err(Refusal::from)?, seed)?)
    }

    fn under(policy: Policy, seed: u64) -> Result<Engine, Refusal> {
        Ok(Self {
            balancer: Balancer::new(policy)?,
            random: Xoshiro256::new(seed),
            tickets: Tickets::new(),
            turns: Cyclic::default(),
            maintained_ms: 0,
        })
    }

    /// The policy in force.
    ///
    /// # Errors
    /// Never: a policy always crosses.
    pub fn policy(&self) -> Result<JsValue, JsValue> {
        shown(self.balancer.policy())
    }

    /// Replaces the policy; list and statistics stay.
    ///
    /// # Errors
    /// The policy is not valid, and the one before stays.
    #[wasm_bindgen(js_name = setPolicy)]
    pub fn set_policy(&mut self, policy: JsValue, now: f64) -> Result<(), JsValue> {
        let next = self.balancer.with_policy(now as u64, self::policy(policy)?);
        self.balancer = next.map_err(Refusal::from)?;
        Ok(())
    }

    /// Replaces the list by JSON text; `reachable` has a byte an instance, 0 for one that did not answer the last probe.
    ///
    /// # Errors
    /// The text is no list, and the one before stays.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "what crosses is owned by its taker"
    )]
    pub fn update(
        &mut self,
        list: &str,
        now: f64,
        reachable: Option<Box<[u8]>>,
    ) -> Result<f64, JsValue> {
        Ok(self.listed(list.as_bytes(), now, reachable.as_deref())?)
    }

    /// The same by the bytes of the text, as they came from a server.
    ///
    /// # Errors
    /// As `update`.
    #[wasm_bindgen(js_name = updateBytes)]
    pub fn update_bytes(&mut self, list: &Uint8Array, now: f64) -> Result<f64, JsValue> {
        Ok(self.listed(&list.to_vec(), now, None)?)
    }

    fn listed(&mut self, list: &[u8], now: f64, reachable: Option<&[u8]>) -> Result<f64, Refusal> {
        let candidates = instances::read(list)?;
        let reachable: Option<Vec<bool>> =
            reachable.map(|bytes| bytes.iter().map(|byte| *byte != 0).collect());
        if let Some(reachable) = &reachable
            && reachable.len() != candidates.len()
        {
            return Err(Refusal::instances(format!(
                "reachable says {} times whether, but there are {} instances",
                reachable.len(),
                candidates.len()
            )));
        }
        if self.balancer.epoch() == 0 {
            // With the first list there is nothing to weigh yet.
            self.maintained_ms = now as u64;
        }
        self.balancer
            .update_probed(now as u64, candidates, reachable.as_deref());
        Ok(self.balancer.epoch() as f64)
    }

    /// The list as it stands, flags as they were changed in place.
    fn standing(&self) -> Vec<Candidate> {
        let candidates = self.balancer.candidates().iter().cloned();
        (0..)
            .zip(candidates)
            .map(|(index, candidate)| Candidate {
                flags: self.balancer.flags(index).unwrap_or(candidate.flags),
                ..candidate
            })
            .collect()
    }

    /// Adds an instance to the end of the list, or replaces the one of the same id; its index.
    ///
    /// # Errors
    /// It is no instance, and the list stays as it was.
    pub fn register(&mut self, instance: JsValue, now: f64) -> Result<u32, JsValue> {
        let instance: Instance = serde_wasm_bindgen::from_value(instance)
            .map_err(|why| Refusal::instances(format!("not an instance: {why}")))?;
        let instance = instance.candidate()?;
        let mut list = self.standing();
        let index = list.iter().position(|known| known.id == instance.id);
        let index = index.unwrap_or(list.len());
        if index == list.len() {
            list.push(instance);
        } else {
            list[index] = instance;
        }
        self.balancer.update(now as u64, list);
        Ok(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Takes an instance out of the list; false when it was not there.
    pub fn deregister(&mut self, id: &str, now: f64) -> bool {
        let mut list = self.standing();
        let before = list.len();
        list.retain(|candidate| candidate.id != id);
        let left = list.len() < before;
        if left {
            self.balancer.update(now as u64, list);
        }
        left
    }

    /// Number of the list; grows with each that replaces it.
    #[must_use]
    pub fn epoch(&self) -> f64 {
        self.balancer.epoch() as f64
    }

    /// Length of the list.
    #[must_use]
    pub fn size(&self) -> u32 {
        u32::try_from(self.balancer.candidates().len()).unwrap_or(u32::MAX)
    }

    /// The list as JSON text.
    ///
    /// # Errors
    /// Never: a list always has a text.
    pub fn instances(&self) -> Result<String, JsValue> {
        let shown = self.balancer.candidates().iter().zip(0..);
        let shown: Vec<Shown<'_>> = shown
            .map(|(candidate, index)| {
                Shown::new(
                    candidate,
                    self.balancer.flags(index).unwrap_or(candidate.flags),
                )
            })
            .collect();
        text(&shown)
    }

    /// Id of an instance; none outside the list.
    #[must_use]
    pub fn id(&self, index: u32) -> Option<String> {
        let candidate = self.balancer.candidates().get(index as usize);
        candidate.map(|candidate| candidate.id.clone())
    }

    /// Index of an id; -1 when it is not in the list.
    #[wasm_bindgen(js_name = indexOf)]
    #[must_use]
    pub fn index_of(&self, id: &str) -> i32 {
        let mut candidates = self.balancer.candidates().iter();
        let index = candidates.position(|candidate| candidate.id == id);
        index.map_or(-1, |index| i32::try_from(index).unwrap_or(i32::MAX))
    }

    /// Sets or clears flags of an instance in place; false outside the list.
    #[wasm_bindgen(js_name = setFlag)]
    #[must_use]
    pub fn set_flag(&self, index: u32, bits: u32, on: bool) -> bool {
        self.balancer.set_flag(index, Flags::from_bits(bits), on)
    }

    fn due(&mut self, now: u64) {
        if now.saturating_sub(self.maintained_ms) >= MAINTAIN_MS {
            self.maintained_ms = now;
            self.balancer.maintain(now);
        }
    }

    fn ask(&mut self, now: f64, context: &Context<'_>) -> i32 {
        let now = now as u64;
        self.due(now);
        let context = Context {
            hint: self.balancer.policy().request_hint(context.hint),
            ..*context
        };
        number(self.balancer.choose(now, &mut self.random, &context))
    }

    /// Chooses for a request of which nothing is known.
    pub fn choose(&mut self, now: f64) -> i32 {
        self.ask(now, &Context::default())
    }

    /// Chooses by a key.
    #[wasm_bindgen(js_name = chooseKey)]
    pub fn choose_key(&mut self, now: f64, key: &str) -> i32 {
        let context = Context {
            key: Some(key),
            ..Context::default()
        };
        self.ask(now, &context)
    }

    /// Chooses by the hash of a key.
    #[wasm_bindgen(js_name = chooseHash)]
    pub fn choose_hash(&mut self, now: f64, hash: u64) -> i32 {
        let context = Context {
            key_hash: Some(hash),
            ..Context::default()
        };
        self.ask(now, &context)
    }

    /// Chooses with all that can be known of a request.
    #[wasm_bindgen(js_name = chooseWith)]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "what crosses is owned by its taker"
    )]
    pub fn choose_with(
        &mut self,
        now: f64,
        key: Option<String>,
        hint: Option<String>,
        label: Option<String>,
        value: Option<String>,
        tried: &[u32],
    ) -> i32 {
        let context = Context {
            key: key.as_deref(),
            key_hash: None,
            hint: hint.as_deref(),
            label: label.as_deref().zip(value.as_deref()),
            tried,
        };
        self.ask(now, &context)
    }

    /// Chooses with draws of the caller's.
    ///
    /// # Errors
    /// What the function threw.
    #[wasm_bindgen(js_name = chooseDrawn)]
    #[allow(
        clippy::needless_pass_by_value,
        reason = "what crosses is owned by its taker"
    )]
    pub fn choose_drawn(
        &mut self,
        now: f64,
        key: Option<String>,
        draw: &Function,
    ) -> Result<i32, JsValue> {
        let now = now as u64;
        self.due(now);
        let context = Context {
            key: key.as_deref(),
            hint: self.balancer.policy().request_hint(None),
            ..Context::default()
        };
        let mut asked = Asked {
            function: draw,
            failed: None,
        };
        let chosen = number(self.balancer.choose(now, &mut asked, &context));
        asked.failed.map_or(Ok(chosen), Err)
    }

    /// Takes turns among the instances whose index passes a test of the caller's.
    ///
    /// # Errors
    /// What the function threw.
    #[wasm_bindgen(js_name = chooseWhere)]
    pub fn choose_where(&mut self, now: f64, passes: &Function) -> Result<i32, JsValue> {
        let failed = std::cell::RefCell::new(None);
        let test =
            |index: u32, _: &Candidate| match passes.call1(&JsValue::NULL, &JsValue::from(index)) {
                Ok(answer) => answer.is_truthy(),
                Err(why) => {
                    failed.borrow_mut().get_or_insert(why);
                    false
                }
            };
        let chosen = number(self.balancer.choose_where(now as u64, &self.turns, test));
        failed.into_inner().map_or(Ok(chosen), Err)
    }

    /// Counts the start of a request; its ticket, 0 when the index is outside the list or too many are under way.
    pub fn start(&mut self, index: u32, now: f64) -> u32 {
        let pick = Pick {
            epoch: self.balancer.epoch(),
            index,
        };
        if self.tickets.is_full() {
            return 0;
        }
        match self.balancer.start(pick, now as u64) {
            Some(ticket) => self.tickets.keep(ticket),
            None => 0,
        }
    }

    /// Counts the end of a request. Times that are not a number are not known. False for a ticket that is not under way.
    pub fn finish(
        &mut self,
        ticket: u32,
        outcome: u32,
        response_ms: f64,
        retry_after_ms: f64,
        now: f64,
    ) -> bool {
        let Some(ticket) = self.tickets.take(ticket) else {
            return false;
        };
        let report = Report {
            outcome: self::outcome(outcome),
            response_ms: given(response_ms),
            retry_after_ms: given(retry_after_ms),
        };
        self.balancer.finish(ticket, now as u64, report);
        true
    }

    /// Counts the start of a request by the instance's id, for callers that keep no ticket. False when nobody knows it.
    #[wasm_bindgen(js_name = startId)]
    #[must_use]
    pub fn start_id(&self, id: &str, now: f64) -> bool {
        self.balancer.start_id(id, now as u64)
    }

    /// Counts the end of one.
    #[wasm_bindgen(js_name = finishId)]
    #[must_use]
    pub fn finish_id(&self, id: &str, outcome: u32, response_ms: f64, now: f64) -> bool {
        let report = Report {
            outcome: self::outcome(outcome),
            response_ms: given(response_ms),
            retry_after_ms: None,
        };
        self.balancer.finish_id(id, now as u64, report)
    }

    /// Counts a connection failure outside any request.
    #[wasm_bindgen(js_name = noteFailure)]
    #[must_use]
    pub fn note_failure(&self, id: &str, now: f64) -> bool {
        self.balancer.note_failure(id, now as u64)
    }

    /// Notes a response time outside any request.
    #[wasm_bindgen(js_name = noteResponse)]
    #[must_use]
    pub fn note_response(&self, id: &str, response_ms: f64) -> bool {
        self.balancer.note_response(id, response_ms)
    }

    /// Computes the response-time weights now; the cumulative ones, if the rule has them.
    #[wasm_bindgen(js_name = maintainWeights)]
    #[must_use]
    pub fn maintain_weights(&self) -> Option<Vec<f64>> {
        self.balancer.maintain_weights();
        self.balancer.response_weights()
    }

    /// What is known of each instance, as JSON text.
    ///
    /// # Errors
    /// Never: a report always has a text.
    pub fn report(&self, now: f64) -> Result<String, JsValue> {
        let lines = (0..)
            .zip(self.balancer.candidates())
            .filter_map(|(index, candidate)| {
                let live = self.balancer.live(index, now as u64)?;
                let stats = self.balancer.stats(&candidate.id)?;
                Some(Line {
                    id: &candidate.id,
                    active: live.active,
                    ended: stats.ended(),
                    cost_ms: live.cost_ms,
                    mean_ms: stats.mean_ms(),
                    min_ms: stats.min_ms(),
                    max_ms: stats.max_ms(),
                    failure_run: live.failure_run,
                    tripped: live.flags.has(Flags::TRIPPED),
                    ejected: live.flags.has(Flags::EJECTED),
                })
            });
        text(&lines.collect::<Vec<_>>())
    }
}

fn text(value: &impl Serialize) -> Result<String, JsValue> {
    serde_json::to_string(value).map_err(|why| JsValue::from_str(&why.to_string()))
}
