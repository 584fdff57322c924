//! What requests failed of lately: what the log of a running gateway says, for whoever asks why.

use std::time::Instant;

use proxy::Failure;
use route::{HostBuf, RequestHost, normalise_authority};

use super::told::FailureTold;
use crate::shown::ShownDoor;

/// How many are told.
const MOST: usize = 5;

/// Those of the Ingress that answers, whichever of its rules it was, and those for this host first; without one, those for this
/// host that found no rule either.
pub(super) fn told(
    door: &ShownDoor,
    ingress: Option<&str>,
    host: Option<&RequestHost<'_>>,
) -> Vec<FailureTold> {
    let failures = door.status.as_ref().map(|status| status.failures());
    of(failures.unwrap_or_default(), ingress, host, Instant::now())
}

fn of(
    failures: Vec<Failure>,
    ingress: Option<&str>,
    host: Option<&RequestHost<'_>>,
    now: Instant,
) -> Vec<FailureTold> {
    let is_meant = |failure: &Failure| match ingress {
        Some(_) => failure.ingress.as_deref() == ingress,
        None => failure.ingress.is_none() && is_for(&failure.host, host),
    };
    let mut meant: Vec<Failure> = failures.into_iter().filter(is_meant).collect();
    meant.sort_by_key(|failure| !is_for(&failure.host, host));
    meant
        .into_iter()
        .take(MOST)
        .map(|failure| FailureTold {
            status: failure.status,
            refusal: failure.reason.to_owned(),
            detail: failure.detail.into(),
            host: failure.host.into(),
            endpoint: failure.endpoint.map(|endpoint| endpoint.to_string()),
            pod: failure.pod.map(Into::into),
            seconds_ago: now.saturating_duration_since(failure.last).as_secs(),
        })
        .collect()
}

/// Whether a client that wrote this asked for the host.
fn is_for(written: &str, host: Option<&RequestHost<'_>>) -> bool {
    let mut buf = HostBuf::new();
    let written = normalise_authority(written.as_bytes(), &mut buf).ok();
    match (written, host) {
        (Some(written), Some(host)) => written.as_str() == host.as_str(),
        (None, _) | (_, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_is_told_is_of_the_ingress_or_of_the_host() {
        let start = Instant::now();
        let failure = |host: &str, ingress: Option<&str>, detail: &str| Failure {
            last: start,
            status: 502,
            reason: "upstream_reset",
            detail: detail.into(),
            host: host.into(),
            ingress: ingress.map(Into::into),
            service: None,
            endpoint: None,
            pod: None,
        };
        let failures = vec![
            failure("a.test", Some("shop/web"), "one"),
            failure("A.test:80", None, "two"),
            failure("b.test", None, "three"),
            failure("b.test", Some("shop/web"), "four"),
            failure("", None, "five"),
        ];
        let told = |ingress, host: &str| {
            let mut buf = HostBuf::new();
            let host = normalise_authority(host.as_bytes(), &mut buf).ok();
            let told = of(
                failures.clone(),
                ingress,
                host.as_ref(),
                start + Duration::from_secs(3),
            );
            assert!(told.iter().all(|told| told.seconds_ago == 3));
            told.into_iter().map(|told| told.detail).collect::<Vec<_>>()
        };
        assert_eq!(told(Some("shop/web"), "a.test"), ["one", "four"]);
        assert_eq!(told(Some("shop/web"), "b.test"), ["four", "one"]);
        assert_eq!(told(None, "a.test"), ["two"]);
        assert_eq!(told(None, "c.test"), Vec::<String>::new());
    }
}
