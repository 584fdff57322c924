//! Which certificate a name gets.

use std::sync::Arc;

use door::{Certificate, DefaultCertificate};
use route::{HostPattern, HostRestriction};

use crate::rig::{Doors, Rules, assert_reported, made, policy, secret, tls_policy, tls_secret};

fn given(made: &crate::rig::Made) -> DefaultCertificate {
    let certificate = Certificate::from_pem(made.chain.as_bytes(), made.key.as_bytes()).unwrap();
    DefaultCertificate::Given(Arc::new(certificate))
}

#[test]
fn precise_then_wildcard_then_default() {
    let (precise, wildcard, default) = (made(&["a.test"]), made(&["*.test"]), made(&["default"]));
    let yaml = tls_secret("precise", &precise)
        + &tls_secret("wildcard", &wildcard)
        + &Rules {
            name: "wild",
            age: 1,
            tls: &[(&["*.test"], "wildcard")],
            hosts: &["*.test"],
            ..Rules::default()
        }
        .yaml()
        + &Rules {
            name: "app",
            age: 2,
            tls: &[(&["a.test"], "precise")],
            hosts: &["a.test"],
            ..Rules::default()
        }
        .yaml();
    let mut doors = Doors::new(&tls_policy(given(&default)));
    assert_eq!(doors.publish(&yaml), [""; 0]);
    for (name, expected) in [
        ("a.test", &precise),
        ("A.Test", &precise),
        ("a.test.", &precise),
        ("b.test", &wildcard),
        ("c.b.test", &default),
        ("test", &default),
        ("elsewhere.invalid", &default),
        ("", &default),
        ("127.0.0.1", &default),
    ] {
        assert_eq!(doors.shown(0, name), Some(expected.der()), "{name}");
        assert_eq!(
            doors.shown(1, name),
            Some(default.der()),
            "{name} at the other door"
        );
    }
    let names = |door| -> Vec<(String, Vec<String>)> {
        let listed = doors.tls(door).names_of_certificates().into_iter();
        let texts = |names: Vec<HostPattern>| names.iter().map(ToString::to_string).collect();
        listed
            .map(|(served, names)| (served.secret, texts(names)))
            .collect()
    };
    let expected = [
        ("default", vec![]),
        ("test/precise", vec!["a.test"]),
        ("test/wildcard", vec!["*.test"]),
    ];
    let expected =
        expected.map(|(secret, names)| (secret.to_owned(), names.into_iter().map(str::to_owned).collect()));
    assert_eq!(names(0), expected);
    assert_eq!(names(1), expected[..1]);
}

#[test]
fn without_a_default_certificate_unknown_names_fail() {
    let known = made(&["a.test"]);
    let yaml = tls_secret("known", &known)
        + &Rules {
            hosts: &["a.test"],
            tls: &[(&["a.test"], "known")],
            ..Rules::default()
        }
        .yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::None));
    doors.publish(&yaml);
    assert_eq!(doors.shown(0, "a.test"), Some(known.der()));
    for (door, name) in [(0, "b.test"), (0, ""), (1, "a.test")] {
        assert_eq!(doors.shown(door, name), None, "{name}");
    }
}

/// Without `hosts`, the hosts of the rules that the certificate is for.
#[test]
fn an_entry_without_hosts_stands_for_the_hosts_that_its_certificate_covers() {
    let (two, other) = (made(&["a.test", "*.b.test"]), made(&["c.test"]));
    let yaml = tls_secret("two", &two)
        + &tls_secret("other", &other)
        + &Rules {
            hosts: &["a.test", "x.b.test", "*.b.test", "c.test", "d.test", ""],
            tls: &[(&[], "two"), (&["c.test"], "other")],
            ..Rules::default()
        }
        .yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::None));
    assert_eq!(doors.publish(&yaml), [""; 0]);
    for (name, expected) in [
        ("a.test", Some(two.der())),
        ("x.b.test", Some(two.der())),
        ("y.b.test", Some(two.der())),
        ("c.test", Some(other.der())),
        ("d.test", None),
    ] {
        assert_eq!(doors.shown(0, name), expected, "{name}");
    }
}

/// An entry with unreadable hosts must not become one for every host.
#[test]
fn an_unreadable_host_does_not_count_as_no_host() {
    let one = made(&["a.test"]);
    let yaml = tls_secret("one", &one)
        + &Rules {
            hosts: &["a.test"],
            tls: &[(&["a.test:443"], "one")],
            ..Rules::default()
        }
        .yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::None));
    doors.publish(&yaml);
    assert_eq!(doors.shown(0, "a.test"), None);
}

#[test]
fn the_oldest_ingress_owns_the_host() {
    let (old, new) = (made(&["a.test", "b.test"]), made(&["a.test", "b.test"]));
    let yaml = tls_secret("old", &old)
        + &tls_secret("new", &new)
        + &Rules {
            name: "new",
            age: 2,
            hosts: &["b.test"],
            tls: &[(&["a.test", "b.test"], "new")],
            ..Rules::default()
        }
        .yaml()
        + &Rules {
            name: "old",
            age: 1,
            hosts: &["a.test"],
            tls: &[(&["a.test"], "old")],
            ..Rules::default()
        }
        .yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::None));
    let lines = doors.publish(&yaml);
    assert_eq!(doors.shown(0, "a.test"), Some(old.der()));
    assert_eq!(doors.shown(0, "b.test"), Some(new.der()));
    assert_eq!(
        lines,
        [
            "warning: Ingress test/new spec.tls[0].hosts: the certificate for `a.test` at door `one` comes from the older Ingress `test/old`; the one in Secret `test/new` is not used"
        ]
    );
}

#[test]
fn the_doors_hosts_restrict_certificates_too() {
    let one = made(&["a.test", "b.test"]);
    let yaml = tls_secret("one", &one)
        + &Rules {
            hosts: &["a.test"],
            tls: &[(&["a.test", "b.test"], "one")],
            ..Rules::default()
        }
        .yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::None));
    let mut restricted = policy("one", Some(tls_policy(DefaultCertificate::None)));
    restricted.hosts = vec![HostRestriction::parse("a.test").unwrap()];
    doors.publishers[0].reconfigure(restricted, ());
    let lines = doors.publish(&yaml);
    assert_reported(
        &lines,
        &[
            "error",
            "spec.tls[0].hosts",
            "host `b.test` may not be exposed at door `one`",
        ],
    );
    assert_eq!(doors.shown(0, "a.test"), Some(one.der()));
    assert_eq!(doors.shown(0, "b.test"), None);
}

#[test]
fn the_default_comes_from_a_secret_or_is_made() {
    let one = made(&["default.test"]);
    let key = route::ObjectKey::new("test", "default");
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::Secret(key)));
    let lines = doors.publish("");
    assert_reported(
        &lines,
        &[
            "error: Secret test/default",
            "the default certificate of door `one` is in this Secret, which does not exist",
        ],
    );
    assert_eq!(doors.shown(0, "any.test"), None);
    assert_eq!(doors.publish(&tls_secret("default", &one)), [""; 0]);
    assert_eq!(doors.shown(0, "any.test"), Some(one.der()));

    let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
    doors.publish("");
    let (first, other) = (doors.shown(0, "x.test"), doors.shown(1, "x.test"));
    assert!(
        first.is_some() && other.is_some() && first != other,
        "each door has its own"
    );
    let again = policy("one", Some(tls_policy(DefaultCertificate::SelfSigned)));
    doors.publishers[0].reconfigure(again, ());
    doors.publish(
        &Rules {
            hosts: &["a.test"],
            ..Rules::default()
        }
        .yaml(),
    );
    assert_eq!(doors.shown(0, "x.test"), first, "and keeps it");
}

/// The last good certificate stays in use, whatever happens to its Secret. A new good one replaces it.
#[test]
fn the_last_good_certificate_stays() {
    let (first, second) = (made(&["a.test"]), made(&["a.test"]));
    let rules = Rules {
        hosts: &["a.test"],
        tls: &[(&["a.test"], "one")],
        ..Rules::default()
    }
    .yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
    doors.publish(&(tls_secret("one", &first) + &rules));
    assert_eq!(doors.shown(0, "a.test"), Some(first.der()));
    let broken = secret(
        "one",
        "kubernetes.io/tls",
        &[("tls.crt", &first.chain), ("tls.key", &second.key)],
    );
    for yaml in [String::new(), broken, secret("one", "Opaque", &[])] {
        let lines = doors.publish(&(yaml + &rules));
        assert_reported(
            &lines,
            &[
                "error: Ingress test/app spec.tls[0].secretName",
                "its last good certificate stays in use",
            ],
        );
        assert_eq!(doors.shown(0, "a.test"), Some(first.der()));
    }
    assert_eq!(doors.publish(&(tls_secret("one", &second) + &rules)), [""; 0]);
    assert_eq!(doors.shown(0, "a.test"), Some(second.der()));
}

/// A certificate that was never good affects its names and nothing else.
#[test]
fn a_certificate_that_was_never_good_fails_its_names() {
    let wildcard = made(&["*.test"]);
    let yaml = tls_secret("wildcard", &wildcard)
        + &Rules {
            name: "wild",
            age: 1,
            hosts: &["*.test"],
            tls: &[(&["*.test"], "wildcard")],
            ..Rules::default()
        }
        .yaml()
        + &Rules {
            name: "app",
            age: 2,
            hosts: &["a.test"],
            tls: &[(&["a.test"], "gone")],
            ..Rules::default()
        }
        .yaml()
        + &Rules {
            name: "open",
            age: 3,
            hosts: &["c.test"],
            tls: &[(&[], "gone")],
            ..Rules::default()
        }
        .yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
    let lines = doors.publish(&yaml);
    assert_reported(
        &lines,
        &[
            "Ingress test/app",
            "Secret `test/gone` does not exist; handshakes for `a.test` fail",
        ],
    );
    assert_reported(
        &lines,
        &[
            "Ingress test/open",
            "Secret `test/gone` does not exist; handshakes for `c.test` fail",
        ],
    );
    assert_eq!(doors.shown(0, "a.test"), None);
    assert_eq!(doors.shown(0, "c.test"), None);
    assert_eq!(doors.shown(0, "b.test"), Some(wildcard.der()));
    assert!(doors.shown(0, "elsewhere.invalid").is_some());
}

/// What did not change is the same value, so that changes elsewhere cost nothing.
#[test]
fn unchanged_certificates_are_the_same_value() {
    let (one, two) = (made(&["a.test"]), made(&["b.test"]));
    let rules = Rules {
        hosts: &["a.test"],
        tls: &[(&["a.test"], "one")],
        ..Rules::default()
    }
    .yaml();
    let other = |made| {
        let rules = Rules {
            name: "other",
            door: "two",
            hosts: &["b.test"],
            tls: &[(&["b.test"], "two")],
            ..Rules::default()
        };
        tls_secret("two", made) + &rules.yaml()
    };
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
    doors.publish(&(tls_secret("one", &one) + &rules));
    let before = doors.tls(0);
    doors.publish(&(tls_secret("one", &one) + &rules + &other(&two)));
    assert!(Arc::ptr_eq(&before, &doors.tls(0)));
    let (second, before_two) = (made(&["b.test"]), doors.tls(1));
    doors.publish(&(tls_secret("one", &one) + &rules + &other(&second)));
    assert!(Arc::ptr_eq(&before, &doors.tls(0)));
    assert!(!Arc::ptr_eq(&before_two, &doors.tls(1)));
    // Another route, the same certificates: the configuration of handshakes stays.
    let more = Rules {
        name: "more",
        hosts: &["c.test"],
        ..Rules::default()
    }
    .yaml();
    doors.publish(&(tls_secret("one", &one) + &rules + &more));
    assert!(Arc::ptr_eq(before.server_config(), doors.tls(0).server_config()));
}

#[test]
fn what_is_served_can_be_listed_and_shows_no_secret() {
    let one = made(&["a.test"]);
    let yaml = tls_secret("one", &one)
        + &Rules {
            hosts: &["a.test"],
            tls: &[(&["a.test"], "one"), (&["b.test"], "gone")],
            ..Rules::default()
        }
        .yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::SelfSigned));
    doors.publish(&yaml);
    let served = doors.tls(0).certificates();
    let names: Vec<&str> = served
        .iter()
        .map(|certificate| certificate.secret.as_str())
        .collect();
    assert_eq!(names, ["default", "test/one"]);
    // rcgen's certificates end with the year 4095; self-signed ones in ten years.
    assert_eq!(served[1].expires, 67_090_118_400);
    let shown = format!("{:?} {:?}", doors.tls(0), doors.publishers[0]);
    let key = one.key.lines().nth(1).unwrap();
    assert!(shown.contains("a.test") && !shown.contains(key), "{shown}");
}

#[test]
fn a_door_without_tls_reports_spec_tls() {
    let one = made(&["a.test"]);
    let yaml = tls_secret("one", &one)
        + &Rules {
            hosts: &["a.test"],
            tls: &[(&["a.test"], "one")],
            ..Rules::default()
        }
        .yaml();
    let mut doors = Doors::new(&tls_policy(DefaultCertificate::None));
    doors.publishers[0].reconfigure(policy("one", None), ());
    let lines = doors.publish(&yaml);
    assert_eq!(
        lines,
        ["note: Ingress test/app spec.tls: door `one` does not terminate TLS, so this has no effect there"]
    );
    assert!(doors.doors[0].snapshot().tls().is_none());
}
