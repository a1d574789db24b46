//! Who a NOS is towards the KTM: its certificate and key, in a file of its own, and the one authority that it trusts.

use super::{LinkError, listener::TlsTime};
use crate::{
    KtmError,
    ca::{KTM_NAME, new_key, public_key_hash, tls_provider},
};
use aups_core::{Clock, NosId, UnixMillis};
use aups_envelope::{SecretBytes, VerifyingKey, b64, constant_time_eq, random};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime},
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

/// The file, in a directory of the NOS's own.
const FILE: &str = "link.json";

/// Owner may read and write; nobody else anything.
const MODE: u32 = 0o600;

/// A NOS that was admitted.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) nos: NosId,
    pub(crate) realm_key: VerifyingKey,
    pub(crate) issued: UnixMillis,
    pub(crate) expires: UnixMillis,
    authority: CertificateDer<'static>,
    certificate: CertificateDer<'static>,
    /// PKCS #8.
    private_key: SecretBytes,
}

/// The same in the file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    version: u32,
    nos: NosId,
    realm_key: VerifyingKey,
    authority: String,
    certificate: String,
    issued: UnixMillis,
    expires: UnixMillis,
    private_key: super::wire::SecretBase64,
}

/// A key for which a certificate is asked.
#[derive(Debug)]
pub(crate) struct Asking {
    pub(super) private_key: SecretBytes,
    pub(crate) public_key: Vec<u8>,
}

impl Asking {
    pub(crate) fn new() -> Result<Self, KtmError> {
        let key = new_key()?;
        Ok(Self { private_key: SecretBytes::from_vec(key.serialize_der()), public_key: key.public_key_raw().to_vec() })
    }
}

/// What the KTM says in return.
#[derive(Debug)]
pub(crate) struct Given {
    pub(crate) certificate: Vec<u8>,
    pub(crate) issued: UnixMillis,
    pub(crate) expires: UnixMillis,
}

impl Identity {
    /// Who it is once it was admitted.
    pub(crate) fn admitted(
        nos: NosId,
        realm_key: VerifyingKey,
        authority: CertificateDer<'static>,
        asking: Asking,
        given: Given,
    ) -> Self {
        let Given { certificate, issued, expires } = given;
        let private_key = asking.private_key;
        Self { nos, realm_key, authority, certificate: certificate.into(), issued, expires, private_key }
    }

    /// The same with another certificate.
    pub(crate) fn renewed(&self, asking: Asking, given: Given) -> Self {
        Self::admitted(self.nos.clone(), self.realm_key, self.authority.clone(), asking, given)
    }

    /// Who it was admitted as, if it was.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, LinkError> {
        let path = dir.join(FILE);
        let failed = |source| LinkError::Identity { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(LinkError::Loose { path, mode });
        }
        let text = SecretBytes::from_vec(fs::read(&path).map_err(failed)?);
        let stored: Stored = serde_json::from_slice(text.expose()).map_err(|error| failed(error.into()))?;
        let bytes = |text: &str| b64::decode(text).map_err(|error| failed(io::Error::other(error)));
        Ok(Some(Self {
            authority: bytes(&stored.authority)?.into(),
            certificate: bytes(&stored.certificate)?.into(),
            private_key: stored.private_key.0,
            nos: stored.nos,
            realm_key: stored.realm_key,
            issued: stored.issued,
            expires: stored.expires,
        }))
    }

    /// Writes the file, whole or not at all.
    pub(crate) fn write(&self, dir: &Path) -> Result<(), LinkError> {
        let path = dir.join(FILE);
        let failed = |source| LinkError::Identity { path: path.clone(), source };
        let stored = Stored {
            version: 1,
            nos: self.nos.clone(),
            realm_key: self.realm_key,
            authority: b64::encode(&self.authority),
            certificate: b64::encode(&self.certificate),
            issued: self.issued,
            expires: self.expires,
            private_key: super::wire::SecretBase64(SecretBytes::from_vec(self.private_key.expose().to_vec())),
        };
        let json = super::wire::to_bytes(&stored).map_err(|error| failed(error.into()))?;
        replace(dir, &path, &json).map_err(failed)
    }

    pub(crate) const fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// TLS with this certificate, trusting the realm's authority alone.
    pub(crate) fn tls(&self, clock: &Arc<dyn Clock>) -> Result<ClientConfig, KtmError> {
        let verifier = OfAuthority::new(self.authority.clone())?;
        let key = PrivatePkcs8KeyDer::from(self.private_key.expose().to_vec());
        let mut config = builder(clock)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(vec![self.certificate.clone()], key.into())
            .map_err(|error| KtmError::Certificate(error.into()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

pub(super) fn replace(dir: &Path, path: &Path, json: &[u8]) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let aside: PathBuf = dir.join(format!(".link-{}", b64::encode(&random::<9>())));
    let written = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&aside).and_then(|mut file| {
        file.write_all(json)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&aside, path)).inspect_err(|_| drop(fs::remove_file(&aside)))?;
    File::open(dir)?.sync_all()
}

fn builder(clock: &Arc<dyn Clock>) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, KtmError> {
    ClientConfig::builder_with_details(tls_provider(), Arc::new(TlsTime(Arc::clone(clock))))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| KtmError::Certificate(error.into()))
}

/// TLS for being admitted: without a certificate, to whoever shows the authority of the token.
pub(crate) fn stranger(authority: [u8; 32], clock: &Arc<dyn Clock>) -> Result<(ClientConfig, Arc<OfToken>), KtmError> {
    let verifier = Arc::new(OfToken { authority, found: OnceLock::new() });
    let mut config =
        builder(clock)?.dangerous().with_custom_certificate_verifier(Arc::clone(&verifier) as _).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((config, verifier))
}

/// Trusts a KTM whose certificate is of one authority. Its name is always the same, wherever it is.
#[derive(Debug)]
struct OfAuthority(Arc<WebPkiServerVerifier>);

impl OfAuthority {
    fn new(authority: CertificateDer<'static>) -> Result<Self, KtmError> {
        let mut roots = RootCertStore::empty();
        roots.add(authority).map_err(|error| KtmError::Certificate(error.into()))?;
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), tls_provider()).build();
        Ok(Self(verifier.map_err(|error| KtmError::Certificate(error.into()))?))
    }
}

impl ServerCertVerifier for OfAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _asked: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let name = ServerName::try_from(KTM_NAME).map_err(|_| TlsError::General("the KTM's name".to_owned()))?;
        self.0.verify_server_cert(end_entity, intermediates, &name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Trusts whoever shows the authority that an admission token names, and a certificate of it.
#[derive(Debug)]
pub(crate) struct OfToken {
    /// SHA-256 of its public key.
    authority: [u8; 32],
    /// What it showed.
    found: OnceLock<(CertificateDer<'static>, OfAuthority)>,
}

impl OfToken {
    /// The authority, once a handshake went well.
    pub(crate) fn authority(&self) -> Option<CertificateDer<'static>> {
        self.found.get().map(|(authority, _)| authority.clone())
    }

    fn found(&self) -> Result<&OfAuthority, TlsError> {
        self.found.get().map(|(_, verifier)| verifier).ok_or(CertificateError::UnknownIssuer.into())
    }
}

impl ServerCertVerifier for OfToken {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let named = |shown: &&CertificateDer<'_>| {
            public_key_hash(shown).is_some_and(|hash| constant_time_eq(&hash, &self.authority))
        };
        let shown = intermediates.iter().find(named).ok_or(CertificateError::UnknownIssuer)?;
        let authority = shown.clone().into_owned();
        let verifier = OfAuthority::new(authority.clone()).map_err(|error| TlsError::General(error.to_string()))?;
        let verified = verifier.verify_server_cert(end_entity, &[], asked, ocsp_response, now)?;
        drop(self.found.set((authority, verifier)));
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.found()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.found()?.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// The identity in use; a renewal replaces it.
#[derive(Debug)]
pub(crate) struct Held(RwLock<Arc<Identity>>);

impl Held {
    pub(crate) fn new(identity: Identity) -> Self {
        Self(RwLock::new(Arc::new(identity)))
    }

    pub(crate) fn get(&self) -> Arc<Identity> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn replace(&self, identity: Identity) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(identity);
    }
}
