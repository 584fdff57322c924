//! How long it takes from a view of 10,000 Ingresses with 50,000 endpoints to live tables, and how long when one
//! object of them changes. `cargo bench -p door --bench publish [-- INGRESSES]`
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement: what it prints is its result, and what fails ends it"
)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use door::{BackendPolicy, Ledger, Policy, Publisher, Scheme, Selector, open, publish};
use resource::{ClusterView, manifest};

const DOORS: [(&str, &str); 4] = [
    ("internal-http", "expose=internal-http"),
    (
        "internal-https",
        "expose in (internal-https, internal-httpsecure)",
    ),
    ("external-http", "expose=external-http"),
    (
        "external-https",
        "expose in (external-https, external-httpsecure)",
    ),
];
const CHANGES: usize = 50;

fn main() {
    let count = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    let mut publishers: Vec<Publisher<()>> = DOORS
        .iter()
        .map(|(name, selector)| {
            let policy = Policy::new(Selector::parse(selector).unwrap(), Scheme::Http);
            open(name.parse().unwrap(), policy, ()).0
        })
        .collect();
    let mut view: ClusterView = (0..count).flat_map(|number| objects(number, "a")).collect();
    let backends = BackendPolicy::default();
    let started = Instant::now();
    let mut ledger = Ledger::default();
    let problems = publish(&mut publishers, &view, &backends, &mut ledger);
    println!(
        "{count} Ingresses: first table in {:?}, {} problems",
        started.elapsed(),
        problems.problems().len()
    );

    report(
        "one host changes",
        &mut view,
        &mut publishers,
        &mut ledger,
        &backends,
        |view, change| {
            let number = change * 37 % count;
            view.extend(ingress(number, &format!("changed{change}")));
        },
    );
    report(
        "one Service's endpoints change",
        &mut view,
        &mut publishers,
        &mut ledger,
        &backends,
        |view, change| {
            let number = change * 37 % count;
            view.extend(slice(number, 1 + change % 4));
        },
    );
    report(
        "nothing changes",
        &mut view,
        &mut publishers,
        &mut ledger,
        &backends,
        |_, _| {},
    );
}

/// Extends a view as the sources do.
trait Extend {
    fn extend(&mut self, yaml: String);
}

impl Extend for ClusterView {
    fn extend(&mut self, yaml: String) {
        for object in parse(&yaml) {
            self.insert(object);
        }
    }
}

fn report(
    what: &str,
    view: &mut ClusterView,
    publishers: &mut [Publisher<()>],
    ledger: &mut Ledger,
    backends: &BackendPolicy,
    change: impl Fn(&mut ClusterView, usize),
) {
    let mut times: Vec<Duration> = (0..CHANGES)
        .map(|number| {
            change(view, number);
            let started = Instant::now();
            publish(&mut *publishers, view, backends, ledger);
            started.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "{what}: {:?} (p50), {:?} (longest of {CHANGES})",
        times[CHANGES / 2],
        times[CHANGES - 1]
    );
}

fn objects(number: usize, host: &str) -> Vec<resource::Object> {
    parse(&(ingress(number, host) + &service(number) + &slice(number, 5)))
}

fn parse(yaml: &str) -> Vec<resource::Object> {
    let parsed = manifest::parse("objects.yaml", yaml.as_bytes());
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    parsed.objects.into_iter().map(|placed| placed.object).collect()
}

fn ingress(number: usize, host: &str) -> String {
    let door = DOORS[number % 4].0;
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: app-{number}, namespace: ns-{}, labels: {{expose: {door}, app: app-{number}}}}}\nspec:\n  rules:\n  - host: {host}-{number}.example.com\n    http:\n      paths:\n      - {{path: /, pathType: Prefix, backend: {{service: {{name: app-{number}, port: {{number: 80}}}}}}}}\n      - {{path: /api, pathType: Prefix, backend: {{service: {{name: app-{number}, port: {{number: 80}}}}}}}}\n---\n",
        number % 100
    )
}

fn service(number: usize) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: app-{number}, namespace: ns-{}}}\nspec: {{ports: [{{port: 80}}]}}\n---\n",
        number % 100
    )
}

fn slice(number: usize, endpoints: usize) -> String {
    let mut yaml = format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: app-{number}-1, namespace: ns-{}, labels: {{kubernetes.io/service-name: app-{number}}}}}\naddressType: IPv4\nports: [{{port: 8080}}]\nendpoints:\n",
        number % 100
    );
    for index in 0..endpoints {
        let _infallible = writeln!(
            yaml,
            "- {{addresses: [\"10.{}.{}.{}\"], conditions: {{ready: true}}}}",
            number / 250,
            number % 250,
            index + 1
        );
    }
    yaml + "---\n"
}
