//! Manifests and their problems: every kind of mistake has a test that shows its message.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod closing;
mod documents;
mod ingress;
mod objects;

use resource::manifest::{Manifest, collect, parse};
use resource::{ClusterView, Ingress};

fn read(text: &str) -> Manifest {
    parse("f.yaml", text.as_bytes())
}

/// The problems of a file, without its name.
fn reported(manifest: &Manifest) -> Vec<String> {
    let line = |problem: &resource::Problem| problem.to_string().strip_prefix("f.yaml:").unwrap().to_owned();
    manifest.problems.iter().map(line).collect()
}

fn view(manifest: &Manifest) -> ClusterView {
    let (view, duplicates) = collect([manifest]);
    assert_eq!(duplicates, []);
    view
}

fn ingress(text: &str) -> (Ingress, Vec<String>) {
    let manifest = read(text);
    let view = view(&manifest);
    let ingress = view
        .ingresses()
        .next()
        .unwrap_or_else(|| panic!("no Ingress: {:?}", reported(&manifest)));
    ((**ingress).clone(), reported(&manifest))
}

/// An Ingress `shop/web` whose spec begins on line 5.
fn with_spec(spec: &str) -> (Ingress, Vec<String>) {
    ingress(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, namespace: shop}}\nspec:\n{spec}"
    ))
}

/// An Ingress with one rule for `a.test` whose only path, on line 9, is as given.
fn with_path(path: &str) -> (Ingress, Vec<String>) {
    with_spec(&format!(
        "  rules:\n    - host: a.test\n      http:\n        paths:\n          - {path}\n"
    ))
}

const SOUND: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: web
  namespace: shop
  uid: 1234
  generation: 7
  creationTimestamp: 2026-01-31T12:00:00Z
  labels: {expose: internal-http}
  annotations: {kubernetes.io/tls-acme: \"true\"}
spec:
  ingressClassName: blastdoor
  defaultBackend: {service: {name: fallback, port: {name: http}}}
  tls: [{hosts: [Shop.Test, '*.shop.test'], secretName: cert}]
  rules:
    - host: Shop.Test
      http:
        paths:
          - {path: /api, pathType: Prefix, backend: {service: {name: api, port: {number: 8080}}}}
          - {path: /health, pathType: Exact, backend: {service: {name: api, port: {name: admin}}}}
          - {pathType: ImplementationSpecific, backend: {service: {name: web, port: {number: 80}}}}
    - http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: any, port: {number: 80}}}}]}
";

fn ingress_with_annotations(annotations: &str) -> (Ingress, Vec<String>) {
    ingress(&format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: web, annotations: {annotations}}}\nspec: {{defaultBackend: {{service: {{name: w, port: {{number: 1}}}}}}}}\n"
    ))
}
