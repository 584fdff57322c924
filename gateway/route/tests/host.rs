//! What is a host, in requests, handshakes, rules and restrictions. One table each: text → verdict.

use route::HostError::{Address, AddressAsName, Character, Empty, EmptyLabel, Port, TooLong};
use route::{
    HostBuf, HostError, HostPattern, HostPatternError, HostRestriction, normalise_authority, normalise_sni,
};

/// Makes the error from the text as written.
type NamedError = fn(String) -> HostPatternError;

type Verdict = Result<(&'static str, Option<u16>), HostError>;

/// RFC 9110 7.2, RFC 3986 3.2.2 and 3.2.3, RFC 1035 2.3.4.
#[rustfmt::skip]
const AUTHORITIES: &[(&[u8], Verdict)] = &[
    // Normal already.
    (b"a.test", Ok(("a.test", None))),
    (b"localhost", Ok(("localhost", None))),
    (b"0", Ok(("0", None))),
    (b"my_app.a-b.test", Ok(("my_app.a-b.test", None))),
    (b"-a-.test", Ok(("-a-.test", None))),
    (b"xn--bcher-kva.test", Ok(("xn--bcher-kva.test", None))),
    // Case, trailing dot, port: the same host.
    (b"A.TEST", Ok(("a.test", None))),
    (b"a.Test", Ok(("a.test", None))),
    (b"a.test.", Ok(("a.test", None))),
    (b"A.test.:443", Ok(("a.test", Some(443)))),
    (b"a.test:80", Ok(("a.test", Some(80)))),
    (b"a.test:", Ok(("a.test", None))),
    (b"a.test:0", Ok(("a.test", Some(0)))),
    (b"a.test:00080", Ok(("a.test", Some(80)))),
    (b"a.test:65535", Ok(("a.test", Some(65535)))),
    (b"XN--BCHER-KVA.test", Ok(("xn--bcher-kva.test", None))),
    // Addresses.
    (b"127.0.0.1", Ok(("127.0.0.1", None))),
    (b"127.0.0.1.", Ok(("127.0.0.1", None))),
    (b"10.0.0.1:8080", Ok(("10.0.0.1", Some(8080)))),
    (b"[::1]", Ok(("[::1]", None))),
    (b"[::1]:443", Ok(("[::1]", Some(443)))),
    (b"[::1]:", Ok(("[::1]", None))),
    (b"[2001:DB8:0:0::1]", Ok(("[2001:db8::1]", None))),
    (b"[::ffff:127.0.0.1]", Ok(("[::ffff:127.0.0.1]", None))),
    (b"[0:0:0:0:0:0:0:0]", Ok(("[::]", None))),
    // Numbers that are no address are names, which no address list of ours resolves.
    (b"127.1", Ok(("127.1", None))),
    (b"0x7f.0.0.1", Ok(("0x7f.0.0.1", None))),
    (b"2130706433", Ok(("2130706433", None))),
    (b"256.1.1.1", Ok(("256.1.1.1", None))),
    // Nothing there.
    (b"", Err(Empty)),
    (b":80", Err(Empty)),
    (b".", Err(Empty)),
    (b".:80", Err(Empty)),
    // Labels.
    (b"..", Err(EmptyLabel)),
    (b".a.test", Err(EmptyLabel)),
    (b"a..test", Err(EmptyLabel)),
    (b"a.test..", Err(EmptyLabel)),
    // User information, lists, paths, quotes.
    (b"user@a.test", Err(Character)),
    (b"user:pass@a.test", Err(Port)),
    (b"a.test@b.test", Err(Character)),
    (b"a.test,b.test", Err(Character)),
    (b"a.test, b.test", Err(Character)),
    (b"a.test;b.test", Err(Character)),
    (b"a.test/", Err(Character)),
    (b"a.test/x", Err(Character)),
    (b"http://a.test", Err(Port)),
    (b"a.test?x", Err(Character)),
    (b"a.test#x", Err(Character)),
    (b"a.test\\x", Err(Character)),
    (b"\"a.test\"", Err(Character)),
    (b"'a.test'", Err(Character)),
    (b"<a.test>", Err(Character)),
    // White space and control characters.
    (b" a.test", Err(Character)),
    (b"a.test ", Err(Character)),
    (b"a\ttest", Err(Character)),
    (b"a.test\r", Err(Character)),
    (b"a.test\0", Err(Character)),
    (b"a.test\x7f", Err(Character)),
    // Wildcards, escapes, other alphabets.
    (b"*", Err(Character)),
    (b"*.test", Err(Character)),
    (b"a%2etest", Err(Character)),
    (b"%61.test", Err(Character)),
    ("bücher.test".as_bytes(), Err(Character)),
    (b"b\xfccher.test", Err(Character)),
    ("ａ.test".as_bytes(), Err(Character)),
    ("a。test".as_bytes(), Err(Character)),
    (b"a+b.test", Err(Character)),
    (b"a~b.test", Err(Character)),
    (b"$host", Err(Character)),
    // Ports.
    (b"a.test:65536", Err(Port)),
    (b"a.test:99999999999999999999", Err(Port)),
    (b"a.test:-1", Err(Port)),
    (b"a.test:+80", Err(Port)),
    (b"a.test: 80", Err(Port)),
    (b"a.test:80 ", Err(Port)),
    (b"a.test:80:80", Err(Port)),
    (b"a.test:http", Err(Port)),
    (b"a.test:0x50", Err(Port)),
    (b"[::1]:99999", Err(Port)),
    (b"[::1]:x", Err(Port)),
    // IPv6 outside and inside of brackets; RFC 6874 4 keeps zones off the wire.
    (b"::1", Err(Port)),
    (b"2001:db8::1", Err(Port)),
    (b"[]", Err(Address)),
    (b"[", Err(Address)),
    (b"[::1", Err(Address)),
    (b"[::1]x", Err(Address)),
    (b"[::1].", Err(Address)),
    (b"[::1]a.test", Err(Address)),
    (b"[127.0.0.1]", Err(Address)),
    (b"[a.test]", Err(Address)),
    (b"[fe80::1%eth0]", Err(Address)),
    (b"[fe80::1%25eth0]", Err(Address)),
    (b"[::1%lo]", Err(Address)),
    (b"[v1.x]", Err(Address)),
    (b"[1:2:3:4:5:6:7:8:9]", Err(Address)),
    (b"[[::1]]", Err(Address)),
    (b"]", Err(Character)),
];

#[test]
fn the_host_of_a_request_is_normalised_or_refused() {
    for (raw, expected) in AUTHORITIES {
        let mut scratch = HostBuf::new();
        let host = normalise_authority(raw, &mut scratch).map(|host| (host.as_str(), host.port()));
        assert_eq!(host, *expected, "{}", raw.escape_ascii());
    }
}

#[test]
fn a_host_of_253_characters_with_labels_of_63_is_the_longest() {
    let label = |length| "a".repeat(length);
    let name = |last| [label(63), label(63), label(63), label(last)].join(".");
    for (text, expected) in [
        (label(63), None),
        (label(64), Some(TooLong)),
        (format!("{}.test", label(64)), Some(TooLong)),
        (name(61), None),
        (format!("{}.:65535", name(61)), None),
        (name(62), Some(TooLong)),
        (label(100_000), Some(TooLong)),
        (format!("a.test:{}", "0".repeat(100_000)), None),
    ] {
        let mut scratch = HostBuf::new();
        let error = normalise_authority(text.as_bytes(), &mut scratch).err();
        assert_eq!(error, expected, "{} bytes", text.len());
    }
}

#[test]
fn addresses_are_distinguished_from_names() {
    for (raw, is_address, parent) in [
        ("127.0.0.1", true, None),
        ("[::1]", true, None),
        ("1.2.3.4.5", false, Some("2.3.4.5")),
        ("1.2.3.test", false, Some("2.3.test")),
        ("127.0.0.01", false, Some("0.0.01")),
        ("localhost", false, None),
        ("a.b.test", false, Some("b.test")),
    ] {
        let mut scratch = HostBuf::new();
        let host = normalise_authority(raw.as_bytes(), &mut scratch).unwrap();
        assert_eq!((host.is_address(), host.parent()), (is_address, parent), "{raw}");
    }
}

#[test]
fn a_normal_host_is_borrowed() {
    for (raw, is_borrowed) in [
        ("a.test", true),
        ("a.test:80", true),
        ("a.test.", true),
        ("127.0.0.1", true),
        ("A.test", false),
    ] {
        let mut scratch = HostBuf::new();
        let host = normalise_authority(raw.as_bytes(), &mut scratch).unwrap();
        assert_eq!(
            std::ptr::eq(host.as_str().as_ptr(), raw.as_ptr()),
            is_borrowed,
            "{raw}"
        );
    }
}

/// RFC 6066 3.
#[test]
fn a_server_name_is_a_host_name_without_a_port() {
    let cases: &[(&[u8], Result<&str, HostError>)] = &[
        (b"a.test", Ok("a.test")),
        (b"A.Test", Ok("a.test")),
        (b"a.test.", Ok("a.test")),
        (b"", Err(Empty)),
        (b".", Err(Empty)),
        (b"a..test", Err(EmptyLabel)),
        (b"a.test:443", Err(Character)),
        (b"*.test", Err(Character)),
        (b"a.test\0.evil.test", Err(Character)),
        (b"127.0.0.1", Err(AddressAsName)),
        (b"[::1]", Err(Character)),
        (b"::1", Err(Character)),
    ];
    for (raw, expected) in cases {
        let mut scratch = HostBuf::new();
        let host = normalise_sni(raw, &mut scratch).map(|host| host.as_str());
        assert_eq!(host, *expected, "{}", raw.escape_ascii());
    }
}

/// `IngressRule.host` of networking/v1: a precise host, or `*.` and a suffix.
#[test]
fn hosts_of_rules_are_normalised() {
    for (written, expected) in [
        ("", ""),
        ("a.test", "a.test"),
        ("A.Test", "a.test"),
        ("a.test.", "a.test"),
        ("my_app.test", "my_app.test"),
        ("localhost", "localhost"),
        ("*.a.test", "*.a.test"),
        ("*.A.test.", "*.a.test"),
        ("*.test", "*.test"),
        // U-labels become A-labels.
        ("bücher.test", "xn--bcher-kva.test"),
        ("BÜCHER.test", "xn--bcher-kva.test"),
        ("*.bücher.test", "*.xn--bcher-kva.test"),
        ("straße.test", "xn--strae-oqa.test"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("XN--BCHER-KVA.test", "xn--bcher-kva.test"),
    ] {
        let pattern = HostPattern::parse(written);
        assert_eq!(
            pattern.map(|pattern| pattern.to_string()).as_deref(),
            Ok(expected),
            "{written}"
        );
    }
}

#[test]
fn invalid_hosts_of_rules_are_refused() {
    let long = format!("{}.test", "a".repeat(64));
    let cases: &[(&str, NamedError)] = &[
        ("*", HostPatternError::Wildcard),
        ("*.", HostPatternError::Wildcard),
        ("*.*", HostPatternError::Wildcard),
        ("*.*.test", HostPatternError::Wildcard),
        ("*a.test", HostPatternError::Wildcard),
        ("a*.test", HostPatternError::Wildcard),
        ("a.*", HostPatternError::Wildcard),
        ("a.*.test", HostPatternError::Wildcard),
        ("**.test", HostPatternError::Wildcard),
        ("a.test:80", HostPatternError::Port),
        ("*.a.test:80", HostPatternError::Port),
        ("a.test:", HostPatternError::Port),
        ("http://a.test", HostPatternError::Url),
        ("a.test/x", HostPatternError::Url),
        ("127.0.0.1", HostPatternError::Address),
        ("127.0.0.1:80", HostPatternError::Address),
        ("*.127.0.0.1", HostPatternError::Address),
        ("::1", HostPatternError::Address),
        ("[::1]", HostPatternError::Address),
        ("[::1]:80", HostPatternError::Address),
        ("fe80::1%eth0", HostPatternError::Address),
        ("１２７.０.０.１", HostPatternError::International),
        // Not the normal form of anything (RUSTSEC-2024-0421, UTS 46 4).
        ("xn--a", HostPatternError::International),
        ("xn--example-.test", HostPatternError::International),
        ("xn--.test", HostPatternError::International),
        ("a.xn--0.test", HostPatternError::International),
        // Other letters that map to the same: what it says is not what it means.
        ("ｓhop.test", HostPatternError::International),
        ("shop。test", HostPatternError::International),
        ("sh\u{200b}op.test", HostPatternError::International),
        ("sho\u{ad}p.test", HostPatternError::International),
        ("bu\u{308}cher.test", HostPatternError::International),
        ("\u{202e}tset.pohs", HostPatternError::International),
        ("a test.ü", HostPatternError::International),
        (" a.test", |text| HostPatternError::Name(text, Character)),
        ("a.test\n", |text| HostPatternError::Name(text, Character)),
        ("a.test;", |text| HostPatternError::Name(text, Character)),
        ("user@a.test", |text| HostPatternError::Name(text, Character)),
        ("a`b.test", |text| HostPatternError::Name(text, Character)),
        ("a..test", |text| HostPatternError::Name(text, EmptyLabel)),
        ("*..test", |text| HostPatternError::Name(text, EmptyLabel)),
        (".", |text| HostPatternError::Name(text, Empty)),
        (":80", |text| HostPatternError::Name(text, Empty)),
        (&long, |text| HostPatternError::Name(text, TooLong)),
    ];
    for (written, error) in cases {
        assert_eq!(
            HostPattern::parse(written),
            Err(error((*written).to_owned())),
            "{written}"
        );
    }
}

#[test]
fn a_message_gives_the_correct_spelling() {
    for (written, expected) in [
        (
            "a.test:80",
            "`a.test:80` has a port, which a rule's host cannot have; write `a.test`",
        ),
        (
            "*foo.com",
            "`*foo.com` is not a host; `*` is allowed only as the whole first label, as in `*.example.com`; leave the \
             host out to match every host",
        ),
        (
            "http://a.test",
            "`http://a.test` is a URL; write its host alone, and its path under `paths`",
        ),
        (
            "10.0.0.1",
            "`10.0.0.1` is an IP address, which a rule's host cannot be; leave the host out to match requests for an \
             address",
        ),
        ("a..b", "`a..b` is not a host name: the host has an empty label"),
        (
            "xn--a",
            "`xn--a` is not an internationalised host name in its normal form (UTS 46); write it in lower case or as \
             A-labels (`xn--…`)",
        ),
    ] {
        let error = HostPattern::parse(written).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
}

/// A door's `hosts`: exact, or `*.suffix` for any depth below it; a wildcard must lie wholly within.
#[test]
fn a_restriction_allows_only_what_lies_wholly_within_it() {
    for (restriction, host, is_admitted) in [
        ("a.test", "a.test", true),
        ("A.test", "a.TEST.", true),
        ("a.test", "b.test", false),
        ("a.test", "x.a.test", false),
        ("a.test", "*.a.test", false),
        ("a.test", "*.test", false),
        ("a.test", "", false),
        ("*.corp.test", "a.corp.test", true),
        ("*.corp.test", "a.b.corp.test", true),
        ("*.corp.test", "*.corp.test", true),
        ("*.corp.test", "*.a.corp.test", true),
        ("*.corp.test", "corp.test", false),
        ("*.corp.test", "acorp.test", false),
        ("*.corp.test", "*.acorp.test", false),
        ("*.corp.test", "*.test", false),
        ("*.corp.test", "corp.test.evil.test", false),
        ("*.corp.test", "", false),
        ("*.bücher.test", "a.xn--bcher-kva.test", true),
    ] {
        let admits = HostRestriction::parse(restriction)
            .unwrap()
            .admits(&HostPattern::parse(host).unwrap());
        assert_eq!(admits, is_admitted, "`{restriction}` and `{host}`");
    }
    for written in ["", "*", "*.*", "a.test:80", "10.0.0.1"] {
        assert!(
            HostRestriction::parse(written).is_err(),
            "`{written}` would restrict nothing"
        );
    }
    assert_eq!(
        HostRestriction::parse("*.A.test").unwrap().to_string(),
        "*.a.test"
    );
}
