//! Certificates made at test time, right ones and wrong ones.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
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
    /// Good, but for `other.example` alone.
    OtherName,
    /// Signed by an authority that is not in `ca.crt`.
    OtherAuthority,
    /// Signed by an authority that is not in `ca.crt` but has the name of one that is: kubeadm
    /// calls every cluster's authority `kubernetes`.
    NamesakeAuthority,
    SelfSigned,
}

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new authority of that name.
    pub fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        Authority(CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap())
    }

    /// The content of `ca.crt`.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A TLS server that presents `certificate`.
    pub fn server(&self, certificate: Certificate) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let parameters = parameters(certificate);
        let signed_by = |authority: &Authority| parameters.signed_by(&key, &authority.0).unwrap();
        let signed = match certificate {
            Certificate::OtherAuthority => signed_by(&Authority::new("elsewhere")),
            Certificate::NamesakeAuthority => signed_by(&Authority::new("kubernetes")),
            Certificate::SelfSigned => parameters.self_signed(&key).unwrap(),
            _ => signed_by(self),
        };
        serving(signed.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

fn parameters(certificate: Certificate) -> CertificateParams {
    let names = match certificate {
        Certificate::OtherName => vec!["other.example".to_owned()],
        _ => NAMES.map(str::to_owned).to_vec(),
    };
    let mut parameters = CertificateParams::new(names).unwrap();
    match certificate {
        Certificate::Expired => parameters.not_after = date_time_ymd(2021, 1, 1),
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
