//! Every way to name a host at a door that must not answer it.
//!
//! A trick is written once, with names as blanks. Filled with a host of another door it is an attack; filled with one that
//! exists nowhere it says what the answer must be.

mod http1;
mod http2;

pub use http1::http1;
pub use http2::{Stream, http2};

/// What is filled in.
#[derive(Debug, Clone, Copy)]
pub struct Names<'a> {
    /// The host that must not be answered.
    pub host: &'a str,
    /// Its path.
    pub path: &'a str,
    /// A host that the attacked door answers, or one that exists nowhere.
    pub own: &'a str,
    /// A path of that host.
    pub own_path: &'a str,
    /// A host that exists nowhere.
    pub nowhere: &'a str,
    /// The name of the door that has the host.
    pub door: &'a str,
    /// The port of that door.
    pub port: u16,
}

impl<'a> Names<'a> {
    /// The host of another door at a door that has one of its own, both at `/`.
    #[must_use]
    pub fn at_root(host: &'a str, own: &'a str, door: &'a str) -> Self {
        Self {
            host,
            path: "/",
            own,
            own_path: "/",
            nowhere: "nowhere.invalid",
            door,
            port: 443,
        }
    }
}

/// One way to name a host.
#[derive(Debug, Clone)]
pub struct Trick<M> {
    /// Its name, in reports.
    pub name: &'static str,
    /// What is sent.
    pub message: M,
    /// How many answers come first that are the door's own, to HEAD.
    pub skip: usize,
    /// It names a host of the attacked door as well, which may be what is answered.
    pub names_own: bool,
    /// It is also tried under other server names than its own, where the door ends TLS.
    pub core: bool,
    /// What the connection begins with.
    pub opening: Opening,
}

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opening {
    /// What the door expects.
    Usual,
    /// A PROXY header of version 1 that names the other door as its destination.
    ForgedV1,
    /// One of version 2.
    ForgedV2,
    /// One of version 2 that names the host as authority, and the other door's protocol.
    ForgedAuthority,
}

impl<M> Trick<M> {
    fn new(name: &'static str, message: M) -> Self {
        Self {
            name,
            message,
            skip: 0,
            names_own: false,
            core: false,
            opening: Opening::Usual,
        }
    }

    /// It names a host of the attacked door as well.
    fn with_own(mut self) -> Self {
        self.names_own = true;
        self
    }

    fn after(mut self, answers: usize) -> Self {
        self.skip = answers;
        self
    }

    fn core(mut self) -> Self {
        self.core = true;
        self
    }

    fn opening(mut self, opening: Opening) -> Self {
        self.opening = opening;
        self
    }
}

/// Fields in which some server or framework takes another host or address for the one that was asked.
const OVERRIDES: &[(&str, &str)] = &[
    ("x-forwarded-host", "X-Forwarded-Host"),
    ("x-host", "X-Host"),
    ("x-original-host", "X-Original-Host"),
    ("x-http-host-override", "X-HTTP-Host-Override"),
    ("x-forwarded-server", "X-Forwarded-Server"),
    ("x-forwarded-host-underscore", "X_Forwarded_Host"),
    ("x-real-host", "X-Real-Host"),
    ("x-backend-host", "X-Backend-Host"),
    ("x-proxy-host", "X-Proxy-Host"),
    ("true-host", "True-Host"),
    ("proxy-host", "Proxy-Host"),
    ("x-real-ip", "X-Real-IP"),
    ("x-forwarded-for", "X-Forwarded-For"),
    ("x-envoy-original-dst-host", "X-Envoy-Original-Dst-Host"),
    ("x-envoy-decorator-operation", "X-Envoy-Decorator-Operation"),
    ("alt-used", "Alt-Used"),
];

/// Fields that take a URL, or a path.
const URLS: &[(&str, &str)] = &[
    ("x-original-url", "X-Original-URL"),
    ("x-rewrite-url", "X-Rewrite-URL"),
    ("x-forwarded-uri", "X-Forwarded-URI"),
    ("x-forwarded-path", "X-Forwarded-Path"),
    ("x-envoy-original-path", "X-Envoy-Original-Path"),
    ("x-proxy-url", "X-Proxy-URL"),
    ("request-uri", "Request-URI"),
    ("base-url", "Base-URL"),
    ("destination", "Destination"),
    ("referer", "Referer"),
    ("origin", "Origin"),
];

/// The same letters in another script, which some software maps to the first ones.
fn fullwidth(host: &str) -> String {
    let wide = |letter: char| match letter {
        'a'..='z' => char::from_u32(letter as u32 - 'a' as u32 + 0xFF41).unwrap_or(letter),
        other => other,
    };
    let mut letters = host.chars();
    letters.next().map(wide).into_iter().chain(letters).collect()
}

/// The same host with its first letter escaped.
fn escaped(host: &str) -> String {
    let mut letters = host.chars();
    let first = letters.next().map(|first| format!("%{:02x}", first as u32));
    first.unwrap_or_default() + letters.as_str()
}

/// The same host as an internationalised one would be written, each label by itself.
fn punycode(host: &str) -> String {
    let labels: Vec<String> = host.split('.').map(|label| format!("xn--{label}-")).collect();
    labels.join(".")
}

/// Every second letter in upper case.
fn mixed_case(host: &str) -> String {
    let letters = host.chars().enumerate();
    letters
        .map(|(place, letter)| {
            if place % 2 == 0 {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names are what reports say, and what a control is found by.
    #[test]
    fn tricks_have_different_names_and_name_the_host() {
        let names = Names::at_root("inside.test", "outside.test", "inside");
        let first = http1(&names);
        let unique: BTreeSet<&str> = first.iter().map(|trick| trick.name).collect();
        assert_eq!(unique.len(), first.len());
        let second = http2(&names);
        let unique: BTreeSet<&str> = second.iter().map(|trick| trick.name).collect();
        assert_eq!(unique.len(), second.len());
        assert!(
            first.len() > 80 && second.len() > 40,
            "{} and {}",
            first.len(),
            second.len()
        );
        for trick in &first {
            let sent = String::from_utf8_lossy(&trick.message.concat()).to_lowercase();
            let is_spelled = ["host-fullwidth", "host-punycode", "host-escaped"].contains(&trick.name);
            assert!(sent.contains("inside.test") || is_spelled, "{}", trick.name);
        }
    }

    #[test]
    fn other_spellings() {
        assert_eq!(fullwidth("ab.c"), "\u{ff41}b.c");
        assert_eq!(escaped("ab.c"), "%61b.c");
        assert_eq!(punycode("ab.c"), "xn--ab-.xn--c-");
        assert_eq!(mixed_case("abc"), "AbC");
    }
}
