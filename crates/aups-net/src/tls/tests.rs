use super::*;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;

/// An authority of a test's own.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn authorities(&self) -> Authorities {
        Authorities::from_pem(self.pem.as_bytes()).unwrap()
    }

    pub(crate) fn issue(&self, name: &str) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        let chain = vec![params.signed_by(&key, &self.issuer).unwrap().der().clone()];
        (chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
    }

    pub(crate) fn server(&self, name: &str) -> Arc<ServerCertificate> {
        let (chain, key) = self.issue(name);
        ServerCertificate::new(chain, key).unwrap()
    }
}

#[test]
fn a_key_that_is_not_the_certificates_is_refused() {
    let authority = Authority::new();
    let ((chain, _), (_, other)) = (authority.issue("a"), authority.issue("a"));
    assert!(matches!(ServerCertificate::new(chain, other), Err(TlsError::Rustls(_))));
}

#[test]
fn what_is_no_pem_is_refused() {
    assert!(matches!(chain_from_pem(b"no certificate"), Err(TlsError::Pem { .. })));
    assert!(matches!(key_from_pem(b""), Err(TlsError::Pem { .. })));
    assert!(matches!(Authorities::from_pem(&vec![b' '; AUTHORITIES_BYTES_MAX + 1]), Err(TlsError::TooLong)));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(Authorities::from_pem(broken.as_bytes()).is_err());
}

#[test]
fn an_error_that_has_nothing_to_do_with_certificates_is_none_of_theirs() {
    assert_eq!(certificate_fault(&io::Error::other("reset")), None);
    let expired = rustls::Error::InvalidCertificate(CertificateError::Expired);
    assert!(certificate_fault(&io::Error::other(expired)).unwrap().contains("ended"));
}
