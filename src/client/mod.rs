//! The API server: one client for the `api` source and for `get`.
//!
//! What it trusts is the CA certificate that the kubelet mounted, and nothing else; what it sends
//! is the token, over verified TLS only. There is no option to change either.

mod advice;
mod connection;
mod cryptography;
mod failure;
pub(crate) mod notify;

use std::net::IpAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use connection::Connection;
use reqwest::Url;

pub(crate) use advice::{Identity, advise};
pub(crate) use connection::{deepest, plain_http};
pub(crate) use failure::Failure;

use crate::system::root::Root;
use crate::system::surroundings::Surroundings;

/// The most that is read of an answer, in bytes.
const BODY_LIMIT: u64 = 8 << 20;
/// The first pause before another attempt, and the longest (`full jitter`).
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// With less time than this another attempt would only hide why the last one failed.
const SHORTEST_ATTEMPT: Duration = Duration::from_millis(50);

/// Where the API server is.
#[derive(Clone, Debug)]
pub(crate) struct ApiUrl(Url);

impl ApiUrl {
    /// Whether the URL is that of a `kubectl proxy` on loopback, which has credentials of its own.
    fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The URL of a cluster's service, by the variables that the kubelet sets in every container.
    ///
    /// # Errors
    /// What is not set, or not an address.
    fn in_cluster(environment: &crate::system::environment::Environment) -> Result<Self, String> {
        let variable = |name: &str| {
            let value = environment.get_nonempty(name);
            value.map(str::to_owned).ok_or_else(|| format!("{name} is not set"))
        };
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let host = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => host,
        };
        let url = format!("https://{host}:{port}");
        url.parse()
            .map_err(|why| format!("{url:?}, by KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT: {why}"))
    }
}

impl FromStr for ApiUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        if host.is_empty() || url.cannot_be_a_base() {
            return Err("it names no host; write it so: https://10.96.0.1:443".to_owned());
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => {
                return Err("plain http:// is for a kubectl proxy on loopback only: whoever is on the path \
                            would write the environment; use https://"
                    .to_owned());
            }
            scheme => return Err(format!("{scheme}:// is not understood; use https://")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds credentials; the service account's token is used".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("it has a query or a fragment; give the server's address only".to_owned());
        }
        Ok(ApiUrl(url))
    }
}

/// Whether the URL's host is this very machine; `localhost` is looked at again once it is resolved.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What the server answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
}

/// A client of the API server, with the time that it has.
pub(crate) struct Client<'a> {
    root: &'a Root,
    url: ApiUrl,
    clock: fn() -> Instant,
    deadline: Instant,
    timeout: Duration,
    /// Made when the first request is, and kept for the next while it works.
    connection: Option<Connection>,
    pause: Duration,
}

impl<'a> Client<'a> {
    /// A client whose `timeout` begins now.
    ///
    /// # Errors
    /// [`Failure::NoEndpoint`] if nothing says where the API server is.
    pub(crate) fn new(
        surroundings: &'a Surroundings,
        url: Option<ApiUrl>,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let in_cluster = || ApiUrl::in_cluster(&surroundings.environment).map_err(Failure::NoEndpoint);
        let clock = surroundings.clock;
        let now = clock();
        Ok(Client {
            root: &surroundings.root,
            url: url.map_or_else(in_cluster, Ok)?,
            clock,
            // So long a time is no limit, and no sum of times may overflow.
            deadline: now + timeout.min(Duration::from_secs(1 << 32)),
            timeout,
            connection: None,
            pause: FIRST_PAUSE,
        })
    }

    /// What is left of the time.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since((self.clock)())
    }

    /// Sleeps before another attempt; whether there is time for one after that.
    ///
    /// The pause is drawn from the whole range (full jitter), so that pods that failed together
    /// do not come back together, not even where the server told them all the same time.
    pub(crate) fn pause(&mut self, at_least: Duration) -> bool {
        let room = self.left().saturating_sub(SHORTEST_ATTEMPT);
        if room.is_zero() || at_least > room {
            return false;
        }
        let pause = at_least.saturating_add(self.pause.mul_f64(random_fraction())).min(room);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        std::thread::sleep(pause);
        true
    }

    /// Gets `path`, which begins with a slash, trying again where that can help.
    ///
    /// # Errors
    /// The last attempt's failure.
    pub(crate) fn get(&mut self, path: &str) -> Result<Answer, Failure> {
        let mut was_unauthorized = false;
        loop {
            let failure = match self.attempt(path) {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            log::info!("GET {path}: {failure}");
            let is_unauthorized = failure.code() == Some(401);
            let pause = match failure.retry_after() {
                Some(pause) => pause,
                // The kubelet may have rotated the token between the reading and the sending.
                None if is_unauthorized && !was_unauthorized => Duration::ZERO,
                None => return Err(failure),
            };
            was_unauthorized |= is_unauthorized;
            if !self.pause(pause) {
                return Err(failure);
            }
        }
    }

    fn attempt(&mut self, path: &str) -> Result<Answer, Failure> {
        let token = match self.url.is_plain() {
            true => None,
            false => Some(self.read_token()?),
        };
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let mut url = self.url.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&(base + path));
        url.set_query(query);
        // The deadline of the request as a whole; the builder's would begin anew at every read.
        let mut request = connection.http.get(url).timeout(self.left());
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let sent = request.send();
        // What failed is not used again: another attempt may reach another replica.
        let response = sent.map_err(|error| self.connection_failure(&connection, &error))?;
        self.connection = Some(connection);
        self.read(response)
    }

    /// The token, read again for every attempt: the kubelet rotates it.
    fn read_token(&self) -> Result<String, Failure> {
        let path = Surroundings::service_account_file("token");
        let token = self.root.read(&path);
        let token =
            token.map_err(|error| Failure::NoToken(format!("{}: {error}", self.root.display(&path))))?;
        let token = String::from_utf8(token).unwrap_or_default();
        let token = token.trim();
        let is_header = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        match is_header {
            true => Ok(token.to_owned()),
            false => Err(Failure::NoToken(format!("{}: it holds no token", self.root.display(&path)))),
        }
    }

    fn read(&self, response: reqwest::blocking::Response) -> Result<Answer, Failure> {
        let status = response.status().as_u16();
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let retry_after = header("retry-after").and_then(|text| text.trim().parse().ok());
        let retry_after = Duration::from_secs(retry_after.unwrap_or_default());
        if (300..400).contains(&status) {
            return Err(Failure::Redirect { status, location: header("location") });
        }
        let encoding = header("content-encoding").filter(|encoding| encoding != "identity");
        let mut body = Vec::new();
        let read = std::io::Read::read_to_end(&mut std::io::Read::take(response, BODY_LIMIT + 1), &mut body);
        if !(200..300).contains(&status) {
            return Err(Failure::status(status, &body, retry_after));
        }
        read.map_err(|error| self.body_failure(&error))?;
        if body.len() as u64 > BODY_LIMIT {
            return Err(Failure::TooLarge);
        }
        match encoding {
            Some(encoding) => Err(Failure::Encoded(encoding)),
            None => Ok(Answer { body }),
        }
    }
}

/// A number in [0, 1), by the seed that the standard library takes from the kernel for its maps.
fn random_fraction() -> f64 {
    use std::hash::{BuildHasher, Hasher};
    let bits = std::hash::RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::system::environment::Environment;
    use std::ffi::CString;

    fn in_cluster(host: &str, port: &str) -> Result<String, String> {
        let entries = [("KUBERNETES_SERVICE_HOST", host), ("KUBERNETES_SERVICE_PORT", port)];
        let entries = entries.map(|(name, value)| CString::new(format!("{name}={value}")).unwrap());
        ApiUrl::in_cluster(&Environment::new(entries.to_vec())).map(|url| url.0.to_string())
    }

    #[test]
    fn both_variables_must_be_set_and_ipv6_gets_brackets() {
        assert_eq!(in_cluster("10.96.0.1", "443").unwrap(), "https://10.96.0.1/");
        assert_eq!(in_cluster("fd00::1", "6443").unwrap(), "https://[fd00::1]:6443/");
        assert!(in_cluster("", "443").unwrap_err().contains("KUBERNETES_SERVICE_HOST is not set"));
        assert!(in_cluster("10.96.0.1", "").unwrap_err().contains("KUBERNETES_SERVICE_PORT is not set"));
        assert!(in_cluster("10.96.0.1", "http").is_err());
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in ["http://127.0.0.1:8001", "http://[::1]:8001", "http://localhost:8001", "https://a.b"] {
            assert!(url.parse::<ApiUrl>().is_ok(), "{url}");
        }
        for (url, why) in [
            ("http://10.0.0.1", "loopback"),
            ("http://localhost.evil.example", "loopback"),
            ("http://127.0.0.1.evil.example", "loopback"),
            ("ftp://127.0.0.1", "https"),
            ("https://user:password@a.b", "credentials"),
            ("https://a.b/?x=1", "query"),
            ("10.96.0.1:443", ""),
            ("https://", ""),
            ("", ""),
        ] {
            assert!(url.parse::<ApiUrl>().unwrap_err().contains(why), "{url}");
        }
    }

    #[test]
    fn pauses_are_spread() {
        let drawn: Vec<f64> = (0..100).map(|_| random_fraction()).collect();
        assert!(drawn.iter().all(|fraction| (0.0..1.0).contains(fraction)));
        assert!(drawn.iter().any(|fraction| *fraction < 0.5) && drawn.iter().any(|fraction| *fraction > 0.5));
    }
}
