//! Which doors an Ingress expects to be served at.

use super::row::{Setting, Stake, Subject, honoured};
use super::value::NAMES;
use crate::problem::Severity;

pub(super) const SUBJECT: Subject = Subject {
    title: "Doors",
    ingress: &[honoured(
        "traefik.ingress.kubernetes.io/router.entrypoints",
        "must name the door that admits the Ingress by its labels or class",
        &Setting {
            value: &NAMES,
            default: "labels and class alone",
            stake: Stake::Convenience,
            put: |parsed, names, written| {
                if names.is_empty() {
                    written.report(Severity::Warning, "names no door; it is ignored");
                }
                parsed.entrypoints = names;
            },
        },
    )],
    service: &[],
    review: None,
};
