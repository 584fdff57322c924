//! What a publication costs, counted.

use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use resource::{ClusterView, Object, manifest};

use super::{Ledger, Publisher, open, publish};
use crate::admission::{Policy, Selector};
use crate::backend::{BackendPolicy, Endpoint, Upstream};
use crate::compile::Action;
use crate::counted::{Work, take};
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
            Action::RedirectToHttps { .. } | Action::Blocked(_) => None,
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
        write!(
            yaml,
            "      - {{path: /{port}, pathType: Exact, backend: {{service: {{name: app, port: {{number: {port}}}}}}}}}\n"
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
