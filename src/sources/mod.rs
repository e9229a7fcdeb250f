//! The sources: one file each, each one function from the surroundings to what it tells.
//!
//! A source never fails the run. What it cannot tell it explains in a [`Note`](crate::facts::Note).

pub(crate) mod api;
pub(crate) mod cgroup;
pub(crate) mod environment;
pub(crate) mod gather;
pub(crate) mod kubelet;
pub(crate) mod pod;
pub(crate) mod token;
pub(crate) mod volume;

use crate::facts::Told;
use crate::facts::field::Source;
use crate::system::surroundings::Surroundings;

/// A source that is at hand: it reads files and variables, and costs no request.
pub(crate) type Tell = fn(&Surroundings) -> Told;

/// The sources at hand.
pub(crate) const LOCAL: [(Source, Tell); 5] = [
    (Source::Token, token::tell),
    (Source::Kubelet, kubelet::tell),
    (Source::Cgroup, cgroup::tell),
    (Source::Environment, environment::tell),
    (Source::Volume, volume::tell),
];
