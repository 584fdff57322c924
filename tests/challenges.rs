//! Challenges of cert-manager: a solver's Ingress at a door, and what `check` says about one that is at none.

use gateway_tests::{Backend, gateway, get, manifest};

const PATH: &str = "/.well-known/acme-challenge/LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

/// The Ingress that cert-manager 1.18 and later makes for a challenge, with one more label from its Issuer.
fn solver(label: &str, port: u16) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: cm-acme-http-solver-7vlkz\n  namespace: test\n  \
         annotations: {{nginx.ingress.kubernetes.io/whitelist-source-range: \"0.0.0.0/0,::/0\"}}\n  labels:\n    \
         acme.cert-manager.io/http-domain: \"1066846132\"\n    acme.cert-manager.io/http-token: \"1229430216\"\n    \
         acme.cert-manager.io/http01-solver: \"true\"\n{label}  ownerReferences:\n  - {{apiVersion: acme.cert-manager.io/v1, \
         kind: Challenge, name: shop-tls-1, uid: 5a0ec3ad-2f4a-4f25-8f2b-4b6e4c0d3f6e, controller: true, blockOwnerDeletion: true}}\n\
         spec:\n  rules:\n  - host: shop.test\n    http:\n      paths:\n      - path: {PATH}\n        pathType: Exact\n        \
         backend: {{service: {{name: cm-acme-http-solver-x2x8n, port: {{number: 80}}}}}}\n---\n"
    ) + &manifest::service("cm-acme-http-solver-x2x8n", &[port])
}

#[test]
fn check_says_what_an_issuer_lacks_and_with_it_the_challenge_is_answered() {
    let backend = Backend::start("token");
    let shop = manifest::app("shop", "external-https", "shop.test", backend.port());
    let builder = |label: &str| {
        gateway!()
            .door("external-http", "redirect = \"external-https\"")
            .manifest("shop.yaml", &shop)
            .manifest("solver.yaml", &solver(label, backend.port()))
    };
    let checked = builder("").run(&["check"]);
    assert_eq!(checked.status, 1, "{checked:?}");
    let told = [
        "warning: Ingress test/cm-acme-http-solver-7vlkz metadata.labels: served nowhere",
        "the Certificate does not become ready",
        "`spec.acme.solvers[].http01.ingress.ingressTemplate.metadata.labels: {expose: ",
        "{expose: external-http}",
        "`acme.cert-manager.io/http01-edit-in-place: \"true\"`",
    ];
    for part in told {
        assert_eq!(checked.stdout.matches(part).count(), 1, "{part}: {checked:?}");
    }
    let gateway = builder("").start();
    let door = gateway.door("external-http");
    assert_eq!(get(door, "shop.test", PATH).status, 308, "the sibling's host");

    // As the Issuer's template writes it: the challenge is answered, and everything else still redirected.
    let labelled = "    expose: external-http\n";
    let checked = builder(labelled).run(&["check"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    gateway.put("solver.yaml", &solver(labelled, backend.port()));
    gateway.until_status("external-http", "shop.test", PATH, 200);
    assert_eq!(get(door, "shop.test", "/").status, 308);

    // At the sibling it is reached by the redirect, without it not at all.
    let at_https = "    expose: external-https\n";
    let checked = builder(at_https).run(&["check"]);
    assert_eq!(checked.status, 0, "{checked:?}");
    let alone = gateway!().manifest("solver.yaml", &solver(at_https, backend.port()));
    let checked = alone.run(&["check", "-o", "json"]);
    assert_eq!(checked.status, 1, "{checked:?}");
    assert!(
        checked.stdout.contains("over plain HTTP to port 80"),
        "{checked:?}"
    );
}
