//! The sources of facts: one file and one function each.
//!
//! A source never fails the run. A [`Note`](crate::facts::Note) explains what it does not know.

mod agreement;
pub(crate) mod api;
pub(crate) mod cgroup;
pub(crate) mod changes;
pub(crate) mod environment;
pub(crate) mod gather;
pub(crate) mod kubelet;
pub(crate) mod pod;
pub(crate) mod token;
pub(crate) mod volume;
