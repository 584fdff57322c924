//! Snippets: raw configuration of nginx, which the gateway never runs.

use std::collections::BTreeMap;

use super::parsed::Annotations;
use super::row::{Effect, Row, Setting, Stake, Subject, honoured};
use super::value::{TRUTH, truth};

/// The annotation that has snippets ignored.
pub(super) const IGNORE: &str = "blastdoor.dev/ignore-snippets";

pub(super) const SUBJECT: Subject = Subject {
    title: "Snippets",
    ingress: &[
        honoured(
            IGNORE,
            "`true`: snippets are ignored instead of closing the Ingress",
            &Setting {
                value: &TRUTH,
                default: "`false`",
                stake: Stake::Convenience,
                // It concerns other annotations: see `are_ignored`.
                put: |_, _, _| (),
            },
        ),
        snippet("nginx.ingress.kubernetes.io/configuration-snippet"),
        snippet("nginx.ingress.kubernetes.io/server-snippet"),
        snippet("nginx.ingress.kubernetes.io/stream-snippet"),
        snippet("nginx.ingress.kubernetes.io/auth-snippet"),
    ],
    service: &[],
    review: None,
};

const fn snippet(key: &'static str) -> Row<Annotations> {
    Row {
        key,
        effect: Effect::Snippet,
        note: "configuration of nginx",
        difference: "",
        example: "",
    }
}

/// Whether the annotations of an Ingress say that its snippets are to be ignored.
pub(super) fn are_ignored(raw: &BTreeMap<String, String>) -> bool {
    raw.get(IGNORE)
        .is_some_and(|value| truth(value.trim()) == Some(true))
}
