//! Which port of a Service an Ingress means, and which endpoints that gives.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "what cannot be had fails the test"
)]

use door::{Action, BackendPolicy, Ledger, Policy, Scheme, Selector, Verdict, open, publish};
use resource::{ClusterView, manifest};
use route::{HostBuf, PathScratch, normalise_path, normalise_sni};

/// What an Ingress that names `port` gets from a Service with these ports, whose EndpointSlice has these: the port of
/// the Service with its endpoints, and the problems; `None` where the rule is closed.
fn found(port: &str, service: &str, slice: &str) -> (Option<(u16, Vec<String>)>, Vec<String>) {
    let yaml = format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: app, namespace: shop, labels: {{expose: one}}}}\nspec: {{rules: [{{host: app.test, http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: app, port: {port}}}}}}}]}}}}]}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: app, namespace: shop}}\nspec: {{ports: {service}}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: app-1, namespace: shop, labels: {{kubernetes.io/service-name: app}}}}\naddressType: IPv4\nports: {slice}\nendpoints: [{{addresses: [\"10.9.9.9\"]}}]\n"
    );
    let parsed = manifest::parse("test.yaml", yaml.as_bytes());
    let (view, _): (ClusterView, _) = manifest::collect([&parsed]);
    let mut problems = parsed.problems;
    let policy = Policy::new(Selector::parse("expose=one").unwrap(), Scheme::Http);
    let (publisher, door) = open("one".parse().unwrap(), policy, ());
    let mut publishers = vec![publisher];
    let reported = publish(
        &mut publishers,
        &view,
        &BackendPolicy::default(),
        &mut Ledger::default(),
    );
    problems.extend(reported.problems());
    let snapshot = door.snapshot();
    let (mut host, mut path) = (HostBuf::new(), PathScratch::default());
    let host = normalise_sni(b"app.test", &mut host).unwrap();
    let path = normalise_path(b"/", &mut path).unwrap();
    let Verdict::Matched(route) = snapshot.find(Some(&host), &path) else {
        panic!("the rule has a place of its own");
    };
    let upstream = match &route.action {
        Action::Forward(upstream) => {
            let endpoints = upstream
                .endpoints
                .iter()
                .map(|endpoint| endpoint.address.to_string());
            Some((upstream.port, endpoints.collect()))
        }
        Action::Blocked(_) | Action::Redirect => None,
    };
    let reported = problems
        .iter()
        .map(|problem| format!("{}: {}", problem.severity.as_str(), problem.message));
    (upstream, reported.collect())
}

/// HTTP/3 beside HTTPS: Kubernetes allows a number once for each protocol, in any order and under any names.
#[test]
fn a_port_number_means_tcp_rather_than_udp() {
    let slice = "[{name: h3, port: 1, protocol: UDP}, {name: web, port: 8443, protocol: TCP}]";
    let (h3, web) = (
        "{name: h3, port: 443, protocol: UDP}",
        "{name: web, port: 443, protocol: TCP}",
    );
    let expected = (Some((443, vec!["10.9.9.9:8443".to_owned()])), Vec::new());
    for ports in [format!("[{h3}, {web}]"), format!("[{web}, {h3}]")] {
        assert_eq!(found("{number: 443}", &ports, slice), expected, "{ports}");
        assert_eq!(found("{name: web}", &ports, slice), expected, "{ports}");
        let (closed, reported) = found("{name: h3}", &ports, slice);
        assert_eq!(closed, None, "{ports}");
        assert!(
            reported.iter().any(|line| line.contains("is not TCP")),
            "{reported:?}"
        );
    }
    let (closed, reported) = found("{number: 443}", &format!("[{h3}]"), slice);
    assert_eq!(closed, None);
    assert!(
        reported.iter().any(|line| line.contains("is not TCP")),
        "{reported:?}"
    );
}

/// A Service may name a port `8080`; an Ingress cannot, in a cluster, and means the number.
#[test]
fn a_port_of_digits_is_a_name_first_and_then_a_number() {
    let slice = "[{name: http, port: 8080}, {name: \"80\", port: 9090}]";
    let named = "[{name: \"80\", port: 81}, {name: http, port: 80}]";
    let only_numbered = "[{name: http, port: 80}, {name: other, port: 81}]";
    assert_eq!(
        found("{name: \"80\"}", named, slice),
        (Some((81, vec!["10.9.9.9:9090".to_owned()])), Vec::new())
    );
    assert_eq!(
        found("{number: 80}", named, slice),
        (Some((80, vec!["10.9.9.9:8080".to_owned()])), Vec::new())
    );
    let (taken, reported) = found("{name: \"80\"}", only_numbered, slice);
    assert_eq!(taken, Some((80, vec!["10.9.9.9:8080".to_owned()])));
    assert!(
        matches!(reported.as_slice(), [line] if line.starts_with("note: ") && line.contains("write `number: 80`")),
        "{reported:?}"
    );
    for wrong in [
        "{name: \"82\"}",
        "{name: \"0\"}",
        "{name: \"65616\"}",
        "{name: web}",
    ] {
        assert_eq!(found(wrong, only_numbered, slice).0, None, "{wrong}");
    }
    // A number without quotes where a name is expected is not taken for one.
    let (closed, reported) = found("{name: 80}", only_numbered, slice);
    assert_eq!(closed, None);
    assert!(
        reported.iter().any(|line| line.contains("write it as `number`")),
        "{reported:?}"
    );
}
