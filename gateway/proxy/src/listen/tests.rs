//! A worker begins anew after a panic.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use door::{BackendPolicy, Ledger, Policy, Scheme, Selector, open, publish};
use prometheus_client::registry::Registry;
use resource::ClusterView;
use route::ListenerName;

use crate::listen::listener::Listener;
use crate::memory::MemoryBudget;
use crate::observe::access::AccessLog;
use crate::observe::metrics::Metrics;
use crate::observe::tracer::Tracer;
use crate::settings::{Binding, Drain, Settings};

/// The door whose workers are faulty.
const FAULTY: &str = "faulty";

/// How many connections are still to panic.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Stands for a fault of the program outside of the tasks of connections.
pub(super) fn panic_if_asked(door: &ListenerName) {
    if door.as_str() == FAULTY {
        let asked = PANICS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        assert!(asked.is_err(), "a fault");
    }
}

fn answered(listener: &Listener) -> Option<String> {
    let mut client = TcpStream::connect(listener.address()).ok()?;
    client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
        .ok()?;
    let mut answer = String::new();
    client.read_to_string(&mut answer).ok()?;
    (!answer.is_empty()).then_some(answer)
}

/// With one socket for all workers and with one for each.
#[test]
fn a_worker_begins_anew_after_a_panic() {
    for (reuse_port, workers) in [(true, 1), (false, 2)] {
        let policy = Policy::new(Selector::parse("expose=one").unwrap(), Scheme::Http);
        let (mut publisher, door) = open(FAULTY.parse().unwrap(), policy, Settings::of_tests());
        let metrics = Metrics::default();
        let binding = Binding {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            workers,
            reuse_port,
            cpus: None,
        };
        let memory = MemoryBudget::new(usize::MAX);
        let mut listener =
            Listener::bind(door, binding, &metrics, AccessLog::off(), memory, Tracer::off()).unwrap();
        publish(
            std::slice::from_mut(&mut publisher),
            &ClusterView::default(),
            &BackendPolicy::default(),
            &mut Ledger::default(),
        );
        listener.start();
        let status = listener.status();
        let until = |what: &str, condition: &dyn Fn() -> bool| {
            let started = Instant::now();
            while !condition() {
                assert!(started.elapsed() < Duration::from_secs(20), "not in time: {what}");
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        until("open", &|| status.is_open());
        PANICS.store(1, Ordering::SeqCst);
        assert_eq!(answered(&listener), None, "the worker that took it has panicked");
        until("open again", &|| status.is_open() && restarts(&metrics) == "1");
        for _ in 0..8 {
            assert!(answered(&listener).unwrap().starts_with("HTTP/1.1 404 "));
        }
        assert_eq!(
            (status.workers(), restarts(&metrics)),
            ((workers, workers), "1".to_owned())
        );
        let drain = Drain {
            wait: Duration::ZERO,
            timeout: Duration::from_secs(5),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        assert_eq!(runtime.block_on(listener.shut_down(drain)), 0);
    }
}

fn restarts(metrics: &Metrics) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(metrics.clone()));
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    let line = page
        .lines()
        .find(|line| line.starts_with("blastdoor_worker_restarts_total"));
    line.unwrap().rsplit(' ').next().unwrap().to_owned()
}
