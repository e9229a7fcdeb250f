//! The client of the API server, for the source `api` and for `get`.
//!
//! It trusts only the CA certificate that the kubelet mounted, and sends the token only over verified
//! TLS. No option changes this.

mod connection;
mod failure;
pub(crate) mod notify;
mod rbac;
mod tls;
mod url;

use std::io::{self, Read};
use std::time::{Duration, Instant};

use reqwest::blocking::{Client as Http, Response};

pub(crate) use failure::{Failure, explain};
pub(crate) use rbac::Identity;
pub(crate) use url::{ApiUrl, shown_path};

use failure::shortened;

use crate::kubernetes::object;
use crate::system::backoff::Backoff;
use crate::system::environment::Environment;
use crate::system::root::Root;
use crate::system::surroundings::Surroundings;

/// The pauses before further attempts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
/// The shortest time for another attempt. With less, it would only hide why the last one failed.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(50);

/// A client of the API server, with a deadline.
pub(crate) struct Client<'a> {
    root: &'a Root,
    url: ApiUrl,
    /// `KUBERNETES_SERVICE_HOST`: the host of the API server's Service.
    service_host: Option<String>,
    clock: fn() -> Instant,
    deadline: Instant,
    timeout: Duration,
    /// The HTTP client, which is created for the first request and dropped after a failure.
    http: Option<Http>,
    backoff: Backoff,
    has_given_up: bool,
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
            service_host: url::service_host(environment).map(str::to_owned),
            clock,
            // A longer timeout could overflow in sums of times.
            deadline: now + timeout.min(Duration::from_secs(1 << 32)),
            timeout,
            http: None,
            backoff: BACKOFF,
            has_given_up: false,
        })
    }

    /// Whether the server did not answer before the deadline. Another request would only fail in the same way.
    pub(crate) fn has_given_up(&self) -> bool {
        self.has_given_up
    }

    /// The time up to the deadline.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since((self.clock)())
    }

    /// Sleeps before another attempt. Returns whether there is time for that attempt.
    ///
    /// It also adds the random part to the pause that a server has requested, because the server has sent
    /// the same pause to other clients.
    pub(crate) fn pause(&mut self, at_least: Duration) -> bool {
        let room = self.left().saturating_sub(SHORTEST_ATTEMPT);
        if room.is_zero() || at_least > room {
            return false;
        }
        std::thread::sleep(at_least.saturating_add(self.backoff.jittered()).min(room));
        true
    }

    /// Gets `path`, which starts with a slash. Tries again if that can help.
    ///
    /// # Errors
    /// The first failure that another attempt cannot mend. If there is no such failure before the deadline, it is
    /// the failure that says most about the server.
    pub(crate) fn get(&mut self, path: &str) -> Result<Vec<u8>, Failure> {
        let mut was_unauthorized = false;
        let mut earlier: Option<Failure> = None;
        loop {
            let failure = match self.attempt(path) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            log::info!("GET {}: {failure}", shown_path(path));
            // The kubelet may have rotated the token after it was read.
            let again = !was_unauthorized && matches!(failure, Failure::Status { status: 401, .. });
            was_unauthorized |= again;
            let Some(pause) = failure.retry_after().or(again.then_some(Duration::ZERO)) else {
                return Err(failure);
            };
            let says_more = |earlier: &Failure| earlier.weight() > failure.weight();
            let failure = earlier.filter(says_more).unwrap_or(failure);
            if !self.pause(pause) {
                self.has_given_up = true;
                return Err(failure);
            }
            earlier = Some(failure);
        }
    }

    fn attempt(&mut self, path: &str) -> Result<Vec<u8>, Failure> {
        let token = if self.url.is_plain() { None } else { Some(self.read_token()?) };
        let http = match self.http.take() {
            Some(http) => http,
            None => self.connect()?,
        };
        // The timeout of the whole request. The timeout of the builder would restart at every read.
        let mut request = http.get(self.url.join(path)).timeout(self.left());
        if let Some(token) = &token {
            request = request.bearer_auth(token);
        }
        // A new client makes a new connection, which may reach another replica.
        let response = request.send().map_err(|error| self.connection_failure(error.into()))?;
        self.http = Some(http);
        self.read(response, token.as_deref().unwrap_or_default())
    }

    /// Reads the token for every attempt, because the kubelet rotates it.
    fn read_token(&self) -> Result<String, Failure> {
        let file = Surroundings::service_account_file("token");
        let token = self.root.read(&file).and_then(|bytes| {
            let token = String::from_utf8(bytes.trim_ascii().to_owned()).ok();
            let token = token.filter(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_graphic()));
            token.ok_or_else(|| io::Error::other("it does not hold a token"))
        });
        token.map_err(|source| Failure::NoToken { path: self.root.display(&file), source })
    }

    /// Reads the answer to a request that was sent with `token`.
    fn read(&self, response: Response, token: &str) -> Result<Vec<u8>, Failure> {
        let status = response.status().as_u16();
        let said = |text: &str| shortened(&without(text, token));
        if (300..400).contains(&status) {
            return Err(Failure::Redirect { status, location: said(&location(&response)) });
        }
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        // The API server sends seconds, not a date (RFC 9110, section 10.2.3).
        let retry_after = header("retry-after").and_then(|text| text.trim().parse().ok());
        let retry_after = Duration::from_secs(retry_after.unwrap_or_default());
        let encoding = header("content-encoding").filter(|encoding| encoding != "identity");
        let reason = response.status().canonical_reason().unwrap_or("no reason is given");
        let mut body = Vec::new();
        let read = response.take(object::BYTES_LIMIT as u64 + 1).read_to_end(&mut body);
        if !(200..300).contains(&status) {
            // A `Status` object (`k8s.io/apimachinery/pkg/apis/meta/v1/types.go`).
            let object = object::parse(&body, &[]).unwrap_or_default();
            let message = said(object["message"].as_str().unwrap_or(reason));
            return Err(Failure::Status { status, message, retry_after, through_proxy: self.url.is_plain() });
        }
        read.map_err(|error| self.connection_failure(error.into()))?;
        if let Some(encoding) = encoding {
            return Err(Failure::Unusable(said(&format!(
                "has the encoding {encoding}, which was not requested"
            ))));
        }
        if body.len() > object::BYTES_LIMIT {
            return Err(Failure::Unusable("is larger than 8 MiB".to_owned()));
        }
        Ok(body)
    }
}

/// `text` from the server without the token and its signature, which the server may have echoed.
fn without(text: &str, token: &str) -> String {
    let secrets = [token, token.rsplit('.').next().unwrap_or_default()];
    let secrets = secrets.iter().filter(|secret| !secret.is_empty());
    secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "[token]"))
}

/// The target of a redirect, without the parts of the URL that may be secrets.
fn location(response: &Response) -> String {
    let location = response.headers().get("location").and_then(|location| location.to_str().ok());
    let url = location.and_then(|location| response.url().join(location).ok());
    url.map_or("an invalid location".to_owned(), |url| url::shown(&url))
}
