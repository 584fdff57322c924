//! How large the body of a request may be.

use door::Route;

use crate::settings::Settings;

/// The largest request body: the route's limit (0 is unlimited), but never more than the door allows.
pub(crate) fn body_limit(route: &Route, settings: &Settings) -> Option<u64> {
    let asked = route.tuning.body.filter(|limit| *limit > 0);
    match (asked, settings.limits.body) {
        (Some(asked), Some(most)) => Some(asked.min(most)),
        (asked, most) => asked.or(most),
    }
}
