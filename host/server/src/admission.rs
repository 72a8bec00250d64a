//! Who is let in when there is more to do than can be done: an old request is worth little, so some are refused early,
//! and those that are let in do not wait long.
//!
//! What waits is not in a queue of ours: requests stand in sockets until a worker gets to them. So the wait is measured
//! as a request meets it: a datagram to ourselves through the same poll and the same run queue. Bursts are harmless;
//! only when even the shortest wait of a window is longer than the target (as CoDel judges a queue, RFC 8289 § 3), and
//! a crowd was before it, is a share of the requests refused, the more the longer the wait is. Without a crowd it is
//! the machine that makes everybody wait, and refusing would help nobody.
//!
//! A refusal costs no parse of parameters, no core and no disk. It is held for a while before it is said: whoever is
//! told "busy" at once comes again at once, and what takes in and refuses would be all that the server does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::net::UnixDatagram;

use crate::drive::Drive;

/// Time over which the shortest wait is looked for.
const WINDOW: Duration = Duration::from_millis(50);
/// So many waits belong to a window at least, however long they take.
const SAMPLES: u32 = 2;
/// Between two measurements while there is something to do, and while there is hardly anything.
const PACE: Duration = Duration::from_millis(5);
const IDLE_PACE: Duration = Duration::from_millis(100);
/// Fewer requests than this in the pace of idleness are hardly anything.
const HARDLY: u32 = 64;
/// As many requests, handled while something waits, are a crowd.
const CROWD: u32 = 64;
/// More refusals than this in a second are many.
const MANY: f64 = 600.0;
/// Refusals that are held at a time; further ones are said at once.
const MOST_HELD: usize = 50_000;
/// All requests, as a share.
const ALL: u32 = 1 << 16;
/// Some are always let in, or nobody would see that it is over.
const MOST_REFUSED: f64 = 0.98;
/// How long requests may wait while there are too many, of the target: waits swing, and who is let in meets the longest too. A
/// quarter is by measurement: with a half the 99th percentile was longer.
const AIM: f64 = 0.25;
/// An odd number near the golden section of [`ALL`]: its multiples spread evenly.
const SPREAD: u32 = 40_503;

/// When requests are refused, and how.
#[derive(Clone, Copy, Debug)]
pub struct AdmissionLimits {
    /// How long a request may have to wait for a worker.
    pub target: Duration,
    /// How long a refusal is held, in the mean.
    pub hold: Duration,
}

/// Decides for each request.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    /// Of [`ALL`].
    refused: AtomicU32,
    turn: AtomicU32,
    /// Since the last window.
    refusals: AtomicU32,
    held: AtomicUsize,
}

impl Admission {
    /// Lets everybody in, until it is [watched](Admission::watch) and there is too much.
    #[must_use]
    pub fn new(limits: AdmissionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            refused: AtomicU32::new(0),
            turn: AtomicU32::new(0),
            refusals: AtomicU32::new(0),
            held: AtomicUsize::new(0),
        })
    }

    /// Whether the next request is let in.
    #[must_use]
    pub fn admits(&self) -> bool {
        let turn = self.turn.fetch_add(1, Relaxed);
        let refused = self.refused.load(Relaxed);
        if refused == 0 || turn.wrapping_mul(SPREAD) % ALL >= refused {
            return true;
        }
        self.refusals.fetch_add(1, Relaxed);
        false
    }

    /// Holds a refusal.
    pub async fn hold(&self) {
        let count = self.held.fetch_add(1, Relaxed);
        let _held = Held(&self.held);
        if count < MOST_HELD {
            // Between half as long and half as long again: those who are refused together do not come again together.
            let turn = self.turn.load(Relaxed).wrapping_mul(SPREAD) % ALL;
            let part = 0.5 + f64::from(turn) / f64::from(ALL);
            tokio::time::sleep(self.limits.hold.mul_f64(part)).await;
        }
    }

    /// Measures and decides, until the process ends.
    ///
    /// # Errors
    /// If there is no socket to measure with.
    pub async fn watch(self: Arc<Self>, drive: Arc<Drive>) -> std::io::Result<()> {
        let (near, far) = UnixDatagram::pair()?;
        let mut share = 0.0;
        let mut seen = self.turn.load(Relaxed);
        loop {
            let start = Instant::now();
            let first = self.turn.load(Relaxed);
            let mut shortest = Duration::MAX;
            let mut samples = 0;
            while samples < SAMPLES || start.elapsed() < WINDOW {
                tokio::time::sleep(PACE).await;
                let turn = self.turn.load(Relaxed);
                let waited = wait(&near, &far).await?;
                let before_it = self.turn.load(Relaxed).wrapping_sub(turn);
                shortest = shortest.min(if before_it < CROWD {
                    Duration::ZERO
                } else {
                    waited
                });
                samples += 1;
            }
            let (refusals, took) = (self.refusals.swap(0, Relaxed), start.elapsed());
            let pressed = f64::from(refusals) > MANY * took.as_secs_f64();
            let turns = self.turn.load(Relaxed).wrapping_sub(first);
            let let_in = turns.saturating_sub(refusals).max(1);
            let held = took.mul_f64(self.held.load(Relaxed) as f64 / f64::from(let_in));
            share = self.limits.next(share, shortest, pressed, held);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share is between 0 and 1"
            )]
            let refused = (share * f64::from(ALL)) as u32;
            let before = self.refused.swap(refused, Relaxed);
            if (before == 0) != (refused == 0) {
                drive.shedding(refused != 0);
                let wait = shortest.as_millis();
                match refused {
                    0 => tracing::info!(target: "nacrite", "requests are let in again"),
                    _ => {
                        tracing::warn!(target: "nacrite", "requests wait {wait} ms for a worker: some are refused");
                    }
                }
            }
            // With hardly anything to do nobody waits.
            while self.refused.load(Relaxed) == 0 {
                let turn = self.turn.load(Relaxed);
                if turn.wrapping_sub(std::mem::replace(&mut seen, turn)) > HARDLY {
                    break;
                }
                tokio::time::sleep(IDLE_PACE).await;
            }
        }
    }
}

struct Held<'a>(&'a AtomicUsize);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl AdmissionLimits {
    /// The share to refuse from now on, after a window with this shortest wait.
    /// `pressed`: many were refused in it. `held`: how long everybody would wait longer if those who are held were let in at once.
    fn next(&self, share: f64, shortest: Duration, pressed: bool, held: Duration) -> f64 {
        let wait = shortest.as_secs_f64();
        // A load that would be let in if no crowd had come before it is let in again after it.
        let too_many = shortest + held > self.target;
        let aim = self.target.as_secs_f64() * if too_many { AIM } else { 1.0 };
        if wait > aim {
            // Of what is let in, half of what is too much.
            let too_much = (wait - aim) / wait;
            return (share + (1.0 - share) * too_much / 2.0).min(MOST_REFUSED);
        }
        let share = match (pressed, wait > aim / 2.0) {
            // While many are turned away, what is let in is near what can be done: a little more at a time.
            (true, true) => share * 0.995,
            (true, false) => share * 0.985,
            (false, _) => share * 0.7,
        };
        if share < 0.02 { 0.0 } else { share }
    }
}

/// How long something that has arrived waits until it is its turn.
async fn wait(near: &UnixDatagram, far: &UnixDatagram) -> std::io::Result<Duration> {
    let mut piece = [0; 8];
    // Nothing is there: from here on only the poll can say otherwise.
    while far.try_recv(&mut piece).is_ok() {}
    let start = Instant::now();
    near.send(&[0]).await?;
    far.recv(&mut piece).await?;
    Ok(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: AdmissionLimits = AdmissionLimits {
        target: Duration::from_millis(10),
        hold: Duration::from_millis(1),
    };

    #[test]
    fn the_share_follows_the_wait() {
        let ms = Duration::from_millis;
        assert_eq!(LIMITS.next(0.0, ms(10), false, ms(0)), 0.0);
        let mut share = 0.0;
        for _ in 0..100 {
            let next = LIMITS.next(share, ms(100), true, ms(0));
            assert!(next >= share && next <= MOST_REFUSED);
            share = next;
        }
        assert!(share > 0.97, "{share}");
        let mut windows = 0;
        while share > 0.0 {
            share = LIMITS.next(share, ms(1), false, ms(0));
            windows += 1;
        }
        assert!(windows < 20, "over within a second: {windows}");
    }

    #[test]
    fn a_wait_is_judged_by_who_is_held() {
        let ms = Duration::from_millis;
        assert!(LIMITS.next(0.1, ms(4), true, ms(50)) > 0.1);
        // Nobody waits longer than the target if all are let in, so in the end they are.
        let mut share = 0.1;
        for _ in 0..1_000 {
            share = LIMITS.next(share, ms(6), true, ms(3));
        }
        assert_eq!(share, 0.0);
    }

    #[tokio::test]
    async fn so_many_are_refused_as_said_and_held() {
        let admission = Admission::new(LIMITS);
        assert!((0..1_000).all(|_| admission.admits()));
        admission.refused.store(ALL / 4, Relaxed);
        let admitted = (0..1_000).filter(|_| admission.admits()).count();
        assert!((740..=760).contains(&admitted), "{admitted}");
        let start = Instant::now();
        admission.hold().await;
        assert!(start.elapsed() >= LIMITS.hold / 2);
        assert_eq!(admission.held.load(Relaxed), 0);
    }

    #[tokio::test]
    async fn a_busy_worker_is_seen() {
        let (near, far) = UnixDatagram::pair().expect("a pair of sockets");
        let idle = wait(&near, &far).await.expect("it arrives");
        let busy = tokio::spawn(async {
            for _ in 0..20 {
                std::thread::sleep(Duration::from_millis(5));
                tokio::task::yield_now().await;
            }
        });
        tokio::task::yield_now().await;
        let waited = wait(&near, &far).await.expect("it arrives");
        busy.await.expect("it does not panic");
        assert!(
            waited >= Duration::from_millis(4) && waited > idle,
            "{waited:?}, {idle:?}"
        );
    }
}
