//! One member as a whole: everything that happens goes in as [`input::Input`], everything it asks for comes out as
//! [`output::Output`].

pub mod input;
pub mod op;
pub mod output;
pub mod reply;
mod step;

pub use step::{Step, Turn};
