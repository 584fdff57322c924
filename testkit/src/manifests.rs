//! Sets of manifests, from their bytes to what doors serve.

use resource::{ClusterView, manifest};
use route::ListenerName;

use door::{BackendPolicy, Ledger, Policy, Scheme, Selector, open, publish};

const DOORS: [&str; 4] = [
    "internal-http",
    "internal-https",
    "external-http",
    "external-https",
];

/// Any bytes yield objects and problems, every problem can be shown on one line, and each door holds the rules of the
/// Ingresses with its own label and of no others; compiling the same objects again changes nothing.
pub fn manifest_properties(bytes: &[u8]) {
    let manifest = manifest::parse("manifest.yaml", bytes);
    let (view, doubled) = manifest::collect([&manifest]);
    let (mut publishers, doors): (Vec<_>, Vec<_>) = DOORS
        .iter()
        .filter_map(|name| Some(open(name.parse::<ListenerName>().ok()?, policy(name)?, ())))
        .unzip();
    assert_eq!(doors.len(), DOORS.len());

    let mut ledger = Ledger::default();
    let compiled = publish(&mut publishers, &view, &BackendPolicy::default(), &mut ledger);
    for problem in manifest
        .problems
        .iter()
        .chain(&doubled)
        .chain(&compiled.problems())
    {
        let text = problem.to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    let tables: Vec<_> = doors.iter().map(door::Door::snapshot).collect();
    for (name, table) in DOORS.iter().zip(&tables) {
        for row in table.routes() {
            assert_eq!(label(&view, &row.action.origin.key), Some(*name));
        }
    }
    assert_eq!(
        publish(&mut publishers, &view, &BackendPolicy::default(), &mut ledger),
        compiled
    );
    for (door, before) in doors.iter().zip(&tables) {
        assert!(
            door.snapshot()
                .routes()
                .map(|row| row.action)
                .eq(before.routes().map(|row| row.action))
        );
    }
}

fn policy(door: &str) -> Option<Policy> {
    Some(Policy::new(
        Selector::parse(&format!("expose={door}")).ok()?,
        Scheme::Http,
    ))
}

fn label<'v>(view: &'v ClusterView, ingress: &route::ObjectKey) -> Option<&'v str> {
    view.ingress(ingress)?.labels.get("expose").map(AsRef::as_ref)
}
