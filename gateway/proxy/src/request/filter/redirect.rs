//! Filters that send the client elsewhere.

use super::{Seen, Step};
use crate::refusal::Refusal;
use crate::request::decide::https_location;
use crate::request::reply::Reply;

/// 308 to the same host and path over https. A request without a host cannot be redirected.
pub(super) fn to_https(port: u16, seen: &Seen<'_>) -> Step {
    let location = seen
        .place
        .look_up(|host, _| Some(https_location(host?, port, seen.request, seen.head)))
        .flatten();
    Step::Answer(match location {
        Some(location) => Reply::Redirect {
            status: 308,
            location,
        },
        None => Refusal::NoRoute.into(),
    })
}
