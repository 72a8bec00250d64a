//! What every rule holds to, whatever the list, the script of events and the clock.

use nacrite_core::balance::names::NAMES;
use nacrite_core::balance::policy::Label;
use nacrite_core::balance::{
    Balancer, Candidate, Context, Flags, Mode, NoPick, Outcome, Pick, Policy, Ticket, Xoshiro256,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Every rule by the name it is printed with, and Ribbon's zone-aware balancer.
fn policies(mode: Mode) -> Vec<Policy> {
    let own_names = NAMES
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !name.contains('.'));
    let mut policies: Vec<Policy> = own_names
        .map(|name| Policy {
            zone: Some("za".to_string()),
            cluster: Some("HZ".to_string()),
            hint: Some("blue".to_string()),
            ..Policy::of(name).in_mode(mode)
        })
        .collect();
    let mut aware = Policy::of("availability").in_mode(mode);
    aware.ribbon.zone_aware = true;
    aware.ribbon.active_connections_limit = Some(2);
    policies.push(aware);
    let mut bounded = Policy::of("ring-hash").in_mode(mode);
    bounded.hashing.bound = Some(1.25);
    policies.push(bounded);
    let mut near = Policy {
        zone: Some("zb".to_string()),
        ..Policy::of("locality-weighted").in_mode(mode)
    };
    near.locality.zone_aware = true;
    near.sub_rule = "least-request".to_string();
    policies.push(near);
    // A table small enough for many rebuilds.
    for policy in &mut policies {
        policy.hashing.table = 251;
        policy.hashing.min_ring = 64;
    }
    policies
}

fn weight() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => Just(1.0),
        4 => 0.01_f64..20.0,
        1 => Just(0.0),
        1 => Just(-3.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
    ]
}

fn candidate() -> impl Strategy<Value = Candidate> {
    let flags = prop_oneof![3 => Just(0b1111_u32), 1 => 0_u32..16];
    (
        0..9_u32,
        0..5_usize,
        weight(),
        flags,
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(id, zone, weight, flags, near, blue)| {
            let mut candidate = Candidate::new(format!("10.0.0.{id}:80")).with_weight(weight);
            candidate.zone =
                [None, Some("za"), Some("ZA"), Some("zb"), Some("zc")][zone].map(String::from);
            candidate.cluster = if near { "HZ" } else { "SH" }.to_string();
            candidate.flags = Flags::from_bits(flags);
            if blue {
                candidate.with_label("hint", "blue")
            } else {
                candidate
            }
        })
}

#[derive(Clone, Debug)]
enum Event {
    Choose,
    Finish(Outcome, u16),
    Fail(u32),
    Flag(u32, u32, bool),
    Update(Vec<Candidate>),
    Clock(i64),
    Maintain,
}

fn event() -> impl Strategy<Value = Event> {
    let outcome = prop_oneof![
        Just(Outcome::Success),
        Just(Outcome::ServerError),
        Just(Outcome::GatewayError),
        Just(Outcome::CircuitFailure),
        Just(Outcome::OtherFailure),
    ];
    prop_oneof![
        6 => Just(Event::Choose),
        2 => (outcome, any::<u16>()).prop_map(|(outcome, ms)| Event::Finish(outcome, ms)),
        2 => (0..9_u32).prop_map(Event::Fail),
        2 => (0..8_u32, 0..6_u32, any::<bool>()).prop_map(|(index, bit, on)| Event::Flag(index, 1 << bit, on)),
        1 => prop::collection::vec(candidate(), 0..8).prop_map(Event::Update),
        1 => (-20_000_i64..700_000).prop_map(Event::Clock),
        1 => Just(Event::Maintain),
    ]
}

/// The list as the test knows it: flags change in place.
fn usable(candidate: &Candidate) -> bool {
    candidate.flags.has(Flags::SERVING)
        && !candidate.flags.has(Flags::EJECTED)
        && (candidate.weight > 0.0 || candidate.weight.is_nan())
}

/// Plays a script; `judge` sees each answer with the list it was made from.
fn play(
    policy: Policy,
    list: Vec<Candidate>,
    script: &[Event],
    mut judge: impl FnMut(&[Candidate], Result<Pick, NoPick>),
) {
    let mut balancer = Balancer::new(policy).expect("a valid policy");
    let mut rng = Xoshiro256::new(3);
    let mut now: u64 = 1_000_000;
    let mut list = list;
    let mut open: Vec<Ticket> = Vec::new();
    balancer.update(now, list.clone());
    for event in script.iter().cloned() {
        match event {
            Event::Choose => {
                let answer = balancer.choose(now, &mut rng, &Context::default());
                judge(&list, answer);
                if let Ok(pick) = answer {
                    assert_eq!(
                        balancer.candidate(pick).map(|chosen| &chosen.id),
                        Some(&list[pick.index as usize].id)
                    );
                    open.extend(balancer.start(pick, now));
                }
            }
            Event::Finish(outcome, ms) => {
                if let Some(ticket) = open.pop() {
                    balancer.finish(ticket, now + u64::from(ms), outcome);
                }
            }
            Event::Fail(id) => {
                balancer.note_failure(&format!("10.0.0.{id}:80"), now);
            }
            Event::Flag(index, bit, on) => {
                let known = balancer.set_flag(index, Flags::from_bits(bit), on);
                assert_eq!(known, (index as usize) < list.len());
                if let Some(candidate) = list.get_mut(index as usize) {
                    candidate.flags = candidate.flags.with(Flags::from_bits(bit), on);
                }
            }
            Event::Update(next) => {
                list = next;
                balancer.update(now, list.clone());
            }
            Event::Clock(step) => now = now.saturating_add_signed(step),
            Event::Maintain => balancer.maintain(now),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Safe mode: a member is chosen exactly when one can be served from, and it is such a one.
    #[test]
    fn safe_rules_choose_usable_members_only_and_always(
        list in prop::collection::vec(candidate(), 0..8),
        script in prop::collection::vec(event(), 1..40),
    ) {
        for policy in policies(Mode::Safe) {
            let rule = policy.rule.clone();
            play(policy, list.clone(), &script, |list, answer| match answer {
                Ok(pick) => assert!(usable(&list[pick.index as usize]), "{rule} chose {:?}", list[pick.index as usize]),
                Err(why) => {
                    assert!(!list.iter().any(usable), "{rule} gave {why} for {list:?}");
                    assert_eq!(why == NoPick::NoInstances, list.is_empty(), "{rule} gave {why}");
                }
            });
        }
    }

    /// Exact mode: whatever the original would do, no panic and no index outside the list.
    #[test]
    fn exact_rules_stay_inside_the_list(
        list in prop::collection::vec(candidate(), 0..8),
        script in prop::collection::vec(event(), 1..40),
    ) {
        for policy in policies(Mode::Exact) {
            play(policy, list.clone(), &script, |list, answer| {
                assert!(answer.is_err() || (answer.unwrap().index as usize) < list.len());
                assert!(answer.is_err() || !list.is_empty());
            });
        }
    }

    /// The short way to a rule, of choices that no stage concerns, gives what the long one gives.
    #[test]
    fn stages_that_change_nothing_change_nothing(
        list in prop::collection::vec(candidate(), 0..8),
        script in prop::collection::vec(event(), 1..40),
    ) {
        for policy in policies(Mode::Safe) {
            // No member has this label, and none need have it.
            let label = Label { name: "nobody's".to_string(), ..Label::default() };
            let staged = Policy { label: Some(label), ..policy.clone() };
            let (mut short, mut long) = (Vec::new(), Vec::new());
            play(policy, list.clone(), &script, |_, answer| short.push(answer));
            play(staged, list.clone(), &script, |_, answer| long.push(answer));
            prop_assert_eq!(short, long);
        }
    }

    /// A retry goes to a member that was not tried while one is left, and to a tried one after that.
    #[test]
    fn tried_members_are_the_last_resort(
        list in prop::collection::vec(candidate(), 1..8),
        tried in prop::collection::vec(0_u32..8, 0..6),
    ) {
        for policy in policies(Mode::Safe) {
            let rule = policy.rule.clone();
            let mut balancer = Balancer::new(policy).expect("a valid policy");
            balancer.update(0, list.clone());
            let context = Context { tried: &tried, ..Context::default() };
            let answer = balancer.choose(0, &mut Xoshiro256::new(5), &context);
            let fresh = |index: usize| usable(&list[index]) && !tried.contains(&(index as u32));
            match answer {
                Ok(pick) => prop_assert!(
                    fresh(pick.index as usize) || (usable(&list[pick.index as usize]) && !(0..list.len()).any(fresh)),
                    "{} chose {} after {:?}", rule, pick.index, tried
                ),
                Err(why) => prop_assert!(!list.iter().any(usable), "{} gave {}", rule, why),
            }
        }
    }

    /// Numbers of requests under way come back to zero, whatever the updates between.
    #[test]
    fn every_start_is_undone_by_its_end(script in prop::collection::vec((0..3_u8, 0..6_u32), 1..60)) {
        let list = |skip: u32| (0..6).filter(move |&id| id != skip).map(|id| Candidate::new(format!("{id}")).in_zone(format!("z{}", id % 2)));
        let mut balancer = Balancer::new(Policy::of("least-active")).expect("a valid policy");
        balancer.update(1, list(9).collect());
        let mut open = Vec::new();
        let mut rng = Xoshiro256::new(1);
        for (step, number) in script {
            match step {
                0 => {
                    let pick = balancer.choose(1, &mut rng, &Context::default()).expect("all are usable");
                    open.push(balancer.start(pick, 1).expect("the list is the same"));
                }
                1 => drop(open.pop().map(|ticket| balancer.finish(ticket, 1, Outcome::Success))),
                _ => balancer.update(1, list(number).collect()),
            }
        }
        for ticket in open {
            balancer.finish(ticket, 2, Outcome::OtherFailure);
        }
        for id in 0..6 {
            prop_assert_eq!(balancer.stats(&id.to_string()).map_or(0, nacrite_core::balance::stats::Stats::active), 0);
        }
    }

    /// A member that leaves the ring moves its own keys and no others; one that joins takes keys and moves none between the others.
    #[test]
    fn the_ring_moves_exactly_the_keys_it_must(
        count in 1_u32..40,
        heavy in prop::collection::vec(1_u32..5, 40),
        gone in 0_u32..40,
        turn in 0_usize..40,
    ) {
        let gone = gone % count;
        let member = |id: u32| Candidate::new(format!("10.0.0.{id}:80")).with_weight(f64::from(heavy[id as usize]));
        // The heaviest weight sets the scale: two members hold it, so that it stays when one leaves.
        let mut all: Vec<Candidate> = (0..count).map(member).collect();
        all.push(Candidate::new("a").with_weight(5.0));
        all.push(Candidate::new("b").with_weight(5.0));
        let placed = |list: Vec<Candidate>| -> BTreeMap<u64, String> {
            let mut balancer = Balancer::new(Policy::of("ring-hash")).expect("a valid policy");
            balancer.update(0, list);
            let place = |key: u64| {
                let hash = nacrite_core::balance::hash::xxh64(&key.to_le_bytes(), 9);
                let context = Context { key_hash: Some(hash), ..Context::default() };
                let pick = balancer.choose(0, &mut Xoshiro256::new(0), &context).expect("all are usable");
                (key, balancer.candidates()[pick.index as usize].id.clone())
            };
            (0..600).map(place).collect()
        };
        let before = placed(all.clone());
        let id = format!("10.0.0.{gone}:80");
        let mut rest: Vec<Candidate> = all.into_iter().filter(|member| member.id != id).collect();
        // The order of the list does not matter.
        let middle = turn % rest.len();
        rest.rotate_left(middle);
        let after = placed(rest);
        for (key, owner) in &before {
            prop_assert!(owner == &after[key] || *owner == id, "key {} moved from {} to {}", key, owner, after[key]);
        }
        prop_assert!(after.values().all(|owner| *owner != id));
    }
}

#[test]
fn maglev_moves_at_most_two_percent_more_than_it_must() {
    let placed = |skip: Option<u32>| {
        let mut balancer = Balancer::new(Policy::of("maglev")).expect("a valid policy");
        let members = (0..100).filter(|id| Some(*id) != skip);
        balancer.update(
            0,
            members
                .map(|id| Candidate::new(format!("10.0.0.{id}:80")))
                .collect(),
        );
        let mut owners = Vec::new();
        for hash in 0..65_537 {
            let context = Context {
                key_hash: Some(hash),
                ..Context::default()
            };
            let pick = balancer
                .choose(0, &mut Xoshiro256::new(0), &context)
                .expect("all are usable");
            owners.push(balancer.candidates()[pick.index as usize].id.clone());
        }
        owners
    };
    let before = placed(None);
    for gone in [0, 7, 50, 99] {
        let id = format!("10.0.0.{gone}:80");
        let after = placed(Some(gone));
        let needless = before
            .iter()
            .zip(&after)
            .filter(|(old, new)| old != new && **old != id)
            .count();
        assert!(
            needless as f64 <= 0.02 * before.len() as f64,
            "{needless} keys moved without need"
        );
    }
    let most = (0..100).map(|id| {
        before
            .iter()
            .filter(|owner| **owner == format!("10.0.0.{id}:80"))
            .count()
    });
    assert!(
        most.clone().all(|share| (600..720).contains(&share)),
        "{:?}",
        most.collect::<Vec<_>>()
    );
}

/// Choices go on while the list is replaced beside them: each is inside the list of its own epoch, and a newer balancer does not take
/// it for one of its own.
#[test]
fn updates_beside_choices_never_give_an_index_outside_the_table() {
    for policy in policies(Mode::Safe) {
        let rule = policy.rule.clone();
        let lists = |size: u32| {
            (0..size)
                .map(|id| Candidate::new(format!("10.0.0.{id}:80")).in_zone(format!("z{}", id % 3)))
        };
        let mut balancer = Balancer::new(policy).expect("a valid policy");
        balancer.update(1, lists(12).collect());
        for size in [3, 12, 1, 7] {
            let next = std::thread::scope(|scope| {
                for seed in 0..2 {
                    let shared = &balancer;
                    scope.spawn(move || {
                        let mut rng = Xoshiro256::new(seed);
                        for now in 1..200 {
                            let pick = shared
                                .choose(now, &mut rng, &Context::default())
                                .expect("all are usable");
                            assert!(shared.candidate(pick).is_some());
                            let ticket = shared.start(pick, now).expect("the list is the same");
                            shared.set_flag(pick.index, Flags::READY, true);
                            shared.finish(ticket, now + 1, Outcome::Success);
                        }
                    });
                }
                balancer.maintain(60_000);
                balancer.updated(2, lists(size).collect())
            });
            let old = balancer
                .choose(2, &mut Xoshiro256::new(0), &Context::default())
                .expect("all are usable");
            assert!(
                next.candidate(old).is_none() && next.start(old, 2).is_none(),
                "{rule} took a pick of another epoch"
            );
            let ours = next
                .choose(2, &mut Xoshiro256::new(0), &Context::default())
                .expect("all are usable");
            assert!(ours.index < size, "{rule} chose {} of {size}", ours.index);
            for id in 0..12 {
                assert_eq!(
                    next.stats(&format!("10.0.0.{id}:80"))
                        .map_or(0, nacrite_core::balance::stats::Stats::active),
                    0,
                    "{rule}"
                );
            }
            balancer = next;
        }
    }
}
