//! The only unsafe code: arguments, environment and signal handlers, for which POSIX uses raw pointers.
//!
//! The signals: a process that is PID 1 of its namespace does not receive a signal without a handler
//! (`pid_namespaces(7)`). So every signal that ends other processes has a handler here, which ends this one.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::IsTerminal;
use std::os::fd::IntoRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use nix::fcntl::OFlag;
use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::stat::Mode;

use super::exit;

/// The signals of a closed pipe and of a file that gets too large. Their handler does nothing, so that writing is an
/// ordinary error. `execve(2)` removes a handler, but would keep an ignored signal ignored.
const OF_WRITING: [libc::c_int; 2] = [libc::SIGPIPE, libc::SIGXFSZ];

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
#[cfg_attr(any(test, fuzzing), allow(dead_code, reason = "only the entry point calls it"))]
fn start() {
    for descriptor in 0..3 {
        // SAFETY: F_GETFD takes no pointer. It fails for a closed descriptor.
        if unsafe { libc::fcntl(descriptor, libc::F_GETFD) } == -1 {
            occupy_lowest_descriptor();
        }
    }
    OF_WRITING.into_iter().for_each(|signal| set(signal, go_on as *const () as usize, libc::SA_RESTART));
}

extern "C" fn go_on(_: libc::c_int) {}

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

/// Makes a closed pipe end the process, as it ends `cat(1)`.
pub(crate) fn end_on_closed_pipe() {
    OF_WRITING.into_iter().for_each(|signal| set(signal, libc::SIG_DFL, 0));
}

/// Sets the disposition of a signal. But a signal that is ignored stays ignored, as a shell expects of a background job.
fn set(signal: libc::c_int, disposition: libc::sighandler_t, flags: libc::c_int) {
    // SAFETY: a sigaction of zeros is valid (`sigaction(2)`). The handlers here call nothing but async-signal-safe
    // functions. KILL, STOP and the C library's own signals fail with EINVAL.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut before = action;
        action.sa_sigaction = disposition;
        action.sa_flags = flags;
        if libc::sigaction(signal, &action, &mut before) == 0 && before.sa_sigaction == libc::SIG_IGN {
            libc::sigaction(signal, &before, ptr::null_mut());
        }
    }
}

/// Signals that do not end a process, or that have another meaning here.
const WITHOUT_HANDLER: [libc::c_int; 8] = [
    libc::SIGCHLD,
    libc::SIGCONT,
    libc::SIGURG,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    OF_WRITING[0],
    OF_WRITING[1],
];

/// Signals of faults. If this process itself caused the fault, the default action ends it.
const OF_FAULTS: [libc::c_int; 7] =
    [libc::SIGABRT, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGSEGV, libc::SIGSYS, libc::SIGTRAP];

/// Whether SIGTERM and SIGINT are the normal end of the process.
static ENDS_WELL: AtomicBool = AtomicBool::new(false);

/// Makes every signal that ends a process end this one at once, with 128 and the signal's number as a shell
/// reports it. With `ends_well` SIGTERM and SIGINT end it with 0.
///
/// SIGWINCH is Apache's signal to stop; where standard input is a terminal, it only says that its size has changed.
pub(crate) fn end_on_signals(ends_well: bool) {
    ENDS_WELL.store(ends_well, Ordering::Relaxed);
    for signal in (1..=libc::SIGRTMAX()).filter(|signal| !WITHOUT_HANDLER.contains(signal)) {
        if OF_FAULTS.contains(&signal) {
            set(signal, end_if_sent as *const () as usize, libc::SA_SIGINFO);
        } else if signal != libc::SIGWINCH || !std::io::stdin().is_terminal() {
            set(signal, end as *const () as usize, 0);
        }
    }
}

/// The file to remove when a signal ends the process.
static TEMPORARY: AtomicPtr<libc::c_char> = AtomicPtr::new(ptr::null_mut());

extern "C" fn end(signal: libc::c_int) {
    let is_end = ENDS_WELL.load(Ordering::Relaxed) && [libc::SIGTERM, libc::SIGINT].contains(&signal);
    let temporary = TEMPORARY.swap(ptr::null_mut(), Ordering::Relaxed);
    // SAFETY: unlink(2) and _exit(2) are async-signal-safe. The pointer is null or of a CString.
    unsafe {
        if !temporary.is_null() {
            libc::unlink(temporary);
        }
        libc::_exit(if is_end { exit::SUCCESS } else { 128 + signal })
    }
}

extern "C" fn end_if_sent(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel gives a valid siginfo_t. Its code is above 0 if the kernel itself sends the signal.
    unsafe {
        if (*info).si_code <= 0 {
            end(signal);
        }
        libc::signal(signal, libc::SIG_DFL);
    }
}

/// Makes a signal that ends the process remove the file at `path`; with `None`, no file.
pub(crate) fn remove_on_signal(path: Option<&Path>) {
    let path = path.and_then(|path| CString::new(path.as_os_str().as_bytes()).ok());
    let before = TEMPORARY.swap(path.map_or(ptr::null_mut(), CString::into_raw), Ordering::Relaxed);
    if !before.is_null() {
        // SAFETY: it is from `CString::into_raw`, and whoever swaps it owns it.
        drop(unsafe { CString::from_raw(before) });
    }
}

/// Calls `act` while all signals are blocked.
pub(crate) fn without_signals<T>(act: impl FnOnce() -> T) -> T {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let result = act();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    result
}

/// Most environments are smaller, in bytes.
const USUAL_ENVIRONMENT: usize = 3000;

/// The inherited environment, in its order and with duplicates and entries without `=`; each entry ends in NUL.
///
/// `std::env::vars_os` leaves out entries that it cannot split.
pub(crate) fn environment() -> Vec<u8> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut entries = Vec::with_capacity(USUAL_ENVIRONMENT);
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

/// The number of CPUs that this process may run on (`sched_getaffinity(2)`).
pub(crate) fn affinity() -> Option<u64> {
    let set = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)).ok()?;
    let count = (0..nix::sched::CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).count();
    u64::try_from(count).ok()
}
