//! Bugs that are put in on purpose, one at a time, so that the simulator can show that it finds them.
//!
//! Without the feature `planted` the macro [`planted!`](crate::planted!) is a constant `false`, and nothing of a bug is
//! compiled. With it, a process plants one bug with [`plant`]; which one is the only state outside of a node, and only
//! tests that run one bug after the other may touch it.

use core::sync::atomic::{AtomicU8, Ordering};

/// Whether bugs can be planted in this build.
pub const ON: bool = cfg!(feature = "planted");

static PLANTED: AtomicU8 = AtomicU8::new(0);

/// A bug; where it is asked for is where it breaks something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Bug {
    /// Naming: a beat of an unhealthy instance is taken, but does not revive it.
    BeatDoesNotRevive = 1,
    /// Naming: after a pause, beat clocks go on as if nothing had been.
    PauseCountsAsSilence,
    /// Naming: silence counts from a second late.
    ExpiresLate,
    /// Naming: a beat that its deregistration overtook registers the instance again.
    LateBeatRegisters,
    /// Naming: what a connection registered stays when it ends.
    InstancesOutliveTheirConnection,
    /// Config: a config that was absent wakes no poll when it comes.
    NewConfigWakesNobody,
    /// Config: a poll that ends keeps the names that it watched.
    PollLeaksItsNames,
    /// Config: `casMd5` is not looked at.
    CasIsNotCompared,
    /// Config: a publish is applied, but not stored.
    PublishWritesNoRow,
    /// Push: a change that comes while a push is under way is forgotten.
    DirtyIsForgotten,
    /// Push: what is not acknowledged in time is not sent again.
    TimeOutIsNotRepeated,
    /// Push: the last deregistration is told to nobody (nacos-sdk-go#423).
    EmptyIsNotPushed,
    /// Push: what is acknowledged over UDP is sent again all the same.
    UdpAcksAreIgnored,
    /// Lock: a held lock can be taken once more.
    HeldLockIsTaken,
    /// Lock: giving back is applied, but not stored.
    LockRowStays,
    /// Log: a write is answered when it is proposed, not when it is committed.
    AnsweredWhenProposed,
    /// Log: removing a namespace is applied, but not stored.
    NamespaceRowStays,
    /// Host: the log is reported as written without a sync.
    LogIsNotSynced,
    /// Host: the state's writer loses the first row of a transaction.
    StateSkipsARow,
    /// Host: of a batch with several changes, readers do not see the last.
    ViewsMissADelta,
}

impl Bug {
    /// All of them, by module.
    pub const ALL: [Self; 20] = [
        Self::BeatDoesNotRevive,
        Self::PauseCountsAsSilence,
        Self::ExpiresLate,
        Self::LateBeatRegisters,
        Self::InstancesOutliveTheirConnection,
        Self::NewConfigWakesNobody,
        Self::PollLeaksItsNames,
        Self::CasIsNotCompared,
        Self::PublishWritesNoRow,
        Self::DirtyIsForgotten,
        Self::TimeOutIsNotRepeated,
        Self::EmptyIsNotPushed,
        Self::UdpAcksAreIgnored,
        Self::HeldLockIsTaken,
        Self::LockRowStays,
        Self::AnsweredWhenProposed,
        Self::NamespaceRowStays,
        Self::LogIsNotSynced,
        Self::StateSkipsARow,
        Self::ViewsMissADelta,
    ];
}

/// Plants a bug in this process, in the place of the last; none takes it out.
pub fn plant(bug: Option<Bug>) {
    PLANTED.store(bug.map_or(0, |bug| bug as u8), Ordering::Relaxed);
}

/// Whether this bug is planted.
#[must_use]
pub fn is(bug: Bug) -> bool {
    PLANTED.load(Ordering::Relaxed) == bug as u8
}

/// Whether a [`planted::Bug`](crate::planted::Bug) of that name is planted; constant `false` in products.
#[macro_export]
macro_rules! planted {
    ($bug:ident) => {
        $crate::planted::ON && $crate::planted::is($crate::planted::Bug::$bug)
    };
}
