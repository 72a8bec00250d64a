//! Plugins that are wrong, hostile or unlucky: each is refused or contained with the right message, and callers get answers.

mod bad;
mod good;
mod guest;

use nacrite_core::balance::{Balancer, Candidate, Context, Policy};
use nacrite_plugin::{Engine, Limits, Plugin, PluginRule, Refused, check};
use std::sync::OnceLock;

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(&Limits::default()))
}

fn balancer(members: usize) -> Balancer {
    let mut balancer = Balancer::new(Policy::of("wasm:tried")).expect("a policy");
    let list = |count: usize| {
        (0..count)
            .map(|n| Candidate::new(format!("10.0.0.{n}:80")))
            .collect()
    };
    balancer.update(1, list(members));
    balancer
}

/// All that happens before a plugin is used.
fn accepted(module: &[u8]) -> Result<(Plugin, PluginRule), Refused> {
    let plugin = Plugin::new(engine(), "tried", module)?;
    let rule = PluginRule::new(&plugin, "{}")?;
    Ok((plugin, rule))
}

/// Picks that must all be answered with a member of the list.
fn pick(rule: &PluginRule, balancer: &Balancer, picks: u64) {
    for n in 0..picks {
        let pick = rule
            .choose(balancer, 1_000 + n, n, &Context::default())
            .expect("an answer");
        assert!(balancer.candidate(pick).is_some(), "{pick:?}");
        rule.start(pick, 1_000 + n);
        rule.report(pick, nacrite_core::balance::Outcome::Success, 10, 1_000 + n);
    }
}

#[test]
fn what_is_wrong_before_it_runs_is_refused_with_its_reason() {
    let mut failures = Vec::new();
    for (name, module, reason) in bad::refused() {
        match accepted(&module) {
            Ok(_) => failures.push(format!("{name}: accepted")),
            Err(refused) => {
                let said = refused.to_string();
                if !said.contains(reason) {
                    failures.push(format!("{name}: \"{reason}\" is not in \"{said}\""));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_goes_wrong_later_is_contained_and_suspended() {
    let (mut failures, shrunk) = (Vec::new(), balancer(3));
    for (name, module, reason) in bad::contained() {
        let (plugin, rule) = match accepted(&module) {
            Ok(made) => made,
            Err(refused) => {
                failures.push(format!("{name}: refused: {refused}"));
                continue;
            }
        };
        let first = balancer(5);
        // The list is shorter for the picks than for the first one: a plugin may remember the longer.
        let _first = rule
            .choose(&first, 1, 1, &Context::default())
            .expect("an answer");
        let shrunk = shrunk.updated(2, shrunk.candidates().to_vec());
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| pick(&rule, &shrunk, 60));
            }
        });
        let status = rule.status();
        let said = status.last.map(|last| last.to_string()).unwrap_or_default();
        if !said.contains(reason) {
            failures.push(format!("{name}: \"{reason}\" is not in \"{said}\""));
        }
        if !status.suspended {
            failures.push(format!(
                "{name}: not suspended after {} failures",
                status.failures
            ));
        }
        if check(&plugin, "{}").is_ok() {
            failures.push(format!("{name}: the acceptance lets it through"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(bad::refused().len() + bad::contained().len() >= 30);
}

#[test]
fn a_plugin_that_keeps_every_list_is_found_before_it_is_published() {
    let (plugin, _) = accepted(&bad::keeps_every_list()).expect("it is sound at first");
    let refused = check(&plugin, "{}")
        .expect_err("its memory is full")
        .to_string();
    assert!(
        refused.contains("of a thousand instances: lb_alloc gave a place outside"),
        "{refused}"
    );
}

#[test]
fn a_plugin_that_trips_now_and_then_is_answered_for_and_kept() {
    let (_, rule) = accepted(&bad::traps_every(40)).expect("it is sound at first");
    let balancer = balancer(3);
    for n in 0..400_u64 {
        // One failure every 40 s is far from five in 30 s.
        let pick = rule
            .choose(&balancer, n * 1_000, n, &Context::default())
            .expect("an answer");
        assert!(balancer.candidate(pick).is_some());
    }
    let status = rule.status();
    assert!(
        !status.suspended && (9..=11).contains(&status.failures),
        "{status:?}"
    );
}
