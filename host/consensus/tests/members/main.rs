//! Members driven by a small host in memory: a disk whose writes happen late, a state machine, crashes, a lossy network.

mod host;
mod single_voter;
mod three_voters;
