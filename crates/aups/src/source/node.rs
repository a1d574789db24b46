//! What a source was told when it registered, and the sessions in which it seals.

use crate::cli::{failure::Failure, private_file::PrivateFile};
use aups_client::SystemClock;
use aups_core::{Clock as _, KeyId, NodeId, Session, Suite};
use aups_envelope::{Secret, SourceSealer, b64, random};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The answer to a registration.
#[derive(Deserialize)]
struct Registered {
    #[serde(rename = "NodeId")]
    node_id: NodeId,
    #[serde(rename = "credentialId")]
    credential_id: KeyId,
    credential: String,
    suite: Option<Suite>,
    key: Option<String>,
}

/// How a source proves who it is.
pub(crate) enum Proof {
    /// It shows its credential.
    Credential(String),
    /// It seals what it sends.
    Seal(Box<Sealing>),
}

/// What a source seals with.
pub(crate) struct Sealing {
    node: NodeId,
    suite: Suite,
    key: Secret<32>,
    credential_id: KeyId,
    sessions: SessionFile,
}

impl Proof {
    /// Reads the file with the answer to a registration. One that seals keeps its sessions in a file beside it.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let name = file.display();
        let text = fs::read_to_string(file).map_err(|error| Failure::failed(format!("cannot read {name}: {error}")))?;
        let refused = |why: String| {
            Failure::input_refused(format!("{name}: {why}")).help(
                "this is the JSON body that POST /registration answered with 201: aups send --help shows how to get it",
            )
        };
        let registered: Registered = serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
        let Registered { node_id: node, credential_id, credential, suite, key } = registered;
        let (suite, key) = match (suite, key) {
            (Some(suite), Some(key)) => (suite, key),
            (None, None) => return Ok(Self::Credential(credential)),
            _ => return Err(refused("`suite` and `key` belong together".into())),
        };
        let key = b64::decode_array(&key).map_err(|error| refused(format!("`key`: {error}")))?;
        let sessions = SessionFile::beside(file);
        Ok(Self::Seal(Box::new(Sealing { node, suite, key: Secret::from_bytes(key), credential_id, sessions })))
    }
}

impl Sealing {
    /// Begins a session above all before.
    pub(crate) fn begin(&self) -> Result<SourceSealer, Failure> {
        let session = self.sessions.next()?;
        Ok(SourceSealer::new(&self.node, self.suite, &self.key, self.credential_id, session))
    }
}

/// How often a source began to seal.
struct SessionFile(PathBuf);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    boot: u32,
}

impl SessionFile {
    fn beside(file: &Path) -> Self {
        let mut path = file.as_os_str().to_owned();
        path.push(".session");
        Self(path.into())
    }

    /// A session that is above all that came from here: the boot counter, or the seconds since 1970 where that is more, so that a file
    /// that was lost does no harm; then 32 random bits. On disk before it is used.
    fn next(&self) -> Result<Session, Failure> {
        let name = self.0.display();
        let before = match fs::read(&self.0) {
            Ok(text) => serde_json::from_slice::<Kept>(&text).map(|kept| kept.boot).map_err(|error| {
                Failure::input_refused(format!("{name}: {error}"))
                    .help("remove it, if the clock of this machine is right")
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(Failure::failed(format!("cannot read {name}: {error}"))),
        };
        let seconds = u32::try_from(SystemClock.now().0 / 1_000).unwrap_or(u32::MAX);
        let boot = before.checked_add(1).ok_or_else(|| {
            Failure::failed(format!("{name}: the boot counter is used up"))
                .help("rotate the source: aups source rotate")
        })?;
        let boot = boot.max(seconds);
        let kept = serde_json::to_vec(&Kept { boot }).map_err(anyhow::Error::from)?;
        PrivateFile::create(self.0.clone())?.keep(&kept)?;
        Ok(Session::new(boot, u32::from_be_bytes(random())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn sessions_rise_over_starts_and_are_kept_before_they_are_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s1.json");
        let sessions = || SessionFile::beside(&file);
        let first = sessions().next().ok().unwrap();
        let second = sessions().next().ok().unwrap();
        assert!(second.incarnation() > first.incarnation());
        let kept = dir.path().join("s1.json.session");
        assert_eq!(fs::read_to_string(&kept).unwrap(), format!("{{\"boot\":{}}}", second.incarnation()));
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&kept, format!("{{\"boot\":{}}}", u32::MAX - 1)).unwrap();
        assert_eq!(sessions().next().ok().unwrap().incarnation(), u32::MAX, "a clock that went back does no harm");
        assert!(sessions().next().is_err());
        fs::remove_file(&kept).unwrap();
        // In the same second it is the same incarnation: then chance decides which session is above.
        assert!(sessions().next().ok().unwrap().incarnation() >= first.incarnation(), "a file that was lost neither");
        fs::write(&kept, "x").unwrap();
        assert!(sessions().next().is_err());
    }

    #[test]
    fn a_file_that_is_no_answer_to_a_registration_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s1.json");
        let read = |text: String| {
            fs::write(&file, text).unwrap();
            Proof::read(&file)
        };
        let (id, key) = (b64::encode(&[1; 24]), b64::encode(&[2; 32]));
        let of = |more: &str| format!(r#"{{"NodeId":"s1","credentialId":"{id}","credential":"c"{more}}}"#);
        assert!(matches!(read(of("")), Ok(Proof::Credential(credential)) if credential == "c"));
        assert!(matches!(read(of(&format!(r#","suite":3,"key":"{key}""#))), Ok(Proof::Seal(_))));
        for bad in [
            String::new(),
            "{}".into(),
            of(r#","suite":3"#),
            of(r#","suite":4,"key":"x""#),
            of(r#","suite":3,"key":"x""#),
        ] {
            assert!(matches!(read(bad), Err(Failure::Told { .. })));
        }
    }
}
