use super::*;

fn cors(origins: &str, manner: Manner) -> Cors {
    Cors {
        origins: OriginRule::list(origins).unwrap(),
        methods: Some(CorsList::parse("GET, PUT").unwrap()),
        headers: Some(CorsList::parse("X-A,X-B").unwrap()),
        exposed: None,
        credentials: true,
        max_age: Some(60),
        vary: false,
        manner,
    }
}

/// The fields that come, as text.
fn lines(edits: &FieldEdits) -> Vec<String> {
    let line = |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    edits.added.iter().map(line).collect()
}

#[test]
fn an_origin_is_admitted_whole() {
    let table: [(&str, &[&str], &[&str]); 8] = [
        (
            "https://a.test",
            &["https://a.test", "https://a.test:443", "HTTPS://A.TEST"],
            &[
                "http://a.test",
                "https://a.test:444",
                "https://a.test.evil.test",
                "https://xa.test",
                "https://a.test/",
                "null",
                "",
                "a.test",
            ],
        ),
        ("https://a.test:443", &["https://a.test"], &["https://a.test:80"]),
        (
            "http://a.test:8080",
            &["http://a.test:8080"],
            &["http://a.test", "http://a.test:80"],
        ),
        (
            "https://*.a.test",
            &["https://x.a.test", "https://x-1.a.test"],
            &[
                "https://a.test",
                "https://.a.test",
                "https://*.a.test",
                "https://x.y.a.test",
                "https://xa.test",
                "https://x.a.test:8443",
                "https://user@x.a.test",
            ],
        ),
        (
            "https://*.a.test:8443",
            &["https://x.a.test:8443"],
            &["https://x.a.test"],
        ),
        (
            "app+x://a",
            &["app+x://a", "app+x://a"],
            &["app://a", "app+x://a:1"],
        ),
        (
            "http://[::1]:81",
            &["http://[::1]:81"],
            &["http://[::1]", "http://[::2]:81"],
        ),
        (
            " https://b.test , https://a.test,",
            &["https://a.test", "https://b.test"],
            &["https://c.test"],
        ),
    ];
    for (rules, good, bad) in table {
        let cors = cors(rules, Manner::Whole);
        for origin in good {
            // Whoever is allowed is told so in the way that he writes himself.
            let verdict = cors.verdict(Some(origin.as_bytes()));
            let mut edits = FieldEdits::default();
            cors.edit(&verdict, false, &mut edits);
            let told = edits
                .added
                .iter()
                .find(|(name, _)| *name == ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(
                told.map(|(_, value)| value.as_bytes()),
                Some(origin.as_bytes()),
                "{rules} {origin}"
            );
        }
        for origin in bad {
            assert_eq!(
                cors.verdict(Some(origin.as_bytes())),
                Verdict::Refused,
                "{rules} {origin}"
            );
        }
        assert_eq!(cors.verdict(None), Verdict::Refused);
    }
}

#[test]
fn what_is_no_origin_is_refused() {
    for text in [
        "a.test",
        "https://",
        "https://a.test/",
        "https://a.test:x",
        "https://a.test:70000",
        "https://*",
        "https://*.*.test",
        "https://x*.a.test",
        "https://a b",
        "https://a@b",
        "null",
        "://a",
        "1a://b",
        "https://a..b",
        "https://[zz]",
    ] {
        assert_eq!(OriginRule::list(text), Err(CorsError::Origin(text.into())));
    }
    assert_eq!(OriginRule::list(" ,"), Err(CorsError::NoOrigin));
    assert_eq!(OriginRule::list("https://a.test, *"), Ok(vec![OriginRule::Any]));
    assert!(OriginRule::literal("https://*.a.test").is_err());
    assert_eq!(OriginRule::literal("null"), Ok(OriginRule::Null));
}

#[test]
fn an_expression_matches_the_whole_origin() {
    let matches = |text: &str, origin: &str| OriginRule::matching(text).unwrap().admits(origin.as_bytes());
    assert!(matches(r"https://.*\.a\.test", "https://x.y.a.test"));
    assert!(matches(r"^https://a\.test$", "https://a.test"));
    assert!(matches("https://a|https://ab", "https://ab"));
    assert!(!matches(r"https://a\.test", "https://a.test.evil.test"));
    assert!(!matches(r"a\.test", "https://a.test"));
    assert!(OriginRule::matching(".*").unwrap().is_boundless());
    assert!(
        !OriginRule::matching(r"https://.*\.a\.test")
            .unwrap()
            .is_boundless()
    );
    assert!(OriginRule::matching("a)|(b").is_err());
    assert!(OriginRule::matching("(?=a)").is_err());
}

const PREFLIGHT: CrossOrigin<'_> = CrossOrigin {
    is_options: true,
    origin: Some(b"https://a.test"),
    method: Some(b"PUT"),
    headers: Some(b"x-c, x-d"),
};

#[test]
fn only_a_preflight_is_answered() {
    let cors = cors("*", Manner::Whole);
    assert!(cors.preflight(&PREFLIGHT).is_some());
    for asked in [
        CrossOrigin {
            is_options: false,
            ..PREFLIGHT
        },
        CrossOrigin {
            origin: None,
            ..PREFLIGHT
        },
        CrossOrigin {
            method: None,
            ..PREFLIGHT
        },
    ] {
        assert_eq!(cors.preflight(&asked), None);
    }
}

#[test]
fn a_preflight_says_what_is_allowed() {
    let whole = cors("https://a.test", Manner::Whole);
    let allowed = [
        "access-control-allow-origin: https://a.test",
        "access-control-allow-credentials: true",
        "vary: Origin",
        "access-control-allow-methods: GET, PUT",
        "access-control-allow-headers: X-A,X-B",
        "access-control-max-age: 60",
    ];
    assert_eq!(lines(&whole.preflight(&PREFLIGHT).unwrap()), allowed);
    let strange = CrossOrigin {
        origin: Some(b"https://b.test"),
        ..PREFLIGHT
    };
    assert_eq!(lines(&whole.preflight(&strange).unwrap()), ["vary: Origin"]);
    let traefik = cors("https://a.test", Manner::Traefik);
    let without_origin: Vec<_> = allowed.into_iter().skip(1).collect();
    assert_eq!(lines(&traefik.preflight(&strange).unwrap()), without_origin);
    assert_eq!((whole.preflight_status(), traefik.preflight_status()), (204, 200));
}

#[test]
fn with_credentials_the_asked_are_named_and_the_origin_never() {
    let mut cors = cors("*", Manner::Traefik);
    cors.methods = Some(CorsList::parse("*").unwrap());
    cors.headers = Some(CorsList::parse("*").unwrap());
    let fields = lines(&cors.preflight(&PREFLIGHT).unwrap());
    let expected = [
        "access-control-allow-origin: *",
        "access-control-allow-credentials: true",
        "vary: access-control-request-method",
        "access-control-allow-methods: PUT",
        "vary: access-control-request-headers",
        "access-control-allow-headers: x-c, x-d",
        "access-control-max-age: 60",
    ];
    assert_eq!(fields, expected);
    let odd = CrossOrigin {
        headers: Some(b"a\x80b"),
        ..PREFLIGHT
    };
    assert!(
        !lines(&cors.preflight(&odd).unwrap())
            .iter()
            .any(|line| line.starts_with("access-control-allow-headers"))
    );
    cors.credentials = false;
    let fields = lines(&cors.preflight(&PREFLIGHT).unwrap());
    assert!(
        fields.contains(&"access-control-allow-headers: *".to_owned()),
        "{fields:?}"
    );
}

#[test]
fn a_response_says_who_may_read_it() {
    let mut whole = cors("https://a.test", Manner::Whole);
    whole.exposed = Some(CorsList::parse("X-C").unwrap());
    let edited = |cors: &Cors, origin: Option<&[u8]>| {
        let mut fields = FieldEdits::default();
        cors.edit(&cors.verdict(origin), false, &mut fields);
        fields
    };
    let allowed = [
        "access-control-allow-origin: https://a.test",
        "access-control-allow-credentials: true",
        "access-control-expose-headers: X-C",
        "vary: Origin",
    ];
    assert_eq!(lines(&edited(&whole, Some(b"https://a.test"))), allowed);
    for other in [None, Some(&b"https://b.test"[..])] {
        let fields = edited(&whole, other);
        assert_eq!(lines(&fields), ["vary: Origin"]);
        assert!(fields.removes(b"access-control-allow-origin"));
    }
    let mut anybody = cors("*", Manner::Traefik);
    anybody.credentials = false;
    assert_eq!(lines(&edited(&anybody, None)), ["access-control-allow-origin: *"]);
    anybody.vary = true;
    assert_eq!(
        lines(&edited(&anybody, None)),
        ["access-control-allow-origin: *", "vary: Origin"]
    );
    let traefik = cors("https://a.test", Manner::Traefik);
    let fields = edited(&traefik, Some(b"https://b.test"));
    assert_eq!(
        lines(&fields),
        ["access-control-allow-credentials: true", "vary: Origin"]
    );
    assert!(
        !fields.removes(b"access-control-allow-origin"),
        "the backend's word stays"
    );
}

#[test]
fn a_list_is_sent_as_it_is_written() {
    let list = CorsList::of(&["GET", "PUT"]).unwrap().unwrap();
    assert_eq!(list.text, "GET,PUT");
    let (left, right) = (cors("*", Manner::Whole), cors("*", Manner::Traefik));
    let as_list = Cors {
        methods: Some(list),
        ..right.clone()
    };
    assert!(left.agrees_with(&right) && left.agrees_with(&as_list));
    assert!(!left.agrees_with(&Cors {
        credentials: false,
        ..right.clone()
    }));
    assert!(!left.agrees_with(&Cors {
        methods: None,
        ..right
    }));
    assert_eq!(CorsList::of::<&str>(&[]), Ok(None));
    for bad in ["", "GET,,PUT", "GET PUT", "a\u{e9}"] {
        assert!(
            matches!(CorsList::parse(bad), Err(CorsError::Element(_))),
            "{bad}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn whatever_is_written_is_read_or_refused(text in "[ -~]{0,40}", origin in proptest::collection::vec(0_u8.., 0..40)) {
        let _ = OriginRule::literal(&text);
        if let Ok(origins) = OriginRule::list(&text) {
            let rules = Cors { origins, ..cors("*", Manner::Whole) };
            // Never reflected.
            if rules.origins == [OriginRule::Any] {
                proptest::prop_assert_eq!(rules.verdict(Some(&origin)), Verdict::Anybody);
            }
        }
        let _ = CorsList::parse(&text);
    }
}
