//! What a publication costs, counted.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use resource::{ClusterView, Kind, Object, ObjectRef, manifest};
use route::ObjectKey;

use super::{Ledger, Publisher, open, publish};
use crate::admission::{Bounds, Policy, Selector};
use crate::backend::{BackendPolicy, Endpoint, Upstream};
use crate::compile::Action;
use crate::counted::{Work, take};
use crate::rule::Blocked;
use crate::scheme::Scheme;

/// Two doors that all Ingresses reach, with what they serve and were compiled from.
struct Rig {
    publishers: Vec<Publisher<()>>,
    view: ClusterView,
    ledger: Ledger,
    backends: BackendPolicy,
}

impl Rig {
    fn new() -> Self {
        Self::with(|policy| policy)
    }

    fn with(change: impl Fn(Policy) -> Policy) -> Self {
        let door = |name: &str| {
            let policy = Policy::new(Selector::parse("expose=all").unwrap(), Scheme::Http);
            open(name.parse().unwrap(), change(policy), ()).0
        };
        Self {
            publishers: vec![door("one"), door("two")],
            view: ClusterView::default(),
            ledger: Ledger::default(),
            backends: BackendPolicy::default(),
        }
    }

    /// Publishes with these objects in addition. Returns the work, and the problems.
    fn publish(&mut self, yaml: &str) -> (Work, Vec<String>) {
        for object in objects(yaml) {
            self.view.insert(object);
        }
        take();
        let problems = publish(&mut self.publishers, &self.view, &self.backends, &mut self.ledger);
        let work = take();
        // As whoever publishes does: until then they hold what was served before.
        drop(self.ledger.take_changes());
        // From scratch the same comes out.
        let mut fresh: Vec<Publisher<()>> = self
            .publishers
            .iter()
            .map(|door| open(door.name().clone(), door.policy().clone(), ()).0)
            .collect();
        let expected = publish(&mut fresh, &self.view, &self.backends, &mut Ledger::default());
        assert_eq!(problems, expected);
        for (door, fresh) in self.publishers.iter().zip(&fresh) {
            let (served, expected) = (door.live().unwrap(), fresh.live().unwrap());
            assert_eq!(served.table.iter().count(), expected.table.iter().count());
            for (ours, theirs) in served.table.iter().zip(expected.table.iter()) {
                assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
            }
        }
        (
            work,
            problems.problems().iter().map(ToString::to_string).collect(),
        )
    }

    /// The upstreams of all rules of all doors.
    fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let doors = self.publishers.iter();
        let routes = doors.flat_map(|door| door.live().unwrap().table.iter());
        let upstreams = routes.filter_map(|row| match &row.action.action {
            Action::Forward(upstream) => Some(Arc::clone(upstream)),
            Action::Redirect | Action::Blocked(_) => None,
        });
        upstreams.collect()
    }

    /// How many different lists of endpoints there are in memory.
    fn lists(&self) -> usize {
        let upstreams = self.upstreams();
        let mut lists: Vec<*const Endpoint> = upstreams
            .iter()
            .map(|upstream| upstream.endpoints.as_ptr())
            .collect();
        lists.sort_unstable();
        lists.dedup();
        lists.len()
    }
}

fn objects(yaml: &str) -> Vec<Object> {
    let parsed = manifest::parse("objects.yaml", yaml.as_bytes());
    parsed.objects.into_iter().map(|placed| placed.object).collect()
}

/// An Ingress with a rule for each path, each with a port of the Service `app`.
fn ingress(namespace: &str, name: &str, annotations: &str, host: &str, ports: Range<u16>) -> String {
    let mut yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: {namespace}, \
         labels: {{expose: all}}, annotations: {{{annotations}}}}}\nspec:\n  rules:\n  - host: {host}\n    http:\n      paths:\n"
    );
    for port in ports {
        writeln!(
            yaml,
            "      - {{path: /{port}, pathType: Exact, backend: {{service: {{name: app, port: {{number: {port}}}}}}}}}"
        )
        .unwrap();
    }
    yaml + "---\n"
}

/// The Service `app` with these ports and a slice with so many endpoints.
fn service(namespace: &str, ports: Range<u16>, endpoints: u8) -> String {
    let each = |write: &dyn Fn(u16) -> String| ports.clone().map(write).collect::<Vec<_>>().join(", ");
    let addresses: Vec<String> = (1..=endpoints)
        .map(|last| format!("{{addresses: [10.0.0.{last}]}}"))
        .collect();
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: app, namespace: {namespace}}}\nspec: {{ports: [{}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: app-1, namespace: {namespace}, labels: \
         {{kubernetes.io/service-name: app}}}}\naddressType: IPv4\nports: [{}]\nendpoints: [{}]\n---\n",
        each(&|port| format!("{{name: p{port}, port: {port}}}")),
        each(&|port| format!("{{name: p{port}, port: {}}}", port + 8_000)),
        addresses.join(", ")
    )
}

fn pem(pem: &str) -> String {
    pem.lines().map(|line| format!("    {line}\n")).collect()
}

/// A Secret with a certificate that is its own authority.
fn secret(namespace: &str, name: &str) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["a.test".to_owned()]).unwrap();
    let (chain, key) = (pem(&made.cert.pem()), pem(&made.signing_key.serialize_pem()));
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\ntype: kubernetes.io/tls\n\
         stringData:\n  ca.crt: |\n{chain}  tls.crt: |\n{chain}  tls.key: |\n{key}---\n"
    )
}

const OVER_TLS: &str = "nginx.ingress.kubernetes.io/backend-protocol: HTTPS, \
                        nginx.ingress.kubernetes.io/proxy-ssl-verify: \"on\", \
                        nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/ca";

/// Two hundred ports, two doors and five Ingresses: one Secret is parsed once for each of its uses, in the first publication
/// and in none that follows.
#[test]
fn a_secret_is_read_once_whatever_names_it() {
    let mut rig = Rig::new();
    let mut yaml = secret("shop", "ca") + &service("shop", 1..201, 3);
    for number in 0..5 {
        let host = format!("{number}.test");
        yaml += &ingress("shop", &format!("i{number}"), OVER_TLS, &host, 1..201);
    }
    let (work, problems) = rig.publish(&yaml);
    assert_eq!(problems, [""; 0]);
    // The authorities, and the certificate with its key.
    assert_eq!(work.parsed, 2, "{work:?}");
    assert_eq!(work.hashed, 3, "{work:?}");
    let change = ingress("shop", "i0", OVER_TLS, "new.test", 1..100);
    let (work, _) = rig.publish(&change);
    assert_eq!((work.parsed, work.hashed), (0, 0), "{work:?}");
    rig.ledger.forget();
    let (work, _) = rig.publish("");
    assert_eq!((work.parsed, work.hashed), (0, 0), "{work:?}");
}

/// What cannot be used is read once too.
#[test]
fn an_unusable_secret_is_read_once() {
    let mut rig = Rig::new();
    let broken = "apiVersion: v1\nkind: Secret\nmetadata: {name: ca, namespace: shop}\nstringData: {ca.crt: rubbish}\n---\n";
    let yaml =
        broken.to_owned() + &service("shop", 1..201, 3) + &ingress("shop", "i", OVER_TLS, "a.test", 1..201);
    let (work, problems) = rig.publish(&yaml);
    let told = problems
        .iter()
        .filter(|problem| problem.contains("cannot be used"));
    assert_eq!(told.count(), 100, "as many as are reported of one Ingress");
    assert_eq!(work.parsed, 1, "{work:?}");
}

/// An Ingress that names one Secret after the other, or one whose content is replaced again and again, leaves nothing behind:
/// neither the objects, nor what was read from them, nor TLS settings that trust it. It does not matter whether they can be
/// used.
#[test]
fn what_is_named_in_turn_is_forgotten() {
    let mut rig = Rig::new();
    rig.publish(&service("shop", 1..3, 3));
    let broken = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop}}\nstringData: {{ca.crt: rubbish}}\n---\n"
        )
    };
    for number in 0..20 {
        let name = format!("s{number}");
        let annotations = OVER_TLS.replace("shop/ca", &format!("shop/{name}"));
        let gone = ObjectKey::new("shop", format!("s{}", number - 1));
        rig.view.remove(&ObjectRef::namespaced(Kind::Secret, &gone));
        rig.publish(&(broken(&name) + &ingress("shop", "i", &annotations, "a.test", 1..3)));
        assert_eq!(rig.ledger.memory.held().objects, 1, "unusable ones, {number}");
    }
    for number in 0..20 {
        rig.publish(&secret("shop", "s19"));
        let held = rig.ledger.memory.held();
        // Its authorities, and its certificate.
        assert_eq!((held.objects, held.settings), (2, 1), "replaced {number} times");
    }
    let unnamed = ingress("shop", "i", "", "a.test", 1..3);
    rig.publish(&unnamed);
    assert_eq!(rig.ledger.memory.held().settings, 0);
    rig.view.remove(&ObjectRef::namespaced(
        Kind::Secret,
        &ObjectKey::new("shop", "s19"),
    ));
    rig.publish("");
    assert_eq!(rig.ledger.memory.held().objects, 0);
}

/// However many Ingresses with however many annotations name a port, its endpoints are in memory once, also after each of
/// them was changed by itself.
#[test]
fn endpoints_are_shared_whatever_the_annotations() {
    let mut rig = Rig::new();
    let timeout = |seconds: usize| format!("nginx.ingress.kubernetes.io/proxy-ssl-name: n{seconds}.test");
    let of = |number: usize, seconds: usize| {
        let host = format!("{number}.test");
        ingress("shop", &format!("i{number}"), &timeout(seconds), &host, 1..3)
    };
    let yaml: String = (0..20).map(|number| of(number, number)).collect();
    let (work, _) = rig.publish(&(service("shop", 1..3, 100) + &yaml));
    assert_eq!((work.listed, rig.lists()), (2, 2), "two ports");
    for number in 0..20 {
        let (work, _) = rig.publish(&of(number, 100 + number));
        assert_eq!((work.listed, rig.lists()), (0, 2), "{number}");
    }
    rig.publish(&service("shop", 1..3, 101));
    assert_eq!(rig.lists(), 2);
    assert!(
        rig.upstreams()
            .iter()
            .all(|upstream| upstream.endpoints.len() == 101)
    );
    rig.ledger.forget();
    rig.publish(&of(0, 7));
    assert_eq!(rig.lists(), 2);
}

/// A Service that gives its port one name after the other, of which its slices have all, leaves no lists behind.
#[test]
fn the_endpoints_of_a_renamed_port_are_forgotten() {
    let mut rig = Rig::new();
    let slices = service("shop", 1..100, 100);
    rig.publish(&(slices + &ingress("shop", "i", "", "a.test", 80..81)));
    for number in 1..50 {
        let renamed = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: app, namespace: shop}}\nspec: {{ports: [{{name: p{number}, \
             port: 80}}]}}\n---\n"
        );
        rig.publish(&renamed);
        assert_eq!(rig.lists(), 1);
        let held = rig.ledger.memory.held().endpoints;
        assert!(held <= 200, "what is used, and what was before: {held}");
    }
}

/// An Ingress that names one Service after the other leaves few lists behind, however many others there are.
#[test]
fn endpoints_that_nobody_uses_are_forgotten() {
    let mut rig = Rig::new();
    let of = |name: String, endpoints: u8, host: &str| {
        let service = service("shop", 1..2, endpoints);
        let all = service + &ingress("shop", host, "", &format!("{host}.test"), 1..2);
        all.replace("name: app", &format!("name: {name}"))
    };
    let others: String = (0..40)
        .map(|number| of(format!("other{number}"), 20, &format!("o{number}")))
        .collect();
    rig.publish(&others);
    for number in 0..50 {
        rig.publish(&of(format!("app{number}"), 250, "i"));
    }
    assert_eq!(rig.lists(), 41);
    let (used, held) = (40 * 20 + 250, rig.ledger.memory.held().endpoints);
    assert!((used..used + 5_000).contains(&held), "{held}");
}

/// Ports beyond the bound are closed and reported; slices and endpoints beyond it are left out and reported.
#[test]
fn a_service_is_used_within_its_bounds() {
    let mut rig = Rig::new();
    rig.backends.bounds.ports = 10;
    rig.backends.bounds.endpoints = 50;
    let yaml = service("shop", 1..13, 20) + &ingress("shop", "i", "", "a.test", 1..13);
    let (_, problems) = rig.publish(&yaml);
    let upstreams = rig.upstreams();
    assert_eq!(upstreams.len(), 2 * 10);
    assert!(upstreams.iter().all(|upstream| upstream.endpoints.len() == 5));
    let of = |what: &str| problems.iter().filter(|problem| problem.contains(what)).count();
    assert_eq!(
        of("is not among the first 10 of its 12 ports"),
        2,
        "{problems:#?}"
    );
    assert_eq!(
        of("has 20 endpoints, and the first 5 of them are used"),
        10,
        "{problems:#?}"
    );
    rig.backends.bounds.slices = 0;
    let (_, problems) = rig.publish("");
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("has 1 EndpointSlices, and the first 0")),
        "{problems:#?}"
    );
}

/// The same at a given age: the lower, the older.
fn aged(ingress: &str, age: u8) -> String {
    let created = format!("metadata: {{creationTimestamp: \"2026-01-{age:02}T00:00:00Z\", ");
    ingress.replacen("metadata: {", &created, 1)
}

impl Rig {
    /// What the first door does for each host, in order.
    fn hosts(&self) -> Vec<String> {
        let live = self.publishers[0].live().unwrap();
        let rows = live.table.iter().map(|row| {
            let what = match &row.action.action {
                Action::Forward(_) => "served",
                Action::Blocked(Blocked::Bound) => "closed",
                Action::Blocked(_) => "blocked",
                Action::Redirect => "redirected",
            };
            format!("{} {what}", row.host)
        });
        let mut rows: Vec<String> = rows.collect();
        rows.dedup();
        rows
    }
}

/// Older Ingresses come first, whatever arrives first; the hosts of those beyond the bound are closed, those of so many that
/// even this would cost too much are left out, and all of them are served when there is room.
#[test]
fn what_is_beyond_a_bound_is_closed_from_the_youngest() {
    let mut rig = Rig::with(|policy| Policy {
        bounds: Bounds {
            ingress_rules: 4,
            namespace_rules: 6,
            namespace_endpoints: 1_000,
        },
        ..policy
    });
    let of = |name: &str, age: u8, rules: u16| {
        aged(
            &ingress("shop", name, "", &format!("{name}.test"), 1..rules + 1),
            age,
        )
    };
    let (_, problems) = rig.publish(&(service("shop", 1..9, 3) + &of("c", 3, 3) + &of("d", 4, 5)));
    assert_eq!(rig.hosts(), ["c.test served", "d.test closed"]);
    let told = "the Ingress has 5 rules (paths, and hosts of `spec.tls`), and one may have 4 at door `one`";
    assert!(
        problems.iter().any(|problem| problem.contains(told)),
        "{problems:?}"
    );

    let (_, problems) = rig.publish(&(of("a", 1, 3) + &of("b", 2, 2)));
    let expected = ["a.test served", "b.test served", "c.test closed", "d.test closed"];
    assert_eq!(rig.hosts(), expected);
    let told = "shop/c spec: the Ingresses of namespace `shop` have more than 6 rules";
    assert!(
        problems.iter().any(|problem| problem.contains(told)),
        "{problems:?}"
    );

    let many: String = (0..6).map(|number| of(&format!("e{number}"), 9, 4)).collect();
    let (_, problems) = rig.publish(&many);
    assert_eq!(
        rig.hosts()[2..6].join(", "),
        "c.test closed, d.test closed, e0.test closed, e1.test closed"
    );
    assert_eq!(rig.hosts().len(), 2 + 6, "as many closed hosts as rules");
    let left_out = problems
        .iter()
        .filter(|problem| problem.contains("it is not served, and so many"));
    assert_eq!(left_out.count(), 2 * 2, "at two doors");

    for name in ["a", "d", "e0", "e1", "e2", "e3", "e4", "e5"] {
        let gone = ObjectRef::namespaced(Kind::Ingress, &ObjectKey::new("shop", name));
        rig.view.remove(&gone);
        rig.publish("");
    }
    assert_eq!(rig.hosts(), ["b.test served", "c.test served"]);
}

/// A namespace whose Services have too many endpoints is closed from the youngest Ingress that names another of them.
#[test]
fn endpoints_count_once_for_each_service() {
    let mut rig = Rig::with(|policy| Policy {
        bounds: Bounds {
            namespace_endpoints: 25,
            ..Bounds::default()
        },
        ..policy
    });
    let of = |name: &str, age: u8, to: &str| {
        let rule = ingress("shop", name, "", &format!("{name}.test"), 1..2);
        aged(&rule.replace("name: app", &format!("name: {to}")), age)
    };
    let to = |name: &str, endpoints: u8| service("shop", 1..2, endpoints).replace("app", name);
    rig.publish(
        &(to("big", 20) + &to("small", 5) + &of("a", 1, "big") + &of("b", 2, "big") + &of("c", 3, "small")),
    );
    assert_eq!(rig.hosts(), ["a.test served", "b.test served", "c.test served"]);
    // One endpoint too many.
    rig.publish(&to("small", 6));
    assert_eq!(rig.hosts(), ["a.test served", "b.test served", "c.test closed"]);
    rig.publish(&to("big", 19));
    assert_eq!(rig.hosts(), ["a.test served", "b.test served", "c.test served"]);
}

/// An Ingress with so many rules for one host, each with a Service of its own.
fn many_services(namespace: &str, name: &str, host: &str, rules: u16) -> String {
    let mut yaml = ingress(namespace, name, "", host, 1..rules + 1);
    for port in 1..=rules {
        yaml = yaml.replace(
            &format!("name: app, port: {{number: {port}}}"),
            &format!("name: app{port}, port: {{number: 80}}"),
        );
    }
    yaml
}

/// The work for an Ingress is in proportion to what it names, however many others name the same, and however often it does.
#[test]
fn an_index_costs_as_much_as_there_are_names() {
    let mut rig = Rig::new();
    rig.publish(&many_services("shop", "a", "a.test", 400));
    let (work, _) = rig.publish(&many_services("shop", "b", "b.test", 400));
    assert!(work.indexed < 2 * 2_000, "Services that another names: {work:?}");
    rig.view.remove(&ObjectRef::namespaced(
        Kind::Ingress,
        &ObjectKey::new("shop", "b"),
    ));
    let (work, _) = rig.publish("");
    assert!(work.indexed < 2 * 2_000, "and when it goes: {work:?}");

    let others: String = (0..200)
        .map(|number| ingress("other", &format!("o{number}"), "", "shared.test", 0..1))
        .collect();
    rig.publish(&others);
    let shared: Vec<String> = (1..200)
        .map(|port| ingress("shop", "c", "", "shared.test", port..port + 1))
        .collect();
    let rules: Vec<&str> = shared
        .iter()
        .map(|yaml| yaml.split_once("  rules:\n").unwrap().1.trim_end_matches("---\n"))
        .collect();
    let often = shared[0].replace(rules[0], &rules.concat());
    let (work, _) = rig.publish(&often);
    assert!(work.indexed < 2 * 3_000, "a host that others name too: {work:?}");
    let (work, _) = rig.publish(&often.replace("/7,", "/changed,"));
    assert!(work.indexed < 2 * 3_000, "and when it changes: {work:?}");
}

/// What is beyond a bound has its names looked at no more than once, when it comes or goes.
#[test]
fn what_is_beyond_a_bound_is_not_weighed_again() {
    let bounds = |namespace_endpoints| {
        move |policy| Policy {
            bounds: Bounds {
                ingress_rules: 200,
                namespace_rules: 400,
                namespace_endpoints,
            },
            ..policy
        }
    };
    // By their rules, and by the endpoints of their Services.
    for namespace_endpoints in [10_000, 1] {
        let mut rig = Rig::with(bounds(namespace_endpoints));
        let many: String = (0..20)
            .map(|number| many_services("shop", &format!("i{number}"), &format!("{number}.test"), 200))
            .collect();
        let to = |name: &str| service("shop", 80..81, 2).replace("name: app", &format!("name: {name}"));
        rig.publish(&(many + &to("app1")));
        let (work, _) = rig.publish(&ingress("shop", "new", "", "new.test", 1..3));
        assert!(work.indexed < 2 * 1_000, "{namespace_endpoints}: {work:?}");
    }
}

/// Whatever one namespace has, and however much: another namespace's routes, and the work for a change of them, are the same.
#[test]
fn a_namespace_at_every_bound_costs_others_nothing() {
    let bounds = |policy| Policy {
        bounds: Bounds {
            ingress_rules: 200,
            namespace_rules: 500,
            namespace_endpoints: 25_000,
        },
        ..policy
    };
    let honest = service("shop", 1..3, 20)
        + &ingress("shop", "web", OVER_TLS, "shop.test", 1..3)
        + &secret("shop", "ca");
    let hostile: String = (0..30)
        .map(|number| {
            let host = if number % 2 == 0 {
                "shared.evil.test".to_owned()
            } else {
                format!("{number}.evil.test")
            };
            let annotations = OVER_TLS.replace("shop/ca", "evil/ca");
            let rules = 20 + number * 10;
            aged(
                &ingress("evil", &format!("i{number}"), &annotations, &host, 1..rules),
                1,
            )
        })
        .collect();
    let hostile = hostile + &service("evil", 1..300, 200) + &secret("evil", "ca");
    let (mut alone, mut beside) = (Rig::with(bounds), Rig::with(bounds));
    alone.publish(&honest);
    beside.publish(&(honest.clone() + &hostile));
    let of_shop = |rig: &Rig| -> Vec<String> {
        let live = rig.publishers[0].live().unwrap();
        let own = live
            .table
            .iter()
            .filter(|row| row.action.origin.key.namespace() == "shop");
        own.map(|row| format!("{} {:?} {:?}", row.host, row.path, row.action.tuning))
            .collect()
    };
    assert_eq!(of_shop(&alone), of_shop(&beside));
    let changes = [
        service("shop", 1..3, 21),
        ingress("shop", "web", OVER_TLS, "shop.test", 1..2),
        secret("shop", "ca"),
    ];
    for change in changes {
        let (work, _) = alone.publish(&change);
        let (same, _) = beside.publish(&change);
        assert_eq!(work, same);
        assert!(work.compiled <= 4, "{work:?}");
    }
    assert_eq!(of_shop(&alone), of_shop(&beside));
    let evil = beside.hosts().into_iter().filter(|host| host.contains("evil"));
    assert!(
        evil.clone().any(|host| host.ends_with("served"))
            && evil.clone().any(|host| host.ends_with("closed"))
    );
}
