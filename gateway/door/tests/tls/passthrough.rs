//! TLS that is not ended at the door.

use std::sync::Arc;

use door::{Action, Blocked, CaSource, ClientAuth, DefaultCertificate, TlsPolicy, Verdict};
use route::{HostBuf, PathScratch, normalise_authority, normalise_path, normalise_sni};

use crate::rig::{Doors, Rules, assert_reported, made, policy, tls_policy, tls_secret};

const PASS: &[(&str, &str)] = &[("nginx.ingress.kubernetes.io/ssl-passthrough", "true")];

fn doors() -> Doors {
    Doors::new(&tls_policy(DefaultCertificate::SelfSigned))
}

/// The Ingress that takes connections for a name.
fn takes(doors: &Doors, name: &str) -> Option<String> {
    let mut scratch = HostBuf::new();
    let name = normalise_sni(name.as_bytes(), &mut scratch).unwrap();
    let tls = doors.tls(0);
    tls.passthrough(&name)
        .map(|route| route.origin.key.name().to_owned())
}

/// The Ingress whose route answers a host at a door, or what its action is.
fn serves(doors: &Doors, door: usize, host: &str) -> Option<String> {
    let (mut scratch, mut path) = (HostBuf::new(), PathScratch::default());
    let host = normalise_authority(host.as_bytes(), &mut scratch).unwrap();
    let path = normalise_path(b"/", &mut path).unwrap();
    match doors.doors[door].snapshot().find(Some(&host), &path) {
        Verdict::Matched(route) => Some(match &route.action {
            Action::Forward(_) => route.origin.key.name().to_owned(),
            action @ (Action::Blocked(_) | Action::Redirect) => format!("{action:?}"),
        }),
        Verdict::Redirect { port } => Some(format!("redirect to {port}")),
        Verdict::Unknown { .. } | Verdict::NotSynced => None,
    }
}

#[test]
fn passed_through_names_have_a_backend_and_no_routes() {
    let mut doors = doors();
    let yaml = Rules {
        name: "pass",
        hosts: &["p.test", "*.wild.test"],
        annotations: PASS,
        ..Rules::default()
    }
    .yaml()
        + &Rules {
            name: "app",
            hosts: &["a.test", "x.wild.test"],
            ..Rules::default()
        }
        .yaml();
    assert_eq!(doors.publish(&yaml), [""; 0]);
    assert!(doors.tls(0).has_passthrough() && !doors.tls(1).has_passthrough());
    for (name, expected) in [
        ("p.test", Some("pass")),
        ("P.TEST.", Some("pass")),
        ("y.wild.test", Some("pass")),
        // A precise name beats a wildcard, wherever TLS ends.
        ("x.wild.test", None),
        ("a.test", None),
        ("z.y.wild.test", None),
    ] {
        assert_eq!(takes(&doors, name).as_deref(), expected, "{name}");
    }
    assert_eq!(serves(&doors, 0, "p.test"), None);
    assert_eq!(serves(&doors, 0, "x.wild.test").as_deref(), Some("app"));
    let tls = doors.tls(0);
    let mut scratch = HostBuf::new();
    let name = normalise_sni(b"p.test", &mut scratch).unwrap();
    let Action::Forward(upstream) = &tls.passthrough(&name).unwrap().action else {
        panic!()
    };
    assert_eq!((upstream.service.name(), upstream.endpoints.len()), ("app", 1));
    let routes: Vec<String> = tls
        .passthrough_routes()
        .map(|(host, _)| host.to_string())
        .collect();
    assert_eq!(routes.len(), 2);
}

/// A name that is passed through is not served on any connection that the door itself ended, not even by a wildcard.
#[test]
fn a_passed_through_host_is_misdirected_on_terminated_tls() {
    let mut doors = doors();
    let yaml = Rules {
        name: "pass",
        hosts: &["p.test"],
        annotations: PASS,
        ..Rules::default()
    }
    .yaml()
        + &Rules {
            name: "app",
            hosts: &["*.test"],
            ..Rules::default()
        }
        .yaml();
    doors.publish(&yaml);
    let tls = doors.tls(0);
    let mut scratch = HostBuf::new();
    let host = normalise_authority(b"p.test", &mut scratch).unwrap();
    let mut other = HostBuf::new();
    let other = normalise_sni(b"a.test", &mut other).unwrap();
    for sni in [None, Some(&other), Some(&host)] {
        assert!(!tls.admits(&tls.handshake(sni), Some(&host)), "{sni:?}");
    }
    assert!(tls.admits(&tls.handshake(None), Some(&other)));
}

#[test]
fn the_oldest_ingress_decides_whether_a_host_is_passed_through() {
    let pass = |age| {
        Rules {
            name: "pass",
            age,
            hosts: &["a.test"],
            annotations: PASS,
            ..Rules::default()
        }
        .yaml()
    };
    let app = |age| {
        Rules {
            name: "app",
            age,
            hosts: &["a.test"],
            ..Rules::default()
        }
        .yaml()
    };
    let more = |age| {
        Rules {
            name: "more",
            age,
            hosts: &["a.test"],
            annotations: PASS,
            ..Rules::default()
        }
        .yaml()
    };
    let mut doors = doors();
    let lines = doors.publish(&(pass(1) + &app(2) + &more(3)));
    assert_eq!(
        (takes(&doors, "a.test").as_deref(), serves(&doors, 0, "a.test")),
        (Some("pass"), None)
    );
    for loser in ["app", "more"] {
        assert_reported(
            &lines,
            &[&format!(
                "warning: Ingress test/{loser} spec.rules[0].host: host a.test at door `one` belongs to the older Ingress `test/pass`"
            )],
        );
    }
    let lines = doors.publish(&(pass(2) + &app(1)));
    assert_eq!(
        (takes(&doors, "a.test"), serves(&doors, 0, "a.test").as_deref()),
        (None, Some("app"))
    );
    assert_reported(
        &lines,
        &[
            "warning: Ingress test/pass",
            "belongs to the older Ingress `test/app`",
        ],
    );
}

#[test]
fn passthrough_that_is_impossible_closes_the_ingress() {
    let mut doors = doors();
    let closed = [PASS[0], ("nginx.ingress.kubernetes.io/auth-type", "basic")];
    let yaml = Rules {
        name: "closed",
        hosts: &["c.test"],
        annotations: &closed,
        ..Rules::default()
    }
    .yaml()
        + &Rules {
            name: "hostless",
            hosts: &[""],
            annotations: PASS,
            ..Rules::default()
        }
        .yaml()
        + &Rules {
            name: "gone",
            hosts: &["g.test"],
            annotations: PASS,
            ..Rules::default()
        }
        .yaml()
        .replace("name: app,", "name: gone,");
    let lines = doors.publish(&yaml);
    assert_reported(
        &lines,
        &[
            "error: Ingress test/hostless",
            "TLS is passed through by host, and this rule has none",
        ],
    );
    assert_reported(
        &lines,
        &["error: Ingress test/gone", "Service `test/gone` does not exist"],
    );
    let tls = doors.tls(0);
    for (name, reason) in [
        ("c.test", Blocked::Annotation),
        ("g.test", Blocked::NoSuchBackend),
    ] {
        let mut scratch = HostBuf::new();
        let name = normalise_sni(name.as_bytes(), &mut scratch).unwrap();
        assert_eq!(tls.passthrough(&name).unwrap().action, Action::Blocked(reason));
    }
    // A door without TLS.
    doors.publishers[0].reconfigure(policy("one", None), ());
    let yaml = Rules {
        name: "pass",
        hosts: &["p.test"],
        annotations: PASS,
        ..Rules::default()
    }
    .yaml();
    let lines = doors.publish(&yaml);
    assert_reported(
        &lines,
        &[
            "error: Ingress test/pass",
            "door `one` does not see the client's TLS, so it cannot pass it through; closed (503)",
        ],
    );
    assert_eq!(
        serves(&doors, 0, "p.test").as_deref(),
        Some("Blocked(Annotation)")
    );
}

/// A door that passes nothing through: the Ingress is closed, as a whole and under the door's own TLS.
#[test]
fn a_door_can_refuse_passthrough() {
    let own = made(&["p.test"]);
    let pass = Rules {
        name: "pass",
        age: 2,
        hosts: &["p.test"],
        tls: &[(&["p.test"], "own")],
        annotations: PASS,
        ..Rules::default()
    };
    let broader = Rules {
        name: "broader",
        age: 1,
        hosts: &["*.test", ""],
        ..Rules::default()
    };
    let paths = pass.yaml().replace("path: /,", "path: /only,");
    let younger = Rules {
        name: "younger",
        age: 3,
        hosts: &["p.test"],
        ..Rules::default()
    };
    let rest = tls_secret("own", &own) + &broader.yaml();
    let required = ClientAuth::Required(CaSource::Secret(route::ObjectKey::new("test", "ca")));
    for (client_auth, why) in [(ClientAuth::Off, ""), (required, "client certificates")] {
        let mut doors = Doors::new(&TlsPolicy {
            passthrough: false,
            client_auth,
            ..tls_policy(DefaultCertificate::SelfSigned)
        });
        for yaml in [pass.yaml(), paths.clone()] {
            let lines = doors.publish(&(rest.clone() + &yaml));
            assert_reported(
                &lines,
                &[
                    "error: Ingress test/pass metadata.annotations[nginx.ingress.kubernetes.io/ssl-passthrough]",
                    "door `one` passes no TLS through",
                    why,
                    "closed (503); remove the annotation, or have `passthrough = true` set for the door",
                ],
            );
            assert_eq!(takes(&doors, "p.test"), None);
            assert!(!doors.tls(0).has_passthrough());
            assert_eq!(
                serves(&doors, 0, "p.test").as_deref(),
                Some("Blocked(Annotation)")
            );
            assert_eq!(serves(&doors, 0, "q.test").as_deref(), Some("broader"));
        }
        if why.is_empty() {
            assert_eq!(doors.shown(0, "p.test"), Some(own.der()));
        }
        // Other rules for the host are not affected.
        doors.publish(&(rest.clone() + &paths + &younger.yaml()));
        assert_eq!(serves(&doors, 0, "p.test").as_deref(), Some("younger"));
    }
    // The setting takes effect at once.
    let mut doors = Doors::new(&TlsPolicy {
        passthrough: false,
        ..tls_policy(DefaultCertificate::SelfSigned)
    });
    doors.publish(&(rest.clone() + &pass.yaml()));
    for passthrough in [true, false] {
        let tls = TlsPolicy {
            passthrough,
            ..tls_policy(DefaultCertificate::SelfSigned)
        };
        doors.publishers[0].reconfigure(policy("one", Some(tls)), ());
        doors.publish(&(rest.clone() + &pass.yaml()));
        assert_eq!(takes(&doors, "p.test").is_some(), passthrough);
    }
}

/// A plain door that redirects does so for what its sibling passes through, too.
#[test]
fn a_redirecting_door_covers_passed_through_hosts() {
    let mut doors = doors();
    let mut plain = policy("two", None);
    plain.redirect = Some("one".parse().unwrap());
    doors.publishers[1].reconfigure(plain, ());
    doors.publish(
        &Rules {
            name: "pass",
            hosts: &["p.test"],
            annotations: PASS,
            ..Rules::default()
        }
        .yaml(),
    );
    assert_eq!(serves(&doors, 1, "p.test").as_deref(), Some("redirect to 443"));
    assert_eq!(serves(&doors, 1, "q.test"), None);
}

/// An unchanged table is the same value.
#[test]
fn nothing_changes_when_nothing_changed() {
    let mut doors = doors();
    let yaml = Rules {
        name: "pass",
        hosts: &["p.test"],
        annotations: PASS,
        ..Rules::default()
    }
    .yaml();
    doors.publish(&yaml);
    let before = doors.tls(0);
    doors.publish(&yaml);
    assert!(Arc::ptr_eq(&before, &doors.tls(0)));
    doors.publish("");
    assert!(!doors.tls(0).has_passthrough());
}
