//! What is not supported of asking who a client is.

use super::row::{Subject, closes};

const OPTION: &str = "no such way to authenticate is supported; `auth-url` and `auth-type: basic` are, and the door verifies \
                      certificates of clients";
const SATISFY: &str = "not supported: a request must pass every filter";

pub(super) const SUBJECT: Subject = Subject {
    title: "Authentication",
    ingress: &[
        closes("nginx.ingress.kubernetes.io/auth-*", OPTION),
        closes("nginx.ingress.kubernetes.io/satisfy", SATISFY),
        closes("blastdoor.dev/jwt-*", "not supported yet"),
        closes("blastdoor.dev/oidc-*", "not supported yet"),
        closes("blastdoor.dev/client-cert*", "not supported yet"),
        closes("blastdoor.dev/satisfy", SATISFY),
    ],
    service: &[],
    review: None,
};
