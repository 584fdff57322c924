//! Who a client is: passwords, other services' verdicts, client certificates.

use super::row::{Subject, closes, closes_except};
use super::value::OFF;

const NOT_YET: &str = "authentication is not supported yet";

pub(super) const SUBJECT: Subject = Subject {
    title: "Authentication",
    ingress: &[
        closes("nginx.ingress.kubernetes.io/auth-*", NOT_YET),
        closes_except(OFF, "nginx.ingress.kubernetes.io/enable-global-auth", NOT_YET),
        closes("nginx.ingress.kubernetes.io/satisfy", NOT_YET),
    ],
    service: &[],
    review: None,
};
