//! Why a request failed, in words that name the setting or the object that somebody may want to change.

use std::borrow::Cow;
use std::time::Duration;

use door::{Route, Snapshot, Unserved, UnservedIngress, Upstream};
use route::{ListenerName, RequestHost};

use crate::exchange::{Cause, Setting};
use crate::refusal::Refusal;
use crate::request::body_limit::body_limit;
use crate::settings::Settings;
use crate::upstream::ConnectError;

/// Why no endpoint of an upstream takes the request.
pub(crate) fn no_endpoint(upstream: &Upstream) -> String {
    upstream.explain_none().unwrap_or_else(|| {
        format!(
            "none of the {} endpoints of Service `{}`, port {}, is usable: they have been ejected, or the request has \
             failed there",
            upstream.endpoints.len(),
            upstream.service,
            upstream.port
        )
    })
}

/// Why there is no connection to an endpoint. `known_down`: it was tried because all of them are.
pub(crate) fn of_connecting(
    error: &ConnectError,
    timeout: Duration,
    route: &Route,
    known_down: bool,
) -> Cow<'static, str> {
    let words = error.words(timeout);
    let setting = if matches!(error.refusal(), Refusal::ConnectTimeout) {
        connect_setting(route)
    } else {
        ""
    };
    match (known_down, setting) {
        (false, "") => words,
        (false, setting) => format!("{words} ({setting})").into(),
        (true, "") => {
            format!("all endpoints have been ejected, and the one that was tried again: {words}").into()
        }
        (true, setting) => {
            format!("all endpoints have been ejected, and the one that was tried again: {words} ({setting})")
                .into()
        }
    }
}

fn connect_setting(route: &Route) -> &'static str {
    match route.tuning.connect {
        Some(_) => "the Ingress's `proxy-connect-timeout`",
        None => "`timeouts.connect`",
    }
}

/// Why an exchange failed.
pub(crate) fn of_exchange(cause: Cause, route: &Route) -> Cow<'static, str> {
    let tuning = &route.tuning;
    let setting = match cause.setting {
        None => return cause.words,
        Some(Setting::ResponseHead | Setting::ResponseIdle) if tuning.response_idle.is_some() => {
            "the Ingress's `proxy-read-timeout`"
        }
        Some(Setting::BodyIdle) if tuning.body_idle.is_some() => "the Ingress's `proxy-send-timeout`",
        Some(Setting::ResponseHead) => "`timeouts.response_head`",
        Some(Setting::ResponseIdle) => "`timeouts.response_idle`",
        Some(Setting::BodyIdle) => "`timeouts.body_idle`",
        Some(Setting::WriteStall) => "`timeouts.write_stall`",
    };
    format!("{} ({setting})", cause.words).into()
}

/// Which limit the body of a request exceeds.
pub(crate) fn too_large(route: Option<&Route>, settings: &Settings) -> Option<String> {
    let limit = body_limit(route?, settings)?;
    let asked = route?.tuning.body.filter(|asked| *asked > 0);
    let setting = if asked == Some(limit) {
        "the Ingress's `proxy-body-size`"
    } else {
        "`limits.body`"
    };
    Some(format!(
        "the request's body is larger than {limit} bytes ({setting})"
    ))
}

/// Why a head is refused that did not come in time.
pub(crate) fn late_head(settings: &Settings, read: usize) -> String {
    format!(
        "the head was not complete after {:?} (`timeouts.head`); {read} bytes of it had come",
        settings.timeouts.head
    )
}

/// For the host of a request that no door has.
const UNKNOWN: &str = "no rule of any door has the host (is it spelled right, and does an Ingress that has it also have the \
                       label that a door's selector asks for?)";

/// Why no rule of a door of this process has the host.
fn unknown(unserved: Option<&UnservedIngress>, has_doors_elsewhere: bool) -> Cow<'static, str> {
    let doors = match has_doors_elsewhere {
        true => "any door of this process",
        false => "any door",
    };
    match unserved {
        Some(UnservedIngress { key, door: Some(door) }) => format!(
            "no rule of {doors} has the host; Ingress `{key}` has it, and is for door `{door}`, which another process opens"
        ),
        Some(UnservedIngress { key, door: None }) => format!(
            "no rule of {doors} has the host; Ingress `{key}` has it, and no door admits that Ingress; `blastdoor check` says why"
        ),
        None if has_doors_elsewhere => UNKNOWN.replace("any door", doors),
        None => return UNKNOWN.into(),
    }
    .into()
}

/// Why no rule matches: `owner` is another door that has the host, and `unserved` has those of Ingresses at no door.
pub(crate) fn no_route(
    snapshot: &Snapshot<Settings>,
    host: Option<&RequestHost<'_>>,
    owner: Option<&ListenerName>,
    unserved: &Unserved,
) -> Cow<'static, str> {
    let has_hostless = snapshot.has_hostless_rules();
    let words: Cow<'static, str> = match (host, owner) {
        (None, _) if has_hostless => {
            return "the request names no host, and none of this door's rules without one has the path"
                .into();
        }
        (None, _) => return "the request names no host, and no rule of this door is without one".into(),
        (Some(host), _) if snapshot.knows_host(host) => {
            return "a rule of this door has the host, and none has the path".into();
        }
        (Some(_), Some(owner)) => format!("no rule of this door has the host; door `{owner}` has it").into(),
        (Some(host), None) => unknown(unserved.find(host), snapshot.settings().has_doors_elsewhere),
    };
    if has_hostless {
        format!("{words}; none of this door's rules without a host has the path").into()
    } else {
        words
    }
}
