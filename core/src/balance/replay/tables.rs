//! Recordings of kind `table` and of Nacos distributions: independent cases with their answers.

use super::Mismatch;
use super::document::{answers, count, flag, list, millis, near, real, reals, same, text, wrong};
use super::draws::Scripted;
use super::trace::compare_shares;
use crate::balance::policy::Affinity;
use crate::balance::rule::nacos_weighted::selected;
use crate::balance::rule::retry::effective_window_ms;
use crate::balance::rule::spring_weighted::{expand, weight_of};
use crate::balance::rule::weights::WeightTable;
use crate::balance::rule::zone_affinity::{self, Server};
use crate::balance::rule::zones::{Assessment, Snapshot, ZoneSet, draw_zone};
use crate::balance::stats::{Breaker, Loads, Stats};
use crate::balance::{Balancer, Candidate, Context, Flags, Mode, NoPick, Policy, Xoshiro256};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use serde_json::Value;

const SEED: u64 = 0x0074_6162_6c65;

type Case = fn(&Value, Mode) -> Result<(), Mismatch>;

/// What checks the cases of a recording, by its id.
const CHECKS: &[(&str, Case)] = &[
    ("active-requests-expiry", active_expiry),
    ("breaker-blackout", breaker),
    ("breaker-overflow", breaker),
    ("server-stats-basics", server_stats),
    ("retry-window-defaults", retry_window),
    ("zone-snapshot", zone_snapshot),
    ("za-available-zones", available_zones),
    ("za-random-zone", random_zone),
    ("zone-affinity-filter", affinity),
    ("nacos-chooser-table", chooser_table),
    ("nacos-chooser-mapping", chooser_mapping),
    ("nacos-balancer-edges", nacos_edges),
    ("nacos-select-instances", select_instances),
    ("nacos-rule-same-cluster", nacos_rule),
    ("nacos-scl-same-cluster", nacos_load_balancer),
    ("scl-round-robin", spring_round_robin),
    ("scl-weighted-expansion", spring_weighted),
    ("scl-zone-preference", zone_preference),
    ("scl-hint", hint),
];

pub(super) fn run(document: &Value, mode: Mode) -> Result<u32, Mismatch> {
    let id = text(document, "id")?;
    if document["weights"].is_array() {
        nacos_distribution(document, mode)?;
        return Ok(1);
    }
    let Some((_, check)) = CHECKS.iter().find(|(known, _)| *known == id) else {
        return wrong(id, "nothing here knows how to check this table");
    };
    let cases = list(document, "cases")?;
    for (number, case) in cases.iter().enumerate() {
        check(case, mode).map_err(|mismatch| Mismatch {
            at: format!("case {number}, {}", mismatch.at),
            ..mismatch
        })?;
    }
    Ok(cases.len() as u32)
}

fn active_expiry(case: &Value, _: Mode) -> Result<(), Mismatch> {
    let (stats, loads) = (Stats::default(), Loads::new());
    for _ in 0..count(case, "active")? {
        stats.begin(1, &loads);
    }
    let effective = stats.active_now(1 + millis(case, "idle_ms")?, 600_000, &loads);
    same("active", &effective, &count(case, "expect_effective")?)?;
    same(
        "stored",
        &stats.active(),
        &count(case, "expect_stored_after")?,
    )
}

fn breaker(case: &Value, mode: Mode) -> Result<(), Mismatch> {
    let breaker = Breaker {
        threshold: count(case, "threshold")?,
        factor_s: count(case, "factor_s")?,
        max_s: count(case, "max_s")?,
    };
    let exact = mode == Mode::Exact;
    let run = count(case, "successive_failures")?;
    let blackout = breaker.blackout_ms(run, exact);
    same(
        "blackout",
        &Some(blackout),
        &case["expect_blackout_ms"].as_i64(),
    )?;
    let (stats, loads) = (Stats::default(), Loads::new());
    // A server that never failed has 0 as the time of its last failure.
    let failed = if run == 0 { 0 } else { 5_000 };
    for _ in 0..run {
        stats.fail(failed, &breaker, exact, &loads);
    }
    let end = failed + blackout.max(0) as u64;
    same(
        "tripped at the last ms",
        &stats.tripped(end.saturating_sub(1), &breaker, exact),
        &flag(case, "expect_tripped_last_ms")?,
    )?;
    same(
        "tripped at the end",
        &stats.tripped(end, &breaker, exact),
        &flag(case, "expect_tripped_at_end")?,
    )
}

fn server_stats(case: &Value, _: Mode) -> Result<(), Mismatch> {
    let (stats, loads) = (Stats::default(), Loads::new());
    if case["ops"].is_array() {
        for op in list(case, "ops")? {
            match op.as_str() {
                Some("start") => stats.begin(1, &loads),
                _ => stats.end(1, &loads),
            }
        }
        return same("active", &stats.active(), &count(case, "expect_active")?);
    }
    for response in reals(case, "response_ms")? {
        stats.observe(response);
    }
    for (field, got) in [
        ("expect_mean", stats.mean_ms()),
        ("expect_min", stats.min_ms()),
        ("expect_max", stats.max_ms()),
        ("expect_stddev", stats.deviation_ms()),
    ] {
        if !case[field].is_null() {
            near(field, got, real(&case[field])?)?;
        }
    }
    Ok(())
}

fn retry_window(case: &Value, _: Mode) -> Result<(), Mismatch> {
    let configured = real(&case["max_retry_ms"])? as i64;
    same(
        "window",
        &effective_window_ms(configured),
        &millis(case, "expect_effective_ms")?,
    )?;
    let sub_rule = crate::balance::RuleName::parse(text(case, "expect_sub_rule")?);
    same(
        "sub-rule",
        &sub_rule.ok(),
        &Policy::of("retry").sub_rule().ok(),
    )
}

fn zone_snapshot(case: &Value, _: Mode) -> Result<(), Mismatch> {
    let mut servers = Vec::new();
    for server in list(case, "servers")? {
        servers.push((count(server, "active")?, flag(server, "tripped")?));
    }
    let snapshot = Snapshot::of(servers.into_iter());
    same(
        "instances",
        &snapshot.instances,
        &count(case, "expect_instances")?,
    )?;
    same(
        "tripped",
        &snapshot.tripped,
        &count(case, "expect_tripped")?,
    )?;
    same("active", &snapshot.active, &count(case, "expect_active")?)?;
    near(
        "load",
        snapshot.load,
        real(&case["expect_load_per_server"])?,
    )
}

fn available_zones(case: &Value, mode: Mode) -> Result<(), Mismatch> {
    let (mut names, mut zones) = (Vec::new(), Vec::new());
    for zone in list(case, "zones")? {
        names.push(text(zone, "zone")?);
        zones.push(Snapshot {
            instances: count(zone, "instances")?,
            tripped: count(zone, "tripped")?,
            active: count(zone, "active")?,
            load: real(&zone["load_per_server"])?,
        });
    }
    let (trigger, blackout) = (
        real(&case["triggering_load"])?,
        real(&case["blackout_percentage"])?,
    );
    let assessment = Assessment::of(
        zones.iter().copied(),
        trigger,
        blackout,
        mode == Mode::Exact,
    );
    let mut rng = Scripted::read(&case["draws"])?;
    let available = assessment.available(|zone| zones[zone].instances, &mut rng);
    rng.settled("draws")?;
    let got: Vec<&str> = available.iter().map(|zone| names[zone]).collect();
    // The original answers null, not an empty set, when there is no zone at all.
    let expected: Vec<&str> = case["expect_available"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    same("available", &got, &expected)
}

fn random_zone(case: &Value, _: Mode) -> Result<(), Mismatch> {
    let Some(instances) = case["instances"].as_object() else {
        return wrong("instances", "an object is needed");
    };
    let mut sizes: Vec<(&String, u32)> = instances
        .iter()
        .map(|(name, size)| (name, size.as_u64().unwrap_or(0) as u32))
        .collect();
    sizes.sort_unstable();
    let mut zones = ZoneSet::default();
    (0..sizes.len()).for_each(|zone| zones.insert(zone));
    let mut rng = Scripted::read(&case["draws"])?;
    let drawn = draw_zone(&zones, |zone| sizes[zone].1, &mut rng);
    rng.settled("draws")?;
    same(
        "zone",
        &drawn.map(|zone| sizes[zone].0.as_str()),
        &case["expect_zone"].as_str(),
    )
}

fn affinity(case: &Value, _: Mode) -> Result<(), Mismatch> {
    let mut servers = Vec::new();
    for server in list(case, "servers")? {
        servers.push(Server {
            zone: server["zone"].as_str(),
            active: count(server, "active")?,
            tripped: flag(server, "tripped")?,
        });
    }
    let settings = Affinity {
        enabled: flag(case, "affinity")?,
        exclusive: flag(case, "exclusive")?,
        ..Affinity::default()
    };
    let kept = zone_affinity::keep(case["own_zone"].as_str(), &settings, &servers);
    same(
        "kept",
        &kept.into_iter().map(Some).collect(),
        &answers(case, "expect_kept")?,
    )
}

fn chooser_table(case: &Value, _: Mode) -> Result<(), Mismatch> {
    let weights = reals(case, "weights")?;
    let table = WeightTable::of((0..).zip(weights));
    if case["expect_refresh"] == "error" {
        return same("valid", &table.is_valid(), &false);
    }
    same("valid", &table.is_valid(), &true)?;
    same(
        "items",
        &table.items.iter().copied().map(Some).collect(),
        &answers(case, "expect_items")?,
    )?;
    let expected = reals(case, "expect_cumulative")?;
    same("length", &table.cumulative.len(), &expected.len())?;
    for (&got, expected) in table.cumulative.iter().zip(expected) {
        near("cumulative", got, expected)?;
    }
    same(
        "has a choice",
        &table.at(0.5).is_some(),
        &(case["expect_choice"] == "item"),
    )
}

/// A balancer over candidates with these weights and flags.
fn weighted(
    rule: &str,
    mode: Mode,
    weights: &[f64],
    healthy: Option<&Value>,
) -> Result<Balancer, Mismatch> {
    let candidates = weights.iter().enumerate().map(|(at, &weight)| {
        let up = healthy
            .and_then(|healthy| healthy[at].as_bool())
            .unwrap_or(true);
        Candidate::new(format!("10.0.0.{at}:80"))
            .with_weight(weight)
            .with_flag(Flags::HEALTHY, up)
    });
    listed(Policy::of(rule).in_mode(mode), candidates.collect())
}

fn listed(policy: Policy, candidates: Vec<Candidate>) -> Result<Balancer, Mismatch> {
    let mut balancer = Balancer::new(policy)?;
    balancer.update(1_000, candidates);
    Ok(balancer)
}

fn chooser_mapping(case: &Value, mode: Mode) -> Result<(), Mismatch> {
    let balancer = weighted("nacos-weighted", mode, &reals(case, "weights")?, None)?;
    let mut rng = Scripted::units(&reals(case, "draws")?);
    let expected = answers(case, "expect")?;
    let choose = |_| {
        balancer
            .choose(1_000, &mut rng, &Context::default())
            .ok()
            .map(|pick| pick.index)
    };
    let got: Vec<Option<u32>> = (0..expected.len()).map(choose).collect();
    same("index", &got, &expected)?;
    rng.settled("draws")
}

fn nacos_edges(case: &Value, mode: Mode) -> Result<(), Mismatch> {
    let balancer = weighted(
        "nacos-weighted",
        mode,
        &reals(case, "weights")?,
        Some(&case["healthy"]),
    )?;
    let got = balancer.choose(1_000, &mut Xoshiro256::new(SEED), &Context::default());
    match (got, &case["expect"]) {
        (Err(NoPick::NoInstances), Value::Null) => Ok(()),
        // The path through selectHost raises for an empty list as well.
        (Err(why), Value::String(_))
            if why != NoPick::NoInstances || case["via"] == "selectHost" =>
        {
            Ok(())
        }
        (Ok(pick), expected) if expected.as_u64() == Some(u64::from(pick.index)) => Ok(()),
        (got, expected) => wrong("choice", format!("expected {expected}, got {got:?}")),
    }
}

fn select_instances(case: &Value, _: Mode) -> Result<(), Mismatch> {
    let healthy = flag(case, "healthy_wanted")?;
    let mut kept = Vec::new();
    for (at, instance) in (0..).zip(list(case, "instances")?) {
        let flags = Flags::SERVING
            .with(Flags::HEALTHY, flag(instance, "healthy")?)
            .with(Flags::ENABLED, flag(instance, "enabled")?);
        if selected(flags, real(&instance["weight"])?, healthy) {
            kept.push(Some(at));
        }
    }
    same("kept", &kept, &answers(case, "expect_kept")?)
}

fn counted(balancer: &Balancer, choices: u32, members: usize) -> Result<Vec<u64>, NoPick> {
    let mut rng = Xoshiro256::new(SEED);
    let mut counts = vec![0; members];
    for _ in 0..choices {
        counts[balancer.choose(1_000, &mut rng, &Context::default())?.index as usize] += 1;
    }
    Ok(counts)
}

fn nacos_distribution(document: &Value, mode: Mode) -> Result<(), Mismatch> {
    let weights = reals(document, "weights")?;
    let balancer = weighted("nacos-weighted", mode, &weights, Some(&document["healthy"]))?;
    let recorded: Vec<u64> = reals(document, "observed")?
        .into_iter()
        .map(|count| count as u64)
        .collect();
    match counted(&balancer, count(document, "count")?, weights.len()) {
        Ok(counts) => compare_shares(
            "shares",
            &counts,
            &recorded,
            real(&document["tolerance_abs"])?,
        ),
        Err(why) => wrong("shares", why),
    }
}

fn nacos_rule(case: &Value, mode: Mode) -> Result<(), Mismatch> {
    same_cluster("com.alibaba.cloud.nacos.ribbon.NacosRule", case, mode)
}

fn nacos_load_balancer(case: &Value, mode: Mode) -> Result<(), Mismatch> {
    same_cluster(
        "com.alibaba.cloud.nacos.loadbalancer.NacosLoadBalancer",
        case,
        mode,
    )
}

fn same_cluster(rule: &str, case: &Value, mode: Mode) -> Result<(), Mismatch> {
    let mut candidates = Vec::new();
    for (at, instance) in list(case, "instances")?.iter().enumerate() {
        let healthy = instance["healthy"].as_bool().unwrap_or(true);
        let candidate =
            Candidate::new(format!("10.0.0.{at}:80")).in_cluster(text(instance, "cluster")?);
        candidates.push(
            candidate
                .with_weight(real(&instance["weight"])?)
                .with_flag(Flags::HEALTHY, healthy),
        );
    }
    let members = candidates.len();
    let policy = Policy {
        cluster: case["own_cluster"].as_str().map(String::from),
        ..Policy::of(rule).in_mode(mode)
    };
    let balancer = listed(policy, candidates)?;
    let total = count(case, "count")?;
    match (
        counted(&balancer, total, members),
        case["expect_outcome"].as_str(),
    ) {
        (Ok(counts), Some("choices")) => {
            // The recording keeps shares with five digits; the counts follow from them.
            let recorded = reals(case, "share")?
                .into_iter()
                .map(|share| libm::round(share * f64::from(total)) as u64);
            compare_shares(
                "shares",
                &counts,
                &recorded.collect::<Vec<_>>(),
                real(&case["tolerance_abs"])?,
            )
        }
        (Err(_), Some("none" | "no_response" | "empty")) => Ok(()),
        (got, expected) => wrong("outcome", format!("expected {expected:?}, got {got:?}")),
    }
}

fn spring_round_robin(case: &Value, mode: Mode) -> Result<(), Mismatch> {
    let policy = Policy {
        start_position: Some(count(case, "seed_position")?),
        ..Policy::of("spring-round-robin")
    };
    let mut balancer = Balancer::new(policy.in_mode(mode))?;
    for step in list(case, "steps")? {
        let candidates =
            (0..count(step, "list_length")?).map(|at| Candidate::new(format!("10.0.0.{at}:80")));
        balancer.update(1_000, candidates.collect());
        let mut rng = Scripted::default();
        let choose = |_| {
            balancer
                .choose(1_000, &mut rng, &Context::default())
                .ok()
                .map(|pick| pick.index)
        };
        let got: Vec<Option<u32>> = (0..count(step, "choices")?).map(choose).collect();
        same("positions", &got, &answers(step, "expect")?)?;
        rng.settled("draws")?;
    }
    Ok(())
}

fn spring_weighted(case: &Value, _: Mode) -> Result<(), Mismatch> {
    let weights: Vec<u32> = list(case, "weights")?
        .iter()
        .map(|weight| weight_of(weight.as_str()))
        .collect();
    same(
        "turns",
        &expand(&weights).into_iter().map(Some).collect(),
        &answers(case, "expect_expanded")?,
    )
}

/// The members that take turns.
fn taking_turns(balancer: &Balancer, context: &Context<'_>) -> Vec<Option<u32>> {
    let mut rng = Xoshiro256::new(SEED);
    let choose = |_| {
        balancer
            .choose(1_000, &mut rng, context)
            .ok()
            .map(|pick| pick.index)
    };
    let mut seen: Vec<Option<u32>> = (0..balancer.candidates().len()).map(choose).collect();
    seen.sort_unstable();
    seen.dedup();
    seen
}

fn zone_preference(case: &Value, mode: Mode) -> Result<(), Mismatch> {
    let zones = list(case, "instance_zones")?
        .iter()
        .enumerate()
        .map(|(at, zone)| {
            let candidate = Candidate::new(format!("10.0.0.{at}:80"));
            zone.as_str()
                .map_or(candidate.clone(), |zone| candidate.with_label("zone", zone))
        });
    let own = case["own_zone"].as_str().map(ToString::to_string);
    let balancer = listed(
        Policy {
            zone: own,
            ..Policy::of("zone-preference").in_mode(mode)
        },
        zones.collect(),
    )?;
    same(
        "kept",
        &taking_turns(&balancer, &Context::default()),
        &answers(case, "expect_kept")?,
    )
}

fn hint(case: &Value, mode: Mode) -> Result<(), Mismatch> {
    let hinted = list(case, "instance_hints")?
        .iter()
        .enumerate()
        .map(|(at, hint)| {
            let candidate = Candidate::new(format!("10.0.0.{at}:80"));
            hint.as_str()
                .map_or(candidate.clone(), |hint| candidate.with_label("hint", hint))
        });
    let configured = case["configured_hint"].as_str().map(ToString::to_string);
    let balancer = listed(
        Policy {
            hint: configured,
            ..Policy::of("hint").in_mode(mode)
        },
        hinted.collect(),
    )?;
    let context = Context {
        hint: case["request_hint"].as_str(),
        ..Context::default()
    };
    same(
        "kept",
        &taking_turns(&balancer, &context),
        &answers(case, "expect_kept")?,
    )
}
