//! The Lease: of all replicas, its holder writes.
//!
//! A small version of client-go's leader election: time is measured on our own clock, from when we saw the Lease change.
//! The clocks of two machines are never compared.

use std::rc::Rc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::installation::Installation;
use crate::cluster::connection::{Connection, Fault};
use crate::cluster::handle::Retirement;

/// A holder that has not renewed for this long has lost it.
const DURATION: Duration = Duration::from_secs(15);
/// Between two renewals by the holder.
const RENEW: Duration = Duration::from_secs(5);
/// Between two looks of a replica that waits for it, and so until it takes over a Lease that was released.
const LOOK: Duration = Duration::from_secs(2);
/// The holder stops writing this long before others may begin.
const MARGIN: Duration = Duration::from_secs(4);
/// For a read and a write together, from a slow API server.
const ANSWER: Duration = Duration::from_secs(8);
/// For releasing it, which only saves the successor some time.
const RELEASE: Duration = Duration::from_secs(2);
/// Between two attempts without permission to hold it.
const DENIED: Duration = Duration::from_secs(60);

/// What was last seen of the Lease, and when it was first seen so.
struct LastSeen {
    version: Option<String>,
    at: Instant,
}

/// The Lease is ours.
#[derive(Debug, Clone)]
pub(crate) struct HeldLease {
    /// Until then. After that another replica may write too.
    pub(crate) until: Instant,
    /// The installation that it belongs to.
    pub(crate) installation: Rc<Installation>,
}

/// Tries to hold the Lease of the installation, in the gateway's own namespace, until this replica retires; `held` says
/// until when it is held. Then releases it, so that another replica need not wait until it expires, and does not take it
/// again.
pub(crate) async fn hold(
    connection: Connection,
    installation: Installation,
    held: &watch::Sender<Option<HeldLease>>,
    retirement: &watch::Sender<Retirement>,
) {
    let api: Api<Lease> = Api::namespaced(connection.client.clone(), &connection.namespace);
    let mut installation = Rc::new(installation);
    let mut retiring = retirement.subscribe();
    let mut last_seen: Option<LastSeen> = None;
    let mut denied = false;
    // A permission that was there may come back, and replicas of one installation must not split over it.
    let mut ever_allowed = false;
    loop {
        let began = Instant::now();
        let mut pause = LOOK;
        // If the API server wants no requests for long enough, the Lease expires.
        if connection.contact.quiet_until().is_none() {
            let candidate = Candidate {
                api: &api,
                name: &installation.lease,
                identity: &connection.identity,
            };
            match timeout(ANSWER, candidate.attempt(&mut last_seen)).await {
                Ok(Ok(is_held)) => {
                    denied = false;
                    ever_allowed = true;
                    let ours = HeldLease {
                        until: began + DURATION - MARGIN,
                        installation: Rc::clone(&installation),
                    };
                    set(held, &installation, is_held.then_some(ours));
                    if is_held {
                        pause = RENEW;
                    }
                }
                Ok(Err(fault @ (Fault::Forbidden(_) | Fault::Refused(_)))) => {
                    set(held, &installation, None);
                    let was_denied = std::mem::replace(&mut denied, true);
                    if let Some(other) = installation.fallback(&connection).filter(|_| !ever_allowed) {
                        report_denial(&fault, &installation, &connection, Some(&other));
                        installation = Rc::new(other);
                        last_seen = None;
                        denied = false;
                    } else {
                        if !was_denied {
                            report_denial(&fault, &installation, &connection, None);
                        }
                        pause = DENIED;
                    }
                }
                // It expires.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        // Jitter, so that replicas that started together drift apart. Counted from the beginning of the attempt: a slow
        // answer must not let the Lease expire.
        let mut next = began + pause.mul_f64(0.9 + 0.1 * fastrand::f64());
        if let Some(until) = connection.contact.quiet_until() {
            next = next.max(until);
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            _ = retiring.wait_for(|retirement| *retirement != Retirement::None) => break,
        }
    }
    // A Lease that may still be ours, although we no longer rely on it, is released as well.
    if held.borrow().is_some() {
        let name = &installation.lease;
        set(held, &installation, None);
        let release = timeout(RELEASE, release(&api, name, &connection.identity));
        let released = match connection.contact.quiet_until() {
            None => release.await,
            Some(_) => Ok(Err(Fault::Busy(429))),
        };
        match released {
            Ok(Ok(())) => tracing::info!("released the Lease `{name}`"),
            Ok(Err(fault)) => tracing::debug!(%fault, "the Lease `{name}` was not released; it will expire"),
            Err(_) => tracing::debug!("the Lease `{name}` was not released; it will expire"),
        }
    }
    retirement.send_replace(Retirement::Done);
}

/// Logs which permission is missing, and what follows from it.
fn report_denial(
    fault: &Fault,
    denied: &Installation,
    connection: &Connection,
    other: Option<&Installation>,
) {
    let name = &denied.lease;
    let consequence = match other {
        Some(other) => format!(
            "so until its next start this gateway counts as `{}`; of all gateways in its namespace that do, one writes",
            other.lease
        ),
        None => "so neither status nor Events are written".to_owned(),
    };
    tracing::warn!(
        %fault,
        "no permission to hold the Lease `{name}`, {consequence}; add to a Role in namespace {}: {{apiGroups: \
         [\"coordination.k8s.io\"], resources: [\"leases\"], verbs: [\"create\"]}} and {{apiGroups: \
         [\"coordination.k8s.io\"], resources: [\"leases\"], resourceNames: [\"{name}\"], verbs: [\"get\", \
         \"update\"]}}, or set `instance` in [source] to the name of a Lease that it may hold",
        connection.namespace
    );
}

/// Writes that nobody holds the Lease, if we do.
async fn release(api: &Api<Lease>, name: &str, identity: &str) -> Result<(), Fault> {
    let Some(mut lease) = api.get_opt(name).await? else {
        return Ok(());
    };
    let before = lease.spec.take().unwrap_or_default();
    if before.holder_identity.as_deref() != Some(identity) {
        return Ok(());
    }
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(String::new()),
        renew_time: Some(MicroTime(Timestamp::now())),
        // Other programs that read Leases expect a duration: the shortest possible.
        lease_duration_seconds: Some(1),
        ..before
    });
    written(api.replace(name, &PostParams::default(), &lease).await)?;
    Ok(())
}

fn set(held: &watch::Sender<Option<HeldLease>>, installation: &Installation, ours: Option<HeldLease>) {
    held.send_if_modified(|known| {
        let was_held = known.as_ref().is_some_and(|held| held.until > Instant::now());
        let turned = was_held != ours.is_some();
        let verb = if ours.is_some() {
            "holding"
        } else {
            "no longer holding"
        };
        *known = ours;
        if turned {
            tracing::info!("{verb} the Lease `{}`", installation.lease);
        }
        turned
    });
}

/// A replica that wants to hold a Lease.
struct Candidate<'a> {
    api: &'a Api<Lease>,
    name: &'a str,
    identity: &'a str,
}

impl Candidate<'_> {
    /// Reads the Lease, and writes it if it is ours or free. Returns whether it is ours now.
    async fn attempt(&self, last_seen: &mut Option<LastSeen>) -> Result<bool, Fault> {
        let Self { api, name, identity } = *self;
        let Some(mut lease) = api.get_opt(name).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(name.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(spec(identity, None)),
            };
            return written(api.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone();
        if last_seen.as_ref().is_none_or(|seen| seen.version != version) {
            *last_seen = Some(LastSeen {
                version,
                at: Instant::now(),
            });
        }
        let before = lease.spec.take().unwrap_or_default();
        let holder = before.holder_identity.as_deref().unwrap_or_default();
        let term = before
            .lease_duration_seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(DURATION, Duration::from_secs);
        let has_run_out = last_seen.as_ref().is_some_and(|seen| seen.at.elapsed() > term);
        if holder != identity && !holder.is_empty() && !has_run_out {
            return Ok(false);
        }
        lease.spec = Some(spec(identity, Some(before)));
        // With the version that was read: of two writers the second one fails.
        written(api.replace(name, &PostParams::default(), &lease).await)
    }
}

fn written(result: kube::Result<Lease>) -> Result<bool, Fault> {
    match result.map_err(Fault::from) {
        Ok(_) => Ok(true),
        Err(Fault::Conflict) => Ok(false),
        Err(fault) => Err(fault),
    }
}

fn spec(identity: &str, before: Option<LeaseSpec>) -> LeaseSpec {
    // For people who read it; nothing here compares it.
    let now = MicroTime(Timestamp::now());
    let before = before.unwrap_or_default();
    let is_same = before.holder_identity.as_deref() == Some(identity);
    let transitions = before.lease_transitions.unwrap_or(0);
    LeaseSpec {
        holder_identity: Some(identity.to_owned()),
        lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
        acquire_time: before
            .acquire_time
            .filter(|_| is_same)
            .or_else(|| Some(now.clone())),
        renew_time: Some(now),
        lease_transitions: Some(if is_same {
            transitions
        } else {
            transitions.saturating_add(1)
        }),
        ..LeaseSpec::default()
    }
}
