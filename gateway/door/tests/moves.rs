//! An Ingress that moves from one door to another, observed meanwhile: it is never at both, and only briefly at neither.
//!
//! `cargo test -p door --test moves -- --nocapture` prints for how long. The order is asserted. The
//! shortest time is the gateway's; longer ones are due to the machine, which interrupts the observer. It is compared with
//! the time that the whole publication takes, on the same machine and at the same moment.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::indexing_slicing,
    reason = "what cannot be had fails the test"
)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use door::{
    BackendPolicy, DefaultCertificate, Door, Ledger, Policy, Publisher, Scheme, Selector, TlsPolicy, Verdict,
    open, publish,
};
use resource::{ClusterView, manifest};
use route::{HostBuf, PathScratch, normalise_authority, normalise_path};

const DOORS: [&str; 2] = ["one", "two"];

fn doors(tls: bool) -> (Vec<Publisher<()>>, Vec<Door<()>>) {
    DOORS
        .map(|name| {
            let policy = Policy {
                forwarded_port: 80,
                tls: tls.then_some(TlsPolicy::new(DefaultCertificate::None)),
                ..Policy::new(
                    Selector::parse(&format!("expose={name}")).unwrap(),
                    if tls { Scheme::Https } else { Scheme::Http },
                )
            };
            open(name.parse().unwrap(), policy, ())
        })
        .into_iter()
        .unzip()
}

/// One that ends TLS has a Secret of its own, or shares one.
fn ingress(name: &str, door: usize, secret: Option<&str>) -> String {
    let tls = secret.map_or(String::new(), |secret| {
        format!("  tls: [{{hosts: [{name}.test], secretName: {secret}}}]\n")
    });
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: test, labels: {{expose: {}}}}}\nspec:\n{tls}  rules:\n  - host: {name}.test\n    http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}]}}\n---\n",
        DOORS[door]
    )
}

fn insert(view: &mut ClusterView, yaml: &str) {
    let (objects, _) = manifest::collect([&manifest::parse("test.yaml", yaml.as_bytes())]);
    for ingress in objects.ingresses() {
        view.insert(resource::Object::Ingress(ingress.clone()));
    }
    for secret in objects.secrets() {
        view.insert(resource::Object::Secret(secret.clone()));
    }
}

/// A Secret with a new certificate for this name.
fn secret(name: &str, host: &str) -> String {
    let made = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
    let text = |text: &str| serde_json::to_string(text).unwrap();
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: test}}\ntype: kubernetes.io/tls\nstringData: {{tls.crt: {}, tls.key: {}}}\n---\n",
        text(&made.cert.pem()),
        text(&made.signing_key.serialize_pem())
    )
}

/// Whether a client that asks for this name gets a certificate.
fn shows(door: &Door<()>, host: &str) -> bool {
    let mut buf = HostBuf::new();
    let host = normalise_authority(host.as_bytes(), &mut buf).unwrap();
    let snapshot = door.snapshot();
    snapshot.tls().unwrap().certificate(Some(&host)).is_some()
}

fn serves(door: &Door<()>, host: &str) -> bool {
    let (mut host_buf, mut scratch) = (HostBuf::new(), PathScratch::default());
    let host = normalise_authority(host.as_bytes(), &mut host_buf).unwrap();
    let path = normalise_path(b"/", &mut scratch).unwrap();
    matches!(door.snapshot().find(Some(&host), &path), Verdict::Matched(_))
}

/// Looks at both doors until the Ingress has moved, and returns how long it was at neither.
fn follow(old: &Door<()>, new: &Door<()>, is_following: &AtomicBool) -> Duration {
    let mut last = Instant::now();
    is_following.store(true, Ordering::SeqCst);
    loop {
        // In this order, an Ingress at both doors would show. The clock is read before the look at the old door and after
        // the look at the new one, so that the time is never too short.
        let is_there = serves(new, "moving.test");
        let now = Instant::now();
        let is_here = serves(old, "moving.test");
        assert!(!(is_there && is_here), "at both doors");
        if is_there {
            return now - last;
        }
        if is_here {
            last = now;
        }
    }
}

fn moves(what: &str, count: usize, rounds: usize, tls: bool, cross: bool) {
    let (mut publishers, doors) = doors(tls);
    let mut view = ClusterView::default();
    let all: String = (0..count)
        .map(|number| ingress(&format!("app-{number}"), number % 2, tls.then_some("shared")))
        .collect();
    insert(&mut view, &all);
    let own = tls.then_some("own");
    insert(&mut view, &ingress("moving", 0, own));
    insert(&mut view, &ingress("other", 1, own));
    if tls {
        insert(&mut view, &secret("shared", "*.test"));
    }
    let (backends, mut ledger) = (BackendPolicy::default(), Ledger::default());
    publish(&mut publishers, &view, &backends, &mut ledger);
    // A busy machine interrupts the observer nearly every time. Work between the two swaps would show every time, because
    // building a table is a large part of the whole. Where few Ingresses move in one direction without TLS, there is too
    // little work to see.
    let is_watched = std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1);
    let is_judged = is_watched && (tls || cross || count >= 1_000);
    let (mut gaps, mut whole) = (Vec::new(), Vec::new());
    let is_short = |gaps: &[Duration], whole: &[Duration]| {
        gaps.iter().min() < whole.iter().min().map(|whole| *whole / 8).as_ref()
    };
    for round in 0..rounds * 10 {
        if round >= rounds && (!is_judged || is_short(&gaps, &whole)) {
            break;
        }
        let (old, new) = (round % 2, 1 - round % 2);
        insert(&mut view, &ingress("moving", new, own));
        if tls {
            // A new certificate, to be parsed and checked in every round.
            insert(&mut view, &secret("own", "moving.test"));
        }
        if cross {
            // Another Ingress moves in the other direction.
            insert(&mut view, &ingress("other", old, own));
        }
        let is_following = AtomicBool::new(false);
        let (gap, took) = std::thread::scope(|scope| {
            let follower = scope.spawn(|| follow(&doors[old], &doors[new], &is_following));
            while !is_following.load(Ordering::SeqCst) {
                std::hint::spin_loop();
            }
            let started = Instant::now();
            publish(&mut publishers, &view, &backends, &mut ledger);
            let took = started.elapsed();
            let gap = follower.join().unwrap();
            assert!(!tls || shows(&doors[new], "moving.test"));
            (gap, took)
        });
        gaps.push(gap);
        whole.push(took);
    }
    gaps.sort();
    whole.sort();
    eprintln!(
        "{what}, {count} Ingresses: at neither door for {:?} (fastest), {:?} (median), {:?} (slowest) of {} moves; all of it took {:?} at least",
        gaps[0],
        gaps[gaps.len() / 2],
        gaps[gaps.len() - 1],
        gaps.len(),
        whole[0]
    );
    if is_judged {
        assert!(is_short(&gaps, &whole), "{what}: {gaps:?} of {whole:?}");
    }
}

#[test]
fn an_ingress_that_moves_is_at_one_door_at_most() {
    for (count, rounds) in [(10, 200), (5_000, 16)] {
        moves("one moves", count, rounds, false, false);
        moves("two change places", count, rounds, false, true);
        moves("one moves between doors that end TLS", count, rounds, true, false);
    }
}
