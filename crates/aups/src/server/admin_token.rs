//! The administrator's token: 256 random bits in a file that only the owner reads.

use anyhow::{Context as _, bail};
use aups_core::TokenName;
use aups_envelope::{b64, constant_time_eq, random, sha256};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// Who makes an administrator's request: the name of the token that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Actor(TokenName);

impl Actor {
    /// The name of the token.
    pub(crate) fn name(&self) -> &str {
        self.0.as_str()
    }
}

/// The name of the token that the first start makes.
const FIRST: &str = "admin";

/// What is remembered of the token: its hash.
#[derive(Debug)]
pub(crate) struct AdminToken {
    name: TokenName,
    sha256: [u8; 32],
}

impl AdminToken {
    /// Reads the token, or makes one at the first start.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if !path.exists() {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
            writeln!(file, "{}", b64::encode(&random::<32>()))?;
            file.sync_all()?;
        }
        let mode = fs::metadata(path)?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!("{} may be read by others; make it private: chmod 600 {}", path.display(), path.display());
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let token = text.trim();
        if token.len() < 32 {
            bail!("{} holds no token; delete it and start again to get a new one", path.display());
        }
        Ok(Self { name: FIRST.parse()?, sha256: sha256(&[token.as_bytes()]) })
    }

    /// Whose token this is, if it is one; takes the same time whatever differs.
    pub(crate) fn holder(&self, presented: &str) -> Option<Actor> {
        constant_time_eq(&self.sha256, &sha256(&[presented.as_bytes()])).then(|| Actor(self.name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.token");
        let first = AdminToken::open(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(first.holder(text.trim()).unwrap().name(), "admin");
        assert_eq!((first.holder(""), first.holder("x")), (None, None));
        assert!(AdminToken::open(&path).unwrap().holder(text.trim()).is_some());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(AdminToken::open(&path).unwrap_err().to_string().contains("chmod 600"));
    }
}
