//! How the modules that own state answer the node.

use super::{
    input::{Now, Origin},
    reply::Answered,
};
use crate::log::Command;

/// A request as a module sees it.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The request's id; what is parked is answered by it later.
    pub id: u64,
    /// Who asks.
    pub origin: &'a Origin,
    /// The time.
    pub now: Now,
    /// The stamp that a command proposed now must carry: never less than that of the last one.
    pub stamp: u64,
}

/// What a module makes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// It is answered.
    Done(Answered),
    /// It needs the log; the outcome of `apply` is the answer.
    Propose(Command),
    /// It waits; the module answers it later.
    Parked,
}

impl From<Answered> for Step {
    fn from(answered: Answered) -> Self {
        Self::Done(answered)
    }
}
