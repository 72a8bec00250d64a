//! A single voter: group commit, crashes, restarts from every state that a crash can leave, damaged folders.

use nacrite_consensus::{Effect, ProposeError, StartError};
use nacrite_storage::{Entry, HardState, LogReader};
use proptest::prelude::*;

use crate::host::{Chosen, Host, Rng};

fn host(seed: u64) -> Host {
    Host::new(1, &[1], seed, Chosen::default())
}

fn started(seed: u64) -> Host {
    let mut host = host(seed);
    host.start().expect("an empty folder is no damage");
    host
}

fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        kind: 0,
        payload: index.to_be_bytes().to_vec(),
    }
}

/// A host whose log has five entries of term 1.
fn with_log(commit: u64, applied: u64) -> Host {
    let mut host = host(0);
    host.log
        .write(&(1..=5).map(|index| entry(index, 1)).collect::<Vec<_>>());
    host.hard_state = HardState {
        term: 1,
        vote: 1,
        commit,
    };
    host.state = (1..=applied)
        .map(|index| index.to_be_bytes().to_vec())
        .collect();
    host.durable = applied;
    host
}

#[test]
fn leads_at_once_without_ticks() {
    let mut host = started(0);
    assert!(host.running().is_leader());
    assert_eq!(host.running().deadline(), None);
    assert_eq!(
        host.poll(),
        Some(Effect::Role {
            leader: Some(1),
            term: 1,
            is_leader: true
        })
    );
    let Some(Effect::Persist {
        entries,
        hard_state,
        must_sync: true,
        ..
    }) = host.poll()
    else {
        panic!("the vote and the leader's own entry are to be synced");
    };
    assert_eq!(
        entries,
        [Entry {
            index: 1,
            term: 1,
            kind: 0,
            payload: Vec::new()
        }]
    );
    assert_eq!(
        hard_state,
        Some(HardState {
            term: 1,
            vote: 1,
            commit: 0
        })
    );
    assert_eq!(host.poll(), None);
    host.sync(1);
    assert_eq!(
        host.poll(),
        Some(Effect::Apply {
            index: 1,
            term: 1,
            ticket: None,
            payload: Vec::new()
        })
    );
}

#[test]
fn proposals_made_together_share_one_persist() {
    let mut host = started(0);
    host.settle();
    let before = host.persists;
    for ticket in 0..100 {
        host.propose(ticket, vec![7; 100]).expect("leads");
    }
    host.drain();
    assert_eq!(host.persists, before + 1);
    assert_eq!(
        host.acknowledged.len(),
        0,
        "nothing is acknowledged before it is persisted"
    );
    assert_eq!(host.running().entries_held(), 100);
    host.settle();
    assert_eq!(host.acknowledged.len(), 100);
    assert!(host.open.is_empty());
    assert_eq!(host.running().entries_held(), 0);
}

#[test]
fn entries_stay_in_memory_until_persisted_and_applied() {
    let mut host = started(0);
    host.settle();
    host.propose(1, vec![1]).expect("leads");
    host.drain();
    host.propose(2, vec![2]).expect("leads");
    host.drain();
    host.sync(1);
    host.drain();
    assert_eq!(host.acknowledged.len(), 1);
    assert_eq!(
        host.running().entries_held(),
        2,
        "one not persisted, one not applied"
    );
    host.applied();
    assert_eq!(host.running().entries_held(), 1);
}

#[test]
fn too_much_on_the_way_is_busy() {
    let mut host = started(0);
    host.settle();
    let mebibyte = vec![0; 1 << 20];
    for ticket in 0..64 {
        host.propose(ticket, mebibyte.clone())
            .expect("64 MiB may wait");
    }
    assert_eq!(host.propose(64, vec![0]), Err(ProposeError::Busy));
    host.settle();
    assert_eq!(host.acknowledged.len(), 64);
    host.propose(65, mebibyte).expect("nothing waits any more");
}

#[test]
fn restarts_with_the_commit_behind_what_is_applied() {
    let mut host = with_log(1, 4);
    host.start().expect("commit is written lazily");
    host.settle();
    assert_eq!(host.state.len(), 6, "the fifth entry and the leader's own");
}

#[test]
fn restarts_with_the_commit_behind_the_log() {
    let mut host = with_log(3, 3);
    host.start()
        .expect("entries may be persisted and not committed");
    assert!(host.running().is_leader());
    host.settle();
    assert_eq!(host.state.len(), 6);
}

#[test]
fn restarts_with_committed_entries_to_apply() {
    let mut host = with_log(5, 2);
    host.start().expect("the state store lags");
    assert_eq!(
        host.propose(1, vec![1]),
        Err(ProposeError::NotLeader { leader: None })
    );
    host.drain();
    assert_eq!(
        host.state.len(),
        5,
        "replayed before it stands for election"
    );
    assert!(host.running().is_leader());
    host.settle();
    assert_eq!(host.state.len(), 6);
}

#[test]
fn restarts_from_a_compacted_log() {
    for (compacted, applied) in [(3, 3), (3, 4), (5, 5)] {
        let mut host = with_log(applied, applied);
        host.log.compact(compacted);
        host.start().expect("compacted up to what is applied");
        host.settle();
        assert_eq!(host.state.len(), 6);
        host.propose(1, vec![9]).expect("leads");
        host.settle();
        assert_eq!(host.acknowledged[&7], [9]);
    }
}

#[test]
fn a_long_replay_reads_the_log_in_slices() {
    let mut host = host(0);
    let payload = vec![3; 256 << 10];
    let entries: Vec<_> = (1..=64)
        .map(|index| Entry {
            payload: payload.clone(),
            ..entry(index, 1)
        })
        .collect();
    host.log.write(&entries);
    host.hard_state = HardState {
        term: 1,
        vote: 1,
        commit: 64,
    };
    host.start().expect("16 MiB to replay");
    host.drain();
    assert_eq!(host.state.len(), 64);
    assert!(
        host.log.largest_read() <= 2 << 20,
        "{} bytes in one read",
        host.log.largest_read()
    );
    assert_eq!(
        host.running().entries_held(),
        1,
        "what is replayed is not kept"
    );
}

#[test]
fn damaged_folders_are_told_apart() {
    let mut applied_past_log = with_log(5, 5);
    applied_past_log.durable = 6;
    let error = applied_past_log.start().expect_err("damaged");
    assert!(
        matches!(
            error,
            StartError::AppliedPastLog {
                applied: 6,
                last_index: 5
            }
        ),
        "{error}"
    );

    let error = with_log(6, 5).start().expect_err("damaged");
    assert!(
        matches!(
            error,
            StartError::CommitPastLog {
                commit: 6,
                last_index: 5
            }
        ),
        "{error}"
    );

    let host = with_log(5, 2);
    host.log.compact(3);
    let mut compacted_past_applied = host;
    let error = compacted_past_applied.start().expect_err("damaged");
    assert!(
        matches!(
            error,
            StartError::CompactedPastApplied {
                applied: 2,
                compacted: 3
            }
        ),
        "{error}"
    );

    let mut forgotten_vote = with_log(5, 5);
    forgotten_vote.hard_state = HardState::default();
    let error = forgotten_vote.start().expect_err("damaged");
    assert!(
        matches!(
            error,
            StartError::TermBehindLog {
                term: 0,
                last_term: 1
            }
        ),
        "{error}"
    );

    for voters in [&[][..], &[0], &[1, 1]] {
        let mut host = Host::new(1, voters, 0, Chosen::default());
        assert!(matches!(host.start(), Err(StartError::Members(_))));
    }
}

#[test]
#[should_panic(expected = "write 99 reported")]
fn a_number_never_given_out_is_a_fault() {
    started(0).running().on_persisted(99);
}

/// The bytes of a change that adds member 7 as a learner are pinned here: logs must stay readable.
#[test]
fn a_change_of_members_holds_from_its_apply_on() {
    let mut host = host(0);
    host.log.write(&[Entry {
        index: 1,
        term: 1,
        kind: 1,
        payload: vec![0x10, 2, 0x18, 7],
    }]);
    host.hard_state = HardState {
        term: 1,
        vote: 1,
        commit: 1,
    };
    host.start().expect("a log with a change");
    assert_eq!(host.running().conf_state(), [0x0A, 1, 1]);
    let effect = host.poll().expect("replayed");
    assert_eq!(
        effect,
        Effect::Apply {
            index: 1,
            term: 1,
            ticket: None,
            payload: Vec::new()
        }
    );
    let both = [0x0A, 1, 1, 0x12, 1, 7];
    assert_eq!(host.running().conf_state(), both);
    assert!(host.running().is_leader(), "still the only voter");
    assert_eq!(
        host.running().deadline(),
        Some(0),
        "a learner is to be heard from"
    );
    host.make_durable();
    host.crash(0);
    host.start().expect("members from the state store");
    assert_eq!(host.running().conf_state(), both);
}

/// One thing that the host does, or that happens to it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Propose(u16),
    Poll(u8),
    Sync(u8),
    Applied,
    Durable,
    Compact(u8),
    Crash(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..600_u16).prop_map(Step::Propose),
        8 => (1..12_u8).prop_map(Step::Poll),
        5 => (1..5_u8).prop_map(Step::Sync),
        2 => Just(Step::Applied),
        1 => Just(Step::Durable),
        1 => any::<u8>().prop_map(Step::Compact),
        1 => (0..4_u8).prop_map(Step::Crash),
    ]
}

/// Runs the steps, then lets everything come to rest, restarts and checks that nothing acknowledged is gone.
fn run(seed: u64, steps: &[Step]) -> Host {
    let mut host = started(seed);
    for (ticket, step) in (0..).zip(steps) {
        match *step {
            Step::Propose(size) => {
                let mut payload = u64::to_be_bytes(ticket).to_vec();
                payload.resize(8 + usize::from(size), 1);
                let leads = host.running().is_leader();
                assert_eq!(host.propose(ticket, payload).is_ok(), leads);
            }
            Step::Poll(count) => {
                for _ in 0..count {
                    host.poll();
                }
            }
            Step::Sync(count) => host.sync(count.into()),
            Step::Applied => host.applied(),
            Step::Durable => host.make_durable(),
            Step::Compact(back) => host.log.compact(host.durable.saturating_sub(back.into())),
            Step::Crash(written) => {
                host.crash(written.into());
                host.start().expect("a crash is no damage");
            }
        }
    }
    host.settle();
    assert!(
        host.open.is_empty(),
        "every proposal of this run is answered"
    );
    assert_eq!(host.running().entries_held(), 0);
    host.crash(0);
    host.start().expect("a crash is no damage");
    host.settle();
    for (index, payload) in &host.acknowledged {
        assert_eq!(
            host.state.get(usize::try_from(index - 1).expect("small")),
            Some(payload),
            "index {index} is lost"
        );
    }
    host
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_acknowledged_survives(seed: u64, steps in prop::collection::vec(step(), 1..200)) {
        run(seed, &steps);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut rng = Rng(42);
    let steps: Vec<_> = (0..2_000)
        .map(|_| match rng.below(20) {
            0..8 => Step::Propose(u16::try_from(rng.below(600)).expect("small")),
            8..14 => Step::Poll(6),
            14..17 => Step::Sync(2),
            17 => Step::Applied,
            18 => Step::Durable,
            _ => Step::Crash(1),
        })
        .collect();
    let (one, other) = (run(7, &steps), run(7, &steps));
    assert!(one.trace.len() > 500);
    assert_eq!(one.trace, other.trace);
}

#[test]
fn the_log_is_to_be_cut_after_twenty_thousand_entries() {
    let mut host = started(0);
    for ticket in 0..20_100 {
        host.propose(ticket, vec![0; 8]).expect("leads");
    }
    host.settle();
    assert_eq!(host.running().compaction(0), None);
    assert_eq!(host.running().compaction(20_000), None);
    assert_eq!(host.running().compaction(20_050), Some(10_050));
    assert_eq!(
        host.running().compaction(u64::MAX),
        Some(10_101),
        "not past what was given out"
    );
    host.make_durable();
    host.log.compact(10_101);
    assert_eq!(host.running().compaction(20_101), None);
    assert_eq!(host.log.first_index(), 10_102);
    host.propose(30_000, vec![1]).expect("leads");
    host.settle();
    assert_eq!(host.acknowledged.len(), 20_101);
}
