//! The binary from outside: what it prints, writes, executes and returns.

mod api;
mod server;
mod world;
