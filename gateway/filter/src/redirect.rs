//! Where the gateway sends a client instead of asking a backend.

use crate::bounds::{TooMuch, push};
use crate::pattern::Pattern;
use crate::replacement::Replacement;
use crate::template::{Part, Template, Values, Variable};
use crate::url::{self, is_http_url, push_escaped};

/// Below this path an authority verifies over plain HTTP that somebody has the host (RFC 8555 8.3).
pub const ACME_CHALLENGES: &str = "/.well-known/acme-challenge/";

/// A redirect of requests to somewhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// Requests over plain HTTP go to the same place over https, at this port. Challenges of ACME pass.
    Https {
        /// 443 is left out.
        port: u16,
    },
    /// All go to one place.
    To {
        /// The place.
        destination: Destination,
        /// 300 to 308.
        status: u16,
    },
    /// All go to the same path of another host of this door.
    Host {
        /// Without a port.
        host: Box<str>,
    },
    /// To the same place with another scheme, unless the door has that scheme (Traefik's `redirectScheme`).
    Scheme {
        /// `http` or `https`.
        scheme: HttpScheme,
        /// Left out where it is the scheme's own.
        port: Option<u16>,
        /// Whether it lasts.
        permanent: bool,
    },
    /// What matches in the URL is replaced; a URL that stays the same passes (Traefik's `redirectRegex`).
    Regex {
        /// Looked for in `scheme://host[:port]/path?query`.
        pattern: Pattern,
        /// What stands in place of each match.
        replacement: Replacement,
        /// Whether it lasts.
        permanent: bool,
    },
    /// To a URL with groups of the path in it (`rewrite-target` of ingress-nginx with a URL).
    Rewrite {
        /// The path of the rule, where that is a pattern.
        pattern: Option<Pattern>,
        /// Checked by [`Redirect::rewrite`].
        target: Replacement,
    },
}

/// A scheme of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HttpScheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// Where a fixed redirect leads: an http(s) URL, or a path of the same host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    template: Template,
    is_path: bool,
}

/// What a redirect knows of a request.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The door's scheme.
    pub scheme: HttpScheme,
    /// The port of the door as clients see it.
    pub door_port: u16,
    /// In its normal form, without a port.
    pub host: &'a str,
    /// The port that the client wrote behind the host.
    pub port: Option<u16>,
    /// The path in its normal form.
    pub path: &'a [u8],
    /// The path as the client wrote it; empty where it wrote none.
    pub raw_path: &'a [u8],
    /// The query, without its `?`.
    pub query: Option<&'a [u8]>,
    /// Whether the method is GET.
    pub is_get: bool,
}

/// The answer of a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// 300 to 308.
    pub status: u16,
    /// The value of `Location`.
    pub location: Vec<u8>,
}

/// Why a request cannot be redirected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoMove {
    /// A replacement has made something else than an http(s) URL.
    #[error("the redirect does not lead to an http(s) URL")]
    NoUrl,
    /// The request makes a URL that is too long, or takes too long to make.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
}

impl Redirect {
    /// A redirect to a URL with groups of the path in it.
    ///
    /// # Errors
    /// When a client could choose the host.
    pub fn rewrite(pattern: Option<Pattern>, target: Replacement) -> Result<Self, String> {
        let start = target.start();
        let text = target.as_str();
        let (_, rest) = url::split_scheme(start.as_bytes())
            .ok_or_else(|| format!("{} does not begin with `http://` or `https://`", url::shown(text)))?;
        let has_end = target.literal().is_some() || rest.iter().any(|byte| b"/?#".contains(byte));
        if !has_end || !is_http_url(start.as_bytes()) {
            return Err(format!(
                "{} must name a host, without a user in front and without groups of the path in it, or clients could choose \
                 the host",
                url::shown(text)
            ));
        }
        url::check_text(text, start)?;
        Ok(Self::Rewrite { pattern, target })
    }

    /// The answer to a request; `None` if it passes.
    ///
    /// # Errors
    /// When the result of a replacement is no http(s) URL, or too long.
    pub fn answer(&self, asked: &Asked<'_>, values: &dyn Values) -> Result<Option<Moved>, NoMove> {
        let moved = match self {
            Self::Https { port } => {
                if asked.scheme == HttpScheme::Https || is_acme_challenge(asked.path) {
                    return Ok(None);
                }
                let location = asked.elsewhere(HttpScheme::Https, asked.host, *port);
                Moved {
                    status: 308,
                    location,
                }
            }
            Self::To { destination, status } => Moved {
                status: *status,
                location: destination.location(values)?,
            },
            Self::Host { host } => Moved {
                status: 308,
                location: asked.elsewhere(asked.scheme, host, asked.door_port),
            },
            Self::Scheme {
                scheme,
                port,
                permanent,
            } => {
                if asked.scheme == *scheme {
                    return Ok(None);
                }
                let port = port.unwrap_or(scheme.port());
                Moved {
                    status: asked.status(*permanent),
                    location: asked.elsewhere(*scheme, asked.host, port),
                }
            }
            Self::Regex {
                pattern,
                replacement,
                permanent,
            } => {
                let url = asked.url();
                match replacement.replace_all(pattern, &url)? {
                    None => return Ok(None),
                    Some(same) if same == url => return Ok(None),
                    Some(new) => Moved {
                        status: asked.status(*permanent),
                        location: url::checked(&new).ok_or(NoMove::NoUrl)?,
                    },
                }
            }
            Self::Rewrite { pattern, target } => {
                let captures = pattern.as_ref().and_then(|pattern| pattern.captures(asked.path));
                let mut new = Vec::new();
                target.expand(captures.as_ref(), &mut new)?;
                url::add_query(&mut new, asked.query);
                Moved {
                    status: 302,
                    location: url::checked(&new).ok_or(NoMove::NoUrl)?,
                }
            }
        };
        Ok(Some(moved))
    }

    /// Whether no request at a door of this scheme passes it, so that no backend is ever asked. Challenges of ACME do not
    /// count: a backend without them is as good as none.
    #[must_use]
    pub fn is_unconditional(&self, door: HttpScheme) -> bool {
        match self {
            Self::Https { .. } => door == HttpScheme::Http,
            Self::Scheme { scheme, .. } => door != *scheme,
            Self::To { .. } | Self::Host { .. } | Self::Rewrite { .. } => true,
            Self::Regex { .. } => false,
        }
    }
}

impl HttpScheme {
    /// As a URL has it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that a URL may leave out.
    #[must_use]
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Destination {
    /// Parses an http(s) URL, or a path that begins with one `/`. Variables may stand anywhere, but in the place of the host
    /// only those that clients do not choose.
    ///
    /// # Errors
    /// When it is neither, or has characters that a URL does not have, or lets clients choose the host.
    pub fn parse(text: &str) -> Result<Self, String> {
        let template = Template::parse(text)?;
        for part in template.parts() {
            if let Part::Text(part) = part {
                url::check_text(text, part)?;
            }
        }
        let is_path = match template.parts() {
            [Part::Text(first), ..] => first.starts_with('/'),
            [Part::Variable(Variable::RequestUri | Variable::Uri), ..] => true,
            [..] => false,
        };
        if is_path && !text.starts_with("//") {
            return Ok(Self { template, is_path });
        }
        check_authority(text, template.parts())?;
        Ok(Self {
            template,
            is_path: false,
        })
    }

    /// Parses a path of the same host.
    ///
    /// # Errors
    /// When it is none.
    pub fn path(text: &str) -> Result<Self, String> {
        let is_path = text.starts_with('/') && !text.starts_with("//") && !text.contains('$');
        if !is_path {
            return Err(format!(
                "{} is not a path of the same host; write it as in `/app`",
                url::shown(text)
            ));
        }
        Self::parse(text)
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.template.as_str()
    }

    /// Where it leads for one request.
    ///
    /// # Errors
    /// When that becomes too long.
    pub fn location(&self, values: &dyn Values) -> Result<Vec<u8>, TooMuch> {
        let mut location = Vec::with_capacity(self.template.as_str().len() + 64);
        let mut value = Vec::new();
        for part in self.template.parts() {
            match part {
                Part::Text(text) => push(&mut location, text.as_bytes())?,
                Part::Variable(variable) => {
                    value.clear();
                    values.write(variable, &mut value);
                    if variable.is_free() {
                        push_escaped(&mut location, &value);
                        push(&mut location, b"")?;
                    } else {
                        push(&mut location, &value)?;
                    }
                }
            }
        }
        if self.is_path {
            // `//host` would lead elsewhere (RFC 3986 4.2).
            let slashes = location.iter().take_while(|byte| **byte == b'/').count();
            location.drain(..slashes);
            location.insert(0, b'/');
        }
        Ok(location)
    }
}

/// Checks that a text begins with a scheme and a host that clients do not choose.
fn check_authority(text: &str, parts: &[Part]) -> Result<(), String> {
    let neither = || {
        format!(
            "{} is neither an http(s) URL nor a path of the same host; write it as in `https://example.com/` or `/path`",
            url::shown(text)
        )
    };
    let mut rest = parts.iter();
    let first = match rest.next() {
        Some(Part::Variable(Variable::Scheme)) => match rest.next() {
            Some(Part::Text(text)) => text.strip_prefix("://"),
            Some(Part::Variable(_)) | None => None,
        },
        Some(Part::Text(text)) => {
            url::split_scheme(text.as_bytes()).and_then(|(scheme, _)| text.get(scheme.len() + "://".len()..))
        }
        Some(Part::Variable(_)) | None => None,
    };
    let first = first.ok_or_else(neither)?;
    let mut is_empty = true;
    let mut texts = Some(first);
    loop {
        if let Some(piece) = texts.take() {
            let end = piece.find(['/', '?', '#']);
            let authority = piece.get(..end.unwrap_or(piece.len())).unwrap_or_default();
            if authority.contains('@') {
                return Err("it has a user name in front of the host; remove it".to_owned());
            }
            is_empty &= authority.is_empty();
            if end.is_some() {
                break;
            }
        }
        match rest.next() {
            None => break,
            Some(Part::Text(piece)) => texts = Some(piece),
            // Both begin with `/`.
            Some(Part::Variable(Variable::RequestUri | Variable::Uri)) => break,
            Some(Part::Variable(variable)) if variable.is_free() => {
                return Err(format!(
                    "{} lets clients choose the host; write `/` behind the host, before variables other than `$host`",
                    url::shown(text)
                ));
            }
            Some(Part::Variable(_)) => is_empty = false,
        }
    }
    if is_empty { Err(neither()) } else { Ok(()) }
}

/// Whether a path is that of a challenge of ACME.
#[must_use]
pub fn is_acme_challenge(path: &[u8]) -> bool {
    path.starts_with(ACME_CHALLENGES.as_bytes())
}

/// The host with `www.` in front of it, or without it if it has that. `None` if there is none.
#[must_use]
pub fn www_twin(host: &str) -> Option<String> {
    match host.strip_prefix("www.") {
        // `www.com` is a domain of its own.
        Some(bare) => bare.contains('.').then(|| bare.to_owned()),
        None => host.contains('.').then(|| format!("www.{host}")),
    }
}

impl Asked<'_> {
    /// Whether a redirect lasts decides its status; only GET may become GET without the client's consent.
    fn status(&self, permanent: bool) -> u16 {
        match (permanent, self.is_get) {
            (false, true) => 302,
            (true, true) => 301,
            (false, false) => 307,
            (true, false) => 308,
        }
    }

    /// The same path and query at another place.
    fn elsewhere(&self, scheme: HttpScheme, host: &str, port: u16) -> Vec<u8> {
        let mut location = place(scheme, host, Some(port));
        self.push_target(&mut location, self.raw_path);
        location
    }

    /// The whole URL, with the path in its normal form.
    fn url(&self) -> Vec<u8> {
        let mut url = place(self.scheme, self.host, self.port);
        self.push_target(&mut url, self.path);
        url
    }

    fn push_target(&self, out: &mut Vec<u8>, path: &[u8]) {
        push_escaped(out, if path.is_empty() { b"/" } else { path });
        if let Some(query) = self.query {
            out.push(b'?');
            push_escaped(out, query);
        }
    }
}

/// Scheme, host, and port unless it is the scheme's own.
fn place(scheme: HttpScheme, host: &str, port: Option<u16>) -> Vec<u8> {
    let mut url = Vec::with_capacity(host.len() + 128);
    url.extend_from_slice(scheme.as_str().as_bytes());
    url.extend_from_slice(b"://");
    url.extend_from_slice(host.as_bytes());
    if let Some(port) = port.filter(|port| *port != scheme.port()) {
        url.extend_from_slice(format!(":{port}").as_bytes());
    }
    url
}

#[cfg(test)]
mod tests;
