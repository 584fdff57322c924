//! Who owns a host, at doors where hosts belong to namespaces, and whose default backend counts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use door::{
    Action, BackendPolicy, DefaultCertificate, Door, HostOwner, Ledger, NamespacePattern, Policy, Publisher,
    Scheme, Selector, TlsPolicy, Verdict, open, publish,
};
use resource::{ClusterView, manifest};
use route::{HostBuf, PathScratch, normalise_authority, normalise_path, normalise_sni};

const ACME: &str = "/.well-known/acme-challenge";

fn policy(door: &str) -> Policy {
    Policy {
        host_owner: HostOwner::Namespace,
        ..Policy::new(Selector::parse(&format!("expose={door}")).unwrap(), Scheme::Https)
    }
}

/// A rule: namespace, name, age (the lower, the older), host and path.
type Rule<'a> = (&'a str, &'a str, u8, &'a str, &'a str);

const SERVICES: [&str; 4] = ["shop", "blog", "other", "platform"];

fn ingress((namespace, name, age, host, path): Rule<'_>, door: &str) -> String {
    let backend = "{service: {name: app, port: {number: 80}}}";
    let spec = if path.is_empty() {
        format!("defaultBackend: {backend}")
    } else {
        let host = if host.is_empty() {
            String::new()
        } else {
            format!("host: \"{host}\", ")
        };
        format!(
            "rules: [{{{host}http: {{paths: [{{path: \"{path}\", pathType: Prefix, backend: {backend}}}]}}}}]"
        )
    };
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: {namespace}, creationTimestamp: \"2020-01-01T00:00:0{age}Z\", labels: {{expose: {door}}}, annotations: {{}}}}\nspec: {{{spec}}}\n---\n"
    )
}

struct Rig {
    publishers: Vec<Publisher<()>>,
    doors: Vec<Door<()>>,
    ledger: Ledger,
    lines: Vec<String>,
}

impl Rig {
    fn new(policies: Vec<Policy>) -> Self {
        let names = ["one", "two"].into_iter();
        let (publishers, doors) = names
            .zip(policies)
            .map(|(name, policy)| open(name.parse().unwrap(), policy, ()))
            .unzip();
        Self {
            publishers,
            doors,
            ledger: Ledger::default(),
            lines: Vec::new(),
        }
    }

    fn one() -> Self {
        Self::new(vec![policy("one")])
    }

    fn publish(&mut self, rules: &[Rule<'_>]) {
        let yaml = rules.iter().map(|rule| ingress(*rule, "one"));
        self.publish_yaml(&yaml.collect::<String>());
    }

    fn publish_yaml(&mut self, yaml: &str) {
        let services = SERVICES.map(|namespace| {
            format!(
                "apiVersion: v1\nkind: Service\nmetadata: {{name: app, namespace: {namespace}}}\nspec: {{ports: [{{port: 80}}]}}\n---\n"
            )
        });
        let manifest = manifest::parse("test.yaml", (services.concat() + yaml).as_bytes());
        let view: ClusterView = manifest::collect([&manifest]).0;
        let reported = publish(
            &mut self.publishers,
            &view,
            &BackendPolicy::default(),
            &mut self.ledger,
        );
        self.lines = reported.problems().iter().map(ToString::to_string).collect();
    }

    /// The namespace that answers, if any.
    fn ask(&self, door: usize, host: &str, path: &str) -> Option<String> {
        let (mut scratch, mut paths) = (HostBuf::new(), PathScratch::default());
        let host = normalise_authority(host.as_bytes(), &mut scratch).unwrap();
        let path = normalise_path(path.as_bytes(), &mut paths).unwrap();
        match self.doors[door].snapshot().find(Some(&host), &path) {
            Verdict::Matched(route) => {
                assert!(matches!(route.action, Action::Forward(_)), "{route:?}");
                Some(route.origin.key.namespace().to_owned())
            }
            Verdict::Redirect { .. } => Some("redirect".to_owned()),
            Verdict::Unknown { .. } | Verdict::NotSynced => None,
        }
    }

    #[track_caller]
    fn answers(&self, table: &[(&str, &str, Option<&str>)]) {
        for (host, path, expected) in table {
            assert_eq!(
                self.ask(0, host, path).as_deref(),
                *expected,
                "{host}{path}: {:#?}",
                self.lines
            );
        }
    }

    #[track_caller]
    fn assert_reported(&self, parts: &[&str]) {
        let found = self
            .lines
            .iter()
            .any(|line| parts.iter().all(|part| line.contains(part)));
        assert!(found, "{parts:?} not in {:#?}", self.lines);
    }
}

/// Paths that the owner leaves out, and the one that proves control of a host to certificate authorities.
#[test]
fn other_namespaces_get_nothing_of_an_owned_host() {
    let rules: &[Rule<'_>] = &[
        ("shop", "app", 1, "shop.test", "/app"),
        ("shop", "more", 5, "shop.test", "/more"),
        ("blog", "thief", 2, "shop.test", "/forgotten"),
        ("blog", "acme", 3, "shop.test", ACME),
    ];
    let mut rig = Rig::one();
    rig.publish(rules);
    rig.answers(&[
        ("shop.test", "/app", Some("shop")),
        ("shop.test", "/more", Some("shop")),
        ("shop.test", "/forgotten", None),
        ("shop.test", &format!("{ACME}/token"), None),
    ]);
    for loser in ["thief", "acme"] {
        rig.assert_reported(&[
            &format!("warning: Ingress blog/{loser} spec.rules[0].host: host shop.test at door `one` belongs to namespace `shop`, whose Ingress `shop/app` names it"),
        ]);
    }
    assert_eq!(rig.lines.len(), 2, "{:#?}", rig.lines);
    // Where hosts have no owners, these are served.
    let mut any = Rig::new(vec![Policy {
        host_owner: HostOwner::Any,
        ..policy("one")
    }]);
    any.publish(rules);
    any.answers(&[
        ("shop.test", "/forgotten", Some("blog")),
        ("shop.test", &format!("{ACME}/token"), Some("blog")),
    ]);
}

#[test]
fn what_a_wildcard_covers_belongs_to_the_oldest_ingress() {
    let mut rig = Rig::one();
    rig.publish(&[
        ("other", "early", 1, "early.test", "/"),
        ("platform", "wild", 2, "*.test", "/"),
        ("shop", "late", 3, "late.test", "/"),
        ("shop", "wild", 4, "*.test", "/x"),
        ("shop", "deep", 5, "a.b.test", "/"),
        ("platform", "own", 6, "own.test", "/own"),
    ]);
    rig.answers(&[
        ("early.test", "/", Some("other")),
        ("late.test", "/", Some("platform")),
        ("any.test", "/x", Some("platform")),
        ("a.b.test", "/", Some("shop")),
        ("own.test", "/own", Some("platform")),
        ("own.test", "/", None),
    ]);
    rig.assert_reported(&[
        "Ingress shop/late",
        "host late.test",
        "belongs to namespace `platform`, whose Ingress `platform/wild`",
    ]);
    rig.assert_reported(&[
        "Ingress shop/wild",
        "host *.test",
        "belongs to namespace `platform`",
    ]);
}

/// An older Ingress that names a host later: by an edit, by a label, precisely or by a wildcard.
#[test]
fn an_edited_older_ingress_takes_over_nothing() {
    let running: &[Rule<'_>] = &[
        ("shop", "app", 3, "shop.test", "/"),
        ("shop", "wild", 4, "*.wild.test", "/"),
    ];
    let edits: &[Rule<'_>] = &[
        ("blog", "old", 1, "shop.test", "/"),
        ("blog", "old", 1, "shop.test", ACME),
        ("blog", "old", 1, "*.test", "/"),
        ("blog", "old", 1, "x.wild.test", "/"),
        ("blog", "old", 1, "*.wild.test", "/"),
    ];
    for edited in edits {
        let mut rig = Rig::one();
        let mut rules = running.to_vec();
        rules.push(("blog", "old", 1, "blog.test", "/"));
        rig.publish(&rules);
        let still: &[(&str, &str, Option<&str>)] = &[
            ("shop.test", "/", Some("shop")),
            ("shop.test", &format!("{ACME}/x"), Some("shop")),
            ("x.wild.test", "/", Some("shop")),
            ("y.wild.test", "/", Some("shop")),
        ];
        rig.answers(still);
        rules.pop();
        rules.push(*edited);
        rig.publish(&rules);
        rig.answers(still);
        rig.answers(&[("blog.test", "/", (edited.3 == "*.test").then_some("blog"))]);
        if !edited.3.starts_with("*.test") {
            rig.assert_reported(&[
                "warning: Ingress blog/old spec.rules[0].host",
                "belongs to namespace `shop`",
            ]);
        }
        // Other changes, and an edit of the owner's, leave it there.
        rules.push(("other", "new", 5, "new.other", "/"));
        rig.publish(&rules);
        rules[0] = ("shop", "app", 3, "shop.test", "/shop");
        rig.publish(&rules);
        rig.answers(&[("shop.test", "/shop", Some("shop")), ("shop.test", "/", None)]);
        if edited.3 == "shop.test" {
            rig.assert_reported(&[
                "warning: Ingress shop/app spec.rules[0].host",
                "the older Ingress `blog/old` names host shop.test too",
                "until that gives it up or the gateway restarts",
            ]);
            // If the owner gives it up, it belongs to the one that is left.
            rules.remove(0);
            rig.publish(&rules);
            assert_eq!(rig.ask(0, "shop.test", edited.4).as_deref(), Some("blog"));
        }
        // A gateway that starts now knows no history.
        let mut rig = Rig::one();
        let mut rules = running.to_vec();
        rules.push(*edited);
        rig.publish(&rules);
        let host = edited.3.replace("*.test", "shop.test").replace("*.", "x.");
        assert_eq!(rig.ask(0, &host, edited.4).as_deref(), Some("blog"), "{edited:?}");
    }
}

/// A door that redirects answers for its sibling's hosts, so they have the same owners there.
#[test]
fn other_namespaces_get_nothing_at_a_redirecting_door_either() {
    let redirecting = Policy {
        redirect: Some("two".parse().unwrap()),
        scheme: Scheme::Http,
        ..policy("one")
    };
    let mut rig = Rig::new(vec![redirecting, policy("two")]);
    let owner = ingress(("shop", "app", 2, "shop.test", "/"), "two");
    let stranger = ingress(("blog", "acme", 3, "shop.test", ACME), "one");
    let own = ingress(("shop", "acme", 4, "shop.test", ACME), "one");
    let token = format!("{ACME}/token");
    rig.publish_yaml(&(owner.clone() + &stranger));
    assert_eq!(rig.ask(0, "shop.test", &token).as_deref(), Some("redirect"));
    rig.assert_reported(&[
        "Ingress blog/acme",
        "belongs to namespace `shop`, whose Ingress `shop/app`",
    ]);
    rig.publish_yaml(&(owner + &stranger + &own));
    assert_eq!(rig.ask(0, "shop.test", &token).as_deref(), Some("shop"));
    // Without its owner the host is free. When the owner is back, the older of the two has it.
    rig.publish_yaml(&stranger);
    assert_eq!(rig.ask(0, "shop.test", &token).as_deref(), Some("blog"));
}

#[test]
fn whose_default_backend_counts() {
    let rules: &[Rule<'_>] = &[
        ("blog", "all", 1, "", ""),
        ("platform", "all", 2, "", ""),
        ("shop", "app", 3, "shop.test", "/app"),
    ];
    let patterns = |patterns: &[&str]| -> Vec<NamespacePattern> {
        patterns
            .iter()
            .map(|pattern| NamespacePattern::parse(pattern).unwrap())
            .collect()
    };
    // (whose host, whose default, at the forgotten path, at a host that nobody names)
    let table = [
        (HostOwner::Any, &[][..], Some("blog"), Some("blog")),
        (HostOwner::Any, &["plat*"], Some("platform"), Some("platform")),
        (HostOwner::Any, &["nobody"], None, None),
        // Not set: no other namespace answers for a host that somebody names.
        (HostOwner::Namespace, &[], None, Some("blog")),
        (
            HostOwner::Namespace,
            &["platform"],
            Some("platform"),
            Some("platform"),
        ),
    ];
    for (host_owner, default, forgotten, unnamed) in table {
        let mut rig = Rig::new(vec![Policy {
            host_owner,
            default_backend: patterns(default),
            ..policy("one")
        }]);
        rig.publish(rules);
        rig.answers(&[
            ("shop.test", "/app", Some("shop")),
            ("shop.test", ACME, forgotten),
            ("unnamed.test", "/", unnamed),
        ]);
        if !default.is_empty() {
            rig.assert_reported(&[
                "error: Ingress blog/all spec.defaultBackend: namespace `blog` may not answer what nothing else matches at door `one`",
            ]);
        }
        // Rules without a host come and go meanwhile.
        let mut more = rules.to_vec();
        more.push(("other", "hostless", 4, "", "/x"));
        rig.publish(&more);
        rig.answers(&[
            ("unnamed.test", "/x", Some("other")),
            ("unnamed.test", "/", unnamed),
        ]);
        rig.publish(rules);
        rig.answers(&[("unnamed.test", "/x", unnamed), ("shop.test", ACME, forgotten)]);
    }
}

/// Who owns a host decides whether its TLS is ended, and whose certificate it has.
#[test]
fn passthrough_and_certificates_belong_to_the_owner() {
    let mut rig = Rig::new(vec![Policy {
        tls: Some(TlsPolicy::new(DefaultCertificate::SelfSigned)),
        ..policy("one")
    }]);
    let pass = |yaml: String| {
        yaml.replace(
            "annotations: {}",
            "annotations: {nginx.ingress.kubernetes.io/ssl-passthrough: \"true\"}",
        )
    };
    let wild = pass(ingress(("platform", "wild", 2, "*.test", "/"), "one"));
    let passed = |rig: &Rig, name: &str| {
        let mut scratch = HostBuf::new();
        let name = normalise_sni(name.as_bytes(), &mut scratch).unwrap();
        let snapshot = rig.doors[0].snapshot();
        let route = snapshot.tls().unwrap().passthrough(&name);
        route.map(|route| route.origin.key.namespace().to_owned())
    };
    // A younger one does not get a name below it, an older one does.
    for (age, expected) in [(3, Some("platform")), (1, None)] {
        rig.publish_yaml("");
        let app = ingress(("shop", "app", age, "x.test", "/"), "one");
        rig.publish_yaml(&(wild.clone() + &app));
        assert_eq!(passed(&rig, "x.test").as_deref(), expected, "{age}");
        assert_eq!(passed(&rig, "y.test").as_deref(), Some("platform"));
        assert_eq!(rig.ask(0, "x.test", "/").is_some(), expected.is_none());
    }
    // An older one that comes later, and would pass it through, does not.
    rig.publish_yaml(&ingress(("shop", "app", 3, "x.test", "/"), "one"));
    let late = pass(ingress(("blog", "old", 1, "x.test", "/"), "one"));
    rig.publish_yaml(&(ingress(("shop", "app", 3, "x.test", "/"), "one") + &late));
    assert_eq!(passed(&rig, "x.test"), None);
    assert_eq!(rig.ask(0, "x.test", "/").as_deref(), Some("shop"));
}
