//! TLS 1.2 and 1.3 by rustls with aws-lc-rs: what a listener shows, and whom a client trusts.

use rustls::{
    CertificateError, ClientConfig, RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_platform_verifier::Verifier;
use std::{
    error::Error,
    io,
    sync::{Arc, PoisonError, RwLock},
};
use thiserror::Error;

/// Most bytes of certificates that are read as those of authorities.
pub const AUTHORITIES_BYTES_MAX: usize = 64 << 10;

/// Certificates or keys that cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Not PEM, or without what was looked for.
    #[error("no {what} in PEM form (-----BEGIN …-----)")]
    Pem {
        /// What was looked for.
        what: &'static str,
    },
    /// More than [`AUTHORITIES_BYTES_MAX`].
    #[error("more than {AUTHORITIES_BYTES_MAX} bytes of certificates")]
    TooLong,
    /// They do not fit, or this system has no list of authorities.
    #[error("the TLS library does not take it: {0}")]
    Rustls(#[from] rustls::Error),
}

/// The one set of algorithms.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What a listener shows; it can be replaced while it listens.
#[derive(Debug)]
pub struct ServerCertificate(RwLock<Arc<CertifiedKey>>);

impl ServerCertificate {
    /// A chain, the server's own first, and its private key. [`TlsError::Rustls`] if they do not belong together.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(RwLock::new(certified(chain, key)?))))
    }

    /// Shown to whoever connects from now on.
    pub fn replace(&self, chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<(), TlsError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified(chain, key)?;
        Ok(())
    }

    /// TLS with this certificate, without certificates of clients. `protocols`: for ALPN, the preferred first; none: whatever
    /// the client offers is passed over.
    pub fn server_config(self: Arc<Self>, protocols: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, rustls::Error> {
    CertifiedKey::from_der(chain, key, &provider()).map(Arc::new)
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// A chain of certificates, as administrators have it.
pub fn chain_from_pem(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let what = "certificate";
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    chain.ok().filter(|chain| !chain.is_empty()).ok_or(TlsError::Pem { what })
}

/// A private key, as administrators have it: PKCS #8, PKCS #1 or SEC 1.
pub fn key_from_pem(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::Pem { what: "private key" })
}

/// Whom a client takes for a server.
#[derive(Debug, Clone, Default)]
pub enum Trust {
    /// Whoever one of the system's authorities vouches for.
    #[default]
    System,
    /// The same, and these authorities.
    SystemAnd(Authorities),
    /// These authorities alone.
    Only(Authorities),
}

/// Certificates of authorities.
#[derive(Debug, Clone)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads at least one, in PEM.
    pub fn from_pem(pem: &[u8]) -> Result<Self, TlsError> {
        if pem.len() > AUTHORITIES_BYTES_MAX {
            return Err(TlsError::TooLong);
        }
        let authorities = chain_from_pem(pem)?;
        roots(&authorities)?;
        Ok(Self(authorities))
    }
}

fn roots(authorities: &[CertificateDer<'static>]) -> Result<RootCertStore, rustls::Error> {
    let mut roots = RootCertStore::empty();
    authorities.iter().try_for_each(|authority| roots.add(authority.clone()))?;
    Ok(roots)
}

impl Trust {
    /// TLS for a client. [`TlsError::Rustls`] where the system's authorities are asked for and there are none.
    pub fn client_config(&self, protocols: &[&[u8]]) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13, &TLS12])?;
        let system = |extra: &[CertificateDer<'static>]| {
            Verifier::new_with_extra_roots(extra.iter().cloned(), provider()).map(Arc::new)
        };
        let mut config = match self {
            Self::Only(authorities) => builder.with_root_certificates(roots(&authorities.0)?).with_no_client_auth(),
            Self::System => builder.dangerous().with_custom_certificate_verifier(system(&[])?).with_no_client_auth(),
            Self::SystemAnd(Authorities(extra)) => {
                builder.dangerous().with_custom_certificate_verifier(system(extra)?).with_no_client_auth()
            }
        };
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }
}

/// What a server's certificate lacks, if an error comes from that, and what to do.
pub fn certificate_fault(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut error = Some(error);
    while let Some(seen) = error {
        if let Some(rustls::Error::InvalidCertificate(fault)) = seen.downcast_ref() {
            return Some(match fault {
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    "its certificate is not of an authority that is trusted here: get its /ca.pem, compare the fingerprint with \
                     the one in the server's log, and give the file with --ca or AUPS_CA (a NOS: --broker-ca)"
                }
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "its certificate is for other names than the one in this address: start the server with --tls-name NAME, \
                     or use a name that the certificate has"
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "its certificate has ended: see to the server's, and to the clock here"
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    "its certificate does not hold yet: see to the clock here and at the server"
                }
                _ => "its certificate is not one that can be trusted",
            });
        }
        error = match seen.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => seen.source(),
        };
    }
    None
}

#[cfg(test)]
pub(crate) mod tests;
