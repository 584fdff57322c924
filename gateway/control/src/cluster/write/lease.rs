//! The Lease: of all replicas, one writes.
//!
//! As client-go's leader election does it, in small: time is measured on our own clock from when we saw the Lease
//! change, never by comparing clocks of two machines.

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
/// Between two looks of whoever waits for it, who takes it over that soon when the holder gives it up.
const LOOK: Duration = Duration::from_secs(2);
/// The holder stops to write this long before others may begin.
const MARGIN: Duration = Duration::from_secs(4);
/// For a look and a write together, as a slow API server answers them.
const ANSWER: Duration = Duration::from_secs(8);
/// Giving it up is a kindness to the successor, for which nobody waits long.
const FAREWELL: Duration = Duration::from_secs(2);
/// Between two attempts without the right to hold it.
const DENIED: Duration = Duration::from_secs(60);

/// What was last seen of the Lease, and when it was first seen so.
struct LastSeen {
    version: Option<String>,
    at: Instant,
}

/// The Lease is ours.
#[derive(Debug, Clone)]
pub(crate) struct HeldLease {
    /// Until then; whoever writes later may not be alone.
    pub(crate) until: Instant,
    /// Whose it is.
    pub(crate) installation: Rc<Installation>,
}

/// Tries to hold the Lease of the installation, in the gateway's own namespace, until this replica retires; `held` says
/// until when it is held. Then gives it up, so that another need not wait until it runs out, and never wants it again.
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
    // A right that was there may come back, and replicas of one installation must not part over it.
    let mut ever_allowed = false;
    loop {
        let asked = Instant::now();
        let mut pause = LOOK;
        // It runs out by itself where the API server wants to be left alone for that long.
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
                        until: asked + DURATION - MARGIN,
                        installation: Rc::clone(&installation),
                    };
                    set(held, &installation, is_held.then_some(ours));
                    if is_held {
                        pause = RENEW;
                    }
                }
                Ok(Err(fault @ Fault::Forbidden(_))) => {
                    set(held, &installation, None);
                    let told = std::mem::replace(&mut denied, true);
                    if let Some(other) = installation.fallback(&connection).filter(|_| !ever_allowed) {
                        complain(&fault, &installation, &connection, Some(&other));
                        installation = Rc::new(other);
                        last_seen = None;
                        denied = false;
                    } else {
                        if !told {
                            complain(&fault, &installation, &connection, None);
                        }
                        pause = DENIED;
                    }
                }
                // It runs out by itself.
                Ok(Err(_)) | Err(_) => {}
            }
        }
        // So that replicas that started together do not stay together. From one beginning to the next: answers that
        // take long must not let it run out.
        let mut next = asked + pause.mul_f64(0.9 + 0.1 * fastrand::f64());
        if let Some(until) = connection.contact.quiet_until() {
            next = next.max(until);
        }
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            _ = retiring.wait_for(|retirement| *retirement != Retirement::None) => break,
        }
    }
    // What may still be ours although we no longer count on it is given up as well.
    if held.borrow().is_some() {
        let name = &installation.lease;
        set(held, &installation, None);
        let farewell = timeout(FAREWELL, give_up(&api, name, &connection.identity));
        let given_up = match connection.contact.quiet_until() {
            None => farewell.await,
            Some(_) => Ok(Err(Fault::Busy(429))),
        };
        match given_up {
            Ok(Ok(())) => tracing::info!("gave the Lease `{name}` up"),
            Ok(Err(fault)) => tracing::debug!(%fault, "the Lease `{name}` runs out by itself"),
            Err(_) => tracing::debug!("the Lease `{name}` runs out by itself"),
        }
    }
    retirement.send_replace(Retirement::Done);
}

/// Says which right is missing, and what becomes of it.
fn complain(fault: &Fault, denied: &Installation, connection: &Connection, other: Option<&Installation>) {
    let name = &denied.lease;
    let consequence = match other {
        Some(other) => format!(
            "so until the next start this one counts as `{}`, and of all that do in its namespace one writes",
            other.lease
        ),
        None => "so neither status nor Events are written".to_owned(),
    };
    tracing::warn!(
        %fault,
        "no right to hold the Lease `{name}`, {consequence}; add to a Role in namespace {}: {{apiGroups: \
         [\"coordination.k8s.io\"], resources: [\"leases\"], verbs: [\"create\"]}} and {{apiGroups: \
         [\"coordination.k8s.io\"], resources: [\"leases\"], resourceNames: [\"{name}\"], verbs: [\"get\", \
         \"update\"]}}, or name one that may be held in `instance` in [source]",
        connection.namespace
    );
}

/// Writes that nobody holds the Lease, if it is ours.
async fn give_up(api: &Api<Lease>, name: &str, identity: &str) -> Result<(), Fault> {
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
        // Other programs that read Leases expect one: as short as can be said.
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

/// Who wants to hold which Lease.
struct Candidate<'a> {
    api: &'a Api<Lease>,
    name: &'a str,
    identity: &'a str,
}

impl Candidate<'_> {
    /// One look, and one write if the Lease is ours or free. Says whether it is ours now.
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
        // With the version that was read: whoever writes second fails.
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
    // For people who look at it; nothing here compares it.
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
