//! Tests of the binary: its output, files, executed command and exit code.

// Raw system calls, and code between fork and exec.
#![allow(unsafe_code)]

mod api;
mod becoming;
mod cgroup;
mod cli;
mod disagreement;
mod expand;
mod explain;
mod expressions;
mod faults;
mod files;
mod formats;
mod hostile;
mod kubelet_env;
mod list;
mod lookup;
mod made;
mod manifests;
mod memory;
mod mounts;
mod needs;
mod never_in_the_way;
mod otel;
mod paths;
mod process;
mod programs;
mod readme;
mod recipes;
mod recorded;
mod reports;
mod root;
mod schema;
mod selection;
mod server;
mod templates;
mod token;
mod values;
mod variables;
mod version;
mod volume;
mod waiting;
mod watch;
mod whose;
mod wishes;
mod world;
mod write;
