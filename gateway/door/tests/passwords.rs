//! Basic authentication at a door: what it compiles to, what closes it, and what a changed Secret touches.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "what cannot be had fails the test"
)]

use std::sync::Arc;

use door::{
    Action, BackendPolicy, Blocked, Door, Filter, Ledger, PasswordFilter, Policy, Publisher, Route, Scheme,
    Selector, Verdict, objects_of, open, publish,
};
use filter::htpasswd::Scheme as Hash;
use resource::{ClusterView, Object, manifest};
use route::{HostBuf, PathScratch, normalise_authority, normalise_path};

const SHA: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
const APR1: &str = "$apr1$ab$jiiV6N7hIIuIoJbc1hxOE/";

struct Rig {
    publishers: Vec<Publisher<()>>,
    doors: Vec<Door<()>>,
    view: ClusterView,
    ledger: Ledger,
}

impl Rig {
    fn new() -> Self {
        let door = |name: &str| {
            let policy = Policy::new(Selector::parse(&format!("{name}=yes")).unwrap(), Scheme::Http);
            open(name.parse().unwrap(), policy, ())
        };
        let (publishers, doors) = [door("one"), door("two")].into_iter().unzip();
        let mut rig = Self {
            publishers,
            doors,
            view: ClusterView::default(),
            ledger: Ledger::default(),
        };
        rig.publish(
            "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: shop}\nspec: {ports: [{port: 80}]}\n",
        );
        rig
    }

    /// Publishes with these objects in addition; what is reported.
    fn publish(&mut self, yaml: &str) -> Vec<String> {
        for placed in manifest::parse("test.yaml", yaml.as_bytes()).objects {
            self.view.insert(placed.object);
        }
        let (view, backends) = (&self.view, BackendPolicy::default());
        let problems = publish(&mut self.publishers, view, &backends, &mut self.ledger);
        problems
            .problems()
            .iter()
            .map(|problem| problem.message.to_string())
            .collect()
    }

    fn route(&self, door: usize, host: &str) -> Arc<Route> {
        let (mut host_scratch, mut path_scratch) = (HostBuf::new(), PathScratch::default());
        let host = normalise_authority(host.as_bytes(), &mut host_scratch).unwrap();
        let path = normalise_path(b"/", &mut path_scratch).unwrap();
        let snapshot = self.doors[door].snapshot();
        let Verdict::Matched(route) = snapshot.find(Some(&host), &path) else {
            panic!("{}", host.as_str())
        };
        Arc::clone(route)
    }

    fn filter(&self, door: usize, host: &str) -> Arc<PasswordFilter> {
        let route = self.route(door, host);
        match &route.filters.as_ref().unwrap().request[..] {
            [Filter::Password(filter)] => Arc::clone(filter),
            other => panic!("{other:?}"),
        }
    }
}

fn ingress(name: &str, secret: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop, labels: {{one: \"yes\", two: \"yes\"}}, annotations: {{blastdoor.dev/basic-auth: {secret}}}}}\nspec: {{rules: [{{host: {name}.test, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n"
    )
}

fn secret(name: &str, lines: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: shop}}\nstringData: {{auth: {lines:?}}}\n---\n"
    )
}

#[test]
fn a_changed_password_concerns_its_ingresses_and_nothing_else() {
    let mut rig = Rig::new();
    let objects = ingress("a", "staff")
        + &ingress("b", "staff")
        + &ingress("c", "others")
        + &secret("staff", &format!("alice:{SHA}"))
        + &secret("others", &format!("alice:{SHA}"));
    assert_eq!(rig.publish(&objects), [""; 0]);
    let (a, b, c) = (
        rig.route(0, "a.test"),
        rig.route(0, "b.test"),
        rig.route(0, "c.test"),
    );
    let old = rig.filter(0, "a.test");
    assert!(
        Arc::ptr_eq(&old.users, &rig.filter(0, "b.test").users),
        "read once"
    );
    // Something else changes: nothing is compiled again.
    rig.publish(&secret("unrelated", "x"));
    assert!(Arc::ptr_eq(&a, &rig.route(0, "a.test")));

    assert_eq!(rig.publish(&secret("staff", &format!("alice:{APR1}"))), [""; 0]);
    assert!(!Arc::ptr_eq(&a, &rig.route(0, "a.test")));
    assert!(!Arc::ptr_eq(&b, &rig.route(0, "b.test")));
    assert!(Arc::ptr_eq(&c, &rig.route(0, "c.test")));
    let new = rig.filter(0, "a.test");
    assert_eq!(
        (old.users.scheme(), new.users.scheme()),
        (Hash::Sha1, Hash::Md5Crypt)
    );
    // What the door remembers stays, and whose failures count together.
    assert!(Arc::ptr_eq(&old.memory, &new.memory));
    assert_eq!(old.failures, new.failures);
    assert_ne!(new.failures, rig.filter(0, "b.test").failures);
    // No door shares anything with another.
    assert!(!Arc::ptr_eq(&new.memory, &rig.filter(1, "a.test").memory));
}

#[test]
fn what_lets_nobody_in_closes_and_says_why() {
    let table = [
        (String::new(), "Secret `shop/staff` does not exist; closed (503)"),
        (
            secret("staff", "alice:secret"),
            "Secret `shop/staff` lets nobody in: it has no user with a hash that can be verified; closed (503)",
        ),
        (
            secret("staff", "").replace("{auth: \"\"}", "{a: x, b: y}"),
            "Secret `shop/staff` has 2 entries, of which none is `auth`; the users must be in one entry; closed (503)",
        ),
        (
            secret("staff", "x").replace("kind: Secret", "kind: Secret\ntype: kubernetes.io/basic-auth"),
            "Secret `shop/staff` is of type `kubernetes.io/basic-auth` and has no `username` or no `password`; closed \
             (503)",
        ),
    ];
    for (objects, expected) in table {
        let mut rig = Rig::new();
        let told = rig.publish(&(ingress("a", "staff") + &objects));
        assert!(told.iter().any(|told| told == expected), "{told:#?}");
        let route = rig.route(0, "a.test");
        assert_eq!(route.action, Action::Blocked(Blocked::Filter));
        // It heals with its Secret.
        rig.publish(&secret("staff", &format!("alice:{SHA}")));
        rig.filter(0, "a.test");
    }
}

#[test]
fn who_cannot_log_in_is_told_within_bounds() {
    let mut rig = Rig::new();
    let lines: String = (0..50).map(|number| format!("user{number}:plain\n")).collect();
    let told = rig.publish(&(ingress("a", "staff") + &secret("staff", &(lines + "alice:" + SHA))));
    let of_users = told
        .iter()
        .filter(|told| told.contains("this user cannot log in"))
        .count();
    assert_eq!(of_users, 10);
    assert!(
        told.contains(&"Secret `shop/staff`: 40 more of its users are wrong".to_owned()),
        "{told:#?}"
    );
    assert!(
        rig.filter(0, "a.test")
            .users
            .claim(b"alice")
            .verify(b"secret")
            .accepted
    );
}

#[test]
fn secrets_of_filters_are_needed() {
    let parsed = manifest::parse("test.yaml", ingress("a", "staff").as_bytes());
    let view = manifest::collect([&parsed]).0;
    let ingress = Object::Ingress(Arc::clone(view.ingresses().next().unwrap()));
    let named: Vec<String> = objects_of(&ingress).iter().map(ToString::to_string).collect();
    assert_eq!(named, ["Secret shop/staff"]);
}
