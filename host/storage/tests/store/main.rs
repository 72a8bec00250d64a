//! The store as a whole, over simulated disks and in real folders.

mod damage;
mod folder;
mod install;
mod model;
mod power_cut;
mod properties;
mod salvage;
