//! What can go wrong with the files.

/// An error of the log or the state store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused or failed. After such an error of a write the files must be opened anew.
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
    /// Another process, or another part of this one, has the data folder open.
    #[error(
        "{place} is in use by another server{holder}; stop it first, or give this one a folder of its own"
    )]
    InUse {
        /// The data folder or the file.
        place: String,
        /// Who holds it, where known, as ` (process 123)`; else empty.
        holder: String,
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
    /// Entries to append do not follow each other, or not the log.
    #[error("log entry {found} cannot stand where {expected} is expected")]
    NotContiguous {
        /// Index of the offending entry.
        found: u64,
        /// Which index would be accepted.
        expected: u64,
    },
    /// A row refers to a content that is neither stored nor part of its batch.
    #[error("a row refers to content {index}, which is neither stored nor in the batch")]
    NoContent {
        /// The log index that names the content.
        index: u64,
    },
    /// A batch older than what the state store has applied.
    #[error("a batch up to index {batch} comes after index {applied} was applied")]
    AppliedBackwards {
        /// Index that the batch names.
        batch: u64,
        /// Index already applied.
        applied: u64,
    },
}

impl Error {
    /// A damage, found in `file`.
    pub(crate) fn damaged(file: &str, what: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_owned(),
            what: what.into(),
        }
    }

    /// What `redb` said about `file`.
    pub(crate) fn of(file: &str, error: impl Into<redb::Error>) -> Self {
        match error.into() {
            redb::Error::Io(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
                ) =>
            {
                Self::damaged(file, error.to_string())
            }
            redb::Error::Io(error) => Self::Io(error),
            redb::Error::DatabaseAlreadyOpen => Self::InUse {
                place: file.to_owned(),
                holder: String::new(),
            },
            error @ (redb::Error::PreviousIo
            | redb::Error::DatabaseClosed
            | redb::Error::TransactionPoisoned
            | redb::Error::LockPoisoned(_)) => {
                Self::Io(std::io::Error::other(format!("{file}: {error}")))
            }
            error => Self::damaged(file, error.to_string()),
        }
    }
}
