//! Which client addresses are served.

use std::collections::BTreeMap;

use filter::access::{Allow, Deny};
use filter::cidr::Networks;

use super::parsed::Annotations;
use super::row::{Setting, Stake, Subject, honoured};
use super::value::{Form, field};
use crate::filter_kind::FilterKind;
use crate::filter_spec::FilterSpec;
use crate::reporter::Reporter;

pub(super) const SUBJECT: Subject = Subject {
    title: "Allow and deny lists",
    ingress: &[
        honoured(
            "blastdoor.dev/allow",
            "whom the routes serve, by the client's address; others are answered 403",
            ALLOW,
        )
        .example("10.0.0.0/8, 2001:db8::/32"),
        honoured(
            "blastdoor.dev/deny",
            "whom they do not serve, by the client's address (403); counts before `allow`",
            DENY,
        ),
        honoured(WHITELIST, "as `blastdoor.dev/allow`", ALLOW)
            .differs(FLAWS)
            .example("10.0.0.0/8,2001:db8::/32"),
        honoured(ALLOWLIST, "as `whitelist-source-range`", ALLOW).differs(FLAWS),
        honoured(
            "nginx.ingress.kubernetes.io/denylist-source-range",
            "as `blastdoor.dev/deny`",
            DENY,
        )
        .differs(FLAWS),
    ],
    service: &[],
    review: Some(review),
};

const WHITELIST: &str = "nginx.ingress.kubernetes.io/whitelist-source-range";
const ALLOWLIST: &str = "nginx.ingress.kubernetes.io/allowlist-source-range";

const FLAWS: &str = "an element that is no network, or an empty list, closes the routes; there the list does not count then. \
                     `X-Forwarded-For` counts as the door's `client_ip` says";

/// Addresses and networks, all of which must be readable.
pub(super) const NETWORKS: Form<Networks> = Form {
    name: "addresses and networks, separated by commas",
    parse: |written| Networks::parse(written.value).map_err(|error| error.to_string()),
};

const ALLOW: &Setting<Annotations, Networks> = &Setting {
    value: &NETWORKS,
    default: "everybody",
    stake: Stake::Protection,
    // Everybody is what cert-manager writes on each Ingress of a challenge.
    put: |parsed, networks, written| {
        if !networks.is_everybody() {
            let allow = FilterSpec::Allow(Allow::clients(networks));
            parsed.filters.push(written.filter(allow));
        } else {
            parsed.none.extend(written.no_filter(FilterKind::Allow));
        }
    },
};

const DENY: &Setting<Annotations, Networks> = &Setting {
    value: &NETWORKS,
    default: "nobody",
    stake: Stake::Protection,
    put: |parsed, networks, written| {
        parsed
            .filters
            .push(written.filter(FilterSpec::Deny(Deny { networks })));
    },
};

/// The two names of one annotation: the list counts once, and a contradiction closes.
fn review(parsed: &mut Annotations, raw: &BTreeMap<String, String>, report: &mut Reporter<'_>) {
    let (Some(old), Some(new)) = (raw.get(WHITELIST), raw.get(ALLOWLIST)) else {
        return;
    };
    match (Networks::parse(old), Networks::parse(new)) {
        (Ok(old), Ok(new)) if old == new => {
            let twin = field(WHITELIST);
            parsed.filters.retain(|written| *written.field != *twin);
        }
        (Ok(_), Ok(_)) => {
            let reason =
                "differs from `allowlist-source-range`, which is the same annotation; remove one of them";
            parsed.close(WHITELIST, reason, report);
        }
        // That has closed them.
        _ => {}
    }
}
