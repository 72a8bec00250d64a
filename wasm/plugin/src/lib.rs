//! A load-balancing rule of one's own as a small WebAssembly plugin: implement [`Rule`], name the type in [`export!`], build for
//! `wasm32-unknown-unknown`. The same file runs in the server and in clients of every language that have a wasm runtime.
//!
//! This crate is the guest's side of the plugin ABI, version 1 (`wasm/ABI.md`); it has no rule of its own. [`table`] is also
//! what hosts write instance tables with.
//!
//! ```
//! use nacrite_balance_plugin::{Choice, Pick, Rule, Table};
//!
//! /// Any usable instance, each as often as the others.
//! struct Any;
//!
//! impl Rule for Any {
//!     fn init(_config: &[u8]) -> Result<Self, String> {
//!         Ok(Any)
//!     }
//!     fn choose(&mut self, table: &Table<'_>, pick: &mut Pick<'_>) -> Choice {
//!         let usable = table.iter().filter(|one| one.is_usable()).count() as u32;
//!         let drawn = pick.draws.int(usable) as usize;
//!         match (0..).zip(table.iter()).filter(|(_, one)| one.is_usable()).nth(drawn) {
//!             Some((index, _)) => Choice::Index(index),
//!             None => Choice::None("none-healthy"),
//!         }
//!     }
//! }
//!
//! let mut bench = nacrite_balance_plugin::testing::Bench::<Any>::new(b"{}")?;
//! bench.update(&[nacrite_balance_plugin::table::Instance::new("10.0.0.1:80")]);
//! assert_eq!(bench.choose(7), Choice::Index(0));
//! # Ok::<(), String>(())
//! ```
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

pub mod draws;
mod exports;
mod guest;
pub mod json;
mod rule;
#[cfg(target_family = "wasm")]
pub mod runtime;
pub mod table;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use draws::Draws;
pub use guest::Guest;
pub use rule::{Choice, Outcome, Pick, Rule};
pub use table::{Record, Table};

/// The version of the ABI that this crate speaks.
pub const ABI: i32 = 1;
/// What `lb_choose` answers when there is nobody to choose.
pub const NONE: i32 = -1;
/// What `lb_choose` answers when the fallback rule shall choose.
pub const FALLBACK: i32 = -2;

/// Bits of `flags` of `lb_choose`.
pub mod choose {
    /// `key_hash` is the hash of this request's key; else the request has none.
    pub const KEY: u32 = 1;
    /// Flags of records were rewritten since the last call.
    pub const FLAGS: u32 = 1 << 1;
    /// Counts of records (active, ewma, failure run) were rewritten since the last call.
    pub const COUNTS: u32 = 1 << 2;
    /// Some records carry [`TRIED`](crate::table::flags::TRIED).
    pub const TRIED: u32 = 1 << 3;
    /// Tests: the rule does its periodic work, whatever the time, and chooses nobody.
    pub const MAINTAIN: u32 = 1 << 4;
}

/// Codes of `lb_init`, `lb_update`; `lb_error` has the text.
pub mod error {
    /// Done.
    pub const OK: i32 = 0;
    /// The configuration is refused.
    pub const CONFIG: i32 = 1;
    /// The table is not laid out as the ABI says.
    pub const TABLE: i32 = 2;
    /// Pointer and length are of no buffer that `lb_alloc` gave.
    pub const BUFFER: i32 = 3;
    /// `lb_init` did not succeed before.
    pub const STATE: i32 = 4;
}
