//! The way to the API server: name, addresses, trust; and which step of it failed.

use std::error::Error;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use reqwest::blocking::Client as Http;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use super::{Client, Failure};
use crate::system::surroundings::Surroundings;

/// What finding out which step of connecting took too long may cost.
const PROBE: Duration = Duration::from_millis(50);
/// What connecting gets, if there is so much, before another attempt is made.
const CONNECT: Duration = Duration::from_secs(1);
/// What connecting to the loopback gets, where nothing can be slow but the application.
const LOOPBACK_CONNECT: Duration = Duration::from_secs(10);

/// A way to the API server that worked, or is to be tried.
pub(super) struct Connection {
    pub(super) http: Http,
    addresses: Vec<SocketAddr>,
}

impl Connection {
    /// No proxy, no redirect, no trust but `roots`, and of `host` no addresses but these.
    fn new(
        roots: RootCertStore,
        connect_timeout: Duration,
        host: &str,
        addresses: Vec<SocketAddr>,
    ) -> Result<Self, Failure> {
        let provider = Arc::new(super::cryptography::provider());
        let trust = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let trust = trust.map_err(|error| Failure::NoClient(error.to_string()))?;
        let http = Http::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .user_agent(concat!("introspod/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(trust.with_root_certificates(roots).with_no_client_auth())
            .connect_timeout(connect_timeout)
            .resolve_to_addrs(host, &addresses)
            .build();
        let http = http.map_err(|error| Failure::NoClient(deepest(&error)))?;
        Ok(Connection { http, addresses })
    }

    /// Which of the two steps of connecting took too long: if TCP answers at once now, it was TLS.
    fn slow_step(&self) -> &'static str {
        let answers = |address: &SocketAddr| TcpStream::connect_timeout(address, PROBE).is_ok();
        match self.addresses.first().is_some_and(answers) {
            true => "TLS handshake",
            false => "TCP connect",
        }
    }
}

/// An HTTP client for loopback URLs, which trusts no certificate and so speaks no TLS.
///
/// `localhost` is the loopback itself, whatever a name server says.
///
/// # Errors
/// [`Failure::NoClient`]
pub(crate) fn plain_http() -> Result<Http, Failure> {
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    // With port 0 the URL's counts.
    let addresses = loopback.map(|address| SocketAddr::new(address, 0)).to_vec();
    let connection = Connection::new(RootCertStore::empty(), LOOPBACK_CONNECT, "localhost", addresses)?;
    Ok(connection.http)
}

impl Client<'_> {
    /// Reads the CA certificates and resolves the host.
    pub(super) fn connect(&self) -> Result<Connection, Failure> {
        let roots = match self.url.is_plain() {
            // Plain HTTP needs no trust, but the builder does.
            true => RootCertStore::empty(),
            false => self.roots()?,
        };
        let host = self.url.0.host_str().unwrap_or_default();
        let addresses = self.resolve(host.trim_matches(['[', ']']))?;
        Connection::new(roots, self.connect_timeout(), host, addresses)
    }

    /// Half of the time: a replica of the API server may be gone, and another attempt reach another.
    fn connect_timeout(&self) -> Duration {
        let left = self.left();
        (left / 2).max(CONNECT.min(left.saturating_sub(PROBE)))
    }

    fn ca_path(&self) -> String {
        self.root.display(&Surroundings::service_account_file("ca.crt"))
    }

    /// The certificates of `ca.crt`; one that cannot be read does not take the others with it.
    fn roots(&self) -> Result<RootCertStore, Failure> {
        let path = self.ca_path();
        let pem = self.root.read(&Surroundings::service_account_file("ca.crt"));
        let pem = pem.map_err(|error| Failure::NoCa(format!("{path}: {error}")))?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in CertificateDer::pem_slice_iter(&pem).enumerate() {
            let added = certificate.map_err(|error| error.to_string());
            let added = added.and_then(|it| roots.add(it).map_err(|error| error.to_string()));
            if let Err(why) = added {
                log::warn!("{path}: certificate {} is not used: {why}", index + 1);
            }
        }
        match roots.is_empty() {
            true => Err(Failure::NoCa(format!("{path} holds no certificate in PEM"))),
            false => Ok(roots),
        }
    }

    /// The addresses of `host`, looked up in a thread of its own: a name server that never answers
    /// is not waited for beyond the deadline.
    fn resolve(&self, host: &str) -> Result<Vec<SocketAddr>, Failure> {
        let port = self.url.0.port_or_known_default().unwrap_or(443);
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
        let failed = |why: String| Failure::Dns { host: host.to_owned(), why };
        spawned.map_err(|error| failed(error.to_string()))?;
        match receiver.recv_timeout(self.left()) {
            Ok(Ok(addresses)) => self.checked(host, addresses),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => {
                Err(Failure::Timeout { address: host.to_owned(), step: "DNS", timeout: self.timeout.into() })
            }
        }
    }

    fn checked(&self, host: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Failure> {
        let failed = |why: &str| Err(Failure::Dns { host: host.to_owned(), why: why.to_owned() });
        if addresses.is_empty() {
            return failed("it has no address");
        }
        if self.url.is_plain() && !addresses.iter().all(|address| address.ip().is_loopback()) {
            return failed("plain http:// is for loopback only, and this is another address");
        }
        Ok(addresses)
    }

    fn address(&self) -> String {
        let url = &self.url.0;
        let host = url.host_str().unwrap_or_default();
        url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    fn timed_out(&self, step: &'static str) -> Failure {
        Failure::Timeout { address: self.address(), step, timeout: self.timeout.into() }
    }

    /// What became of a request that got no answer.
    pub(super) fn connection_failure(&self, connection: &Connection, error: &reqwest::Error) -> Failure {
        let address = self.address();
        match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(problem)) => {
                let (why, remedy) = certificate_problem(problem);
                return Failure::Certificate { address, why, remedy, ca: self.ca_path() };
            }
            Some(error) => return Failure::Tls { address, why: error.to_string() },
            None => {}
        }
        if !error.is_timeout() {
            return Failure::Connection { address, why: deepest(error) };
        }
        match error.is_connect() {
            true => self.timed_out(connection.slow_step()),
            false => self.timed_out("waiting for the response"),
        }
    }

    /// What became of an answer whose body did not come to its end.
    pub(super) fn body_failure(&self, error: &io::Error) -> Failure {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<reqwest::Error>());
        if error.kind() == io::ErrorKind::TimedOut || cause.is_some_and(reqwest::Error::is_timeout) {
            return self.timed_out("reading the response");
        }
        let why = format!("the response was cut short: {}", deepest(error));
        Failure::Connection { address: self.address(), why }
    }
}

/// What is wrong with a certificate, and what to do about it.
fn certificate_problem(problem: &CertificateError) -> (String, &'static str) {
    const ISSUER: &str = "is it this cluster's API server that listens there? the CA file must hold its CA";
    const TIME: &str = "renew the API server's certificate, or set the node's clock right";
    const NAME: &str = "name the API server as its certificate does: --api-url";
    match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            ("it was issued by another CA than the one in the CA file".to_owned(), ISSUER)
        }
        CertificateError::Expired => ("it has expired".to_owned(), TIME),
        CertificateError::ExpiredContext { not_after, .. } => {
            (format!("it expired on {}", date(not_after.as_secs())), TIME)
        }
        CertificateError::NotValidYet => ("it is not valid yet".to_owned(), TIME),
        CertificateError::NotValidYetContext { not_before, .. } => {
            (format!("it is not valid before {}", date(not_before.as_secs())), TIME)
        }
        CertificateError::NotValidForName => ("it is for another name".to_owned(), NAME),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented = presented.join(", ");
            (format!("it is not valid for {}, but for {presented}", expected.to_str()), NAME)
        }
        other => (other.to_string(), ISSUER),
    }
}

fn date(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    time.map_or_else(
        || "a day beyond reckoning".to_owned(),
        |time| humantime::format_rfc3339_seconds(time).to_string(),
    )
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

/// The innermost cause, which says what happened and holds neither URL nor header.
pub(crate) fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
