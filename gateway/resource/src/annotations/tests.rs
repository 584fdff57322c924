use super::*;

pub(super) fn read(pairs: &[(&str, &str)]) -> (Annotations, Vec<String>) {
    let raw = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let (damage, mut problems) = (Damage::default(), Vec::new());
    let object = crate::ObjectRef::global(crate::Kind::Ingress, "x");
    let mut report = Report::new(object, &damage, &mut problems);
    let annotations = ingress_annotations(&raw, "shop", &mut report);
    let told = problems
        .into_iter()
        .map(|problem| format!("{}: {}", problem.severity.as_str(), problem.message));
    (annotations, told.collect())
}

fn nginx(name: &str, value: &str) -> (Annotations, Vec<String>) {
    read(&[(&format!("nginx.ingress.kubernetes.io/{name}"), value)])
}

#[test]
fn other_peoples_annotations_are_not_looked_at() {
    let pairs = [
        ("cert-manager.io/issuer", "x"),
        ("nginx.org/rewrites", "\n"),
        ("ingress.kubernetes.io/auth-url", ""),
    ];
    assert_eq!(read(&pairs), (Annotations::default(), Vec::new()));
}

#[test]
fn tuning() {
    let tuned = |tuning| {
        (
            Annotations {
                tuning,
                ..Annotations::default()
            },
            Vec::<String>::new(),
        )
    };
    let none = IngressTuning::default();
    let table = [
        (
            "proxy-connect-timeout",
            "5",
            IngressTuning {
                connect_timeout: Some(Duration::from_secs(5)),
                ..none
            },
        ),
        (
            "proxy-read-timeout",
            " 3600 ",
            IngressTuning {
                read_timeout: Some(Duration::from_secs(3_600)),
                ..none
            },
        ),
        (
            "proxy-send-timeout",
            "60",
            IngressTuning {
                send_timeout: Some(Duration::from_secs(60)),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "0",
            IngressTuning {
                body_size: Some(0),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "1000",
            IngressTuning {
                body_size: Some(1_000),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "8m",
            IngressTuning {
                body_size: Some(8 << 20),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "512K",
            IngressTuning {
                body_size: Some(512 << 10),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "2g",
            IngressTuning {
                body_size: Some(2 << 30),
                ..none
            },
        ),
        (
            "proxy-body-size",
            "7b",
            IngressTuning {
                body_size: Some(7),
                ..none
            },
        ),
    ];
    for (name, value, tuning) in table {
        assert_eq!(nginx(name, value), tuned(tuning), "{name}: {value}");
    }
}

#[test]
fn a_request_waits_a_minute_for_a_connection_at_most() {
    for (value, told) in [
        ("60", Vec::new()),
        (
            "3600",
            vec!["warning: `3600` is more than a request may wait for a connection; 60 s count".to_owned()],
        ),
    ] {
        let tuning = IngressTuning {
            connect_timeout: Some(Duration::from_secs(60)),
            ..IngressTuning::default()
        };
        let expected = Annotations {
            tuning,
            ..Annotations::default()
        };
        assert_eq!(nginx("proxy-connect-timeout", value), (expected, told));
    }
}

#[test]
fn a_value_that_does_not_parse_leaves_the_default() {
    let table = [
        (
            "proxy-read-timeout",
            "60s",
            "error: `60s` is not a number of seconds from 1; it is ignored",
        ),
        (
            "proxy-read-timeout",
            "0",
            "error: `0` is not a number of seconds from 1; it is ignored",
        ),
        (
            "proxy-read-timeout",
            "-1",
            "error: `-1` is not a number of seconds from 1; it is ignored",
        ),
        (
            "proxy-read-timeout",
            "99999999999",
            "error: `99999999999` is not a number of seconds from 1; it is ignored",
        ),
        (
            "proxy-body-size",
            "8MB",
            "error: `8MB` is not a size such as `8m`; it is ignored",
        ),
        (
            "proxy-body-size",
            "",
            "error: `` is not a size such as `8m`; it is ignored",
        ),
        (
            "proxy-body-size",
            "m",
            "error: `m` is not a size such as `8m`; it is ignored",
        ),
        (
            "proxy-body-size",
            "+1",
            "error: `+1` is not a size such as `8m`; it is ignored",
        ),
        (
            "proxy-body-size",
            "99999999999999g",
            "error: `99999999999999g` is not a size such as `8m`; it is ignored",
        ),
    ];
    for (name, value, message) in table {
        assert_eq!(
            nginx(name, value),
            (Annotations::default(), vec![message.to_owned()]),
            "{name}: {value}"
        );
    }
}

#[test]
fn redirect_to_https() {
    let table = [
        ("true", true, 0),
        ("1", true, 0),
        ("false", false, 0),
        ("F", false, 0),
        // A demand for transport security that cannot be understood must not be dropped.
        ("yes", false, 1),
        ("", false, 1),
    ];
    for (value, redirect, closes) in table {
        for name in ["ssl-redirect", "force-ssl-redirect"] {
            let (annotations, told) = nginx(name, value);
            assert_eq!(annotations.ssl_redirect, redirect, "{name}: {value}");
            assert_eq!(annotations.closes.len(), closes, "{name}: {value}");
            assert_eq!(told.len(), closes, "{name}: {value}");
        }
    }
    let either = [
        ("nginx.ingress.kubernetes.io/force-ssl-redirect", "true"),
        ("nginx.ingress.kubernetes.io/ssl-redirect", "false"),
    ];
    assert!(read(&either).0.ssl_redirect);
}

#[test]
fn protection_that_cannot_be_given_closes() {
    let closing = [
        ("auth-url", "https://auth.test/"),
        ("auth-type", "basic"),
        ("auth-tls-secret", "shop/ca"),
        ("auth-tls-verify-client", "on"),
        ("whitelist-source-range", "10.0.0.0/8"),
        ("whitelist-source-range", ""),
        // One family is not everybody.
        ("whitelist-source-range", "0.0.0.0/0"),
        ("allowlist-source-range", "::/0"),
        ("whitelist-source-range", "0.0.0.0/0,::/0,"),
        ("denylist-source-range", "0.0.0.0/0,::/0"),
        ("allowlist-source-range", "10.0.0.0/8"),
        ("denylist-source-range", "10.0.0.0/8"),
        ("limit-rps", "5"),
        ("limit-connections", "5"),
        ("enable-modsecurity", "true"),
        ("modsecurity-snippet", "SecRuleEngine On"),
        ("satisfy", "any"),
        ("proxy-ssl-verify", "maybe"),
        ("proxy-ssl-secret", "other/name"),
        ("proxy-ssl-conf-command", "x"),
        ("backend-protocol", "AUTO_HTTP"),
        ("backend-protocol", "FCGI"),
        ("secure-backends", "yes"),
        ("rewrite-target", "/$1"),
        ("use-regex", "true"),
        ("canary", "true"),
        ("ssl-passthrough", "yes"),
        ("upstream-vhost", "internal.test"),
    ];
    for (name, value) in closing {
        let (annotations, told) = nginx(name, value);
        assert_eq!(annotations.closes.len(), 1, "{name}: {value}");
        assert_eq!(
            &*annotations.closes[0].annotation,
            format!("nginx.ingress.kubernetes.io/{name}")
        );
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("error: ") && told[0].ends_with("; closed (503)"),
            "{told:?}"
        );
    }
}

#[test]
fn values_that_say_what_happens_anyway_pass_in_silence() {
    let table = [
        ("secure-backends", "false"),
        ("proxy-ssl-protocols", "TLSv1.2 TLSv1.3"),
        ("proxy-buffering", "off"),
        ("proxy-request-buffering", "off"),
        ("proxy-http-version", "1.1"),
        ("enable-access-log", "true"),
        ("ssl-passthrough", "false"),
        ("use-regex", "false"),
        ("canary", "false"),
        ("enable-cors", "false"),
        ("enable-modsecurity", "false"),
        ("whitelist-source-range", "0.0.0.0/0,::/0"),
        ("whitelist-source-range", "::/0, 0.0.0.0/0"),
        ("allowlist-source-range", " 0.0.0.0/0 , ::/0 "),
    ];
    for (name, value) in table {
        assert_eq!(
            nginx(name, value),
            (Annotations::default(), Vec::new()),
            "{name}: {value}"
        );
    }
}

#[test]
fn harmless_ones_are_told_of() {
    let table = [
        (
            "proxy-buffering",
            "on",
            "warning: ignored: bodies are always streamed",
        ),
        (
            "proxy-buffer-size",
            "8k",
            "warning: ignored: bodies are always streamed",
        ),
        (
            "enable-websockets",
            "true",
            "warning: ignored: no such annotation exists; WebSocket always works",
        ),
        (
            "server-alias",
            "a.test",
            "warning: ignored: not supported yet; name the hosts in `spec.rules`",
        ),
    ];
    for (name, value, message) in table {
        assert_eq!(
            nginx(name, value),
            (Annotations::default(), vec![message.to_owned()]),
            "{name}"
        );
    }
}

#[test]
fn unknown_keys() {
    assert_eq!(
        read(&[("blastdoor.dev/sparkle", "1")]),
        (
            Annotations::default(),
            vec!["warning: unknown annotation; it is ignored".to_owned()]
        )
    );
    assert_eq!(
        nginx("proxy-read-timeouts", "1"),
        (
            Annotations::default(),
            vec![
                "warning: unknown annotation, which is ignored; did you mean \
                  `nginx.ingress.kubernetes.io/proxy-read-timeout`?"
                    .to_owned()
            ]
        )
    );
    let (annotations, told) = nginx("whitelist-source-ranges", "10.0.0.0/8");
    assert_eq!(
        annotations.closes.len(),
        1,
        "a misspelt allow list is not a missing one"
    );
    assert_eq!(
        told,
        ["error: unknown annotation, which may stand for the protection \
          `nginx.ingress.kubernetes.io/whitelist-source-range`; closed (503)"]
    );
}

#[test]
fn snippets() {
    let snippet = ("nginx.ingress.kubernetes.io/configuration-snippet", "deny all;\n");
    let (annotations, told) = read(&[snippet]);
    assert_eq!(annotations.closes.len(), 1);
    assert_eq!(
        told,
        [
            "error: configuration of nginx, which this gateway does not run; remove it, or set \
          `blastdoor.dev/ignore-snippets: \"true\"`; closed (503)"
        ]
    );
    let (annotations, told) = read(&[snippet, ("blastdoor.dev/ignore-snippets", "true")]);
    assert_eq!(annotations, Annotations::default());
    assert_eq!(
        told,
        ["note: the snippet is ignored, as `blastdoor.dev/ignore-snippets` demands"]
    );
    let (annotations, told) = read(&[snippet, ("blastdoor.dev/ignore-snippets", "perhaps")]);
    assert_eq!(annotations.closes.len(), 1);
    assert_eq!(told.len(), 2);
    let auth = ("nginx.ingress.kubernetes.io/auth-url", "http://auth.test");
    let (annotations, _) = read(&[auth, ("blastdoor.dev/ignore-snippets", "true")]);
    assert_eq!(annotations.closes.len(), 1, "it concerns snippets alone");
}

#[test]
fn traefik() {
    let traefik =
        |name: &str, value: &str| read(&[(&format!("traefik.ingress.kubernetes.io/{name}"), value)]);
    let (annotations, told) = traefik("router.entrypoints", "internal-http, external-http,");
    assert_eq!(
        annotations.entrypoints,
        ["internal-http".into(), "external-http".into()] as [Box<str>; 2]
    );
    assert_eq!(told, [""; 0]);
    assert_eq!(
        traefik("router.entrypoints", " ,"),
        (
            Annotations::default(),
            vec!["warning: names no door; it is ignored".to_owned()]
        )
    );
    assert_eq!(
        traefik("router.middlewares", "shop-auth@kubernetescrd")
            .0
            .closes
            .len(),
        1
    );
    assert_eq!(
        traefik("router.tls.options", "shop-mtls@kubernetescrd")
            .0
            .closes
            .len(),
        1
    );
    assert_eq!(
        traefik("router.tls", "true"),
        (Annotations::default(), Vec::new())
    );
    assert_eq!(traefik("router.observability.metrics", "false").0.closes.len(), 0);
}

#[test]
fn annotations_of_services() {
    let read = |name: &str, value: &str| {
        let raw = BTreeMap::from([(format!("traefik.ingress.kubernetes.io/{name}"), value.to_owned())]);
        let (damage, mut problems) = (Damage::default(), Vec::new());
        let object = crate::ObjectRef::global(crate::Kind::Service, "x");
        let asked = service_annotations(&raw, &mut Report::new(object, &damage, &mut problems));
        (asked.scheme, asked.closes.len(), problems.len())
    };
    assert_eq!(
        read("service.serversscheme", "http"),
        (Some(AppProtocol::Http), 0, 0)
    );
    assert_eq!(
        read("service.serversscheme", "https"),
        (Some(AppProtocol::Https), 0, 0)
    );
    assert_eq!(
        read("service.serversscheme", "h2c"),
        (Some(AppProtocol::H2c), 0, 0)
    );
    assert_eq!(read("service.serversscheme", "ftp"), (None, 1, 1));
    assert_eq!(
        read("service.serverstransport", "shop-mtls@kubernetescrd"),
        (None, 1, 1)
    );
    assert_eq!(read("service.passhostheader", "true"), (None, 0, 0));
    assert_eq!(read("service.passhostheader", "false"), (None, 1, 1));
    assert_eq!(read("service.sticky.cookie.name", "x"), (None, 0, 1));
    assert_eq!(read("router.middlewares", "x"), (None, 0, 1));
}

#[test]
fn the_tables_are_sound() {
    for table in [annotation_table(), service_annotation_table()] {
        for row in table {
            assert!(
                split(row.key).is_some(),
                "{} has none of the three prefixes",
                row.key
            );
            assert!(!row.note.is_empty(), "{} has no note", row.key);
            let same = table.iter().filter(|other| other.key == row.key).count();
            assert_eq!(same, 1, "{} is listed twice", row.key);
        }
    }
    // What is listed as honoured is honoured, whatever its value.
    for row in annotation_table()
        .iter()
        .filter(|row| row.kind == AnnotationKind::Honoured)
    {
        let (annotations, told) = read(&[(row.key, "true")]);
        let unimplemented = told.iter().any(|told| told.contains("not implemented"));
        assert!(!unimplemented, "{}: {told:?} {annotations:?}", row.key);
    }
}
