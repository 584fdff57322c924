//! Which `Host` a request for the API or the dashboard may have, and from which pages it may come.
//!
//! A browser sends what a page of any site asks for to the loopback address too, if the name of that site leads there (DNS
//! rebinding), and then lets the site read the answer. Such a request has the name of the site as its `Host`. So these pages
//! answer only under what no stranger can have in the public DNS: addresses, `localhost`, names without a dot, and names of
//! Services of the cluster. Programs ask for `/metrics` under every name, and get it: they do not send what browsers always send.
//! Health is answered under every name to everybody: it says little, and load balancers send all kinds of fields.

use std::net::Ipv6Addr;

use hyper::http::uri::Authority;
use route::{HostBuf, normalise_authority};

/// Whether this text is an authority (RFC 9110 7.2), which may be empty.
pub(super) fn is_valid(host: &str) -> bool {
    host.is_empty() || !host.contains('@') && host.parse::<Authority>().is_ok()
}

/// Whether the pages of people are shown under this `Host`; `None` is an HTTP/1.0 request without one, which no browser
/// sends.
pub(super) fn is_trusted(host: Option<&str>) -> bool {
    let Some(host) = host.filter(|host| !host.is_empty()) else {
        return true;
    };
    // A zone (`[fe80::1%eth0]`) is for the machine that wrote it.
    let address = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    if let Some((address, port)) = address {
        let address = address
            .split_once('%')
            .map_or(address, |(address, _zone)| address);
        let is_port = port.is_empty()
            || port
                .strip_prefix(':')
                .is_some_and(|port| port.parse::<u16>().is_ok());
        return is_port && address.parse::<Ipv6Addr>().is_ok();
    }
    let mut scratch = HostBuf::new();
    let Ok(host) = normalise_authority(host.as_bytes(), &mut scratch) else {
        return false;
    };
    let name = host.as_str();
    host.is_address()
        || !name.contains('.')
        || name.ends_with(".localhost")
        || name.ends_with(".svc")
        || name.ends_with(".svc.cluster.local")
}

/// Whether a field of this name is sent by browsers and not by scrapers. Browsers send `Sec-Fetch-…` over plain HTTP to loopback
/// addresses alone, and `Origin` and `Referer` not always; `Accept-Language` always, and a page cannot have it left out.
pub(super) fn is_of_browsers(name: &[u8]) -> bool {
    const NAMES: [&[u8]; 6] = [
        b"accept-language",
        b"origin",
        b"referer",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Whether a page is asked for by a person, by the dashboard or by a program, according to `Sec-Fetch-Site` and
/// `Sec-Fetch-Dest`. Other sites cannot read an answer, but an image on them has browsers ask for it, and making it is work.
/// A link from elsewhere may lead to what `may_be_linked`. Whatever is no browser does not send these fields.
pub(super) fn is_from_here<'b>(
    may_be_linked: bool,
    mut sites: impl Iterator<Item = &'b [u8]>,
    mut destinations: impl Iterator<Item = &'b [u8]>,
) -> bool {
    sites.all(|site| site == b"same-origin" || site == b"none")
        || may_be_linked && destinations.next() == Some(b"document")
}

/// Whether a browser that does not say `Sec-Fetch-Site` asks for a page of the dashboard itself, according to all `Origin` and
/// `Referer` fields. Over plain HTTP to addresses other than loopback browsers send no `Sec-Fetch-…`, and a page of another site
/// can leave out `Referer`; so one of the two must name this `Host`, and none another.
pub(super) fn is_of_dashboard<'b>(host: Option<&str>, mut sources: impl Iterator<Item = &'b [u8]>) -> bool {
    let Some(host) = host.filter(|host| !host.is_empty()) else {
        return false;
    };
    let is_here = |source: &[u8]| {
        let rest = source
            .strip_prefix(b"http://")
            .or_else(|| source.strip_prefix(b"https://"));
        rest.and_then(|rest| rest.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next())
            .is_some_and(|authority| authority.eq_ignore_ascii_case(host.as_bytes()))
    };
    sources.next().is_some_and(is_here) && sources.all(is_here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_says_where_it_is() {
        let is = |sources: &[&str]| {
            is_of_dashboard(
                Some("10.0.0.7:10254"),
                sources.iter().map(|source| source.as_bytes()),
            )
        };
        for here in [
            &["http://10.0.0.7:10254"][..],
            &["http://10.0.0.7:10254/"],
            &["http://10.0.0.7:10254/?x#live"],
            &["https://10.0.0.7:10254/", "https://10.0.0.7:10254"],
        ] {
            assert!(is(here), "{here:?}");
        }
        for elsewhere in [
            &[][..],
            &[""],
            &["null"],
            &["10.0.0.7:10254"],
            &["http://10.0.0.7"],
            &["http://10.0.0.7:102540/"],
            &["http://attacker.test/http://10.0.0.7:10254/"],
            &["http://10.0.0.7:10254@attacker.test/"],
            &["http://10.0.0.7:10254", "http://attacker.test/"],
            &["http://attacker.test", "http://10.0.0.7:10254/"],
        ] {
            assert!(!is(elsewhere), "{elsewhere:?}");
        }
        assert!(!is_of_dashboard(None, [b"http://".as_slice()].into_iter()));
        assert!(!is_of_dashboard(Some(""), [b"http:///".as_slice()].into_iter()));
    }

    #[test]
    fn only_names_that_no_stranger_can_have() {
        let trusted = [
            "",
            "127.0.0.1",
            "127.0.0.1:10254",
            "10.0.0.7:10254",
            "[::1]:10254",
            "[fe80::1%25eth0]:10254",
            "localhost",
            "LOCALHOST:8080",
            "localhost.:10254",
            "admin.localhost",
            "admin",
            "blastdoor:10254",
            "blastdoor-admin.edge.svc",
            "blastdoor-admin.edge.svc.cluster.local:10254",
        ];
        for host in trusted {
            assert!(is_trusted(Some(host)), "{host:?}");
        }
        assert!(is_trusted(None));
        let strange = [
            "attacker.test",
            "attacker.test:10254",
            "127.0.0.1.attacker.test",
            "localhost.attacker.test",
            "svc.attacker.test",
            "attacker.local",
            "cluster.local",
            "notlocalhost.test",
            "127.0.0.1@attacker.test",
            "[attacker.test]",
            "[::1].attacker.test]",
            "a b",
            "127.0.0.1.",
            "0x7f.1",
        ];
        for host in strange {
            let is_address = host == "127.0.0.1.";
            assert_eq!(is_trusted(Some(host)), is_address, "{host:?}");
        }
    }
}
