//! The connection to the API server: its name, addresses and certificates, and the step that failed.

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

/// The shortest timeout of connecting, unless less time is left.
const CONNECT: Duration = Duration::from_secs(1);
/// The timeout of connecting to loopback, where only the application can be slow.
const LOOPBACK_CONNECT: Duration = Duration::from_secs(10);

/// An HTTP client that uses no proxy, follows no redirect, trusts only `roots`, and connects to `host`
/// only at `addresses`.
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

/// An HTTP client for loopback URLs. It trusts no certificate, so it cannot use TLS.
///
/// `localhost` always is the loopback address, whatever DNS says (RFC 6761, section 6.3).
///
/// # Errors
/// [`Failure::NoClient`]
pub(super) fn plain_http() -> Result<Http, Failure> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    // Port 0 stands for the port of the URL.
    let addresses = loopback.map(|address| SocketAddr::new(address, 0));
    http(RootCertStore::empty(), LOOPBACK_CONNECT, "localhost", &addresses)
}

impl Client<'_> {
    /// Reads the CA certificates and resolves the host.
    pub(super) fn connect(&self) -> Result<Http, Failure> {
        let roots = match self.url.is_plain() {
            // Plain HTTP needs no certificates, but the builder does.
            true => RootCertStore::empty(),
            false => self.roots()?,
        };
        let host = self.url.host();
        http(roots, self.connect_timeout(), host, &self.resolve(host)?)
    }

    /// Half of the time that is left, so that another attempt can reach another replica of the API server.
    fn connect_timeout(&self) -> Duration {
        let left = self.left();
        (left / 2).max(CONNECT.min(left.saturating_sub(SHORTEST_ATTEMPT)))
    }

    fn ca_path(&self) -> String {
        self.root.display(&Surroundings::service_account_file("ca.crt"))
    }

    /// The certificates in `ca.crt`.
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

    /// Looks up the addresses of `host` in a thread, so that it can stop waiting at the deadline.
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
            // After the deadline the receiver is gone.
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

    /// The failure of a request without an answer.
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

    /// The failure of an answer whose body was cut short.
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

/// The TLS error in a chain of causes. It is inside `io::Error`s, whose `source` does not return it.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found);
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let inner = inner.and_then(|inner| tls_error(inner));
    inner.or_else(|| tls_error(error.source()?))
}
