//! What a request is for, in normal form.

use route::{HostBuf, PathScratch, RequestHost, RequestPath, normalise_authority, normalise_path};

/// Host and path of a request in their normal form, kept when its head leaves the buffer.
#[derive(Debug, Default)]
pub(crate) struct Place {
    text: Vec<u8>,
    /// The length of the host in it; `None` if there was no host.
    host: Option<usize>,
}

impl Place {
    pub(crate) fn set(&mut self, host: Option<&RequestHost<'_>>, path: &RequestPath<'_>) {
        self.text.clear();
        self.host = host.map(|host| {
            self.text.extend_from_slice(host.as_str().as_bytes());
            self.text.len()
        });
        self.text.extend_from_slice(path.as_bytes());
    }

    /// Frees the memory of a long path.
    pub(crate) fn shrink(&mut self) {
        self.text.shrink_to(1024);
    }

    /// The host; `None` if there was none.
    pub(crate) fn host(&self) -> Option<&str> {
        let host = self.text.get(..self.host?)?;
        std::str::from_utf8(host).ok()
    }

    /// The path.
    pub(crate) fn path(&self) -> &[u8] {
        self.text.get(self.host.unwrap_or_default()..).unwrap_or_default()
    }

    /// `None` if the text is not in normal form, which cannot happen.
    pub(crate) fn look_up<T>(
        &self,
        look: impl FnOnce(Option<&RequestHost<'_>>, &RequestPath<'_>) -> T,
    ) -> Option<T> {
        let (mut buffer, mut scratch) = (HostBuf::new(), PathScratch::default());
        let (host, path) = self.text.split_at_checked(self.host.unwrap_or_default())?;
        let host = match self.host {
            Some(_) => Some(normalise_authority(host, &mut buffer).ok()?),
            None => None,
        };
        let path = normalise_path(path, &mut scratch).ok()?;
        Some(look(host.as_ref(), &path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_place_is_looked_up_as_requested() {
        let mut place = Place::default();
        for (host, path, normal) in [
            (Some("A.Test:80"), "/%61/b%2fc", (Some("a.test"), "/a/b%2Fc")),
            (Some("[2001:DB8::1]"), "/", (Some("[2001:db8::1]"), "/")),
            (None, "/x;y", (None, "/x;y")),
        ] {
            let (mut buffer, mut scratch) = (HostBuf::new(), PathScratch::default());
            let host = host.map(|host| normalise_authority(host.as_bytes(), &mut buffer).unwrap());
            let path = normalise_path(path.as_bytes(), &mut scratch).unwrap();
            place.set(host.as_ref(), &path);
            let found = place.look_up(|host, path| {
                (
                    host.map(|host| host.as_str().to_owned()),
                    String::from_utf8(path.as_bytes().to_vec()).unwrap(),
                )
            });
            assert_eq!(
                found,
                Some((normal.0.map(str::to_owned), normal.1.to_owned())),
                "{normal:?}"
            );
        }
    }
}
