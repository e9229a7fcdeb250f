//! Notifies the application of changed files: with a POST to a loopback URL, or with a signal.

use std::fmt::{Display, Formatter};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{StatusCode, Url};

use super::connection::plain_http;
use super::failure::{Failure, deepest};
use super::url::{application, shown};
use crate::system::backoff::Backoff;
use crate::system::target;

/// Changes within this time cause one notification.
const BURST: Duration = Duration::from_millis(100);
/// The timeout of one notification, and the time for all attempts.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);
const RETRY_LIMIT: Duration = Duration::from_secs(60);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// How to notify the application (`--notify`).
#[derive(Clone, Debug)]
pub(crate) enum Notify {
    /// `http://127.0.0.1:9090/-/reload`
    Url(Url),
    /// `signal:HUP@nginx`: the oldest process of this name. The containers must share the namespace of processes.
    Signal(Signal, String),
}

impl Notify {
    /// Parses the value of `--notify`. An error is the text why it is not valid.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix("signal:") else { return application(text).map(Notify::Url) };
        let parsed = rest.split_once('@').and_then(|(signal, process)| {
            let signal = format!("SIG{}", signal.strip_prefix("SIG").unwrap_or(signal)).parse().ok()?;
            let is_name = !process.is_empty() && !process.contains('/');
            is_name.then(|| Notify::Signal(signal, process.to_owned()))
        });
        parsed.ok_or("must name a signal and a process, such as signal:HUP@nginx".to_owned())
    }
}

impl Display for Notify {
    fn fmt(&self, formatter: &mut Formatter) -> std::fmt::Result {
        match self {
            Notify::Url(url) => formatter.write_str(&shown(url)),
            Notify::Signal(signal, process) => write!(formatter, "{signal} to {process}"),
        }
    }
}

/// Starts a thread that notifies the application of each change that is sent to it, so that a slow application does not
/// delay the files. The thread runs until the process ends, so sending cannot fail.
///
/// # Errors
/// Those of `pthread_create(3)`.
pub(crate) fn start(notify: Notify, clock: fn() -> Instant) -> std::io::Result<Sender<()>> {
    let (sender, changes) = mpsc::channel();
    let thread = std::thread::Builder::new().name("notify".to_owned()).stack_size(128 << 10);
    thread.spawn(move || {
        while changes.recv().is_ok() {
            std::thread::sleep(BURST);
            tell(&notify, &changes, clock);
        }
    })?;
    Ok(sender)
}

/// Sends the notification until the application accepts it, or for a minute after the last change.
fn tell(notify: &Notify, changes: &Receiver<()>, clock: fn() -> Instant) {
    let mut until = clock() + RETRY_LIMIT;
    let mut backoff = BACKOFF;
    loop {
        // This attempt also covers the changes since the last one, which restart the minute.
        while changes.try_recv().is_ok() {
            until = clock() + RETRY_LIMIT;
        }
        let sent = match notify {
            Notify::Url(url) => post(url),
            Notify::Signal(signal, process) => send(*signal, process),
        };
        let why = match sent {
            Ok(()) => return log::info!("{notify}: notified"),
            Err(error @ NotifyError::NotPermitted { .. }) => {
                return log::warn!("{notify}: not notified: {error}");
            }
            Err(error) => error,
        };
        let pause = backoff.pause();
        if clock() + pause >= until {
            return log::warn!("{notify}: not notified after a minute of attempts: {why}");
        }
        log::info!("{notify}: {why}; trying again");
        std::thread::sleep(pause);
    }
}

/// Sends one POST without a body. The client is dropped after it, so that its thread ends.
fn post(url: &Url) -> Result<(), NotifyError> {
    let client = plain_http()?;
    // Some servers answer 411 to a request without a length.
    let request = client.post(url.clone()).header(CONTENT_LENGTH, "0").timeout(ATTEMPT_LIMIT);
    let response = request.send().map_err(|error| NotifyError::Send(error.without_url()))?;
    let status = response.status();
    if status.is_success() { Ok(()) } else { Err(NotifyError::Answer(status)) }
}

/// Sends the signal to the oldest process of this name.
fn send(signal: Signal, name: &str) -> Result<(), NotifyError> {
    let pid = target::oldest(name).ok_or_else(|| NotifyError::NoProcess { name: name.to_owned() })?;
    kill(pid, signal).map_err(|errno| match errno {
        Errno::EPERM => NotifyError::NotPermitted { pid },
        errno => NotifyError::Kill(errno),
    })
}

/// A notification was not accepted.
#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error(transparent)]
    NoClient(#[from] Failure),
    #[error("{}", deepest(.0))]
    Send(#[source] reqwest::Error),
    #[error("the application answered {0}")]
    Answer(StatusCode),
    #[error("no process is named {name}: does the pod have shareProcessNamespace: true?")]
    NoProcess { name: String },
    #[error(
        "no permission to signal the process {pid}: introspod must run as the same user (runAsUser), or as root \
         with the capability KILL"
    )]
    NotPermitted { pid: Pid },
    #[error("{0}")]
    Kill(#[source] Errno),
}
