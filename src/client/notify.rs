//! Telling the application that the files changed: a POST to a loopback URL.

use std::str::FromStr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::CONTENT_LENGTH;

/// Changes that follow one another more quickly are told of as one.
const BURST: Duration = Duration::from_millis(100);
/// How long an application may take to take a notification, and how long it is told again.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);
const RETRY_LIMIT: Duration = Duration::from_secs(60);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Where the application listens: containers of a pod share the loopback.
#[derive(Clone, Debug)]
pub(crate) struct NotifyUrl(Url);

impl FromStr for NotifyUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        if url.scheme() != "http" || !crate::client::is_loopback(&url) {
            return Err("it is an http:// URL on loopback, such as http://127.0.0.1:9090/-/reload".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds credentials, which do not belong into a log".to_owned());
        }
        Ok(NotifyUrl(url))
    }
}

/// Tells the application of changes, from a thread of its own: a slow one does not hold up the files.
pub(crate) struct Notifier {
    changes: Sender<()>,
}

impl Notifier {
    /// Starts the thread, which sleeps until there is a change.
    ///
    /// # Errors
    /// Those of `pthread_create(3)`.
    pub(crate) fn start(url: NotifyUrl, clock: fn() -> Instant) -> std::io::Result<Self> {
        let (changes, received) = mpsc::channel();
        let thread = std::thread::Builder::new().name("notify".to_owned()).stack_size(128 << 10);
        thread.spawn(move || while tell_next(&url, &received, clock) {})?;
        Ok(Notifier { changes })
    }

    /// There is a change to tell of.
    pub(crate) fn changed(&self) {
        // The thread ends with the process, so there is always somebody who listens.
        let _ = self.changes.send(());
    }
}

/// Waits for a burst of changes and tells of it; whether there can be another.
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

/// Tells until the application takes it, or for a minute after the last change.
fn tell(url: &NotifyUrl, changes: &Receiver<()>, clock: fn() -> Instant) {
    let mut until = clock() + RETRY_LIMIT;
    let mut pause = FIRST_PAUSE;
    loop {
        // What has changed meanwhile is told of by this same attempt, and has its own minute.
        while changes.try_recv().is_ok() {
            until = clock() + RETRY_LIMIT;
        }
        let why = match post(url) {
            Ok(status) if status.is_success() => return log::info!("{}: notified", url.0),
            Ok(status) => format!("it answered {status}"),
            Err(error) => error,
        };
        if clock() + pause >= until {
            return log::warn!("{}: not notified, after a minute of trying: {why}", url.0);
        }
        log::info!("{}: {why}; trying again", url.0);
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

// The client lives for one request: at rest there is no thread of its runtime's.
fn post(url: &NotifyUrl) -> Result<reqwest::StatusCode, String> {
    let client = crate::client::plain_http().map_err(|failure| failure.to_string())?;
    // Without a length some servers answer 411.
    let empty = client.post(url.0.clone()).header(CONTENT_LENGTH, "0").timeout(ATTEMPT_LIMIT);
    let sent = empty.send();
    sent.map(|response| response.status()).map_err(|error| crate::client::deepest(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback() {
        for url in ["http://127.0.0.1:9090/-/reload", "http://[::1]/x?y=1", "http://localhost:1/"] {
            assert!(url.parse::<NotifyUrl>().is_ok(), "{url}");
        }
        let with_credentials = "http://user:password@127.0.0.1/";
        for url in
            ["http://10.0.0.1/", "https://127.0.0.1/", "http://localhost.example/", with_credentials, "x", ""]
        {
            assert!(url.parse::<NotifyUrl>().is_err(), "{url}");
        }
    }
}
