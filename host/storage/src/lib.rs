//! Log and state on disk: two `redb` files behind small interfaces; the disk itself can be simulated.
//!
//! This crate knows bytes, keys and indexes, and nothing of what they mean.
//!
//! ```
//! use nacrite_storage::{Applied, Entry, LogReader, LogWrite, Options, RowChange, SimDisk, StateBatch, Store};
//!
//! let mut store = Store::open(std::sync::Arc::new(SimDisk::new()), &Options::default())?;
//! let entry = Entry { index: 1, term: 1, kind: 0, payload: b"command".to_vec() };
//! store.log.append(&LogWrite { entries: vec![entry], hard_state: None, sync: true })?;
//! let row = RowChange::Put { table: 1, key: b"key".to_vec(), value: b"value".to_vec(), content: Some(1) };
//! store.state.apply(&StateBatch {
//!     rows: vec![row],
//!     contents: vec![(1, b"content".as_slice().into())],
//!     applied: Applied { index: 1, term: 1 },
//!     durable: false,
//! })?;
//! assert_eq!(store.log.handle().last_index(), 1);
//! assert_eq!(&*store.state.reader().content(1)?.unwrap(), b"content");
//! # Ok::<(), nacrite_storage::Error>(())
//! ```

mod check;
mod checksum;
mod disk;
mod entry;
mod error;
mod file;
mod log;
mod overlay;
mod pages;
mod salvage;
pub mod sim;
mod slots;
mod state;
mod store;
mod walk;

pub use check::{Problem, Report, RowCheck, check, check_disk};
pub use disk::{Backend, Disk, Folder, Wait};
pub use entry::{Compacted, Entry, HardState, LogReader};
pub use error::Error;
pub use log::{Install, LOG_FILE, Log, LogHandle, LogStart, LogWrite};
pub use salvage::{Salvaged, salvage, salvage_disk};
pub use sim::SimDisk;
pub use state::{
    Applied, DELETE_RANGE_MAX, Incoming, Outcome, Row, RowChange, STATE_FILE, Scan, Sizes, State,
    StateBatch, StateReader, StateSnapshot,
};
pub use store::{Options, Store};
