//! Allow lists, deny lists and rate limits, in every spelling.

mod counts;
mod lists;
mod rates;
mod stores;

use gateway_tests::{Backend, Gateway, gateway};

use super::{DOOR, app};

const MIDDLEWARES: &str = "traefik.ingress.kubernetes.io/router.middlewares";
const NAMED: (&str, &str) = (MIDDLEWARES, "test-m@kubernetescrd");

/// A door that believes this machine about clients.
const TRUSTING: &str = "trusted_proxies = [\"127.0.0.0/8\"]\nclient_ip = \"xff\"";

/// A Middleware `m` of this kind with these fields.
fn middleware(kind: &str, fields: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: m, namespace: test}}\nspec: {{{kind}: {{{fields}}}}}\n---\n"
    )
}

/// A gateway whose door believes what this machine says of clients.
fn trusting(backend: &Backend, annotations: &[(&str, &str)], others: &str) -> Gateway {
    gateway!()
        .door(DOOR, TRUSTING)
        .manifest("app.yaml", &app(backend, annotations))
        .manifest("others.yaml", others)
        .start()
}
