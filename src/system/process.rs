//! The only unsafe code: arguments, environment and signal handlers, for which POSIX uses raw pointers.

#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::stat::Mode;

/// Whether SIGPIPE was ignored when the process started.
static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);

/// The program's entry point, which the C library calls (`main` in ISO C). Tests and fuzzers have their
/// own entry points.
///
/// # Safety
/// `words` must be an array of `count` strings that end in NUL and live as long as the process.
#[cfg(not(any(test, fuzzing)))]
#[unsafe(no_mangle)]
unsafe extern "C" fn main(count: libc::c_int, words: *const *const libc::c_char) -> libc::c_int {
    start();
    // SAFETY: the caller guarantees it.
    let arguments = unsafe { arguments(count, words) };
    crate::run(arguments.get(1..).unwrap_or_default())
}

/// Prepares the process as Rust's runtime does (`std::rt::init`), but so that `execve(2)` undoes it.
///
/// It opens closed standard descriptors, so that no other file gets their numbers. They are closed on exec.
/// It ignores SIGPIPE, so that writing to a closed pipe is an ordinary error.
#[cfg_attr(any(test, fuzzing), allow(dead_code, reason = "only the entry point calls it"))]
fn start() {
    for descriptor in 0..3 {
        // SAFETY: F_GETFD takes no pointer. It fails for a closed descriptor.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            occupy_lowest_descriptor();
        }
    }
    if let Some(before) = set_sigpipe(SigHandler::SigIgn) {
        let was_ignored = matches!(before.handler(), SigHandler::SigIgn);
        SIGPIPE_WAS_IGNORED.store(was_ignored, Ordering::Relaxed);
    }
}

fn occupy_lowest_descriptor() {
    let open = |path: &str, flags| nix::fcntl::open(path, flags | OFlag::O_CLOEXEC, Mode::empty());
    // Without /dev, open a directory, which cannot be read or written.
    let opened = open("/dev/null", OFlag::O_RDWR).or_else(|_| open("/", OFlag::O_RDONLY));
    if let Ok(descriptor) = opened {
        let _ = descriptor.into_raw_fd();
    }
}

/// The words of the command line, the program's name first.
///
/// # Safety
/// `words` must be an array of `count` strings that end in NUL and live as long as the process, as
/// the C library gives it to `main` (ISO C, 5.1.2.2.1).
#[cfg_attr(any(test, fuzzing), allow(dead_code, reason = "only the entry point calls it"))]
unsafe fn arguments(count: libc::c_int, words: *const *const libc::c_char) -> Vec<OsString> {
    let count = usize::try_from(count).unwrap_or_default();
    let word = |index| {
        // SAFETY: `index` is below `count`. The caller guarantees the rest.
        let word = unsafe { CStr::from_ptr(*words.add(index)) };
        OsStr::from_bytes(word.to_bytes()).to_owned()
    };
    (0..count).map(word).collect()
}

/// Restores the inherited disposition of SIGPIPE.
///
/// An ignored signal stays ignored through `execve(2)` (`signal(7)`).
pub(crate) fn restore_sigpipe() {
    if !SIGPIPE_WAS_IGNORED.load(Ordering::Relaxed) {
        set_sigpipe(SigHandler::SigDfl);
    }
}

/// Ignores SIGPIPE again.
pub(crate) fn ignore_sigpipe() {
    set_sigpipe(SigHandler::SigIgn);
}

/// Sets the disposition of SIGPIPE, and answers with the previous one.
fn set_sigpipe(handler: SigHandler) -> Option<SigAction> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: neither disposition is a handler.
    unsafe { sigaction(Signal::SIGPIPE, &action) }.ok()
}

/// The exit code when SIGTERM or SIGINT ends the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// 128 and the signal's number, as a shell reports it: 143, 130.
    BySignal,
    /// 0: ending the process by a signal is its normal end.
    Success,
}

/// Makes SIGTERM and SIGINT end the process at once.
///
/// PID 1 of a namespace does not receive a signal without a handler (`pid_namespaces(7)`). An ignored
/// signal stays ignored, as a shell expects of a background job. `execve(2)` resets handlers to the default.
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
            // SAFETY: this restores the previous disposition.
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
    unsafe { libc::_exit(crate::system::exit::SUCCESS) }
}

/// The inherited environment, in its order and with duplicates and entries without `=`; each entry ends in NUL.
///
/// `std::env::vars_os` leaves out entries that it cannot split.
pub(crate) fn environment() -> Vec<u8> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: environ(7) is a null-terminated array of null-terminated strings; nothing in this
    // program changes it, and it is read before any thread is started.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.extend_from_slice(CStr::from_ptr(*entry).to_bytes_with_nul());
            entry = entry.add(1);
        }
    }
    entries
}

/// Makes the C library look up host names only in `/etc/hosts` and DNS.
///
/// A statically linked glibc reads `nsswitch.conf(5)`, and would load the `libnss_*.so` that it names, and
/// with them the C library of the image. The lookups in files and DNS are built in.
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
