//! Who a client is: passwords, other services' verdicts, client certificates.

use super::row::{Subject, closes};

const NOT_YET: &str = "authentication is not supported yet";

pub(super) const SUBJECT: Subject = Subject {
    title: "Authentication",
    ingress: &[
        closes("nginx.ingress.kubernetes.io/auth-*", NOT_YET),
        closes("nginx.ingress.kubernetes.io/satisfy", NOT_YET),
    ],
    service: &[],
    review: None,
};
