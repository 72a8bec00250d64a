//! The core natively and as wasm: the same inputs give the same bytes, in batches of several sizes, and a node that
//! was restored from a snapshot of the *other* engine, or from a copy of a module's memory, goes on as the one that was not.
//!
//! A sample runs by default; `NACRITE_FULL` runs ten minutes of it. `NACRITE_SEED` and `NACRITE_BATCH` repeat one run.

#[path = "differential/guest.rs"]
mod guest;

use std::time::{Duration, Instant};

use guest::Guest;
use nacrite_core::{
    log::{Command, RowWrite, Table},
    model::{GrayRule, HealthChecker, Selector},
    node::{
        Node,
        input::{AckOutcome, Input, Now, ProbeOutcome, RejectReason},
        op::{CapacityOf, Op, Question},
        output::{NameForm, Output, ProbeTarget, PushBody, SyncKind},
        reply::{Refusal, Reply},
    },
    sim::{Report, Setting},
    view::{Delta, InstanceChange},
};
use nacrite_tests::{
    differential::{Variants, World, settings},
    sample::{again, seeds},
    simulated::{run_solo, run_solo_on},
};

const BATCHES: [usize; 3] = [1, 7, 256];
/// Inputs of one run.
const RUN: usize = 24_000;
/// Inputs between two snapshots.
const BETWEEN_SNAPSHOTS: usize = 3_000;
/// Inputs between two starts from the state store.
const BETWEEN_STARTS: usize = 10_000;

/// The same node four times.
struct Four {
    native: Node,
    wasm: Guest,
    /// From the last snapshot of `wasm`.
    native_again: Node,
    /// From the last snapshot of `native`.
    wasm_again: Guest,
}

impl Four {
    fn started(seed: u64) -> Self {
        let settings = settings(seed);
        Self {
            native: Node::new(&settings),
            wasm: Guest::started(&settings),
            native_again: Node::new(&settings),
            wasm_again: Guest::started(&settings),
        }
    }

    /// The outputs of a batch, if all four agree on it.
    fn handle(&mut self, batch: &[(Now, Input)]) -> Vec<Output> {
        let bytes = postcard::to_allocvec(batch).expect("a batch is serialised");
        let outputs = run(&mut self.native, batch);
        let expected = postcard::to_allocvec(&outputs).expect("outputs are serialised");
        let again = run(&mut self.native_again, batch);
        assert!(
            again == outputs,
            "the restored native node differs: {}",
            first_difference(&outputs, &again)
        );
        for (name, guest) in [
            ("the wasm node", &mut self.wasm),
            ("the restored wasm node", &mut self.wasm_again),
        ] {
            let answer = guest
                .handle(&bytes)
                .unwrap_or_else(|trap| panic!("{name} trapped: {trap}"));
            if answer != expected {
                let theirs: Vec<Output> =
                    postcard::from_bytes(&answer).expect("an engine answers with outputs");
                panic!("{name} differs: {}", first_difference(&outputs, &theirs));
            }
            assert_eq!(
                guest.deadline(),
                self.native.deadline(),
                "deadline of {name}"
            );
        }
        assert_eq!(self.native_again.deadline(), self.native.deadline());
        outputs
    }

    /// Restores each engine's second node from the other engine's first, or copies its own.
    fn swap(&mut self, by_image: bool) {
        let (of_native, of_wasm) = (self.native.snapshot(), self.wasm.snapshot());
        assert!(of_native == of_wasm, "the snapshots of both engines differ");
        (self.native_again, self.wasm_again) = match by_image {
            true => (self.native.clone(), self.wasm.copied()),
            false => (
                Node::from_snapshot(&of_wasm).expect("a snapshot is whole"),
                Guest::restored(&of_native).expect("a snapshot is whole"),
            ),
        };
        assert!(
            self.native_again.snapshot() == of_native,
            "a restored node is not what it was"
        );
    }
}

fn run(node: &mut Node, batch: &[(Now, Input)]) -> Vec<Output> {
    for (now, input) in batch {
        node.handle(*now, input.clone());
    }
    std::iter::from_fn(|| node.poll()).collect()
}

fn first_difference(expected: &[Output], found: &[Output]) -> String {
    let at = expected.iter().zip(found).position(|(a, b)| a != b);
    let at = at.unwrap_or(expected.len().min(found.len()));
    format!(
        "output {at} of {}: {:?} is {:?}",
        expected.len(),
        expected.get(at),
        found.get(at)
    )
}

/// Says how to repeat a run that fails.
struct Repeat(u64, usize);

impl Drop for Repeat {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, batch) = self;
            eprintln!(
                "to repeat: NACRITE_SEED={seed} NACRITE_BATCH={batch} cargo test -p nacrite-tests --test differential"
            );
        }
    }
}

/// One run; what it saw and how many requests were answered well, and refused.
fn compare(seed: u64, batch_size: usize) -> World {
    let _repeat = Repeat(seed, batch_size);
    let mut world = World::new(seed);
    let mut four = Four::started(seed);
    let begin = world.start();
    let outputs = four.handle(&begin);
    world.follow(&outputs, four.native.deadline());
    let (mut done, mut snapshots, mut starts) = (0, 1, 1);
    while done < RUN {
        let batch = world.batch(batch_size);
        done += batch.len();
        let outputs = four.handle(&batch);
        world.follow(&outputs, four.native.deadline());
        if done >= starts * BETWEEN_STARTS {
            starts += 1;
            four = Four::started(seed);
            let begin = world.start();
            let outputs = four.handle(&begin);
            world.follow(&outputs, four.native.deadline());
        } else if done >= snapshots * BETWEEN_SNAPSHOTS {
            snapshots += 1;
            four.swap(snapshots % 2 == 0);
        }
    }
    world
}

/// Every variant that exists must have gone in or come out.
fn never_seen(seen: &Variants) -> Vec<String> {
    [
        seen.never::<Input>(),
        seen.never::<Output>(),
        seen.never::<Op>(),
        seen.never::<Command>(),
        seen.never::<Reply>(),
        seen.never::<Refusal>(),
        seen.never::<Question>(),
        seen.never::<AckOutcome>(),
        seen.never::<RejectReason>(),
        seen.never::<ProbeOutcome>(),
        seen.never::<ProbeTarget>(),
        seen.never::<PushBody>(),
        seen.never::<SyncKind>(),
        seen.never::<NameForm>(),
        seen.never::<Delta>(),
        seen.never::<InstanceChange>(),
        seen.never::<RowWrite>(),
        seen.never::<Table>(),
        seen.never::<CapacityOf>(),
        seen.never::<GrayRule>(),
        seen.never::<HealthChecker>(),
        seen.never::<Selector>(),
    ]
    .concat()
}

fn from_env(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number")),
    )
}

#[test]
fn simulated_worlds_leave_the_same_trace() {
    for seed in seeds(6, 200) {
        let setting = Setting::of(seed);
        let (native, wasm) = (run_solo(setting), run_solo_on(setting, Guest::started));
        let of = |report: &Report| (report.hash, report.steps, report.writes, report.pushes);
        assert!(
            of(&native) == of(&wasm),
            "the engines part: {:?} and {:?}; again: {}",
            of(&native),
            of(&wasm),
            again(
                "differential",
                "simulated_worlds_leave_the_same_trace",
                seed
            )
        );
        assert!(
            native.writes > 0 && native.restarts > 0,
            "too little happens"
        );
    }
}

#[test]
fn native_and_wasm_give_the_same_bytes() {
    let started = Instant::now();
    let full = std::env::var_os("NACRITE_FULL").is_some();
    let for_at_least = Duration::from_secs(if full { 600 } else { 0 });
    let one = from_env("NACRITE_SEED");
    let first = one.unwrap_or(1);
    let sizes = from_env("NACRITE_BATCH").map_or(BATCHES.to_vec(), |size| vec![size as usize]);
    let mut seen = Variants::default();
    let (mut good, mut refused, mut inputs) = (0, 0, 0);
    let mut seed = first;
    while seed == first || one.is_none() && (seed < first + 2 || started.elapsed() < for_at_least) {
        for size in &sizes {
            let world = compare(seed, *size);
            seen.add(&world.seen);
            good += world.answered.0;
            refused += world.answered.1;
            inputs += RUN;
        }
        seed += 1;
    }
    println!(
        "{inputs} inputs of {} seeds, batches of {sizes:?}: {good} requests answered well, {refused} refused, in {:?}",
        seed - first,
        started.elapsed()
    );
    assert!(
        good * 100 >= (good + refused) * 60,
        "too many requests are refused: {refused} of {}",
        good + refused
    );
    if one.is_none() {
        assert_eq!(
            never_seen(&seen),
            // Hosts say so when an engine has failed.
            ["Refusal::Failed"],
            "variants never seen"
        );
    }
}

#[test]
fn a_damaged_snapshot_is_refused_by_both() {
    let mut guest = Guest::started(&settings(1));
    let snapshot = guest.snapshot();
    let cut = &snapshot[..snapshot.len() - 1];
    assert!(Node::from_snapshot(cut).is_err());
    let refused = |bytes: &[u8]| Guest::restored(bytes).err().map(|e| e.to_string());
    let damaged = refused(cut).expect("it is refused");
    assert!(damaged.ends_with("it is damaged"), "{damaged}");
    let mut other = snapshot.clone();
    other[0] ^= 0x80;
    assert!(Node::from_snapshot(&other).is_err());
    let schema = refused(&other).expect("it is refused");
    assert!(schema.ends_with("of another schema"), "{schema}");
    let (committed, live) = guest.memory();
    assert!(
        live > 0 && live < committed && committed < 64 << 20,
        "a node without anything is small: {live} of {committed} bytes"
    );
}

#[test]
fn a_trap_says_why() {
    let mut guest = Guest::started(&settings(1));
    let trap = guest.handle(&[0xff]).expect_err("these bytes are no batch");
    assert!(
        trap.reason.contains("the host sends a whole batch"),
        "{trap}"
    );
    assert_eq!(trap.handled, Some(0));
}
