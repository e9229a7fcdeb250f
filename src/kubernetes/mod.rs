//! Kubernetes' notations, with the exact rules of Kubernetes.
//!
//! These modules only convert text and values. They do not use files or the network.

pub(crate) mod control_group;
pub(crate) mod fraction;
pub(crate) mod image_reference;
pub(crate) mod key_value;
pub(crate) mod names;
pub(crate) mod object;
pub(crate) mod path;
pub(crate) mod quantity;
pub(crate) mod resource;
