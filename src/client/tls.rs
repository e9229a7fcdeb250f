//! TLS: the trusted certificates, and what an error of TLS means.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};

/// A client that trusts only `roots`, and has no certificate of its own.
///
/// # Errors
/// None in practice: the provider supports TLS 1.2 and 1.3.
pub(super) fn configuration(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The CA certificates in `pem`, the content of `file`. It logs a warning for each certificate that cannot
/// be used, and skips it.
pub(super) fn roots(pem: &[u8], file: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let added = certificate.map_err(|_| "is not valid PEM".to_owned()).and_then(|certificate| {
            check_authority(&certificate)?;
            roots.add(certificate).map_err(|_| "is not a valid X.509 certificate".to_owned())
        });
        if let Err(problem) = added {
            log::warn!("{file}: certificate {} {problem} and is not used", index + 1);
        }
    }
    roots
}

/// Checks that the certificate is a CA certificate (RFC 5280, section 4.2.1.9), and valid now, as client-go
/// does (`crypto/x509`, `isValid` and `CheckSignatureFrom`). The error says what is wrong with it.
///
/// webpki accepts any certificate as a trust anchor, but rejects a CA certificate as a server's own. So
/// this function presents the certificate as a server's own, and looks at the error. If webpki cannot
/// parse it, as with version 1, the certificate counts as a CA certificate.
fn check_authority(certificate: &CertificateDer) -> Result<(), String> {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return Ok(()) };
    let (algorithms, nobody) =
        (ring::default_provider().signature_verification_algorithms.all, RootCertStore::empty());
    let now = UnixTime::now();
    let why = match verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], now, algorithms) {
        Err(Error::InvalidCertificate(problem)) if is_ca(&problem) => return Ok(()),
        Err(Error::InvalidCertificate(problem)) => validity(&problem),
        _ => None,
    };
    Err(why.unwrap_or_else(|| "is not a CA certificate".to_owned()))
}

/// Whether webpki rejected a CA certificate that was presented as a server's own. webpki is not a direct
/// dependency, so its `Error::CaUsedAsEndEntity` is known by its text.
fn is_ca(problem: &CertificateError) -> bool {
    matches!(problem, CertificateError::Other(why) if why.to_string() == "CaUsedAsEndEntity")
}

/// Says that a certificate has expired or is not valid yet.
fn validity(problem: &CertificateError) -> Option<String> {
    let date = |time: UnixTime| {
        let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()));
        time.map_or_else(String::new, |time| humantime::format_rfc3339_seconds(time).to_string())
    };
    match problem {
        CertificateError::ExpiredContext { not_after, .. } => {
            Some(format!("expired on {}", date(*not_after)))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            Some(format!("is not valid before {}", date(*not_before)))
        }
        // webpki's `InvalidCertValidity`.
        CertificateError::Expired => Some("is never valid: its validity ends before it begins".to_owned()),
        _ => None,
    }
}

/// What went wrong, and the advice on it. The trusted certificates are those in the file `ca`.
pub(super) fn explain(error: &Error, ca: &str) -> (String, &'static str) {
    let what = match error {
        Error::InvalidCertificate(problem) => {
            let (why, advice) = explain_certificate(problem);
            return (format!("the server's certificate is not trusted: {why} (CA file {ca})"), advice);
        }
        Error::InvalidMessage(_) => "the answer is not TLS".to_owned(),
        error => format!("TLS failed: {error}"),
    };
    let advice = "check that the API server answers at this address, and speaks TLS 1.2 or 1.3; \
                  if it speaks plain HTTP, as kubectl proxy does, use http://";
    (what, advice)
}

/// What is wrong with the server's certificate, and the advice on it.
fn explain_certificate(problem: &CertificateError) -> (String, &'static str) {
    use CertificateError as Problem;
    if let Some(validity) = validity(problem) {
        return (format!("it {validity}"), "renew the API server's certificate, or correct the node's clock");
    }
    match problem {
        Problem::NotValidForNameContext { .. } => {
            (problem.to_string(), "use --api-url with a name that is in the API server's certificate")
        }
        Problem::UnknownIssuer | Problem::BadSignature => (
            "it was issued by another CA than the one in the CA file".to_owned(),
            "check that the address is this cluster's API server, and that the CA file holds its CA certificate",
        ),
        Problem::UnsupportedSignatureAlgorithmContext { .. }
        | Problem::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => (
            "its signature algorithm is not supported".to_owned(),
            "issue the API server's certificate with RSA, ECDSA (P-256 or P-384) or Ed25519",
        ),
        _ => {
            let why = match problem {
                _ if is_ca(problem) => "it is a CA certificate".to_owned(),
                Problem::Other(why) => format!("it breaks a rule of RFC 5280: {why}"),
                _ => format!("it breaks a rule of RFC 5280: {problem}"),
            };
            (why, "issue the API server a certificate for server authentication, signed by the cluster's CA")
        }
    }
}
