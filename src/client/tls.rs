//! TLS: the trusted certificates, and messages about TLS errors.
//!
//! rustls describes many of its errors only in Rust's `Debug` format. So the messages for users are here.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, RootCertStore};

/// The algorithms that rustls implements with ring.
fn provider() -> CryptoProvider {
    ring::default_provider()
}

/// A client that trusts only `roots`, and has no certificate of its own.
///
/// # Errors
/// None in practice: the provider supports TLS 1.2 and 1.3.
pub(super) fn configuration(roots: RootCertStore) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// The CA certificates in `pem`, the content of `file`. It logs a warning for each certificate that cannot
/// be used, and skips it.
pub(super) fn roots(pem: &[u8], file: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let problem = match certificate {
            Err(_) => Some("not valid PEM"),
            Ok(certificate) if !is_authority(&certificate) => Some("not a CA certificate"),
            Ok(certificate) => roots.add(certificate).err().map(|_| "not a valid X.509 certificate"),
        };
        if let Some(problem) = problem {
            log::warn!("{file}: certificate {} is {problem} and is not used", index + 1);
        }
    }
    roots
}

/// Whether the certificate is a CA certificate (RFC 5280, section 4.2.1.9). client-go too accepts only
/// signatures of such certificates (`crypto/x509`, `CheckSignatureFrom`).
///
/// webpki accepts any certificate as a trust anchor, but rejects a CA certificate as a server's own. So
/// this function presents the certificate as a server's own, and looks at the error. If webpki cannot
/// parse it, as with version 1, the certificate counts as a CA certificate.
fn is_authority(certificate: &CertificateDer) -> bool {
    let Ok(parsed) = ParsedCertificate::try_from(certificate) else { return true };
    let algorithms = provider().signature_verification_algorithms.all;
    let nobody = RootCertStore::empty();
    let refused_at =
        |time| verify_server_cert_signed_by_trust_anchor(&parsed, &nobody, &[], time, algorithms).err();
    // webpki checks the validity first, so try again at a time when the certificate was valid.
    let refused = match refused_at(UnixTime::now()) {
        Some(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            refused_at(not_after)
        }
        Some(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            refused_at(not_before)
        }
        refused => refused,
    };
    matches!(refused, Some(Error::InvalidCertificate(CertificateError::Other(why))) if is_ca(&why))
}

/// Whether webpki rejected a CA certificate that a server presented as its own.
fn is_ca(why: &rustls::OtherError) -> bool {
    // This is webpki's `Error::CaUsedAsEndEntity`. webpki is not a direct dependency.
    why.to_string() == "CaUsedAsEndEntity"
}

/// The message about a TLS error.
pub(super) fn words(error: &Error) -> String {
    let words = match error {
        Error::InvalidMessage(_) => {
            "the answer is not TLS; if the server speaks plain HTTP, as kubectl proxy does, use http://"
        }
        Error::PeerIncompatible(_) => {
            "the server shares no TLS version, cipher suite or signature algorithm with introspod"
        }
        Error::AlertReceived(alert) => {
            return format!("the server refused with the TLS alert {}", name(alert));
        }
        Error::NoCertificatesPresented => "the server presented no certificate",
        Error::PeerMisbehaved(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerSentOversizedRecord => "the server does not follow the TLS protocol",
        Error::DecryptError => "a message of the server cannot be decrypted: the network may have changed it",
        Error::FailedToGetCurrentTime => "the system's time is not known",
        Error::FailedToGetRandomBytes => "the kernel provided no random bytes",
        _ => "the TLS library failed",
    };
    words.to_owned()
}

/// The name of an alert (RFC 8446, section 6).
fn name(alert: &AlertDescription) -> String {
    let name = match alert {
        AlertDescription::HandshakeFailure => "handshake_failure",
        AlertDescription::ProtocolVersion => "protocol_version",
        AlertDescription::InsufficientSecurity => "insufficient_security",
        AlertDescription::InternalError => "internal_error",
        AlertDescription::UnrecognisedName => "unrecognized_name",
        AlertDescription::AccessDenied => "access_denied",
        AlertDescription::CertificateRequired => "certificate_required",
        other => return u8::from(*other).to_string(),
    };
    name.to_owned()
}

/// The message about a server's certificate. Its subject is the certificate.
pub(super) fn certificate_words(problem: &CertificateError) -> String {
    let words = match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it was issued by another CA than the one in the CA file"
        }
        CertificateError::Expired => "it has expired",
        CertificateError::ExpiredContext { not_after, .. } => {
            return format!("it expired on {}", date(not_after.as_secs()));
        }
        CertificateError::NotValidYet => "it is not valid yet",
        CertificateError::NotValidYetContext { not_before, .. } => {
            return format!("it is not valid before {}", date(not_before.as_secs()));
        }
        CertificateError::NotValidForName => "it is for another name",
        CertificateError::NotValidForNameContext { expected, presented } => {
            return format!("it is not valid for {}, but for {}", expected.to_str(), names(presented));
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { signature_algorithm_id, .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id, ..
        } => {
            let algorithm = signature_algorithm(signature_algorithm_id);
            return format!("its signature algorithm {algorithm} is not supported");
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "its extended key usage does not allow server authentication"
        }
        CertificateError::Other(why) if is_ca(why) => {
            "it is a CA certificate, which a server must not present as its own"
        }
        CertificateError::UnhandledCriticalExtension => "it has a critical extension that is not supported",
        CertificateError::BadEncoding => "it is not a valid X.509 certificate",
        _ => "it breaks a rule of RFC 5280",
    };
    words.to_owned()
}

/// The names in a certificate, without the `DnsName("…")` or `IpAddress(…)` that rustls adds.
fn names(presented: &[String]) -> String {
    let inner = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, inner)| inner);
        inner.trim_end_matches(')').trim_matches('"').to_owned()
    };
    match presented {
        [] => "no name".to_owned(),
        _ => presented.iter().map(inner).collect::<Vec<_>>().join(", "),
    }
}

/// The advice on a server's certificate.
pub(super) fn certificate_remedy(problem: &CertificateError) -> &'static str {
    match problem {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "renew the API server's certificate, or correct the node's clock"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "use --api-url with a name that is in the API server's certificate"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "issue the API server's certificate with RSA, ECDSA (P-256 or P-384) or Ed25519"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "check that the address is this cluster's API server, and that the CA file holds its CA certificate"
        }
        _ => "issue the API server a certificate for server authentication, signed by the cluster's CA",
    }
}

/// The name of a signature algorithm, or else its object identifier. `identifier` is the content of the DER
/// `AlgorithmIdentifier` (RFC 5280, section 4.1.1.2).
fn signature_algorithm(identifier: &[u8]) -> String {
    let [0x06, length, rest @ ..] = identifier else { return "without a name".to_owned() };
    let object_identifier = dotted(&rest[..rest.len().min(usize::from(*length))]);
    let name = match object_identifier.as_str() {
        "1.2.840.113549.1.1.4" => "RSA with MD5",
        "1.2.840.113549.1.1.5" => "RSA with SHA-1",
        "1.2.840.113549.1.1.10" => "RSASSA-PSS",
        "1.2.840.113549.1.1.11" => "RSA with SHA-256",
        "1.2.840.113549.1.1.12" => "RSA with SHA-384",
        "1.2.840.113549.1.1.13" => "RSA with SHA-512",
        "1.2.840.10045.4.1" => "ECDSA with SHA-1",
        "1.2.840.10045.4.3.2" => "ECDSA with SHA-256",
        "1.2.840.10045.4.3.3" => "ECDSA with SHA-384",
        "1.2.840.10045.4.3.4" => "ECDSA with SHA-512",
        "1.3.101.113" => "Ed448",
        _ => return object_identifier,
    };
    name.to_owned()
}

/// The dotted form of an object identifier (ITU-T X.690, section 8.19).
fn dotted(content: &[u8]) -> String {
    let mut numbers: Vec<u64> = Vec::new();
    let mut number = 0u64;
    for byte in content {
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if numbers.is_empty() {
            let first = (number / 40).min(2);
            numbers.push(first);
            number -= first * 40;
        }
        numbers.push(std::mem::take(&mut number));
    }
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

/// A date and time in UTC (RFC 3339).
fn date(seconds: u64) -> String {
    let time = std::time::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    // humantime formats years up to 9999.
    let time = time.filter(|_| seconds < 253_402_300_800);
    time.map_or_else(
        || "an invalid date".to_owned(),
        |time| humantime::format_rfc3339_seconds(time).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_algorithms_have_names() {
        let ecdsa = [0x06, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04];
        assert_eq!(signature_algorithm(&ecdsa), "ECDSA with SHA-512");
        let sha1 = [0x06, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5, 0x05, 0x00];
        assert_eq!(signature_algorithm(&sha1), "RSA with SHA-1");
        // ML-DSA-65
        let unknown = [0x06, 9, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12];
        assert_eq!(signature_algorithm(&unknown), "2.16.840.1.101.3.4.3.18");
        for malformed in [&[][..], &[0x06], &[0x06, 200, 0x80], &[0x05, 0], &[0x06, 1], &[0x06, 99, 0xff]] {
            signature_algorithm(malformed);
        }
        dotted(&[0xff; 32]);
    }

    #[test]
    fn a_date_that_no_calendar_has_is_invalid() {
        assert_eq!(date(1_609_459_200), "2021-01-01T00:00:00Z");
        assert_eq!(date(u64::MAX), "an invalid date");
        assert_eq!(date(253_402_300_800), "an invalid date");
    }
}
