//! A bearer token in a file that somebody else renews, as the kubelet does for a pod.
//!
//! The client of `kube` reads the file once in fifty seconds. For that long it would keep sending a token that is no
//! longer accepted. Here the file is read for every request. There are few of these, because watches last for most of a
//! minute.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderValue;

use super::error::ClusterError;

/// The file, and the last usable token in it. Clones share both.
#[derive(Debug, Clone)]
pub(crate) struct TokenFile(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    last: Mutex<HeaderValue>,
}

impl TokenFile {
    pub(crate) fn open(path: &Path) -> Result<Self, ClusterError> {
        let last = read(path).map_err(|reason| ClusterError::Token {
            path: path.to_owned(),
            reason,
        })?;
        Ok(Self(Arc::new(Shared {
            path: path.to_owned(),
            last: Mutex::new(last),
        })))
    }

    /// The value of `Authorization`. If the file is gone or empty, it is being replaced, and the last token is used.
    pub(crate) fn authorization(&self) -> HeaderValue {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Ok(now) = read(&self.0.path) {
            *last = now;
        }
        last.clone()
    }
}

fn read(path: &Path) -> Result<HeaderValue, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let token = text.trim();
    if token.is_empty() {
        return Err("the file is empty".to_owned());
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_invalid| "it contains characters that are not allowed in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_usable_token_of_the_file_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let refused = |path: &Path| TokenFile::open(path).unwrap_err().to_string();
        assert!(refused(&path).contains("token` cannot be used: No such file"));
        std::fs::write(&path, " \n").unwrap();
        assert!(refused(&path).contains("the file is empty"));

        // Who writes it by hand ends it with a newline.
        std::fs::write(&path, "one\n").unwrap();
        let token = TokenFile::open(&path).unwrap();
        assert_eq!(token.authorization(), "Bearer one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(token.authorization(), "Bearer two");
        for broken in ["", "a\u{7}b"] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(token.authorization(), "Bearer two");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(token.authorization(), "Bearer two");
        assert!(!format!("{token:?}").contains("two"), "{token:?}");
    }
}
