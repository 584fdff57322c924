use super::*;
use crate::pattern::Case;

const ASKED: Asked<'static> = Asked {
    scheme: HttpScheme::Http,
    door_port: 80,
    host: "shop.test",
    port: None,
    path: b"/a/b",
    raw_path: b"/%61/b",
    query: Some(b"x=1"),
    is_get: true,
};

struct Request(&'static str);

impl Values for Request {
    fn write(&self, variable: &Variable, out: &mut Vec<u8>) {
        let known = [
            (Variable::Host, "shop.test"),
            (Variable::HttpHost, "shop.test:8080"),
            (Variable::Scheme, "https"),
            (Variable::RequestUri, self.0),
            (Variable::Uri, "/a"),
            (Variable::Args, "x=1"),
            (Variable::IsArgs, "?"),
            (Variable::Arg("next".into()), "evil \""),
        ];
        let value = known.iter().find(|(known, _)| known == variable);
        let value = value.map_or("other", |(_, value)| value);
        out.extend_from_slice(value.as_bytes());
    }
}

fn answer(redirect: &Redirect, asked: &Asked<'_>) -> Option<(u16, String)> {
    let moved = redirect.answer(asked, &Request("/a?x=1")).unwrap()?;
    Some((moved.status, String::from_utf8(moved.location).unwrap()))
}

fn moved(status: u16, location: &str) -> Option<(u16, String)> {
    Some((status, location.to_owned()))
}

#[test]
fn https_keeps_the_target_and_lets_challenges_pass() {
    let redirect = Redirect::Https { port: 443 };
    assert_eq!(
        answer(&redirect, &ASKED),
        moved(308, "https://shop.test/%61/b?x=1")
    );
    let with_port = Asked {
        port: Some(8080),
        ..ASKED
    };
    assert_eq!(
        answer(&redirect, &with_port),
        moved(308, "https://shop.test/%61/b?x=1")
    );
    assert_eq!(
        answer(&Redirect::Https { port: 8443 }, &ASKED),
        moved(308, "https://shop.test:8443/%61/b?x=1")
    );
    let slash = Asked {
        raw_path: b"/dir/",
        query: None,
        is_get: false,
        ..ASKED
    };
    assert_eq!(answer(&redirect, &slash), moved(308, "https://shop.test/dir/"));
    let over_https = Asked {
        scheme: HttpScheme::Https,
        ..ASKED
    };
    assert_eq!(answer(&redirect, &over_https), None);
    let challenge = Asked {
        path: b"/.well-known/acme-challenge/token",
        ..ASKED
    };
    assert_eq!(answer(&redirect, &challenge), None);
    let beside = Asked {
        path: b"/.well-known/acme-challenges",
        ..ASKED
    };
    assert!(answer(&redirect, &beside).is_some());
}

#[test]
fn a_fixed_redirect_leads_where_it_says() {
    let table = [
        ("https://example.com", "https://example.com"),
        ("https://example.com/x?y=1#z", "https://example.com/x?y=1#z"),
        ("HTTP://example.com/", "HTTP://example.com/"),
        ("/login", "/login"),
        ("https://new.test$request_uri", "https://new.test/a?x=1"),
        ("$scheme://$host$uri$is_args$args", "https://shop.test/a?x=1"),
        ("https://$http_host/x", "https://shop.test:8080/x"),
        (
            "https://a.test/?next=$arg_next",
            "https://a.test/?next=evil%20%22",
        ),
        ("/in/$arg_next", "/in/evil%20%22"),
        ("$request_uri", "/a?x=1"),
        ("http://[2001:db8::1]:8080/", "http://[2001:db8::1]:8080/"),
    ];
    for (text, expected) in table {
        let redirect = Redirect::To {
            destination: Destination::parse(text).unwrap(),
            status: 301,
        };
        assert_eq!(answer(&redirect, &ASKED), moved(301, expected), "{text}");
    }
}

#[test]
fn a_path_never_leads_to_another_host() {
    let destination = Destination::parse("$request_uri").unwrap();
    let redirect = Redirect::To {
        destination,
        status: 302,
    };
    for (target, expected) in [
        ("//evil.test/x", "/evil.test/x"),
        ("///evil.test", "/evil.test"),
        ("/\\evil.test", "/%5Cevil.test"),
    ] {
        let moved = redirect.answer(&ASKED, &Request(target)).unwrap().unwrap();
        assert_eq!(String::from_utf8(moved.location).unwrap(), expected);
    }
}

#[test]
fn destinations_that_lead_astray_are_refused() {
    let table = [
        ("", "neither"),
        ("example.com", "neither"),
        ("//example.com", "neither"),
        ("javascript:alert(1)", "neither"),
        ("ftp://a/", "neither"),
        ("https://", "neither"),
        ("https:///x", "neither"),
        ("$host/x", "neither"),
        ("$arg_next", "neither"),
        ("https://$arg_next", "choose the host"),
        ("https://example.com$arg_next", "choose the host"),
        ("https://example.com$args", "choose the host"),
        ("$scheme://$http_x_host/", "choose the host"),
        ("https://user@example.com/", "user name"),
        ("https://a/b c", "' '"),
        ("https://a/\u{e4}", "'ä'"),
        ("/a\\b", "'\\\\'"),
        ("https://a/$nope", "`$nope`"),
    ];
    for (text, expected) in table {
        let message = Destination::parse(text).unwrap_err();
        assert!(message.contains(expected), "{text:?}: {message}");
    }
    for text in ["app", "//app", "https://a/", "/$host", "/a b"] {
        assert!(Destination::path(text).is_err(), "{text}");
    }
    assert_eq!(Destination::path("/app?x=1#y").unwrap().as_str(), "/app?x=1#y");
}

#[test]
fn another_host_of_the_door_keeps_its_scheme_and_port() {
    let redirect = Redirect::Host {
        host: "www.shop.test".into(),
    };
    assert_eq!(
        answer(&redirect, &ASKED),
        moved(308, "http://www.shop.test/%61/b?x=1")
    );
    let door = Asked {
        scheme: HttpScheme::Https,
        door_port: 8443,
        ..ASKED
    };
    assert_eq!(
        answer(&redirect, &door),
        moved(308, "https://www.shop.test:8443/%61/b?x=1")
    );
}

#[test]
fn twins_are_with_and_without_www() {
    let table = [
        ("example.com", Some("www.example.com")),
        ("www.example.com", Some("example.com")),
        ("a.example.com", Some("www.a.example.com")),
        ("www.com", None),
        ("localhost", None),
    ];
    for (host, expected) in table {
        assert_eq!(www_twin(host).as_deref(), expected, "{host}");
    }
}

#[test]
fn the_scheme_changes_as_in_traefik() {
    let table = [
        (
            HttpScheme::Https,
            None,
            false,
            true,
            moved(302, "https://shop.test/%61/b?x=1"),
        ),
        (
            HttpScheme::Https,
            None,
            true,
            true,
            moved(301, "https://shop.test/%61/b?x=1"),
        ),
        (
            HttpScheme::Https,
            None,
            false,
            false,
            moved(307, "https://shop.test/%61/b?x=1"),
        ),
        (
            HttpScheme::Https,
            Some(8443),
            true,
            false,
            moved(308, "https://shop.test:8443/%61/b?x=1"),
        ),
        (
            HttpScheme::Https,
            Some(443),
            true,
            true,
            moved(301, "https://shop.test/%61/b?x=1"),
        ),
        (HttpScheme::Http, None, true, true, None),
    ];
    for (scheme, port, permanent, is_get, expected) in table {
        let redirect = Redirect::Scheme {
            scheme,
            port,
            permanent,
        };
        assert_eq!(answer(&redirect, &Asked { is_get, ..ASKED }), expected);
    }
}

fn regex(pattern: &str, replacement: &str, permanent: bool) -> Redirect {
    Redirect::Regex {
        pattern: Pattern::new(pattern, Case::Sensitive).unwrap(),
        replacement: Replacement::go(replacement).unwrap(),
        permanent,
    }
}

#[test]
fn a_url_is_replaced_as_in_traefik() {
    let table = [
        (
            "^http://shop.test/(.*)",
            "https://new.test/$1",
            moved(302, "https://new.test/a/b?x=1"),
        ),
        (
            "^http://shop.test/(.*)",
            "https://new.test/${1}&y=2",
            moved(302, "https://new.test/a/b?x=1&y=2"),
        ),
        (
            "^(https?)://shop\\.test",
            "${1}://www.shop.test",
            moved(302, "http://www.shop.test/a/b?x=1"),
        ),
        ("b", "c", moved(302, "http://shop.test/a/c?x=1")),
        ("/", "/", None),
        ("^https://", "http://", None),
        (
            "^.*$",
            "https://new.test/#/$0",
            moved(302, "https://new.test/#/http://shop.test/a/b?x=1"),
        ),
    ];
    for (pattern, replacement, expected) in table {
        let redirect = regex(pattern, replacement, false);
        assert_eq!(answer(&redirect, &ASKED), expected, "{pattern} {replacement}");
    }
    let redirect = regex("^http://shop.test:8080/.*", "https://new.test/", true);
    let with_port = Asked {
        port: Some(8080),
        is_get: false,
        ..ASKED
    };
    assert_eq!(answer(&redirect, &with_port), moved(308, "https://new.test/"));
    let default_port = Asked {
        port: Some(80),
        ..ASKED
    };
    assert_eq!(answer(&regex(":80/", "/", true), &default_port), None);
}

#[test]
fn what_is_no_url_is_not_sent() {
    for replacement in [
        "/x",
        "",
        "//evil.test/",
        "javascript:alert(1)",
        "https://",
        "https://user@evil.test/",
    ] {
        let redirect = regex("^.*$", replacement, false);
        assert_eq!(
            redirect.answer(&ASKED, &Request("/")),
            Err(NoMove::NoUrl),
            "{replacement}"
        );
    }
}

#[test]
fn a_rewrite_to_a_url_redirects() {
    let pattern = Pattern::new("^/a/(.*)", Case::Insensitive).unwrap();
    let table = [
        ("https://new.test/$1", "https://new.test/b?x=1"),
        ("https://new.test/?p=$1", "https://new.test/?p=b&x=1"),
        ("https://new.test/$1?", "https://new.test/b"),
        ("https://new.test", "https://new.test?x=1"),
    ];
    for (target, expected) in table {
        let target = Replacement::nginx(target).unwrap();
        let redirect = Redirect::rewrite(Some(pattern.clone()), target).unwrap();
        assert_eq!(answer(&redirect, &ASKED), moved(302, expected));
    }
    for target in [
        "https://$1",
        "https://new.test$1",
        "https://$1/x",
        "/x",
        "https://",
        "https://a b/",
    ] {
        let target = Replacement::nginx(target).unwrap();
        assert!(Redirect::rewrite(None, target).is_err());
    }
}

#[test]
fn what_never_passes_is_known() {
    let http = HttpScheme::Http;
    let https = HttpScheme::Https;
    let redirect = Redirect::Https { port: 443 };
    assert!(redirect.is_unconditional(http) && !redirect.is_unconditional(https));
    assert!(!regex("a", "b", true).is_unconditional(http));
    let to = Redirect::To {
        destination: Destination::parse("/x").unwrap(),
        status: 301,
    };
    assert!(to.is_unconditional(https));
}
