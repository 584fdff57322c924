//! Whose certificate a name gets, where namespaces share a door.

use door::{Certificate, DefaultCertificate};

use crate::rig::{Doors, Made, Rules, SERVICE, assert_reported, made, tls_policy, tls_secret};

/// The same objects in another namespace.
fn of(namespace: &str, yaml: &str) -> String {
    yaml.replace("namespace: test", &format!("namespace: {namespace}"))
}

/// A door and its objects: two namespaces, a default certificate or none.
struct Case {
    doors: Doors,
    default: Option<Made>,
    lines: Vec<String>,
}

impl Case {
    fn new(has_default: bool, ours: &str, theirs: &str) -> Self {
        let default = has_default.then(|| made(&["default.test"]));
        let certificate = default.as_ref().map_or(DefaultCertificate::None, |made| {
            let certificate = Certificate::from_pem(made.chain.as_bytes(), made.key.as_bytes()).unwrap();
            DefaultCertificate::Given(certificate.into())
        });
        let mut case = Self {
            doors: Doors::new(&tls_policy(certificate)),
            default,
            lines: Vec::new(),
        };
        case.publish(ours, theirs);
        case
    }

    fn publish(&mut self, ours: &str, theirs: &str) {
        let yaml = of("ours", &(SERVICE.to_owned() + ours)) + &of("theirs", &(SERVICE.to_owned() + theirs));
        self.lines = self.doors.publish(&yaml);
    }

    /// Each name with the certificate that it should get: `None` for the default one.
    #[track_caller]
    fn shows(&self, names: &[(&str, Option<&Made>)]) {
        for (name, expected) in names {
            let expected = expected.or(self.default.as_ref()).map(Made::der);
            assert_eq!(self.doors.shown(0, name), expected, "{name}: {:#?}", self.lines);
        }
    }
}

fn rules<'a>(name: &'a str, age: u8, hosts: &'a [&'a str], tls: &'a [(&'a [&'a str], &'a str)]) -> Rules<'a> {
    Rules {
        name,
        age,
        hosts,
        tls,
        ..Rules::default()
    }
}

/// No rules, younger, another namespace, with a Secret of its own or a missing one.
#[test]
fn an_entry_without_a_rule_takes_no_served_name() {
    let (own, stranger) = (made(&["a.test"]), made(&["*.test", "a.test"]));
    let ours = tls_secret("own", &own)
        + &rules(
            "app",
            1,
            &["a.test", "plain.test", "*.wild.test"],
            &[(&["a.test"], "own")],
        )
        .yaml();
    let names: &[&str] = &["a.test", "plain.test", "*.test", "x.wild.test", "*.wild.test"];
    for secret in ["gone", "stranger"] {
        let theirs = tls_secret("stranger", &stranger) + &rules("thief", 2, &[], &[(names, secret)]).yaml();
        // As young, and older: the older one has no rule either.
        for theirs in [theirs.clone(), theirs.replace("00:00:02Z", "00:00:00Z")] {
            let case = Case::new(true, &ours, &theirs);
            case.shows(&[
                ("a.test", Some(&own)),
                ("plain.test", None),
                ("x.wild.test", None),
                ("y.wild.test", None),
            ]);
            for host in ["a.test", "plain.test", "x.wild.test", "*.wild.test"] {
                let line =
                    format!("`{host}` at door `one` is served by Ingress `ours/app`, of another namespace");
                assert_reported(
                    &case.lines,
                    &["warning: Ingress theirs/thief spec.tls[0].hosts", &line],
                );
            }
            // A name that nobody serves may be taken, and a certificate that was never good does no harm.
            case.shows(&[("b.test", (secret == "stranger").then_some(&stranger))]);
        }
    }
}

/// A wildcard is not shown for names below it that others serve, and its missing Secret does not affect them.
#[test]
fn a_wildcard_leaves_the_hosts_of_others_alone() {
    let (wild, own) = (made(&["*.test"]), made(&["own.test"]));
    let ours = tls_secret("own", &own)
        + &rules("app", 1, &["own.test", "plain.test"], &[(&["own.test"], "own")]).yaml();
    for (secret, wildcard) in [("wild", Some(&wild)), ("gone", None)] {
        for rule in [&[][..], &["*.test"]] {
            let theirs = tls_secret("wild", &wild) + &rules("wild", 0, rule, &[(&["*.test"], secret)]).yaml();
            let case = Case::new(true, &ours, &theirs);
            case.shows(&[("own.test", Some(&own)), ("plain.test", None)]);
            match wildcard {
                Some(wild) => {
                    case.shows(&[("else.test", Some(wild))]);
                    let severity = if rule.is_empty() { "warning" } else { "note" };
                    assert_reported(
                        &case.lines,
                        &[
                            &format!("{severity}: Ingress theirs/wild spec.tls[0].hosts"),
                            "the certificate for `*.test` at door `one` is not used for `plain.test` (Ingress `ours/app`)",
                        ],
                    );
                }
                // Its own hosts fail. Names that nobody serves have the default.
                None if rule.is_empty() => case.shows(&[("else.test", None)]),
                None => assert_eq!(case.doors.shown(0, "else.test"), None),
            }
        }
    }
    // A wildcard of the same namespace is still shown for names below it, even if another namespace has the wildcard.
    let ours = tls_secret("wild", &wild) + &rules("app", 2, &["plain.test"], &[(&["*.test"], "wild")]).yaml();
    let other = made(&["*.test"]);
    let theirs =
        tls_secret("other", &other) + &rules("wild", 1, &["*.test"], &[(&["*.test"], "other")]).yaml();
    let case = Case::new(true, &ours, &theirs);
    case.shows(&[("plain.test", Some(&wild)), ("else.test", Some(&other))]);
    assert_reported(
        &case.lines,
        &[
            "Ingress ours/app spec.tls[0].hosts",
            "`*.test` at door `one` is served by Ingress `theirs/wild`",
        ],
    );
}

/// The wildcard of another namespace serves a name without a certificate, but not one whose own certificate is missing.
#[test]
fn without_a_default_certificate_a_wildcard_stands_in() {
    let (wild, own) = (made(&["*.test"]), made(&["own.test"]));
    let ours = tls_secret("own", &own)
        + &rules(
            "app",
            1,
            &["own.test", "plain.test", "broken.test"],
            &[(&["own.test"], "own"), (&["broken.test"], "gone")],
        )
        .yaml();
    let theirs = tls_secret("wild", &wild) + &rules("wild", 0, &[], &[(&["*.test"], "wild")]).yaml();
    let case = Case::new(false, &ours, &theirs);
    case.shows(&[
        ("own.test", Some(&own)),
        ("plain.test", Some(&wild)),
        ("broken.test", None),
    ]);
}

/// Namespaces that share a host by its paths: the oldest one decides on its certificate.
#[test]
fn a_shared_host_belongs_to_the_oldest_winner() {
    let (own, stranger) = (made(&["a.test"]), made(&["a.test"]));
    let theirs = |age, secret: &str| {
        let tls: &[(&[&str], &str)] = &[(&["a.test"], secret)];
        tls_secret("stranger", &stranger)
            + &rules("more", age, &["a.test"], tls)
                .yaml()
                .replace("path: /,", "path: /more,")
    };
    let ours = |secret: &str| {
        let tls: &[(&[&str], &str)] = &[(&["a.test"], secret)];
        let tls = if secret.is_empty() { &[][..] } else { tls };
        tls_secret("own", &own) + &rules("app", 2, &["a.test"], tls).yaml()
    };
    // (our Secret, their Secret, their age, a default, shown)
    let table = [
        ("own", "stranger", 3, true, Some(&own)),
        ("own", "gone", 3, true, Some(&own)),
        ("own", "stranger", 1, true, Some(&stranger)),
        // Ours uses the default certificate, and still does.
        ("", "stranger", 3, true, None),
        ("", "gone", 3, true, None),
        // An older certificate that was never good does not harm others.
        ("own", "gone", 1, true, Some(&own)),
        ("", "gone", 1, true, None),
        // If no certificate would be shown, nobody loses one.
        ("", "stranger", 3, false, Some(&stranger)),
        ("gone", "stranger", 3, false, Some(&stranger)),
        ("gone", "gone", 3, false, None),
    ];
    for (our, their, age, has_default, expected) in table {
        let case = Case::new(has_default, &ours(our), &theirs(age, their));
        let expected = expected.or(case.default.as_ref()).map(Made::der);
        assert_eq!(
            case.doors.shown(0, "a.test"),
            expected,
            "{our}, {their}, {age}: {:#?}",
            case.lines
        );
    }
    // A rule that is lost does not count.
    let lost = tls_secret("stranger", &stranger)
        + &rules("app", 3, &["a.test"], &[(&["a.test"], "stranger")]).yaml();
    Case::new(false, &ours(""), &lost).shows(&[("a.test", None)]);
}

/// Served alone, a name whose certificate was never good gets no other one.
#[test]
fn a_name_of_one_namespace_fails_with_its_certificate() {
    let theirs = rules("other", 1, &["b.test"], &[]).yaml();
    let ours = rules("app", 2, &["a.test"], &[(&["a.test"], "gone")]).yaml();
    let case = Case::new(true, &ours, &theirs);
    assert_eq!(case.doors.shown(0, "a.test"), None);
    case.shows(&[("b.test", None)]);
}

/// Rules without a host, and default backends, serve the hosts that nobody names.
#[test]
fn an_ingress_for_every_host_has_their_certificates() {
    let stranger = made(&["a.test"]);
    let thief =
        tls_secret("stranger", &stranger) + &rules("thief", 1, &[], &[(&["a.test"], "stranger")]).yaml();
    let hostless = rules("all", 2, &[""], &[]).yaml();
    let default = rules("all", 2, &[], &[]).yaml().replace(
        "spec:\n",
        "spec:\n  defaultBackend: {service: {name: app, port: {number: 80}}}\n",
    );
    for ours in [&hostless, &default] {
        Case::new(true, ours, &thief).shows(&[("a.test", None)]);
        // The namespace that serves the host has it.
        let theirs = tls_secret("stranger", &stranger)
            + &rules("app", 3, &["a.test"], &[(&["a.test"], "stranger")]).yaml();
        Case::new(true, ours, &theirs).shows(&[("a.test", Some(&stranger)), ("b.test", None)]);
        // Its own entries count for what it serves.
        let own = tls_secret("stranger", &stranger)
            + &ours.replace(
                "spec:\n",
                "spec:\n  tls: [{hosts: [a.test], secretName: stranger}]\n",
            );
        Case::new(true, &own, "").shows(&[("a.test", Some(&stranger)), ("b.test", None)]);
    }
}

/// No certificate applies to a name that is passed through, and no entry takes a name out of such a wildcard.
#[test]
fn an_entry_does_not_take_a_name_out_of_a_passthrough() {
    let pass = Rules {
        annotations: &[("nginx.ingress.kubernetes.io/ssl-passthrough", "true")],
        ..rules("pass", 2, &["p.test", "*.pass.test"], &[])
    };
    let stranger = made(&["p.test", "x.pass.test"]);
    for age in [1, 3] {
        let theirs = tls_secret("stranger", &stranger)
            + &rules("thief", age, &[], &[(&["p.test", "x.pass.test"], "stranger")]).yaml();
        let case = Case::new(true, &pass.yaml(), &theirs);
        let tls = case.doors.tls(0);
        for name in ["p.test", "x.pass.test"] {
            let mut scratch = route::HostBuf::new();
            let name = route::normalise_sni(name.as_bytes(), &mut scratch).unwrap();
            assert!(tls.passthrough(&name).is_some(), "{name:?}, {age}");
        }
        assert_reported(
            &case.lines,
            &[
                "Ingress theirs/thief",
                "`p.test` at door `one` is served by Ingress `ours/pass`",
            ],
        );
    }
}

/// The owner of a name follows from the rules, even if no Ingress with certificates has changed.
#[test]
fn certificates_move_with_their_rules() {
    let (wild, own) = (made(&["*.test"]), made(&["a.test"]));
    let theirs = tls_secret("wild", &wild)
        + &tls_secret("own", &own)
        + &rules("wild", 1, &["*.test"], &[(&["*.test"], "wild")]).yaml()
        + &rules("entry", 2, &[], &[(&["a.test"], "own")]).yaml();
    let mut case = Case::new(true, "", &theirs);
    case.shows(&[("a.test", Some(&own)), ("b.test", Some(&wild))]);
    case.publish(&rules("app", 3, &["a.test", "b.test"], &[]).yaml(), &theirs);
    case.shows(&[("a.test", None), ("b.test", None), ("c.test", Some(&wild))]);
    case.publish("", &theirs);
    case.shows(&[("a.test", Some(&own)), ("b.test", Some(&wild))]);
}

/// Thousands of names in one entry cause a hundred problems at most.
#[test]
fn the_number_of_problems_is_bounded() {
    let hosts: Vec<String> = (0..300).map(|number| format!("h{number}.test")).collect();
    let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let case = Case::new(
        true,
        &rules("app", 1, &hosts, &[]).yaml(),
        &rules("thief", 2, &[], &[(&hosts, "gone")]).yaml(),
    );
    let reported = case
        .lines
        .iter()
        .filter(|line| line.contains("Ingress theirs/thief"));
    assert!(reported.count() <= 102, "{:#?}", case.lines);
    assert_reported(
        &case.lines,
        &[
            "Ingress theirs/thief",
            "more problems of this Ingress are not listed",
        ],
    );
}
