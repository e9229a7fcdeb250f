//! The only unsafe code: what POSIX offers only through raw pointers and handlers.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Whether SIGPIPE was ignored before Rust's runtime ignored it (`std::rt::init`), which runs
/// after the functions in `.init_array` and leaves no other way to know.
static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// Which of the standard descriptors were closed before Rust's runtime opened `/dev/null` there.
static WERE_CLOSED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

#[used]
#[unsafe(link_section = ".init_array")]
static REMEMBER: extern "C" fn() = remember;

extern "C" fn remember() {
    // SAFETY: sigaction(2) with a null action only reports; an all-zero sigaction is a valid
    // value, and the pointer outlives the call.
    let handler = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGPIPE, std::ptr::null(), &mut action);
        action.sa_sigaction
    };
    SIGPIPE_WAS_IGNORED.store(handler == libc::SIG_IGN, Ordering::Relaxed);
    for (descriptor, was_closed) in (0..).zip(&WERE_CLOSED) {
        // SAFETY: F_GETFD only reports.
        was_closed.store(unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1, Ordering::Relaxed);
    }
}

/// Makes `execve(2)` close those standard descriptors that the process did not inherit.
pub(crate) fn close_what_was_closed_on_exec() {
    for (descriptor, was_closed) in (0..).zip(&WERE_CLOSED) {
        if was_closed.load(Ordering::Relaxed) {
            // SAFETY: it is the `/dev/null` that Rust's runtime opened.
            unsafe { libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Gives SIGPIPE back the disposition that the process inherited.
///
/// An ignored signal stays ignored through `execve(2)` (`signal(7)`).
pub(crate) fn restore_sigpipe() {
    if !SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed) {
        set_sigpipe(SigHandler::SigDfl);
    }
}

/// Ignores SIGPIPE, as Rust's runtime does: a write that nobody reads is an error, and no end.
pub(crate) fn ignore_sigpipe() {
    set_sigpipe(SigHandler::SigIgn);
}

fn set_sigpipe(handler: SigHandler) {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: neither disposition that is given runs code of ours.
    let _ = unsafe { sigaction(Signal::SIGPIPE, &action) };
}

/// What the exit code is when SIGTERM or SIGINT ends the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// 128 and the signal's number, as a shell reports it: 143, 130.
    BySignal,
    /// 0: it was to run until it is told to end.
    Success,
}

/// Makes SIGTERM and SIGINT end the process at once.
///
/// The kernel drops a signal without a handler when it is sent to PID 1 of a namespace
/// (`pid_namespaces(7)`). A signal that is ignored stays so, as a shell expects of a background
/// job. `execve(2)` resets handlers to the default by itself.
pub(crate) fn end_on_termination(end: End) {
    let handler = match end {
        End::BySignal => end_by_signal,
        End::Success => end_with_success,
    };
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let action = SigAction::new(SigHandler::Handler(handler), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handlers call nothing but _exit(2), which is async-signal-safe.
        if let Ok(before) = unsafe { sigaction(signal, &action) }
            && matches!(before.handler(), SigHandler::SigIgn)
        {
            // SAFETY: what was there before is put back.
            let _ = unsafe { sigaction(signal, &before) };
        }
    }
}

extern "C" fn end_by_signal(signal: libc::c_int) {
    // SAFETY: _exit(2) is async-signal-safe and does not return.
    unsafe { libc::_exit(128 + signal) }
}

extern "C" fn end_with_success(_: libc::c_int) {
    // SAFETY: as above.
    unsafe { libc::_exit(crate::exit::SUCCESS) }
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
