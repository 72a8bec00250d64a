//! What can go wrong with the files.

/// An error of the log or the state store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused or failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The file is damaged: which, and where.
    #[error("{file} is damaged: {what}")]
    Damaged {
        /// Which file.
        file: String,
        /// What was found, with table and key or offset.
        what: String,
    },
    /// An index outside of the log.
    #[error("log index {index} is not in {first}..={last}")]
    OutOfLog {
        /// The index asked for.
        index: u64,
        /// First readable index.
        first: u64,
        /// Last readable index.
        last: u64,
    },
}
