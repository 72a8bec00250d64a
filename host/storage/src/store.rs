//! The two files together: made together, opened together, and only if they agree.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use crate::Error;
use crate::disk::{Disk, Folder};
use crate::file::Check;
use crate::log::{self, LOG_FILE, Log, LogStart};
use crate::pages;
use crate::state::{self, Applied, INCOMING, STATE_FILE, State};

/// Added to the name of a file that is being made.
const UNFINISHED: &str = ".new";

/// How to open the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Identity that a new store is given: a random number. An existing one keeps its own.
    pub new_node_id: u64,
    /// Cache of the log's file, in bytes.
    pub log_cache: usize,
    /// Cache of the state's file, in bytes.
    pub state_cache: usize,
    /// Whether the checksum of every page is compared before the files are used: a tenth of a second for 300 MB that
    /// the system has in memory. Without it, damage is found when the damaged record is read; damage of the pages that
    /// lead to a record may then go unseen.
    pub verify_data: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            new_node_id: 0,
            log_cache: 4 << 20,
            state_cache: 16 << 20,
            verify_data: true,
        }
    }
}

/// Log and state of one node, open.
pub struct Store {
    /// The log.
    pub log: Log,
    /// What the log held when it was opened.
    pub start: LogStart,
    /// The state.
    pub state: State,
}

impl Store {
    /// Opens the store in a folder, making folder and files where there are none.
    ///
    /// # Errors
    /// [`Error::InUse`] if a server has it open, [`Error::Damaged`] if what is there cannot be trusted.
    pub fn open_folder(path: &Path, options: &Options) -> Result<Self, Error> {
        Self::open(Arc::new(Folder::open(path)?), options)
    }

    /// Opens the store on a disk, making the files where there are none.
    ///
    /// # Errors
    /// [`Error::Damaged`] if what is there cannot be trusted.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the disk is the store's from here on"
    )]
    pub fn open(disk: Arc<dyn Disk>, options: &Options) -> Result<Self, Error> {
        let found = prepare(disk.as_ref(), options.new_node_id)?;
        let is_new = found != Found::Store;
        // What was written a moment ago, by this process, needs no check; the check would cost syncs, too.
        let verify = options.verify_data && found != Found::Nothing;
        let checks = if verify {
            check_both(disk.as_ref())
        } else {
            [Check::Later; 2]
        };
        let (mut log, mut start) = Log::open(&disk, options.log_cache, checks[0], is_new)?;
        let (state, node_id) = State::open(&disk, STATE_FILE, options.state_cache, checks[1])?;
        if let Some(install) = log.installing()? {
            if state.reader().applied().index == install.compacted.index {
                log.install(&install)?;
            } else {
                log.forget_install()?;
            }
            start = log.start(is_new)?;
        }
        disk.remove(INCOMING)?;
        let applied = state.reader().applied();
        if let Some(what) = disagreement(&start, node_id, applied) {
            return Err(Error::damaged(&disk.place(STATE_FILE), what));
        }
        Ok(Self { log, start, state })
    }
}

/// Compares the checksums of both files beside each other, without changing them; what is to be done about them still.
///
/// Nothing else is done on two threads: what is written has an order that a simulated disk repeats.
fn check_both(disk: &dyn Disk) -> [Check; 2] {
    let check = |name| match disk.open_read(name).and_then(|file| pages::sound(&file)) {
        Ok(true) => Check::Done,
        // Opening the file says what is wrong, or that it cannot be read.
        Ok(false) | Err(_) => Check::Pages,
    };
    thread::scope(|both| {
        let log = both.spawn(|| check(LOG_FILE));
        let state = check(STATE_FILE);
        [log.join().unwrap_or(Check::Pages), state]
    })
}

/// What is wrong between the two files, if anything is.
pub(crate) fn disagreement(log: &LogStart, state_node: u64, applied: Applied) -> Option<String> {
    if state_node != log.node_id {
        Some(format!(
            "it belongs to node {state_node:x}, and {LOG_FILE} to node {:x}",
            log.node_id
        ))
    } else if applied.index > log.last_index {
        Some(format!(
            "it has applied up to {}, and {LOG_FILE} ends at {}",
            applied.index, log.last_index
        ))
    } else if applied.index < log.compacted.index {
        Some(format!(
            "it has applied up to {}, and {LOG_FILE} begins after {}",
            applied.index, log.compacted.index
        ))
    } else {
        None
    }
}

/// What stood on a disk before [`prepare`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Store,
    /// A store whose making was interrupted.
    Beginning,
    Nothing,
}

/// Makes the files where there are none; says what was there.
///
/// Both are complete and synced under other names before the first of the two names is given, so that a power cut at any
/// moment leaves nothing, or something that the next start completes.
fn prepare(disk: &dyn Disk, node_id: u64) -> Result<Found, Error> {
    let unfinished = |name: &str| format!("{name}{UNFINISHED}");
    match (disk.exists(LOG_FILE)?, disk.exists(STATE_FILE)?) {
        (true, true) => Ok(Found::Store),
        (true, false) if disk.exists(&unfinished(STATE_FILE))? => {
            disk.rename(&unfinished(STATE_FILE), STATE_FILE)?;
            Ok(Found::Beginning)
        }
        (true, false) => Err(missing(disk, STATE_FILE, LOG_FILE)),
        (false, true) => Err(missing(disk, LOG_FILE, STATE_FILE)),
        (false, false) => {
            disk.remove(&unfinished(LOG_FILE))?;
            disk.remove(&unfinished(STATE_FILE))?;
            log::create(disk, &unfinished(LOG_FILE), node_id)?;
            state::create(disk, &unfinished(STATE_FILE), node_id)?;
            disk.rename(&unfinished(LOG_FILE), LOG_FILE)?;
            disk.rename(&unfinished(STATE_FILE), STATE_FILE)?;
            Ok(Found::Nothing)
        }
    }
}

fn missing(disk: &dyn Disk, name: &str, there: &str) -> Error {
    Error::damaged(
        &disk.place(name),
        format!("it is missing, while {there} is there"),
    )
}
