//! The administrator's token: 256 random bits in a file that only the owner reads.

use anyhow::{Context as _, bail};
use aups_envelope::{b64, constant_time_eq, random, sha256};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

/// What is remembered of the token: its hash.
#[derive(Debug)]
pub(crate) struct AdminToken {
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
        Ok(Self { sha256: sha256(&[token.as_bytes()]) })
    }

    /// Whether this is the token; takes the same time whatever differs.
    pub(crate) fn matches(&self, presented: &str) -> bool {
        constant_time_eq(&self.sha256, &sha256(&[presented.as_bytes()]))
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
        assert!(first.matches(text.trim()) && !first.matches("") && !first.matches("x"));
        assert!(AdminToken::open(&path).unwrap().matches(text.trim()));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(AdminToken::open(&path).unwrap_err().to_string().contains("chmod 600"));
    }
}
