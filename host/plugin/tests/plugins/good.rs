//! Sound plugins: what a host owes them.

use crate::guest::{NOBODY, choosing, module};
use crate::{accepted, balancer, engine, pick};
use nacrite_core::balance::{Candidate, Context, Flags, NoPick};
use nacrite_plugin::{Budget, Engine, Limits, Plugin, PluginRule, check};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[test]
fn its_answers_are_taken() {
    let balancer = balancer(3);
    let choose = |body: &str| {
        let (plugin, rule) = accepted(&choosing(body)).expect("it is sound");
        assert!(
            check(&plugin, "{}").is_ok_and(|checked| checked.scenarios >= 5)
                || body.contains("const 2")
        );
        (
            rule.choose(&balancer, 5, 9, &Context::default())
                .map(|pick| pick.index),
            rule,
        )
    };
    assert_eq!(choose("(i32.const 2)").0, Ok(2));
    assert_eq!(choose("(i32.const -1)").0, Err(NoPick::GaveUp));
    // Round robin, the fallback of this policy, begins with the second.
    let (answer, rule) = choose("(i32.const -2)");
    assert_eq!((answer, rule.status().failures), (Ok(1), 0));
    let empty = crate::balancer(0);
    let (_, rule) = accepted(&choosing("(i32.const -1)")).expect("it is sound");
    assert_eq!(
        rule.choose(&empty, 5, 9, &Context::default()),
        Err(NoPick::NoInstances)
    );
}

#[test]
fn what_compilers_add_is_let_through() {
    let added = r#"(func (export "_initialize"))
        (global (export "__heap_base") i32 (i32.const 0)) (global (export "__data_end") i32 (i32.const 0))
        (func (export "fminimum") (export "fmaximum") (param f64 f64) (result f64) (local.get 0))
        (func (export "fminimumf") (export "fmaximumf") (param f32 f32) (result f32) (local.get 0))"#;
    let (plugin, _) = accepted(&module(&[("more", added), NOBODY])).expect("it is sound");
    check(&plugin, "{}").expect("it is accepted");
}

#[test]
fn live_columns_lists_and_arguments_reach_it() {
    // The flags of record 0; when it is unhealthy, the index in `rand`.
    let guest = module(&[
        (
            "update",
            r#"(global $table (mut i32) (i32.const 0))
            (func (export "lb_update") (param i32 i32 i64) (result i32) (global.set $table (local.get 0)) (i32.const 0))"#,
        ),
        (
            "choose",
            r#"(func (export "lb_choose") (param $key i64) (param $rand i64) (param $now i64) (param $flags i32) (result i32)
            (if (i32.and (i32.load offset=32 (global.get $table)) (i32.const 4)) (then (return (i32.const 0))))
            (if (i32.and (local.get $flags) (i32.const 1)) (then (return (i32.wrap_i64 (local.get $key)))))
            (i32.wrap_i64 (local.get $rand)))"#,
        ),
    ]);
    let (_, rule) = accepted(&guest).expect("it is sound");
    let balancer = balancer(3);
    let choose = |now_ms, context: &Context<'_>| {
        rule.choose(&balancer, now_ms, 2, context)
            .map(|pick| pick.index)
    };
    assert_eq!(choose(5, &Context::default()), Ok(0));
    balancer.set_flag(0, Flags::HEALTHY, false);
    assert_eq!(
        choose(5, &Context::default()),
        Ok(0),
        "live columns are at most 1 ms old"
    );
    assert_eq!(choose(6, &Context::default()), Ok(2));
    assert_eq!(
        choose(
            7,
            &Context {
                key_hash: Some(1),
                ..Context::default()
            }
        ),
        Ok(1)
    );
    let updated = balancer.updated(8, vec![Candidate::new("a"), Candidate::new("b")]);
    let pick = rule
        .choose(&updated, 8, 1, &Context::default())
        .expect("an answer");
    assert_eq!(
        (pick.epoch, pick.index),
        (updated.epoch(), 0),
        "the lagging instance is updated first"
    );
}

#[test]
fn a_sound_plugin_is_not_suspended_on_a_busy_machine() {
    // Some 200 µs of CPU a pick: under the budget, and preempted often.
    let (_, rule) = accepted(&choosing(
        "(local $n i32) (local.set $n (i32.const 200000))
         (loop (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if 0 (local.get $n))) (i32.const 1)",
    ))
    .expect("it is sound");
    let (balancer, stop) = (balancer(3), AtomicBool::new(false));
    let seconds = if std::env::var_os("NACRITE_FULL").is_some() {
        30
    } else {
        2
    };
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let picking: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let until = Instant::now() + Duration::from_secs(seconds);
                    while Instant::now() < until {
                        pick(&rule, &balancer, 10);
                    }
                })
            })
            .collect();
        for thread in picking {
            thread.join().expect("every pick is answered");
        }
        stop.store(true, Relaxed);
    });
    assert_eq!(rule.status().failures, 0, "{:?}", rule.status());
}

#[test]
fn fuel_ends_a_call_at_the_same_place_everywhere() {
    let limits = Limits {
        budget: Budget::Fuel(1_000_000),
        ..Limits::default()
    };
    let plugin = Plugin::new(
        &Engine::new(&limits),
        "fuel",
        &choosing("(loop (br 0)) unreachable"),
    )
    .expect("it is sound");
    let rule = PluginRule::new(&plugin, "{}").expect("it starts");
    let began = Instant::now();
    pick(&rule, &balancer(3), 20);
    let status = rule.status();
    assert!(status.suspended && status.failures == 5, "{status:?}");
    assert!(
        status
            .last
            .is_some_and(|last| last.to_string().contains("out of time: lb_choose"))
    );
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[test]
fn lists_change_while_threads_pick() {
    let guest = module(&[
        (
            "update",
            r#"(global $count (mut i32) (i32.const 0))
            (func (export "lb_update") (param i32 i32 i64) (result i32) (global.set $count (local.get 1)) (i32.const 0))"#,
        ),
        (
            "choose",
            r#"(func (export "lb_choose") (param i64 i64 i64 i32) (result i32) (i32.sub (global.get $count) (i32.const 1)))"#,
        ),
    ]);
    let rule = PluginRule::new(&Plugin::new(engine(), "last", &guest).expect("sound"), "{}")
        .expect("sound");
    let current = std::sync::Mutex::new(std::sync::Arc::new(balancer(3)));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for n in 0..2_000_u64 {
                    let now = std::sync::Arc::clone(&current.lock().expect("no panic"));
                    let pick = rule
                        .choose(&now, n, n, &Context::default())
                        .expect("an answer");
                    assert_eq!(
                        pick.index as usize + 1,
                        now.candidates().len(),
                        "never an index of another list"
                    );
                }
            });
        }
        for n in 0..200 {
            let before = std::sync::Arc::clone(&current.lock().expect("no panic"));
            let list = (0..1 + n % 7)
                .map(|n| Candidate::new(format!("{n}")))
                .collect();
            *current.lock().expect("no panic") = std::sync::Arc::new(before.updated(n, list));
        }
    });
    assert_eq!(rule.status().failures, 0, "{:?}", rule.status());
}
