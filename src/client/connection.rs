//! The way to the API server: name, addresses, trust; and which step of it failed.

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use reqwest::blocking::Client as Http;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, ClientConfig, RootCertStore};

use super::{Client, Failure};
use crate::surroundings::Surroundings;

/// What is kept back of the time, to find out at its end which step took it.
const PROBE: Duration = Duration::from_millis(50);

/// All that a connection needs.
pub(super) struct Connection {
    host: String,
    addresses: Vec<SocketAddr>,
    trust: Option<ClientConfig>,
    connect_timeout: Duration,
}

impl Connection {
    /// The HTTP client: no proxy, no redirect, no cookie, no trust but the one given.
    pub(super) fn http(self) -> Result<Http, Failure> {
        let mut builder = Http::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .http1_only()
            .user_agent(concat!("introspod/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(self.connect_timeout)
            .resolve_to_addrs(&self.host, &self.addresses);
        let trust = match self.trust {
            Some(trust) => trust,
            // Plain HTTP needs no trust, but the builder does.
            None => config(RootCertStore::empty())?,
        };
        builder = builder.tls_backend_preconfigured(trust);
        builder.build().map_err(|error| Failure::Tls { address: self.host, why: deepest(&error) })
    }
}

fn config(roots: RootCertStore) -> Result<ClientConfig, Failure> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder =
        builder.map_err(|error| Failure::Tls { address: "rustls".to_owned(), why: error.to_string() })?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

impl Client<'_> {
    /// Resolves the host and reads the CA certificates.
    pub(super) fn connection(&self) -> Result<Connection, Failure> {
        let trust = match self.url.is_plain() {
            true => None,
            false => Some(config(self.roots()?)?),
        };
        let host = self.url.0.host_str().unwrap_or_default().to_owned();
        Ok(Connection {
            addresses: self.resolve(host.trim_matches(['[', ']']))?,
            host,
            trust,
            connect_timeout: self.left().saturating_sub(PROBE).max(Duration::from_millis(1)),
        })
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
        crate::system::resolve_by_files_and_dns_only();
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

    pub(super) fn timed_out(&self, step: &'static str) -> Failure {
        Failure::Timeout { address: self.address(), step, timeout: self.timeout.into() }
    }

    /// What became of a request that got no answer.
    pub(super) fn connection_failure(&self, error: &reqwest::Error) -> Failure {
        let address = self.address();
        match tls_error(error) {
            Some(rustls::Error::InvalidCertificate(why)) => {
                return Failure::Certificate { address, why: certificate_problem(why), ca: self.ca_path() };
            }
            Some(error) => return Failure::Tls { address, why: error.to_string() },
            None => {}
        }
        if !error.is_timeout() {
            return Failure::Connection { address, why: deepest(error) };
        }
        match error.is_connect() {
            true => self.timed_out(self.connect_step()),
            false => self.timed_out("waiting for the response"),
        }
    }

    /// Which of the two steps of connecting took too long: if TCP answers at once now, it was TLS.
    fn connect_step(&self) -> &'static str {
        let host = self.url.0.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let addresses = self.resolve(host).unwrap_or_default();
        let answers = |address: &SocketAddr| TcpStream::connect_timeout(address, PROBE).is_ok();
        match addresses.first().is_some_and(answers) {
            true => "TLS handshake",
            false => "TCP connect",
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

/// What the operator can do something about, of all that can be wrong with a certificate.
fn certificate_problem(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it was issued by another CA than the one in the CA file".to_owned()
        }
        CertificateError::Expired => "it has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it expired on {}", date(not_after.as_secs()))
        }
        CertificateError::NotValidYet => "it is not valid yet".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}; is the clock right?", date(not_before.as_secs()))
        }
        CertificateError::NotValidForName => "it is for another name".to_owned(),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented = presented.join(", ");
            format!("it is not valid for {}, but for {presented}", expected.to_str())
        }
        other => other.to_string(),
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
fn deepest(error: &(dyn Error + 'static)) -> String {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
