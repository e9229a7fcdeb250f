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

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::facts::field::{Field, Source};

/// Logs the fields that `source` reported since `started`.
fn log_read(source: Source, fields: impl Iterator<Item = Field>, started: Instant, clock: fn() -> Instant) {
    if !log::log_enabled!(log::Level::Info) {
        return;
    }
    let elapsed = clock().saturating_duration_since(started);
    let names: Vec<&str> = fields.map(|field| field.path).collect();
    let names = if names.is_empty() { "no facts".to_owned() } else { names.join(", ") };
    log::info!("{}: {names} ({} µs)", source.name(), elapsed.as_micros());
}

/// The minutes since 1970.
fn minutes(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 60)
}
