//! Paths that are regular expressions, at a door: their rank, and how many a host may have.

#![allow(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use door::{Action, BackendPolicy, Blocked, Ledger, Policy, Scheme, Selector, Verdict, open, publish};
use resource::{ClusterView, manifest};
use route::{HostBuf, MOST_REGEXES, PathScratch, normalise_authority, normalise_path};

fn ingress(name: &str, paths: &[String]) -> String {
    let annotations = "{nginx.ingress.kubernetes.io/use-regex: \"true\"}";
    let paths: String = paths
        .iter()
        .map(|path| {
            let kind = if path == "/plain" { "Prefix" } else { "ImplementationSpecific" };
            format!(
                "      - {{path: '{path}', pathType: {kind}, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}\n"
            )
        })
        .collect();
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop, labels: {{expose: one}}, annotations: {annotations}}}\nspec:\n  rules:\n  - host: a.test\n    http:\n      paths:\n{paths}---\n"
    )
}

#[test]
fn what_is_beyond_a_hundred_of_a_host_is_closed() {
    let mut view = ClusterView::default();
    let first: Vec<String> = (0..MOST_REGEXES)
        .map(|index| format!("/p{index:03}/[0-9]+"))
        .collect();
    let more = [
        "/more/[0-9]+".to_owned(),
        "/p000/[0-9]+".to_owned(),
        "/plain".to_owned(),
    ];
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: shop}\nspec: {ports: [{port: 80}]}\n---\n";
    let text = [service.to_owned(), ingress("a", &first), ingress("b", &more)].concat();
    for placed in manifest::parse("test.yaml", text.as_bytes()).objects {
        view.insert(placed.object);
    }
    let policy = Policy::new(Selector::parse("expose=one").unwrap(), Scheme::Http);
    let (publisher, door) = open("one".parse().unwrap(), policy, ());
    let mut publishers = vec![publisher];
    let mut ledger = Ledger::default();
    let reports = publish(&mut publishers, &view, &BackendPolicy::default(), &mut ledger);
    let told: Vec<String> = reports
        .problems()
        .iter()
        .map(|problem| problem.message.to_string())
        .filter(|message| message.contains("regular expressions already"))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.iter()
            .all(|message| message.starts_with("host a.test has 100 paths at door `one`"))
    );

    let snapshot = door.snapshot();
    let find = |path: &str| {
        let (mut host, mut scratch) = (HostBuf::new(), PathScratch::default());
        let host = normalise_authority(b"a.test", &mut host).unwrap();
        let path = normalise_path(path.as_bytes(), &mut scratch).unwrap();
        if let Verdict::Matched(route) = snapshot.find(Some(&host), &path) {
            Some(route.action.clone())
        } else {
            None
        }
    };
    assert!(matches!(find("/p000/1"), Some(Action::Forward(_))));
    assert!(matches!(find("/p099/1"), Some(Action::Forward(_))));
    assert!(matches!(find("/plain/x"), Some(Action::Forward(_))));
    assert_eq!(find("/more/1"), Some(Action::Blocked(Blocked::Bound)));
    assert_eq!(find("/p000/x"), Some(Action::Blocked(Blocked::Bound)));
    assert_eq!(find("/p001/x"), None);
}
