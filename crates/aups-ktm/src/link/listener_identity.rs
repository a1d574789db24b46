//! What the listeners of a NOS show: a certificate that the KTM gave it, in a file of its own, and the realm's word on the authority.

use super::{
    identity::{Asking, replace},
    wire::{self, SecretBase64},
};
use crate::{KtmError, ca::ServerIdentity};
use aups_core::{RealmId, UnixMillis};
use aups_envelope::{SecretBytes, authority, b64};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use std::{fs, path::Path, sync::Arc};

/// The file, beside the NOS's certificate towards the KTM.
const FILE: &str = "listener.json";

/// What a NOS shows to readers, sources and administrators.
#[derive(Debug, Clone)]
pub struct ListenerIdentity {
    stored: Arc<Stored>,
    authorities: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    version: u32,
    names: Vec<String>,
    chain: Vec<String>,
    expires: UnixMillis,
    private_key: SecretBase64,
    authority: String,
}

impl ListenerIdentity {
    pub(crate) fn given(
        names: &[String],
        asking: Asking,
        given: wire::ListenerCertificate,
        issuer: &CertificateDer<'static>,
        realm: RealmId,
    ) -> Result<Self, KtmError> {
        let wire::ListenerCertificate { certificate, expires, authority } = given;
        let foreign = |error: authority::AuthorityError| KtmError::Certificate(error.into());
        let authorities = authority::verify(authority.as_bytes(), realm).map_err(foreign)?;
        let chain = vec![b64::encode(&certificate.0), b64::encode(issuer)];
        let private_key = SecretBase64(asking.private_key);
        let stored = Stored { version: 1, names: names.to_vec(), chain, expires, private_key, authority };
        Ok(Self { stored: Arc::new(stored), authorities })
    }

    /// What there is for these names. A file that cannot be read is made anew.
    pub(crate) fn read(dir: &Path, names: &[String], realm: RealmId) -> Option<Self> {
        let text = SecretBytes::from_vec(fs::read(dir.join(FILE)).ok()?);
        let stored: Stored = serde_json::from_slice(text.expose()).ok()?;
        let authorities = authority::verify(stored.authority.as_bytes(), realm).ok()?;
        (stored.version == 1 && stored.names == names).then(|| Self { stored: Arc::new(stored), authorities })
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<(), KtmError> {
        let failed = |error: std::io::Error| KtmError::Certificate(error.into());
        let json = wire::to_bytes(&*self.stored).map_err(|error| failed(error.into()))?;
        replace(dir, &dir.join(FILE), &json).map_err(failed)
    }

    /// When its certificate ends.
    pub fn expires(&self) -> UnixMillis {
        self.stored.expires
    }

    /// The realm's authority, in PEM, and the realm's word on it (`aups-ca`).
    pub fn authority(&self) -> (&str, &str) {
        (&self.authorities, &self.stored.authority)
    }

    /// Certificate and key.
    pub fn server(&self) -> Result<ServerIdentity, KtmError> {
        let certificate = |text: &String| b64::decode(text).map(CertificateDer::from);
        let chain: Result<Vec<_>, _> = self.stored.chain.iter().map(certificate).collect();
        let chain = chain.map_err(|error| KtmError::Certificate(error.into()))?;
        let key = PrivatePkcs8KeyDer::from(self.stored.private_key.0.expose().to_vec()).into();
        Ok(ServerIdentity { chain, key, expires: self.stored.expires })
    }
}
