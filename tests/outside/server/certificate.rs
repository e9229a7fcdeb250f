//! Certificates for the tests, both valid and invalid.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The names that a cluster's API server goes by.
const NAMES: [&str; 4] = ["127.0.0.1", "::1", "kubernetes.default.svc", "localhost"];

/// What the server presents.
#[derive(Clone, Copy, Debug)]
pub enum Certificate {
    Valid,
    Expired,
    NotYetValid,
    /// For the names of the Service that a cluster's API server has, and for no address.
    OfTheService,
    /// Good, but for `other.example` alone.
    OtherName,
    /// Signed by an authority that is not in `ca.crt`.
    OtherAuthority,
    /// Signed by an authority that is not in `ca.crt` but has the name of one that is: kubeadm
    /// calls every cluster's authority `kubernetes`.
    NamesakeAuthority,
    SelfSigned,
    /// All keys and signatures are Ed25519.
    Ed25519,
    /// Said to be signed by ECDSA with SHA-512, as authorities with a P-521 key sign.
    EcdsaSha512,
    /// The authority's own certificate, which no server must present.
    Authority,
    /// Good, but for clients only.
    ForClients,
}

/// When an authority's own certificate is valid.
#[derive(Clone, Copy, Debug)]
pub enum Validity {
    Now,
    Past,
    Future,
    /// It ends before it begins.
    Never,
}

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new authority of that name.
    pub fn new(name: &str) -> Self {
        Authority::with_key(name, KeyPair::generate().unwrap(), Validity::Now)
    }

    /// An authority whose own certificate is valid then. What it signs is valid now.
    pub fn valid(validity: Validity) -> Self {
        Authority::with_key("kubernetes", KeyPair::generate().unwrap(), validity)
    }

    /// The authority that signs a `certificate`, and is in `ca.crt`.
    pub fn of(certificate: Certificate) -> Self {
        Authority::with_key("kubernetes", key(certificate), Validity::Now)
    }

    fn with_key(name: &str, key: KeyPair, validity: Validity) -> Self {
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        match validity {
            Validity::Now => {}
            Validity::Past => parameters.not_after = date_time_ymd(2021, 1, 1),
            Validity::Future => parameters.not_before = date_time_ymd(2090, 1, 1),
            Validity::Never => {
                (parameters.not_before, parameters.not_after) =
                    (date_time_ymd(2090, 1, 1), date_time_ymd(2021, 1, 1));
            }
        }
        Authority(CertifiedIssuer::self_signed(parameters, key).unwrap())
    }

    /// The content of `ca.crt`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// In PEM, the certificate of a server that this authority has signed.
    pub fn leaf_pem(&self) -> String {
        let leaf = parameters(Certificate::Valid).signed_by(&KeyPair::generate().unwrap(), &self.0);
        leaf.unwrap().pem()
    }

    /// A TLS server that presents `certificate`.
    pub fn server(&self, certificate: Certificate) -> Arc<ServerConfig> {
        let key = key(certificate);
        let parameters = parameters(certificate);
        let signed_by = |authority: &Authority| parameters.signed_by(&key, &authority.0).unwrap();
        let signed = match certificate {
            Certificate::OtherAuthority => signed_by(&Authority::new("elsewhere")),
            Certificate::NamesakeAuthority => signed_by(&Authority::new("kubernetes")),
            Certificate::SelfSigned => parameters.self_signed(&key).unwrap(),
            Certificate::Authority => {
                let key = PrivateKeyDer::try_from(self.0.key().serialize_der()).unwrap();
                return serving(self.0.der().clone(), key);
            }
            _ => signed_by(self),
        };
        let der = match certificate {
            Certificate::EcdsaSha512 => said_to_be_sha512(signed.der()),
            _ => signed.der().clone(),
        };
        serving(der, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

fn key(certificate: Certificate) -> KeyPair {
    let algorithm = match certificate {
        Certificate::Ed25519 => &rcgen::PKCS_ED25519,
        _ => &rcgen::PKCS_ECDSA_P256_SHA256,
    };
    KeyPair::generate_for(algorithm).unwrap()
}

/// The certificate with another name of the algorithm that signed it (RFC 5758, section 3.2).
fn said_to_be_sha512(certificate: &[u8]) -> CertificateDer<'static> {
    const SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let mut der = certificate.to_vec();
    for at in 0..der.len() - SHA256.len() {
        if der[at..].starts_with(SHA256) {
            der[at + SHA256.len() - 1] = 0x04;
        }
    }
    CertificateDer::from(der)
}

fn parameters(certificate: Certificate) -> CertificateParams {
    let names = match certificate {
        Certificate::OtherName => vec!["other.example".to_owned()],
        Certificate::OfTheService => ["", ".default", ".default.svc", ".default.svc.a.example"]
            .map(|rest| format!("kubernetes{rest}"))
            .to_vec(),
        _ => NAMES.map(str::to_owned).to_vec(),
    };
    let mut parameters = CertificateParams::new(names).unwrap();
    match certificate {
        Certificate::Expired => parameters.not_after = date_time_ymd(2021, 1, 1),
        Certificate::ForClients => parameters.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth),
        Certificate::NotYetValid => parameters.not_before = date_time_ymd(2090, 1, 1),
        _ => {}
    }
    parameters
}

fn serving(certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Arc::new(config)
}
