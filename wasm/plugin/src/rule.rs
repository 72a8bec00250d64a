//! What a plugin implements.

use crate::draws::Draws;
use crate::table::Table;
use alloc::string::String;

/// A load-balancing rule. One value serves one service on one thread; the host makes a value for each.
pub trait Rule: Sized + 'static {
    /// Takes the configuration: the bytes of a JSON document, `{}` when the policy has none.
    ///
    /// # Errors
    /// What is wrong with it, for the person who wrote it; then the plugin is not used.
    fn init(config: &[u8]) -> Result<Self, String>;

    /// The list changed: what can be computed once for many picks belongs here (50 ms of CPU at most).
    fn update(&mut self, _table: &Table<'_>) {}

    /// Chooses an instance (2 ms of CPU at most; far less is expected). The live columns of the table are current.
    fn choose(&mut self, table: &Table<'_>, pick: &mut Pick<'_>) -> Choice;

    /// A request to the instance at `index` begins.
    fn start(&mut self, _table: &Table<'_>, _index: u32, _now_ms: u64) {}

    /// A request to the instance at `index` ended after `latency_us`.
    fn report(
        &mut self,
        _table: &Table<'_>,
        _index: u32,
        _outcome: Outcome,
        _latency_us: u64,
        _now_ms: u64,
    ) {
    }
}

/// What a rule is told about one pick.
#[derive(Debug)]
pub struct Pick<'a> {
    /// Hash of the request's key, when it has one.
    pub key_hash: Option<u64>,
    /// The host's monotonic clock in ms.
    pub now_ms: u64,
    /// The randomness of this pick.
    pub draws: &'a mut Draws,
    /// Bits of [`choose`](crate::choose).
    pub flags: u32,
}

/// A rule's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The instance with this index of the table.
    Index(u32),
    /// Nobody, and why in a word or two.
    None(&'static str),
    /// The policy's fallback rule shall choose.
    Fallback,
}

/// How a request ended. The last two are notes outside any request, from probes and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer came, and it is no server error.
    Success,
    /// An answer with a server error (HTTP 500 to 599 other than the next).
    ServerError,
    /// An answer with a gateway error (HTTP 502, 503, 504).
    GatewayError,
    /// Refused, reset, no route, or a time-out.
    CircuitFailure,
    /// It failed otherwise, or was cancelled.
    OtherFailure,
    /// Only a response time is noted.
    ResponseOnly,
    /// Only a connection failure is noted.
    FailureOnly,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Success,
        Self::ServerError,
        Self::GatewayError,
        Self::CircuitFailure,
        Self::OtherFailure,
        Self::ResponseOnly,
        Self::FailureOnly,
    ];

    /// The outcome with this number in the ABI.
    #[must_use]
    pub fn of(code: i32) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// Its number in the ABI.
    #[must_use]
    pub const fn code(self) -> i32 {
        self as i32
    }
}
