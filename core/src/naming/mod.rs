//! Services, instances, their clients and their health; and which of them a consumer is shown.

mod labels;
mod switches;

pub use labels::Labels;
pub use switches::{CheckParams, Switches};
