//! The realm's certificate authority: TLS certificates for the KTM's listener and for the NOSs that it admits.
//!
//! Not to be mistaken for the certificates that readers verify NOSs by: those are signed with the realm key (`aups-nos`,
//! [`aups_envelope::Certificate`]). These are X.509 over P-256, so that every TLS stack takes them.

use crate::{
    custody::Keyring,
    error::KtmError,
    records::{RACES_MAX, Records, Wrapped, put},
};
use aups_core::{Clock, NosId, UnixMillis};
use aups_envelope::{Kek, Secret, SecretBytes, b64, random, sha256};
use aups_store::{Expect, Store};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _},
    server::ParsedCertificate,
};
use serde::{Deserialize, Serialize};
use std::{fmt, net::IpAddr, sync::Arc, time::Duration};
use time::OffsetDateTime;

/// How long the authority itself is good: it is not renewed in this version.
pub const CA_LIFE: Duration = Duration::from_hours(24 * 365 * 20);

/// How long the listener's certificate is good; it is replaced after half of that.
pub const SERVER_CERTIFICATE_LIFE: Duration = Duration::from_hours(24 * 30);

/// How long the certificate of a NOS is good: so long may a NOS be switched off and come back without being admitted anew.
pub const NOS_CERTIFICATE_LIFE: Duration = Duration::from_hours(24 * 7);

/// How old the certificate of a NOS is when the NOS asks for the next one.
pub const NOS_CERTIFICATE_RENEWED_AFTER: Duration = Duration::from_hours(24);

/// The one name in the listener's certificate. NOSs know the authority and look for this name, wherever they connect to: the
/// KTM may move.
pub const KTM_NAME: &str = "ktm.aups.internal";

/// How much earlier than it is made a certificate is good: clocks differ.
const BACKDATED: Duration = Duration::from_hours(1);

/// A P-256 point, uncompressed: 0x04 and two coordinates.
pub(crate) const PUBLIC_KEY_BYTES: usize = 65;

const KEY: &str = "ktm/ca";

/// The authority at rest. A data key stands between the KEK and the private key, which is longer than what records wrap.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaRecord {
    /// PEM.
    certificate: String,
    data_key: Wrapped,
    private_key: String,
}

/// The realm's certificate authority.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Ca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ca").field("certificate", &b64::encode(&sha256(&[&self.certificate]))).finish_non_exhaustive()
    }
}

/// What a listener shows, and the key that goes with it.
#[derive(Debug)]
pub struct ServerIdentity {
    /// Its certificate, and the authority's.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
    /// When the certificate ends.
    pub expires: UnixMillis,
}

/// Most names in the certificate of a listener.
pub const SERVER_NAMES_MAX: usize = 32;

/// Longest name of a server, in characters (RFC 1035 section 2.3.4).
const SERVER_NAME_CHARS_MAX: usize = 253;

/// A certificate of the authority.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) expires: UnixMillis,
}

impl Ca {
    /// The authority of this store; at the first start, a new one. To be opened after the KTM, which checks the KEK.
    ///
    /// [`KtmError::Altered`] if its private key is not under this KEK.
    pub async fn open(store: Arc<dyn Store>, keyring: &Keyring, clock: Arc<dyn Clock>) -> Result<Self, KtmError> {
        let records = Records::new(store);
        for _ in 0..RACES_MAX {
            if let Some((record, _)) = records.get::<CaRecord>(KEY).await? {
                return Self::read(&record, keyring, clock);
            }
            let (ca, record) = Self::make(keyring, Arc::clone(&clock))?;
            if records.commit(vec![put(KEY, &record, Expect::Absent)?]).await?.is_some() {
                tracing::info!(?ca, "made the realm's certificate authority");
                return Ok(ca);
            }
        }
        Err(KtmError::Contended { key: KEY.to_owned() })
    }

    /// Its certificate, for whoever is to trust it: PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// What an admission token names it by: SHA-256 of its public key (`SubjectPublicKeyInfo`).
    pub fn fingerprint(&self) -> Result<[u8; 32], KtmError> {
        public_key_hash(&self.certificate).ok_or_else(|| KtmError::Altered { key: KEY.to_owned() })
    }

    pub(crate) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// A certificate for the listener, and the key that goes with it.
    pub(crate) fn issue_server(&self) -> Result<(Issued, PrivateKeyDer<'static>), KtmError> {
        let key = new_key()?;
        let mut params = CertificateParams::new([KTM_NAME.to_owned()]).map_err(failed)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let issued = self.issue(params, KTM_NAME, SERVER_CERTIFICATE_LIFE, &key)?;
        Ok((issued, PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }

    /// A certificate for a listener that readers, sources and administrators reach under these names, DNS names and IP
    /// addresses, and a new key for it. [`KtmError::ServerName`] for a name that it is not given.
    pub fn issue_listener(&self, names: &[String]) -> Result<ServerIdentity, KtmError> {
        let key = new_key()?;
        let (params, first) = named(names)?;
        let Issued { certificate, expires } = self.issue(params, first, SERVER_CERTIFICATE_LIFE, &key)?;
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Ok(ServerIdentity { chain: vec![certificate, self.certificate.clone()], key, expires })
    }

    /// The same for a key that is held elsewhere.
    pub(crate) fn issue_listener_of(&self, names: &[String], public_key: &NosPublicKey) -> Result<Issued, KtmError> {
        let (params, first) = named(names)?;
        self.issue(params, first, SERVER_CERTIFICATE_LIFE, public_key)
    }

    /// A certificate for a NOS that holds the private key of this public one.
    pub(crate) fn issue_nos(&self, nos: &NosId, public_key: &NosPublicKey) -> Result<Issued, KtmError> {
        let mut params = CertificateParams::default();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, nos.as_str(), NOS_CERTIFICATE_LIFE, public_key)
    }

    fn issue(
        &self,
        mut params: CertificateParams,
        name: &str,
        life: Duration,
        key: &impl PublicKeyData,
    ) -> Result<Issued, KtmError> {
        let now = self.clock.now();
        let expires = now.plus(life);
        (params.not_before, params.not_after) = validity(now, life)?;
        params.distinguished_name = common_name(name);
        // Positive, and random as CAs do it.
        let mut serial = random::<16>();
        serial[0] = serial[0] & 0x7f | 0x40;
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(key, &self.issuer).map_err(failed)?.der().clone();
        Ok(Issued { certificate, expires })
    }

    fn make(keyring: &Keyring, clock: Arc<dyn Clock>) -> Result<(Self, CaRecord), KtmError> {
        let (key, data_key) = (new_key()?, Secret::random());
        let mut params = params();
        (params.not_before, params.not_after) = validity(clock.now(), CA_LIFE)?;
        let signed = params.self_signed(&key).map_err(failed)?;
        let (certificate, pem) = (signed.der().clone(), signed.pem());
        let private_key = SecretBytes::from_vec(key.serialize_der());
        let record = CaRecord {
            certificate: pem.clone(),
            data_key: Wrapped::wrap(keyring, KEY, &[&certificate], &data_key),
            private_key: b64::encode(&Kek::new(0, data_key).wrap(KEY.as_bytes(), private_key.expose())),
        };
        Ok((Self { issuer: Issuer::new(params, key), certificate, pem, clock }, record))
    }

    fn read(record: &CaRecord, keyring: &Keyring, clock: Arc<dyn Clock>) -> Result<Self, KtmError> {
        let altered = || KtmError::Altered { key: KEY.to_owned() };
        let pem = record.certificate.clone();
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| altered())?;
        let data_key = Kek::new(0, record.data_key.unwrap(keyring, KEY, &[&certificate])?);
        let wrapped = b64::decode(&record.private_key).map_err(|_| altered())?;
        let private_key = data_key.unwrap(KEY.as_bytes(), &wrapped).map_err(|_| altered())?;
        let private_key = PrivatePkcs8KeyDer::from(private_key.expose());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&private_key, &PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        Ok(Self { issuer: Issuer::new(params(), key), certificate, pem, clock })
    }
}

/// What is said of a listener with these names, and the first of them.
fn named(names: &[String]) -> Result<(CertificateParams, &str), KtmError> {
    let wrong = names.iter().find(|name| !is_server_name(name));
    let (None, Some(first), ..=SERVER_NAMES_MAX) = (wrong, names.first(), names.len()) else {
        return Err(KtmError::ServerName(wrong.cloned().unwrap_or_else(|| format!("{} names", names.len()))));
    };
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok((params, first))
}

/// A DNS name or an IP address, and not one by which NOSs know the KTM: whoever had that could pose as it.
fn is_server_name(name: &str) -> bool {
    let is_label =
        |label: &str| !label.is_empty() && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let of_the_ktm = KTM_NAME.split_once('.').map_or(KTM_NAME, |(_, domain)| domain);
    let name = name.to_ascii_lowercase();
    let is_dns = name.len() <= SERVER_NAME_CHARS_MAX
        && name.split('.').all(is_label)
        && name != of_the_ktm
        && !name.ends_with(&format!(".{of_the_ktm}"));
    is_dns || name.parse::<IpAddr>().is_ok()
}

/// What the authority says of itself; the same at every start, for certificates name their issuer.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name("AUPS realm");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn validity(now: UnixMillis, life: Duration) -> Result<(OffsetDateTime, OffsetDateTime), KtmError> {
    let seconds = |at: UnixMillis| {
        let seconds = i64::try_from(at.0 / 1_000).map_err(|_| KtmError::Clock)?;
        OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| KtmError::Clock)
    };
    let backdated = UnixMillis(now.0.saturating_sub(crate::root::millis(BACKDATED)));
    Ok((seconds(backdated)?, seconds(now.plus(life))?))
}

/// A new P-256 key pair.
pub(crate) fn new_key() -> Result<KeyPair, KtmError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)
}

fn failed(error: rcgen::Error) -> KtmError {
    KtmError::Certificate(error.into())
}

/// The public key of a NOS as it comes over the link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NosPublicKey([u8; PUBLIC_KEY_BYTES]);

impl NosPublicKey {
    /// `None`: not an uncompressed point. Whether it lies on the curve shows when its holder signs.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: [u8; PUBLIC_KEY_BYTES] = bytes.try_into().ok()?;
        let [first, ..] = bytes;
        (first == 4).then_some(Self(bytes))
    }
}

impl PublicKeyData for NosPublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// SHA-256 of a certificate's public key (`SubjectPublicKeyInfo`). `None`: it is no certificate.
pub(crate) fn public_key_hash(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    Some(sha256(&[&parsed.subject_public_key_info()]))
}

/// The one set of algorithms that links use.
pub(crate) fn tls_provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
