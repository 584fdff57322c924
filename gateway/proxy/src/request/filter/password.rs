//! Names and passwords (RFC 7617). Whatever is dear is left to the threads of the door that verify passwords; a password that
//! was right a moment ago costs one digest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ::filter::caller::Ipv6Prefix;
use ::filter::credentials::Credentials;
use ::filter::htpasswd::Scheme;
use ::filter::rate::Wait as TooSoon;
use ::filter::rate_table::Bucket;
use ::filter::source::Key;
use ::filter::verified::Proof;
use door::{PasswordFilter, WRONG_PASSWORDS};
use http::HeaderValue;
use http::header::AUTHORIZATION;

use super::seen::{Asking, Awaited, Seen, Step};
use crate::observe::labels::{FilterKind, Reason};
use crate::observe::metrics::WorkerMetrics;
use crate::request::course::Course;
use crate::request::reply::Reply;
use crate::worker::verifiers::Full;

/// How long a request waits for its turn and its verification.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client claims, and what is known of it.
struct Attempt {
    filter: Arc<PasswordFilter>,
    credentials: Credentials,
    proof: Option<Proof>,
    /// Where the failures of the client are counted.
    bucket: Bucket,
}

/// What came of it.
enum Outcome {
    Right(Credentials),
    Wrong,
    TooOften(TooSoon),
    /// There was no turn for it.
    Unverified,
}

/// Lets a request of a user pass, and asks everybody else for a password.
pub(super) fn step(filter: &Arc<PasswordFilter>, course: &mut Course, seen: &Seen<'_>) -> Step {
    let metrics = &seen.worker.metrics;
    let Some(credentials) = credentials(seen) else {
        metrics.filtered(FilterKind::BasicAuth);
        return unnamed(filter);
    };
    let memory = &filter.memory;
    let proof = memory.verified.as_ref().map(|verified| {
        let claim = filter.users.claim(credentials.name());
        (verified, verified.proof(&credentials, claim.hash()))
    });
    if proof.is_some_and(|(verified, proof)| verified.holds(&proof)) {
        return settle(filter, Outcome::Right(credentials), course, metrics);
    }
    let client = Key::Address(Ipv6Prefix::CUSTOMER.of(seen.identity.client));
    let attempt = Attempt {
        filter: Arc::clone(filter),
        credentials,
        proof: proof.map(|(_, proof)| proof),
        bucket: memory.failures.bucket(filter.failures, client),
    };
    if let Err(too_soon) = memory
        .failures
        .check(attempt.bucket, &WRONG_PASSWORDS, seen.started)
    {
        return settle(filter, Outcome::TooOften(too_soon), course, metrics);
    }
    if filter.users.scheme() == Scheme::Sha1 {
        let outcome = attempt.verify(seen.started);
        return settle(filter, outcome, course, metrics);
    }
    let threads = seen.matched.settings.filters.verifiers;
    // Others of the client may fail before its turn comes.
    let verification = seen
        .worker
        .verifiers()
        .submit(threads, move || attempt.verify(Instant::now()));
    let verification = match verification {
        Ok(verification) => verification,
        Err(Full) => return settle(filter, Outcome::Unverified, course, metrics),
    };
    let (filter, metrics) = (Arc::clone(filter), Arc::clone(metrics));
    Step::Wait(Box::pin(async move {
        let outcome = match tokio::time::timeout(PATIENCE, verification).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Outcome::Unverified,
        };
        Awaited(Box::new(move |course| settle(&filter, outcome, course, &metrics)))
    }))
}

/// The name and password in a request.
fn credentials(seen: &Asking<'_>) -> Option<Credentials> {
    let fields = seen.request.fields.iter().filter_map(|field| {
        let is_named = field
            .name
            .of(seen.head)
            .eq_ignore_ascii_case(AUTHORIZATION.as_str().as_bytes());
        is_named.then(|| field.value.of(seen.head))
    });
    Credentials::from_fields(fields)
}

/// What the filter answers at once; `None` if it has to look at a name and a password.
pub(super) fn unasked(filter: &PasswordFilter, seen: &Asking<'_>) -> Option<Step> {
    credentials(seen).is_none().then(|| unnamed(filter))
}

fn unnamed(filter: &PasswordFilter) -> Step {
    challenge(
        filter,
        "basic auth: the request has no name and password that can be read",
    )
}

impl Attempt {
    fn verify(self, now: Instant) -> Outcome {
        let memory = &self.filter.memory;
        if let Err(too_soon) = memory.failures.check(self.bucket, &WRONG_PASSWORDS, now) {
            return Outcome::TooOften(too_soon);
        }
        let claim = self.filter.users.claim(self.credentials.name());
        if !claim.verify(self.credentials.password()).accepted {
            // What fails at the same moment on another thread may find the bucket empty; it has failed all the same.
            let _counted = memory.failures.take(self.bucket, &WRONG_PASSWORDS, now);
            return Outcome::Wrong;
        }
        if let (Some(verified), Some(proof)) = (&memory.verified, self.proof) {
            verified.remember(proof);
        }
        Outcome::Right(self.credentials)
    }
}

fn settle(filter: &PasswordFilter, outcome: Outcome, course: &mut Course, metrics: &WorkerMetrics) -> Step {
    if !matches!(outcome, Outcome::Right(_)) {
        metrics.filtered(FilterKind::BasicAuth);
    }
    match outcome {
        Outcome::Right(credentials) => {
            admit(filter, &credentials, course);
            Step::Pass
        }
        Outcome::Wrong => challenge(filter, "basic auth: the name or the password is wrong"),
        Outcome::TooOften(too_soon) => {
            let seconds = too_soon.seconds().to_string().into_bytes();
            Step::Answer(
                Reply::denied(
                    429,
                    Reason::RateLimited,
                    "basic auth: too many wrong passwords from the client's network",
                )
                .with("Retry-After", seconds),
            )
        }
        Outcome::Unverified => Step::Answer(
            Reply::denied(
                503,
                Reason::AuthUnavailable,
                "basic auth: no turn to verify the password in time",
            )
            .with("Retry-After", &b"1"[..]),
        ),
    }
}

/// Tells the backend what it is to know of the user, and nothing else.
fn admit(filter: &PasswordFilter, credentials: &Credentials, course: &mut Course) {
    let settings = &filter.settings;
    let edits = course.edits.fields.to_mut();
    if !settings.forwards {
        edits.remove(AUTHORIZATION);
    }
    if let Some(field) = &settings.user_field {
        match HeaderValue::from_bytes(credentials.name()) {
            Ok(name) => edits.set(field.clone(), name),
            Err(_no_value) => edits.remove(field.clone()),
        }
    }
    course.user = Some(credentials.name().into());
}

/// 401, and what to do about it.
fn challenge(filter: &PasswordFilter, why: &'static str) -> Step {
    let realm = filter.settings.realm.basic().as_bytes().to_vec();
    Step::Answer(Reply::denied(401, Reason::Unauthenticated, why).with("WWW-Authenticate", realm))
}
