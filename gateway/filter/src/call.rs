//! URLs that the gateway itself calls.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::bounds::TooMuch;
use crate::redirect::HttpScheme;
use crate::template::{Part, Template, Values};
use crate::url;

/// Where a call goes. Scheme, host and port are fixed; the path and the query may have variables of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallUrl {
    scheme: HttpScheme,
    host: CallHost,
    port: u16,
    /// Path and query.
    target: Template,
}

/// What a platform lets filters call, as `call` of a door lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallRule {
    /// A Service, by namespace and name.
    Service(Box<str>, Box<str>),
    /// A name in DNS.
    Name(Box<str>),
    /// The addresses of a network.
    Network(IpNet),
}

/// The host of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CallHost {
    /// The name of a Service, or one in DNS; in lower case.
    Name(Box<str>),
    /// An address.
    Address(IpAddr),
}

impl CallUrl {
    /// Parses an http(s) URL.
    ///
    /// # Errors
    /// When it is none, or its scheme or host has a variable: a client would choose what the gateway calls.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = url::shown(text);
        let (scheme, rest) = url::split_scheme(text.as_bytes())
            .and_then(|(scheme, rest)| Some((scheme, std::str::from_utf8(rest).ok()?)))
            .ok_or_else(|| {
                if text.starts_with('$') {
                    format!("{shown} has a variable in its scheme: requests must not decide what is called")
                } else {
                    format!("{shown} does not begin with `http://` or `https://`")
                }
            })?;
        let scheme = match scheme {
            [_, _, _, _] => HttpScheme::Http,
            _ => HttpScheme::Https,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at_checked(end).unwrap_or_default();
        if authority.contains('@') {
            return Err(
                "it has a user or a password in front of its host, which are never sent; remove them"
                    .to_owned(),
            );
        }
        if authority.contains('$') {
            return Err(format!(
                "{shown} has a variable in its host: requests must not decide what is called"
            ));
        }
        if target.contains('#') {
            return Err(format!("{shown} has a fragment, which is never sent; remove it"));
        }
        let (host, port) = split_port(authority).ok_or_else(|| match text.contains('@') {
            true => "what is in front of its first `/` is not a host with an optional port".to_owned(),
            false => format!(
                "`{}` in {shown} is not a host with an optional port",
                authority.escape_debug()
            ),
        })?;
        let target = match target.starts_with('/') {
            true => Template::parse(target)?,
            false => Template::parse(&format!("/{target}"))?,
        };
        for part in target.parts() {
            if let Part::Text(part) = part {
                url::check_text(text, part)?;
            }
        }
        Ok(Self {
            scheme,
            port: port.unwrap_or(scheme.port()),
            host,
            target,
        })
    }

    /// The scheme.
    #[must_use]
    pub fn scheme(&self) -> HttpScheme {
        self.scheme
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> &CallHost {
        &self.host
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port, as the `Host` of a request has them.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.host.to_string();
        match self.port == self.scheme.port() {
            true => host,
            false => format!("{host}:{}", self.port),
        }
    }

    /// Path and query.
    #[must_use]
    pub fn target(&self) -> &Template {
        &self.target
    }

    /// Path and query for one request, with only the characters that a URL may have.
    ///
    /// # Errors
    /// When they become too long.
    pub fn target_for(&self, values: &dyn Values) -> Result<Vec<u8>, TooMuch> {
        let mut raw = Vec::new();
        self.target.expand(values, &mut raw)?;
        let mut target = Vec::with_capacity(raw.len());
        url::push_escaped(&mut target, &raw);
        Ok(target)
    }

    /// Its scheme, host and port, for messages.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme.as_str(), self.authority())
    }
}

impl FromStr for CallRule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(IpNet::from(address)));
        }
        let rule = match text.split_once('/') {
            Some((namespace, service)) => {
                let is_label = |text: &str| !text.contains('.') && name(text).as_deref() == Some(text);
                (is_label(namespace) && is_label(service))
                    .then(|| Self::Service(namespace.into(), service.into()))
            }
            None => name(text).map(Self::Name),
        };
        rule.ok_or_else(|| {
            format!(
                "`{text}` is nothing that can be called; allowed: a Service as `namespace/name`, a name in DNS, a network such \
                 as `10.20.0.0/16`"
            )
        })
    }
}

impl CallRule {
    /// Whether it lets this Service be called.
    #[must_use]
    pub fn admits_service(&self, namespace: &str, name: &str) -> bool {
        matches!(self, Self::Service(of, service) if **of == *namespace && **service == *name)
    }

    /// Whether it lets this name in DNS be called.
    #[must_use]
    pub fn admits_name(&self, name: &str) -> bool {
        matches!(self, Self::Name(admitted) if **admitted == *name)
    }

    /// Whether it lets this address be called, where it is written itself.
    #[must_use]
    pub fn admits_address(&self, address: IpAddr) -> bool {
        matches!(self, Self::Network(network) if network.contains(&address.to_canonical()) || network.contains(&address))
    }
}

impl std::fmt::Display for CallHost {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(out, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(out, "[{address}]"),
        }
    }
}

/// Host and port of an authority.
fn split_port(authority: &str) -> Option<(CallHost, Option<u16>)> {
    let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
        let (address, rest) = rest.split_once(']')?;
        let host = CallHost::Address(IpAddr::V6(address.parse().ok()?));
        let port = match rest {
            "" => None,
            rest => Some(rest.strip_prefix(':')?),
        };
        (host, port)
    } else {
        let (host, port) = match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let host = match host.parse::<IpAddr>() {
            Ok(address) => CallHost::Address(address),
            Err(_) => CallHost::Name(name(host)?),
        };
        (host, port)
    };
    let port = match port {
        Some(port) => Some(url::port(port)?),
        None => None,
    };
    Some((host, port))
}

/// A name in DNS, in lower case and without a final dot.
fn name(text: &str) -> Option<Box<str>> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
            && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
    };
    // What ends in a number is read as an address by some programs.
    let ends_in_number = text
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    let fits = text.len() <= 253 && text.split('.').all(is_label) && !ends_in_number;
    fits.then(|| text.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Variable;

    struct Named;

    impl Values for Named {
        fn write(&self, variable: &Variable, out: &mut Vec<u8>) {
            out.extend_from_slice(format!("<{variable:?}>").as_bytes());
        }
    }

    #[test]
    fn a_url_has_a_fixed_place_and_a_target() {
        let table = [
            ("http://auth", "http://auth", "/"),
            ("http://auth/", "http://auth", "/"),
            ("https://Auth.Shop.svc.", "https://auth.shop.svc", "/"),
            (
                "http://auth.shop:8080/verify?a=b",
                "http://auth.shop:8080",
                "/verify?a=b",
            ),
            ("https://a.example:443/x", "https://a.example", "/x"),
            ("http://a.example:443", "http://a.example:443", "/"),
            ("http://10.0.0.1:81?x", "http://10.0.0.1:81", "/?x"),
            ("https://[FD00::1]:8443/x", "https://[fd00::1]:8443", "/x"),
            (
                "http://a/x?h=$host&u=${uri}z",
                "http://a",
                "/x?h=%3CHost%3E&u=%3CUri%3Ez",
            ),
            ("HTTP://a/$request_uri", "http://a", "/%3CRequestUri%3E"),
        ];
        for (text, origin, target) in table {
            let url = CallUrl::parse(text).unwrap();
            assert_eq!(url.origin(), origin, "{text}");
            assert_eq!(
                String::from_utf8(url.target_for(&Named).unwrap()).unwrap(),
                target,
                "{text}"
            );
        }
    }

    #[test]
    fn a_platform_lists_services_names_and_networks() {
        let rule = |text: &str| text.parse::<CallRule>();
        assert_eq!(
            rule("auth/oauth2-proxy"),
            Ok(CallRule::Service("auth".into(), "oauth2-proxy".into()))
        );
        assert_eq!(
            rule("Login.Example.com"),
            Ok(CallRule::Name("login.example.com".into()))
        );
        let network = rule("10.20.1.0/16").unwrap();
        assert!(network.admits_address("10.20.200.1".parse().unwrap()));
        assert!(network.admits_address("::ffff:10.20.0.1".parse().unwrap()));
        assert!(!network.admits_address("10.21.0.1".parse().unwrap()));
        assert!(!network.admits_name("login.example.com"));
        assert!(
            rule("10.0.0.1")
                .unwrap()
                .admits_address("10.0.0.1".parse().unwrap())
        );
        assert!(rule("a/b").unwrap().admits_service("a", "b"));
        assert!(!rule("a/b").unwrap().admits_service("b", "a"));
        for text in [
            "",
            "auth/",
            "/x",
            "a/b/c",
            "a_/b",
            "a.b/c",
            "http://a",
            "10.0.0.0/33",
            "*",
        ] {
            assert!(rule(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        let table = [
            ("", "does not begin with"),
            ("auth/verify", "does not begin with"),
            ("ftp://auth", "does not begin with"),
            ("$scheme://auth", "a variable in its scheme"),
            ("http://$host/x", "a variable in its host"),
            ("http://auth:$server_port/", "a variable in its host"),
            ("http://user@auth/", "a user or a password"),
            ("http://auth:0/", "is not a host"),
            ("http://auth:99999/", "is not a host"),
            ("http://auth:x/", "is not a host"),
            ("http:///x", "is not a host"),
            ("http://a..b/", "is not a host"),
            ("http://127.1/", "is not a host"),
            ("http://0x7f.1/", "is not a host"),
            ("http://2130706433/", "is not a host"),
            ("http://[::1/", "is not a host"),
            ("http://a/x#y", "a fragment"),
            ("http://a/x y", "the character ' '"),
            ("http://a/$nothing", "`$nothing`, which is not known"),
        ];
        for (text, expected) in table {
            let message = CallUrl::parse(text).unwrap_err();
            assert!(message.contains(expected), "{text}: {message}");
        }
    }

    #[test]
    fn a_refusal_quotes_no_secret() {
        for text in [
            "http://svc:S3cret@auth.default/",
            "http://svc:S3cret@$host/",
            "http://svc:S3/cret@auth/",
            "http://svc:S3cret/x@auth/",
            "http://svc:a$S3cret@auth/",
            "redis://svc:S3cret@auth/",
            "svc:S3cret@auth",
            "$scheme://svc:S3cret@auth",
            "http://auth/x?key=S3cret#",
            "http://auth/x y?key=S3cret",
            "http://auth/x?key=S3cret y",
            "http://auth/x?key=S3cret&$nothing",
            "http://auth:x/?key=S3cret",
            "http://$host/?key=S3cret",
        ] {
            let message = CallUrl::parse(text).unwrap_err();
            assert!(
                !message.contains("cret") && !message.contains("svc:"),
                "{text}: {message}"
            );
        }
    }
}
