//! Notifies the application of changed files with a POST to a loopback URL.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use reqwest::header::CONTENT_LENGTH;

use super::connection::plain_http;
use super::failure::{Failure, deepest};
pub(crate) use super::url::NotifyUrl;
use super::url::shown;
use crate::system::backoff::Backoff;

/// Changes within this time cause one notification.
const BURST: Duration = Duration::from_millis(100);
/// The timeout of one notification, and the time for all attempts.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);
const RETRY_LIMIT: Duration = Duration::from_secs(60);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// Notifies the application from a thread, so that a slow application does not delay the files.
pub(crate) struct Notifier {
    changes: Sender<()>,
}

impl Notifier {
    /// Starts the thread. It sleeps until there is a change.
    ///
    /// # Errors
    /// Those of `pthread_create(3)`.
    pub(crate) fn start(url: NotifyUrl, clock: fn() -> Instant) -> std::io::Result<Self> {
        let (changes, received) = mpsc::channel();
        let thread = std::thread::Builder::new().name("notify".to_owned()).stack_size(128 << 10);
        thread.spawn(move || while tell_next(&url, &received, clock) {})?;
        Ok(Notifier { changes })
    }

    /// Notifies the application of a change.
    pub(crate) fn changed(&self) {
        // The thread runs until the process ends, so sending cannot fail.
        let _ = self.changes.send(());
    }
}

/// Waits for a burst of changes, and sends one notification. Answers whether more changes can come.
fn tell_next(url: &NotifyUrl, changes: &Receiver<()>, clock: fn() -> Instant) -> bool {
    if changes.recv().is_err() {
        return false;
    }
    let until = clock() + BURST;
    loop {
        match changes.recv_timeout(until.saturating_duration_since(clock())) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
    tell(url, changes, clock);
    true
}

/// Sends the notification until the application accepts it, or for a minute after the last change.
fn tell(url: &NotifyUrl, changes: &Receiver<()>, clock: fn() -> Instant) {
    let mut until = clock() + RETRY_LIMIT;
    let mut backoff = BACKOFF;
    let shown = shown(url.url());
    loop {
        // This attempt also covers the changes since the last one, which restart the minute.
        while changes.try_recv().is_ok() {
            until = clock() + RETRY_LIMIT;
        }
        let why = match post(url) {
            Ok(status) if status.is_success() => return log::info!("{shown}: notified"),
            Ok(status) => format!("the application answered {status}"),
            Err(failure) => failure.to_string(),
        };
        let pause = backoff.pause();
        if clock() + pause >= until {
            return log::warn!("{shown}: not notified after a minute of attempts: {why}");
        }
        log::info!("{shown}: {why}; trying again");
        std::thread::sleep(pause);
    }
}

/// Sends one POST without a body. The client is dropped after it, so that its thread ends.
fn post(url: &NotifyUrl) -> Result<StatusCode, NotifyError> {
    let client = plain_http()?;
    // Some servers answer 411 to a request without a length.
    let request = client.post(url.url().clone()).header(CONTENT_LENGTH, "0").timeout(ATTEMPT_LIMIT);
    let response = request.send().map_err(|error| NotifyError::Send(error.without_url()))?;
    Ok(response.status())
}

/// A notification got no answer.
#[derive(Debug, thiserror::Error)]
enum NotifyError {
    #[error(transparent)]
    NoClient(#[from] Failure),
    #[error("{}", deepest(.0))]
    Send(#[source] reqwest::Error),
}
