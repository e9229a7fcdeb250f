//! Kubernetes' own notations, read and written to the digit as Kubernetes itself does.
//!
//! Nothing here knows of pods, files or the network: text comes in, values or text go out.

pub(crate) mod expansion;
pub(crate) mod image_reference;
pub(crate) mod key_value;
pub(crate) mod names;
pub(crate) mod object;
mod printable;
pub(crate) mod qualified_name;
pub(crate) mod quantity;
pub(crate) mod resource;
