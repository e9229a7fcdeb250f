//! The only unsafe code: what POSIX offers only through raw pointers and handlers.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Whether SIGPIPE was ignored before Rust's runtime ignored it (`std::rt::init`), which runs
/// after the functions in `.init_array` and leaves no other way to know.
static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

#[used]
#[unsafe(link_section = ".init_array")]
static REMEMBER_SIGPIPE: extern "C" fn() = remember_sigpipe;

extern "C" fn remember_sigpipe() {
    // SAFETY: sigaction(2) with a null action only reports; an all-zero sigaction is a valid
    // value, and the pointer outlives the call.
    let handler = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut action);
        action.sa_sigaction
    };
    SIGPIPE_WAS_IGNORED.store(handler == libc::SIG_IGN, Ordering::Relaxed);
}

/// Gives SIGPIPE back the disposition that the process inherited.
///
/// An ignored signal stays ignored through `execve(2)` (`signal(7)`).
pub(crate) fn restore_sigpipe() {
    if SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed) {
        return;
    }
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default disposition runs no code of ours.
    let _ = unsafe { sigaction(Signal::SIGPIPE, &default) };
}

/// Makes SIGTERM and SIGINT end the process at once with 143 and 130.
///
/// The kernel drops a signal without a handler when it is sent to PID 1 of a namespace
/// (`pid_namespaces(7)`). A signal that is ignored stays so, as a shell expects of a background
/// job. `execve(2)` resets handlers to the default by itself.
pub(crate) fn end_on_termination() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let handler = SigHandler::Handler(end);
        let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler calls nothing but _exit(2), which is async-signal-safe.
        if let Ok(before) = unsafe { sigaction(signal, &action) }
            && matches!(before.handler(), SigHandler::SigIgn)
        {
            // SAFETY: what was there before is put back.
            let _ = unsafe { sigaction(signal, &before) };
        }
    }
}

extern "C" fn end(signal: libc::c_int) {
    // SAFETY: _exit(2) is async-signal-safe and does not return.
    unsafe { libc::_exit(128 + signal) }
}

/// The environment exactly as it was inherited: order, duplicates and entries without `=` included.
///
/// `std::env::vars_os` leaves out what it cannot split.
pub(crate) fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: environ(7) is a null-terminated array of null-terminated strings; nothing in this
    // program changes it, and it is read before any thread is started.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry).to_owned());
            entry = entry.add(1);
        }
    }
    entries
}

/// Keeps the C library from loading modules of the image's for a name's address.
///
/// A statically linked glibc still reads `nsswitch.conf(5)`, and would load the `libnss_*.so` that
/// it names, and with it the image's own C library. Files and DNS are built in.
pub(crate) fn resolve_by_files_and_dns_only() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    {
        unsafe extern "C" {
            fn __nss_configure_lookup(
                database: *const libc::c_char,
                services: *const libc::c_char,
            ) -> libc::c_int;
        }
        // SAFETY: both strings are constants that end in NUL; glibc copies what it needs.
        unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
    }
}
