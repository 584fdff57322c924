//! What doors need of a view: Secrets, ConfigMaps and names in DNS.

#![allow(clippy::unwrap_used, reason = "what cannot be had fails the test")]

use door::{
    CaSource, ClientAuth, DefaultCertificate, NamespacePattern, Policy, Scheme, Selector, TlsPolicy,
    concerns_needs, needs,
};
use resource::{ClusterView, Object, ObjectRef, manifest};
use route::ObjectKey;

fn policy(selector: &str) -> Policy {
    Policy::new(Selector::parse(selector).unwrap(), Scheme::Http)
}

fn with_tls(selector: &str, default_certificate: DefaultCertificate, client_auth: ClientAuth) -> Policy {
    Policy {
        tls: Some(TlsPolicy {
            client_auth,
            ..TlsPolicy::new(default_certificate)
        }),
        ..policy(selector)
    }
}

fn view(yaml: &str) -> ClusterView {
    let parsed = manifest::parse("test.yaml", yaml.as_bytes());
    assert_eq!(parsed.problems, []);
    manifest::collect([&parsed]).0
}

/// An Ingress of the namespace `shop`.
fn ingress(name: &str, label: &str, year: u16, annotations: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop, creationTimestamp: \"{year}-01-01T00:00:00Z\", labels: {{expose: {label}}}, annotations: {{{annotations}}}}}\nspec: {spec}\n---\n"
    )
}

fn shown(objects: &[ObjectRef]) -> Vec<String> {
    let shown = |object: &ObjectRef| {
        let namespace = object.namespace.as_deref().unwrap_or_default();
        format!("{} {namespace}/{}", object.kind.as_str(), object.name)
    };
    objects.iter().map(shown).collect()
}

const PLAIN: &str = "{defaultBackend: {service: {name: app, port: {number: 80}}}}";
const SECURE: &str = "{tls: [{hosts: [a.test], secretName: a}, {hosts: [b.test], secretName: shared}], \
                      defaultBackend: {service: {name: app, port: {number: 80}}}}";
const SPEAKS_TLS: &str = "nginx.ingress.kubernetes.io/backend-protocol: HTTPS, \
                          nginx.ingress.kubernetes.io/proxy-ssl-secret: shop/client, \
                          blastdoor.dev/backend-tls-ca: configmap/roots";

#[test]
fn ingresses_need_what_the_doors_that_admit_them_use() {
    let view = view(
        &(ingress("young", "one", 2026, "", SECURE)
            + &ingress("old", "one", 2020, SPEAKS_TLS, PLAIN)
            + &ingress("nowhere", "three", 2019, SPEAKS_TLS, SECURE)),
    );
    let of_ingresses = |policies: &[Policy]| shown(&needs(policies, &view).of_ingresses());
    let secure = |selector: &str| with_tls(selector, DefaultCertificate::None, ClientAuth::Off);
    let of_the_old = ["Secret shop/client", "ConfigMap shop/roots"];
    // A door without TLS needs no certificates, and a door that admits no Ingress needs nothing.
    assert_eq!(of_ingresses(&[policy("expose=one")]), of_the_old);
    assert_eq!(
        of_ingresses(&[policy("expose=one"), secure("expose=two")]),
        of_the_old
    );
    let all = [&of_the_old[..], &["Secret shop/a", "Secret shop/shared"]].concat();
    assert_eq!(of_ingresses(&[secure("expose=one")]), all);
    assert_eq!(of_ingresses(&[policy("expose=one"), secure("expose=one")]), all);
    let elsewhere = Policy {
        namespaces: vec![NamespacePattern::parse("team-*").unwrap()],
        ..secure("expose=one")
    };
    assert_eq!(of_ingresses(&[elsewhere]), [""; 0]);
    assert_eq!(of_ingresses(&[]), [""; 0]);
}

#[test]
fn secrets_of_a_door_do_not_count_for_ingresses() {
    let view = view(&ingress("app", "one", 2026, "", SECURE));
    let key = |name: &str| ObjectKey::new("shop", name);
    let policies = [
        with_tls(
            "expose=one",
            DefaultCertificate::Secret(key("shared")),
            ClientAuth::Required(CaSource::Secret(key("clients"))),
        ),
        with_tls(
            "expose=two",
            DefaultCertificate::Secret(key("shared")),
            ClientAuth::Optional(CaSource::Secret(key("others"))),
        ),
    ];
    let needs = needs(&policies, &view);
    let of_doors = ["Secret shop/shared", "Secret shop/clients", "Secret shop/others"];
    assert_eq!(shown(&needs.of_doors()), of_doors);
    assert_eq!(shown(&needs.of_ingresses()), ["Secret shop/a"]);
}

#[test]
fn only_what_admitted_ingresses_need_is_needed() {
    let forwarding = |name: &str, label: &str, year: u16, services: &[&str]| {
        let paths: Vec<String> = services
            .iter()
            .map(|service| {
                format!(
                    "{{path: /{service}, pathType: Prefix, backend: {{service: {{name: {service}, port: {{number: 80}}}}}}}}"
                )
            })
            .collect();
        let paths = paths.join(", ");
        let spec = format!("{{rules: [{{host: {name}.test, http: {{paths: [{paths}]}}}}]}}");
        ingress(name, label, year, "", &spec)
    };
    let service = |name: &str, spec: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n---\n"
        )
    };
    let yaml = forwarding("young", "one", 2026, &["b", "a", "plain"])
        + &forwarding("old", "one", 2020, &["c", "same-as-a", "none"])
        + &forwarding("elsewhere", "two", 2019, &["d"])
        + &service("a", "{type: ExternalName, externalName: a.example}")
        + &service("same-as-a", "{type: ExternalName, externalName: A.example.}")
        + &service("b", "{type: ExternalName, externalName: b.example}")
        + &service("c", "{type: ExternalName, externalName: c.example}")
        + &service("d", "{type: ExternalName, externalName: d.example}")
        + &service("unused", "{type: ExternalName, externalName: e.example}")
        + &service("broken", "{type: ExternalName, externalName: 10.0.0.1}")
        + &service("plain", "{ports: [{port: 80}]}");
    let (view, _) = manifest::collect([&manifest::parse("test.yaml", yaml.as_bytes())]);
    let of = |selector: &str| {
        let policies = [policy(selector)];
        let names = needs(&policies, &view).names();
        names
            .iter()
            .map(|needed| needed.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("expose=one"), ["c.example", "a.example", "b.example"]);
    assert_eq!(of("expose=two"), ["d.example"]);
    assert_eq!(of("expose=three"), [""; 0]);
}

/// Which changes are worth asking again for: a cluster has many more of the others.
#[test]
fn few_changes_concern_what_is_needed() {
    let object = |yaml: &str| -> Object {
        let parsed = manifest::parse("test.yaml", yaml.as_bytes());
        parsed.objects.into_iter().next().unwrap().object
    };
    let app =
        |label: &str, annotations: &str, spec: &str| object(&ingress("app", label, 2026, annotations, spec));
    let plain = app("one", "", PLAIN);
    let secure = app("one", "", SECURE);
    let other_hosts = app("one", "", &SECURE.replace("a.test", "c.test"));
    let other_secret = app("one", "", &SECURE.replace("secretName: a", "secretName: c"));
    let class = object(
        "apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: edge}\nspec: {controller: example.com/x}",
    );
    let service = object(
        "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: shop}\nspec: {ports: [{port: 80}]}",
    );
    for (before, after, expected) in [
        (None, Some(&plain), false),
        (Some(&plain), None, false),
        (Some(&plain), Some(&app("two", "", PLAIN)), false),
        (None, Some(&secure), true),
        (Some(&secure), None, true),
        (Some(&plain), Some(&secure), true),
        (Some(&secure), Some(&plain), true),
        (Some(&secure), Some(&secure.clone()), false),
        (Some(&secure), Some(&other_hosts), false),
        (Some(&secure), Some(&other_secret), true),
        (Some(&secure), Some(&app("two", "", SECURE)), true),
        (Some(&secure), Some(&app("one", SPEAKS_TLS, SECURE)), true),
        (None, Some(&class), true),
        (Some(&class), None, true),
        (None, Some(&service), false),
        (Some(&service), None, false),
    ] {
        assert_eq!(concerns_needs(before, after), expected, "{before:?} {after:?}");
    }
}
