//! The binary from outside: what it prints, writes, executes and returns.

mod api;
mod becoming;
mod cgroup;
mod disagreement;
mod expressions;
mod formats;
mod kubelet_env;
mod lookup;
mod made;
mod manifests;
mod never_in_the_way;
mod recorded;
mod selection;
mod server;
mod token;
mod volume;
mod whose;
mod world;
mod write;
