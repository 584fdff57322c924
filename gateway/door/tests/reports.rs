//! What is reported of objects that do not change stays the same list, so that it costs its readers nothing.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what cannot be had fails the test"
)]

use std::collections::BTreeSet;

use door::{BackendPolicy, Ledger, Policy, Publisher, Reports, Scheme, Selector, open, publish_beside};
use resource::{ClusterView, ObjectRef, manifest};

fn insert(view: &mut ClusterView, yaml: &str) {
    for placed in manifest::parse("test.yaml", yaml.as_bytes()).objects {
        view.insert(placed.object);
    }
}

fn ingress(name: &str, label: &str, note: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop, labels: {{{label}}}}}\nspec: {{rules: [{{host: {name}.{note}.test, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: gone, port: {{number: 80}}}}}}}}]}}}}]}}\n---\n"
    )
}

fn slice(address: &str) -> String {
    format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}\naddressType: IPv4\nports: [{{port: 80}}]\nendpoints: [{{addresses: [\"{address}\"]}}]\n---\n"
    )
}

/// The objects whose lists are not the same as before.
fn differing(before: &Reports, now: &Reports) -> BTreeSet<String> {
    assert_eq!(before.lists().len(), now.lists().len());
    let each = now.lists().iter().zip(before.lists());
    let objects = each.flat_map(|(now, before)| now.differing(before));
    objects.map(|object: ObjectRef| object.name.to_string()).collect()
}

#[test]
fn a_change_touches_the_reports_of_what_has_changed() {
    let policy =
        |value: &str| Policy::new(Selector::parse(&format!("expose={value}")).unwrap(), Scheme::Http);
    let mut doors: Vec<Publisher<()>> = ["one", "two"]
        .iter()
        .map(|name| open(name.parse().unwrap(), policy(name), ()).0)
        .collect();
    let others = [("three".parse().unwrap(), policy("three"))];
    let mut view = ClusterView::default();
    for number in 0..50 {
        let label = ["", "expose: nowhere", "expose: one", "expose: three"][number % 4];
        insert(&mut view, &ingress(&format!("app-{number}"), label, "a"));
    }
    let (backends, mut ledger) = (BackendPolicy::default(), Ledger::default());
    let mut publish =
        |view: &ClusterView, others: &[_]| publish_beside(others, &mut doors, view, &backends, &mut ledger);
    let mut last = publish(&view, &others);
    assert_eq!(last.problems().len(), 50);

    // Of Ingresses that no door selects and of endpoints that no door uses, nothing else is said than before.
    let nothing = BTreeSet::new();
    let changes = [
        ingress("app-0", "", "b"),
        ingress("app-1", "expose: nowhere", "b"),
        ingress("app-3", "expose: three", "b"),
        slice("10.0.0.1"),
        slice("10.0.0.2"),
    ];
    for change in &changes {
        insert(&mut view, change);
        let now = publish(&view, &others);
        assert_eq!(differing(&last, &now), nothing, "{change}");
        last = now;
    }
    // Something else is said of one.
    for (label, name) in [
        ("expose: elsewhere", "app-1"),
        ("expose: one", "app-0"),
        ("", "app-2"),
    ] {
        insert(&mut view, &ingress(name, label, "c"));
        let now = publish(&view, &others);
        assert_eq!(differing(&last, &now), [name.to_owned()].into(), "{label}");
        last = now;
    }
    // If no other process opens a door any more, its Ingresses are served nowhere.
    let now = publish(&view, &[]);
    let warnings = |reports: &Reports| {
        let problems = reports.problems();
        problems
            .iter()
            .filter(|problem| problem.message.contains("`expose=three`"))
            .count()
    };
    assert_eq!((warnings(&last), warnings(&now)), (0, 12));
}
