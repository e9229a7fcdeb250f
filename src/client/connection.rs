//! The way to the API server: its name, addresses and certificate, and which step of it failed.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

use reqwest::blocking::Client as Http;
use rustls::RootCertStore;

use super::failure::{Failure, Step};
use super::{Client, SHORTEST_ATTEMPT, tls};
use crate::system::surroundings::Surroundings;

/// What connecting gets at least, if there is so much, before another attempt is made.
const CONNECT: Duration = Duration::from_secs(1);
/// What connecting to the loopback gets, where nothing can be slow but the application.
const LOOPBACK_CONNECT: Duration = Duration::from_secs(10);

/// An HTTP client with no proxy, no redirect, no trust but in `roots`, and for `host` no addresses
/// but these.
fn http(
    roots: RootCertStore,
    connect_timeout: Duration,
    host: &str,
    addresses: &[SocketAddr],
) -> Result<Http, Failure> {
    let trust =
        tls::configuration(roots).map_err(|source| Failure::Tls { address: host.to_owned(), source })?;
    let http = Http::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .user_agent(concat!("introspod/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(trust)
        .connect_timeout(connect_timeout)
        .resolve_to_addrs(host, addresses)
        .build();
    http.map_err(|error| Failure::NoClient(error.without_url()))
}

/// An HTTP client for loopback URLs, which trusts no certificate and so speaks no TLS.
///
/// `localhost` is the loopback itself, whatever a name server says (RFC 6761, section 6.3).
///
/// # Errors
/// [`Failure::NoClient`]
pub(super) fn plain_http() -> Result<Http, Failure> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    // With port 0 the URL's counts.
    let addresses = loopback.map(|address| SocketAddr::new(address, 0));
    http(RootCertStore::empty(), LOOPBACK_CONNECT, "localhost", &addresses)
}

impl Client<'_> {
    /// Reads the CA certificates and resolves the host.
    pub(super) fn connect(&self) -> Result<Http, Failure> {
        let roots = match self.url.is_plain() {
            // Plain HTTP needs no trust, but the builder does.
            true => RootCertStore::empty(),
            false => self.roots()?,
        };
        let host = self.url.host();
        http(roots, self.connect_timeout(), host, &self.resolve(host)?)
    }

    /// Half of the time: a replica of the API server may be gone, and another attempt reach another.
    fn connect_timeout(&self) -> Duration {
        let left = self.left();
        (left / 2).max(CONNECT.min(left.saturating_sub(SHORTEST_ATTEMPT)))
    }

    fn ca_path(&self) -> String {
        self.root.display(&Surroundings::service_account_file("ca.crt"))
    }

    /// The certificates of `ca.crt`.
    fn roots(&self) -> Result<RootCertStore, Failure> {
        let path = self.ca_path();
        match self.root.read(&Surroundings::service_account_file("ca.crt")) {
            Err(source) => Err(Failure::NoCa { path, source }),
            Ok(pem) => match tls::roots(&pem, &path) {
                roots if roots.is_empty() => Err(Failure::EmptyCa { path }),
                roots => Ok(roots),
            },
        }
    }

    /// The addresses of `host`, looked up in a thread of its own: a name server that never answers
    /// is not waited for beyond the deadline.
    fn resolve(&self, host: &str) -> Result<Vec<SocketAddr>, Failure> {
        let port = self.url.port();
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        crate::system::process::resolve_by_files_and_dns_only();
        let (sender, receiver) = mpsc::channel();
        let name = host.to_owned();
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        let spawned = thread.spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
            // The deadline may have passed: then nobody listens.
            let _ = sender.send(found);
        });
        spawned.map_err(Failure::NoThread)?;
        let host = host.to_owned();
        match receiver.recv_timeout(self.left()) {
            Ok(Ok(addresses)) => self.checked(host, addresses),
            Ok(Err(source)) => Err(Failure::Dns { host, source }),
            Err(_) => Err(Failure::Timeout { address: host, step: Step::Dns, timeout: self.timeout.into() }),
        }
    }

    fn checked(&self, host: String, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Failure> {
        if addresses.is_empty() {
            return Err(Failure::NoAddress { host });
        }
        match self.url.is_plain() && !addresses.iter().all(|address| address.ip().is_loopback()) {
            true => Err(Failure::NotLoopback { host }),
            false => Ok(addresses),
        }
    }

    fn timed_out(&self, step: Step) -> Failure {
        Failure::Timeout { address: self.url.address(), step, timeout: self.timeout.into() }
    }

    /// The failure of a request that got no answer.
    pub(super) fn connection_failure(&self, error: reqwest::Error) -> Failure {
        if let Some(source) = tls_error(&error) {
            return self.tls_failure(source.clone());
        }
        match error.is_timeout() {
            true if error.is_connect() => self.timed_out(Step::Connect),
            true => self.timed_out(Step::Response),
            false => Failure::Connection { address: self.url.address(), source: error.without_url() },
        }
    }

    fn tls_failure(&self, error: rustls::Error) -> Failure {
        let address = self.url.address();
        match error {
            rustls::Error::InvalidCertificate(problem) => {
                Failure::Certificate { address, ca: self.ca_path(), problem }
            }
            source => Failure::Tls { address, source },
        }
    }

    /// The failure of an answer whose body did not come to its end.
    pub(super) fn body_failure(&self, source: io::Error) -> Failure {
        if let Some(error) = tls_error(&source) {
            return self.tls_failure(error.clone());
        }
        let cause = source.get_ref().and_then(|cause| cause.downcast_ref::<reqwest::Error>());
        match source.kind() == io::ErrorKind::TimedOut || cause.is_some_and(reqwest::Error::is_timeout) {
            true => self.timed_out(Step::Response),
            false => Failure::Truncated { address: self.url.address(), source },
        }
    }
}

/// The TLS error in a chain of causes: it hides in `io::Error`s, which do not name it as their source.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = inner.and_then(|inner| tls_error(inner));
    inner.or_else(|| tls_error(error.source()?))
}
