//! Where a gateway is.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;

/// A gateway: `http://HOST[:PORT]` or `https://HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(super) is_https: bool,
    /// A name or an address, without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// As it is written.
    pub(super) authority: String,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no gateway; allowed: http:// or https://, a host, and a port; no path");
        let uri: Uri = text.parse().map_err(|_invalid| wrong())?;
        let is_https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) | None => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let is_bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        if !is_bare || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            is_https,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(out, "{scheme}://{}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_target_is_a_scheme_and_an_authority() {
        let target: Target = "https://[::1]".parse().unwrap();
        assert_eq!((target.is_https, &*target.host, target.port), (true, "::1", 443));
        let target: Target = "http://a.test:8080/".parse().unwrap();
        assert_eq!(
            (target.is_https, &*target.host, target.port),
            (false, "a.test", 8080)
        );
        for wrong in [
            "a.test",
            "ftp://a",
            "http://a/x",
            "http://a/?x",
            "http://u:p@a",
            "http://",
            "",
        ] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }
}
