//! Hosts and routes that annotations add, and the rules to which they yield.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use door::{
    Action, BackendPolicy, Door, HostOwner, Ledger, Policy, Publisher, Scheme, Selector, Verdict, open,
    publish,
};
use resource::manifest;
use route::{HostBuf, HostRestriction, PathScratch, normalise_authority, normalise_path};

const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: NAMESPACE}\nspec: {ports: [{port: 80}]}\n---\n";

const ALIAS: &str = "nginx.ingress.kubernetes.io/server-alias";
const WWW: &str = "nginx.ingress.kubernetes.io/from-to-www-redirect";
const ROOT: &str = "nginx.ingress.kubernetes.io/app-root";

/// Namespace, name, age (the lower, the older), host, path, and an annotation.
type Written<'a> = (&'a str, &'a str, u8, &'a str, &'a str, (&'a str, &'a str));

fn yaml(ingresses: &[Written<'_>]) -> String {
    let ingresses = ingresses.iter().map(|(namespace, name, age, host, path, (key, value))| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: {namespace}, creationTimestamp: \"2020-01-01T00:00:0{age}Z\", labels: {{expose: x}}, annotations: {{{key}: \"{value}\"}}}}\nspec: {{rules: [{{host: \"{host}\", http: {{paths: [{{path: \"{path}\", pathType: Prefix, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n"
        )
    });
    let services = ["one", "two"].map(|namespace| SERVICE.replace("NAMESPACE", namespace));
    ingresses.collect::<String>() + &services.concat()
}

struct Rig {
    publisher: Vec<Publisher<()>>,
    door: Door<()>,
    ledger: Ledger,
    lines: Vec<String>,
}

impl Rig {
    fn new(change: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = Policy::new(Selector::parse("expose=x").unwrap(), Scheme::Http);
        change(&mut policy);
        let (publisher, door) = open("door".parse().unwrap(), policy, ());
        Self {
            publisher: vec![publisher],
            door,
            ledger: Ledger::default(),
            lines: Vec::new(),
        }
    }

    fn publish(&mut self, ingresses: &[Written<'_>]) {
        self.publish_text(&yaml(ingresses));
    }

    fn publish_text(&mut self, text: &str) {
        let manifest = manifest::parse("test.yaml", text.as_bytes());
        let (view, _) = manifest::collect([&manifest]);
        let report = publish(
            &mut self.publisher,
            &view,
            &BackendPolicy::default(),
            &mut self.ledger,
        );
        self.lines = report
            .problems()
            .iter()
            .map(|problem| format!("{}: {}", problem.field, problem.message))
            .collect();
    }

    /// The Ingress that answers, with a mark if it redirects or is closed.
    fn ask(&self, host: &str, path: &str) -> String {
        let (mut buffer, mut scratch) = (HostBuf::new(), PathScratch::default());
        let host = normalise_authority(host.as_bytes(), &mut buffer).unwrap();
        let path = normalise_path(path.as_bytes(), &mut scratch).unwrap();
        match self.door.snapshot().find(Some(&host), &path) {
            Verdict::Matched(route) => {
                let name = route.origin.key.name();
                match &route.action {
                    Action::Forward(_) => name.to_owned(),
                    Action::Redirect => format!("{name} redirects"),
                    Action::Blocked(_) => format!("{name} closed"),
                }
            }
            Verdict::Redirect { .. } | Verdict::Unknown { .. } | Verdict::NotSynced => String::new(),
        }
    }

    #[track_caller]
    fn expect(&self, expected: &[(&str, &str, &str)]) {
        for (host, path, answer) in expected {
            assert_eq!(self.ask(host, path), *answer, "{host}{path}: {:#?}", self.lines);
        }
    }
}

#[test]
fn an_alias_has_the_rules_and_yields_to_a_host_of_any_age() {
    let mut rig = Rig::new(|_| {});
    let alias = ("one", "alias", 1, "a.test", "/x", (ALIAS, "b.test, *.c.test"));
    rig.publish(&[alias]);
    rig.expect(&[
        ("a.test", "/x", "alias"),
        ("b.test", "/x/y", "alias"),
        ("b.test", "/", ""),
        ("z.c.test", "/x", "alias"),
    ]);
    // A younger Ingress names the host.
    rig.publish(&[alias, ("two", "real", 5, "b.test", "/y", ("x", "y"))]);
    rig.expect(&[
        ("b.test", "/x", ""),
        ("b.test", "/y", "real"),
        ("z.c.test", "/x", "alias"),
    ]);
    assert!(
        rig.lines
            .iter()
            .any(|line| line.contains("server-alias") && line.contains("it is no alias there"))
    );
    // It goes again.
    rig.publish(&[alias]);
    rig.expect(&[("b.test", "/x", "alias"), ("b.test", "/y", "")]);
}

#[test]
fn of_two_aliases_the_older_ingress_has_the_host() {
    let mut rig = Rig::new(|_| {});
    let older = ("one", "older", 1, "a.test", "/x", (ALIAS, "c.test"));
    let younger = ("two", "younger", 2, "b.test", "/y", (ALIAS, "c.test"));
    rig.publish(&[younger, older]);
    rig.expect(&[("c.test", "/x", "older"), ("c.test", "/y", "")]);
    rig.publish(&[younger]);
    rig.expect(&[("c.test", "/x", ""), ("c.test", "/y", "younger")]);
}

#[test]
fn a_twin_yields_to_rules_and_aliases() {
    let mut rig = Rig::new(|_| {});
    let www = ("one", "www", 1, "a.test", "/", (WWW, "true"));
    rig.publish(&[www]);
    rig.expect(&[("a.test", "/", "www"), ("www.a.test", "/x", "www redirects")]);
    rig.publish(&[www, ("two", "alias", 2, "b.test", "/x", (ALIAS, "www.a.test"))]);
    rig.expect(&[("www.a.test", "/x", "alias"), ("www.a.test", "/", "")]);
    rig.publish(&[www, ("two", "real", 2, "www.a.test", "/x", ("x", "y"))]);
    rig.expect(&[("www.a.test", "/x", "real"), ("www.a.test", "/", "")]);
}

#[test]
fn a_root_is_redirected_beside_prefixes() {
    let mut rig = Rig::new(|_| {});
    rig.publish(&[
        ("one", "own", 1, "a.test", "/", (ROOT, "/app")),
        ("one", "deep", 2, "b.test", "/x", (ROOT, "/app")),
        ("two", "other", 1, "b.test", "/", ("x", "y")),
    ]);
    rig.expect(&[
        ("a.test", "/", "own redirects"),
        ("a.test", "/x", "own"),
        // That of another namespace stays with it.
        ("b.test", "/", "other"),
        ("b.test", "/y", "other"),
    ]);
}

/// Whoever is older or younger: what is derived takes nothing from rules of other namespaces.
#[test]
fn what_is_derived_takes_nothing_from_other_namespaces() {
    let mut rig = Rig::new(|_| {});
    let theirs = [
        ("one", "wild", 5, "*.example.test", "/", ("x", "y")),
        ("one", "whole", 5, "h.test", "/", ("x", "y")),
    ];
    let ours = |namespace| {
        [
            (namespace, "www", 1, "example.test", "/", (WWW, "true")),
            (namespace, "alias", 1, "b.test", "/", (ALIAS, "a.example.test")),
            (namespace, "root", 1, "h.test", "/nothing", (ROOT, "/app")),
        ]
    };
    let taken = [
        ("www.example.test", "/", "www redirects"),
        ("a.example.test", "/", "alias"),
        ("h.test", "/", "root redirects"),
    ];
    let left = [
        ("www.example.test", "/", "wild"),
        ("a.example.test", "/", "wild"),
        ("h.test", "/", "whole"),
    ];
    rig.publish(&ours("two"));
    rig.expect(&taken);
    rig.publish(&[&theirs[..], &ours("two")].concat());
    rig.expect(&left);
    for what in [
        "`one/wild` of another namespace; it is no alias",
        "`one/wild` of another namespace; it is not redirected",
        "`one/whole` of another namespace has `/`",
    ] {
        assert!(
            rig.lines.iter().any(|line| line.contains(what)),
            "{what}: {:#?}",
            rig.lines
        );
    }
    rig.publish(&ours("two"));
    rig.expect(&taken);
    rig.publish(&[&theirs[..], &ours("one")].concat());
    rig.expect(&taken);
}

#[test]
fn what_is_derived_lies_within_hosts_and_owners() {
    let mut rig = Rig::new(|policy| {
        policy.hosts = ["a.test", "b.test"]
            .map(|host| HostRestriction::parse(host).unwrap())
            .to_vec();
    });
    rig.publish(&[("one", "alias", 1, "a.test", "/", (ALIAS, "b.test, c.test"))]);
    rig.expect(&[("b.test", "/", "alias"), ("c.test", "/", "")]);

    let mut rig = Rig::new(|policy| policy.host_owner = HostOwner::Namespace);
    // The namespace of the wildcard has what lies below it, although the alias is older.
    rig.publish(&[
        ("one", "alias", 1, "a.test", "/", (ALIAS, "x.b.test, c.test")),
        ("two", "wild", 5, "*.b.test", "/", ("x", "y")),
        ("two", "younger", 5, "d.test", "/", (ALIAS, "c.test")),
    ]);
    rig.expect(&[
        ("x.b.test", "/", "wild"),
        ("c.test", "/", "alias"),
        ("d.test", "/", "younger"),
    ]);
    rig.publish(&[
        ("one", "alias", 1, "a.test", "/", (ALIAS, "x.b.test, c.test")),
        ("two", "real", 5, "c.test", "/", ("x", "y")),
    ]);
    rig.expect(&[("x.b.test", "/", "alias"), ("c.test", "/", "real")]);
}

#[test]
fn what_is_closed_is_closed_under_its_further_hosts() {
    let mut rig = Rig::new(|_| {});
    let closing = "true, nginx.ingress.kubernetes.io/configuration-snippet: x, nginx.ingress.kubernetes.io/server-alias: b.test, nginx.ingress.kubernetes.io/app-root: /x";
    let closing = closing.replace(", nginx", "\", nginx").replace(": ", ": \"") + "";
    rig.publish(&[("one", "closed", 1, "a.test", "/app", (WWW, &closing))]);
    rig.expect(&[
        ("a.test", "/app", "closed closed"),
        ("b.test", "/app", "closed closed"),
        ("www.a.test", "/", "closed closed"),
        ("a.test", "/", "closed closed"),
    ]);
}

/// Each alias is closed once, and not once for each rule: whoever is beyond a bound must not cost more than others.
#[test]
fn the_aliases_of_an_ingress_beyond_a_bound_are_closed_with_one_route_each() {
    let mut rig = Rig::new(|policy| {
        policy.bounds.ingress_rules = 50;
        policy.bounds.namespace_rules = 50;
    });
    let names = |prefix: &str| (0..20).map(|n| format!("{prefix}{n}.test")).collect::<Vec<_>>();
    let large = |hosts: &[String], aliases: &[String]| {
        let backend = "backend: {service: {name: app, port: {number: 80}}}";
        let rules = hosts.iter().map(|host| {
            format!("{{host: {host}, http: {{paths: [{{path: /x, pathType: Prefix, {backend}}}]}}}}")
        });
        let rules = rules.collect::<Vec<_>>().join(", ");
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: large, namespace: one, labels: {{expose: x}}, annotations: {{{ALIAS}: \"{}\"}}}}\nspec: {{rules: [{rules}]}}\n---\n",
            aliases.join(",")
        )
    };
    let real = ("two", "real", 9, "alias3.test", "/y", ("x", "y"));
    rig.publish_text(&(large(&names("host"), &names("alias")) + &yaml(&[real])));
    rig.expect(&[
        ("host7.test", "/x", "large closed"),
        ("alias7.test", "/x", "large closed"),
        ("alias7.test", "/", "large closed"),
        ("alias3.test", "/x", ""),
        ("alias3.test", "/y", "real"),
    ]);
    // 20 hosts, 19 aliases that are left, and the other Ingress.
    assert_eq!(rig.door.snapshot().routes().count(), 40);

    // So many names are not closed either.
    let aliases = [names("alias"), names("more")].concat();
    rig.publish_text(&large(&names("host"), &aliases));
    rig.expect(&[("host7.test", "/x", ""), ("alias7.test", "/x", "")]);
    assert!(
        rig.lines
            .iter()
            .any(|line| line.contains("are not closed either"))
    );
}

#[test]
fn a_redirect_of_everything_needs_no_backend() {
    let mut rig = Rig::new(|_| {});
    let text = yaml(&[(
        "one",
        "moved",
        1,
        "a.test",
        "/",
        ("nginx.ingress.kubernetes.io/permanent-redirect", "https://b.test"),
    )]);
    let without_service = text.split("apiVersion: v1\n").next().unwrap();
    let manifest = manifest::parse("test.yaml", without_service.as_bytes());
    let (view, _) = manifest::collect([&manifest]);
    let report = publish(
        &mut rig.publisher,
        &view,
        &BackendPolicy::default(),
        &mut rig.ledger,
    );
    rig.expect(&[("a.test", "/", "moved redirects")]);
    assert_eq!(report.problems().len(), 0);
}
