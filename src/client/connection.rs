//! The connection to the API server: its name, addresses and certificates, and the step that failed.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc;
use std::time::Duration;

use reqwest::blocking::Client as Http;
use rustls::RootCertStore;

use super::failure::{self, Failure};
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
    let trust = tls::configuration(roots).map_err(|error| Failure::NoClient(error.into()))?;
    let http = Http::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .http1_only()
        .user_agent(concat!("introspod/", env!("CARGO_PKG_VERSION")))
        .tls_backend_preconfigured(trust)
        .connect_timeout(connect_timeout)
        .resolve_to_addrs(host, addresses)
        .build();
    http.map_err(|error| Failure::NoClient(error.without_url().into()))
}

/// The addresses of `localhost`, without a question to DNS (RFC 6761, section 6.3).
fn localhost(port: u16) -> Vec<SocketAddr> {
    vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))]
}

/// An HTTP client for loopback URLs. It trusts no certificate, so it cannot use TLS.
///
/// # Errors
/// [`Failure::NoClient`]
pub(super) fn plain_http() -> Result<Http, Failure> {
    // Port 0 stands for the port of the URL.
    http(RootCertStore::empty(), LOOPBACK_CONNECT, "localhost", &localhost(0))
}

impl Client<'_> {
    /// Reads the CA certificates and resolves the host.
    pub(super) fn connect(&self) -> Result<Http, Failure> {
        // Plain HTTP needs no certificates, but the builder does.
        let roots = if self.url.is_plain() { RootCertStore::empty() } else { self.roots()? };
        http(roots, self.connect_timeout(), self.url.host(), &self.resolve()?)
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
        let pem = self.root.read(&Surroundings::service_account_file("ca.crt"));
        let roots = pem.and_then(|pem| match tls::roots(&pem, &path) {
            roots if roots.is_empty() => {
                Err(io::Error::other("it holds no CA certificate in PEM that is valid now"))
            }
            roots => Ok(roots),
        });
        roots.map_err(|source| Failure::NoCa { path, source })
    }

    /// The addresses of the URL's host. A name of the API server's Service is never looked up if its
    /// address is known: musl's resolver fails in clusters where glibc's does not.
    fn resolve(&self) -> Result<Vec<SocketAddr>, Failure> {
        let (name, port) = (self.url.host(), self.url.port());
        if name == "localhost" {
            return Ok(localhost(port));
        }
        let host = match &self.service_host {
            Some(host) if self.url.names_service() => host,
            _ => name,
        };
        match host.parse::<IpAddr>() {
            Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
            Err(_) => self.look_up(host, port),
        }
    }

    /// Looks up the addresses of `host` in a thread, so that it can stop waiting at the deadline.
    fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Failure> {
        crate::system::process::resolve_by_files_and_dns_only();
        let (sender, receiver) = mpsc::channel();
        let name = host.to_owned();
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        let spawned = thread.spawn(move || {
            let found = (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
            // After the deadline the receiver is gone.
            let _ = sender.send(found);
        });
        spawned.map_err(|error| Failure::NoClient(error.into()))?;
        let host = host.to_owned();
        match receiver.recv_timeout(self.left()) {
            Ok(Ok(addresses)) if !addresses.is_empty() => Ok(addresses),
            Ok(found) => {
                let source = found.err().unwrap_or_else(|| io::Error::other("it has no address"));
                Err(Failure::Dns { host, source })
            }
            Err(_) => {
                Err(Failure::Timeout { address: host, step: failure::DNS, timeout: self.timeout.into() })
            }
        }
    }

    /// The failure of a request whose connection could not be made, or broke.
    pub(super) fn connection_failure(&self, error: Box<dyn Error + Send + Sync>) -> Failure {
        let address = self.url.address();
        if let Some(source) = find::<rustls::Error>(error.as_ref()) {
            return Failure::Tls { address, ca: self.ca_path(), source: source.clone() };
        }
        let is_connect = find::<reqwest::Error>(error.as_ref()).is_some_and(reqwest::Error::is_connect);
        let is_timeout = find::<reqwest::Error>(error.as_ref()).is_some_and(reqwest::Error::is_timeout)
            || find::<io::Error>(error.as_ref()).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
        if is_timeout {
            let step = if is_connect { failure::CONNECT } else { failure::RESPONSE };
            return Failure::Timeout { address, step, timeout: self.timeout.into() };
        }
        Failure::Connection { address, source: error }
    }
}

/// The error of type `T` in a chain of causes. It may be inside an `io::Error`, whose `source` does not return it.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    error.downcast_ref::<T>().or_else(|| {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.and_then(|inner| find(inner)).or_else(|| find(error.source()?))
    })
}
