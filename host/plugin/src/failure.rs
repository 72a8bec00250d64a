//! Why a plugin is refused, and why a call of one failed.

/// Why a module is not taken as a plugin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many bytes.
    #[error("the module has {bytes} bytes; at most {limit} are taken")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The bytes are no module in WebAssembly's binary form.
    #[error("not a WebAssembly module (binary form, version 1): {0}")]
    NotWasm(String),
    /// It wants something from its host.
    #[error("a plugin imports nothing; this one wants {0}")]
    Imports(String),
    /// An export is missing.
    #[error("the export {name} is missing; it must be {wanted}")]
    Missing {
        /// Its name.
        name: &'static str,
        /// Its type.
        wanted: &'static str,
    },
    /// An export has another type.
    #[error("the export {name} must be {wanted}; it is {found}")]
    WrongType {
        /// Its name.
        name: &'static str,
        /// The type it must have.
        wanted: &'static str,
        /// The type it has.
        found: String,
    },
    /// There is an export that the ABI does not know.
    #[error(
        "the export {0} is not part of the ABI; a plugin exports memory and the lb_ functions only"
    )]
    Unknown(String),
    /// Two of the optional pair, or neither.
    #[error("lb_start and lb_report go together; only {0} is exported")]
    Half(&'static str),
    /// It speaks another version.
    #[error("lb_abi gave {0}; this host speaks version 1")]
    Version(i32),
    /// It refuses its configuration.
    #[error("the plugin refuses the configuration: {0}")]
    Config(String),
    /// It failed while it was started or tried.
    #[error("{during}: {failure}")]
    Failed {
        /// What it was doing.
        during: String,
        /// How it failed.
        failure: Failure,
    },
}

/// How a call of a plugin failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It trapped; with its own words, when it left some.
    #[error("trap: {0}")]
    Trap(String),
    /// It used more CPU time than the call has.
    #[error("out of time: {0} used up its CPU budget")]
    OutOfTime(&'static str),
    /// It recursed too deep.
    #[error("stack overflow")]
    StackOverflow,
    /// It asked for more memory than it may have, and did not go on without.
    #[error("out of memory: more than {0} bytes")]
    OutOfMemory(usize),
    /// It wants function tables that are too large, or grew one.
    #[error("more than {0} table elements")]
    Table(usize),
    /// `lb_choose` gave an index outside the list.
    #[error("lb_choose gave {index}; the list has {count} instances")]
    BadIndex {
        /// The index.
        index: i32,
        /// The length of the list.
        count: u32,
    },
    /// A pointer it gave is outside its memory.
    #[error("{0} gave a place outside the plugin's memory")]
    BadPlace(&'static str),
    /// `lb_alloc` gave 0.
    #[error("lb_alloc had no {0} bytes")]
    NoBuffer(usize),
    /// `lb_init` or `lb_update` gave an error code.
    #[error("{call} gave {code}: {said}")]
    Code {
        /// The call.
        call: &'static str,
        /// The code.
        code: i32,
        /// The text of `lb_error`.
        said: String,
    },
}
