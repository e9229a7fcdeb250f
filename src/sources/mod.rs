//! The sources: one file each, one function each, from the surroundings to what it tells.
//!
//! A source never fails the run. It explains in a [`Note`](crate::facts::Note) what it cannot tell.

pub(crate) mod api;
pub(crate) mod cgroup;
pub(crate) mod changes;
pub(crate) mod environment;
pub(crate) mod gather;
pub(crate) mod kubelet;
pub(crate) mod pod;
pub(crate) mod token;
pub(crate) mod volume;

use crate::facts::Told;
use crate::system::surroundings::Surroundings;

/// A source that reads files and variables, and costs no request.
pub(crate) type Tell = fn(&Surroundings) -> Told;
