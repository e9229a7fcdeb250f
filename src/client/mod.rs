//! The client of the API server, for the source `api` and for `get`.
//!
//! It trusts only the CA certificate that the kubelet mounted, and sends the token only over verified
//! TLS. No option changes this.

mod advice;
mod connection;
mod failure;
pub(crate) mod notify;
mod rbac;
mod tls;
mod url;

use std::io::Read;
use std::time::{Duration, Instant};

use reqwest::blocking::{Client as Http, Response};

pub(crate) use advice::{Explanation, Identity, explain};
pub(crate) use failure::Failure;
pub(crate) use url::{ApiUrl, shown_path};

use crate::system::environment::Environment;
use crate::system::root::Root;
use crate::system::surroundings::Surroundings;

/// The largest answer, in bytes.
const BODY_LIMIT: u64 = 8 << 20;
/// The first and the longest pause before another attempt. Each pause is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// The shortest time for another attempt. With less, it would only hide why the last one failed.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(50);

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
}

/// A client of the API server, with a deadline.
pub(crate) struct Client<'a> {
    root: &'a Root,
    url: ApiUrl,
    clock: fn() -> Instant,
    deadline: Instant,
    timeout: Duration,
    /// The HTTP client, which is created for the first request and dropped after a failure.
    http: Option<Http>,
    pause: Duration,
}

impl<'a> Client<'a> {
    /// A client whose `timeout` starts now. It reads the token and the CA certificate below `root`. Without a
    /// `url`, the variables in `environment` have the address of the API server.
    ///
    /// # Errors
    /// [`Failure::NoEndpoint`] if the address of the API server is not known.
    pub(crate) fn new(
        root: &'a Root,
        environment: &Environment,
        clock: fn() -> Instant,
        url: Option<ApiUrl>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let in_cluster = || ApiUrl::in_cluster(environment).map_err(Failure::NoEndpoint);
        let now = clock();
        Ok(Client {
            root,
            url: url.map_or_else(in_cluster, Ok)?,
            clock,
            // A longer timeout could overflow in sums of times.
            deadline: now + timeout.min(Duration::from_secs(1 << 32)),
            timeout,
            http: None,
            pause: FIRST_PAUSE,
        })
    }

    /// The time up to the deadline.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since((self.clock)())
    }

    /// Sleeps before another attempt. Answers whether there is time for one after that.
    ///
    /// It also adds the random part to the pause that a server has requested, because the server has sent
    /// the same pause to other clients.
    pub(crate) fn pause(&mut self, at_least: Duration) -> bool {
        let room = self.left().saturating_sub(SHORTEST_ATTEMPT);
        if room.is_zero() || at_least > room {
            return false;
        }
        let pause = at_least.saturating_add(jittered(self.pause)).min(room);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        std::thread::sleep(pause);
        true
    }

    /// Gets `path`, which starts with a slash. Tries again if that can help.
    ///
    /// # Errors
    /// The failure of the last attempt. If that is a timeout, it is the failure that the server answered
    /// before.
    pub(crate) fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        let mut was_unauthorized = false;
        let mut answered = None;
        loop {
            let failure = match self.attempt(path) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            log::info!("GET {}: {failure}", shown_path(path));
            let failure = match answered.take() {
                Some(answered) if failure.is_timeout() => answered,
                _ => failure,
            };
            let is_unauthorized = failure.code() == Some(401);
            let pause = match failure.retry_after() {
                Some(pause) => pause,
                // The kubelet may have rotated the token after it was read.
                None if is_unauthorized && !was_unauthorized => Duration::ZERO,
                None => return Err(failure),
            };
            if !self.pause(pause) {
                return Err(failure);
            }
            was_unauthorized |= is_unauthorized;
            answered = Some(failure).filter(|failure| failure.code().is_some() && !is_unauthorized);
        }
    }

    fn attempt(&mut self, path: &str) -> Result<Answer, Failure> {
        let token = match self.url.is_plain() {
            true => None,
            false => Some(self.read_token()?),
        };
        let http = match self.http.take() {
            Some(http) => http,
            None => self.connect()?,
        };
        // The timeout of the whole request. The timeout of the builder would restart at every read.
        let mut request = http.get(self.url.join(path)).timeout(self.left());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        // A new client makes a new connection, which may reach another replica.
        let response = request.send().map_err(|error| self.connection_failure(error))?;
        self.http = Some(http);
        self.read(response)
    }

    /// Reads the token for every attempt, because the kubelet rotates it.
    fn read_token(&self) -> Result<String, Failure> {
        let file = Surroundings::service_account_file("token");
        let path = self.root.display(&file);
        let token = match self.root.read(&file) {
            Ok(token) => String::from_utf8(token).unwrap_or_default(),
            Err(source) => return Err(Failure::NoToken { path, source }),
        };
        let token = token.trim();
        let is_header = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        match is_header {
            true => Ok(token.to_owned()),
            false => Err(Failure::EmptyToken { path }),
        }
    }

    fn read(&self, response: Response) -> Result<Answer, Failure> {
        let status = response.status().as_u16();
        if (300..400).contains(&status) {
            return Err(Failure::Redirect { status, location: location(&response) });
        }
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        // The API server sends seconds, not a date (RFC 9110, section 10.2.3).
        let retry_after = header("retry-after").and_then(|text| text.trim().parse().ok());
        let retry_after = Duration::from_secs(retry_after.unwrap_or_default());
        let encoding = header("content-encoding").filter(|encoding| encoding != "identity");
        let mut body = Vec::new();
        let read = response.take(BODY_LIMIT + 1).read_to_end(&mut body);
        if !(200..300).contains(&status) {
            return Err(Failure::status(status, &body, retry_after, self.url.is_plain()));
        }
        read.map_err(|error| self.body_failure(error))?;
        if body.len() as u64 > BODY_LIMIT {
            return Err(Failure::TooLarge);
        }
        match encoding {
            Some(encoding) => Err(Failure::Encoded(encoding)),
            None => Ok(Answer { body }),
        }
    }
}

/// The target of a redirect, without the parts of the URL that may be secrets.
fn location(response: &Response) -> String {
    let location = response.headers().get("location").and_then(|location| location.to_str().ok());
    let url = location.map(|location| response.url().join(location));
    match url {
        None => "no location".to_owned(),
        Some(Err(_)) => "an invalid location".to_owned(),
        Some(Ok(url)) => url::shown(&url),
    }
}

/// A random part of `pause` (full jitter), so that many pods do not try again at the same time.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread() {
        let drawn: Vec<Duration> = (0..100).map(|_| jittered(LONGEST_PAUSE)).collect();
        assert!(drawn.iter().all(|pause| *pause <= LONGEST_PAUSE));
        let half = LONGEST_PAUSE / 2;
        assert!(drawn.iter().any(|pause| *pause < half) && drawn.iter().any(|pause| *pause > half));
    }
}
