//! The control loop goes on after a panic.

use std::cell::Cell;

use control::{FileSource, SourceEvent};
use proxy::{MemoryBudget, Metrics};
use rustix::process::{Signal, getpid, kill_process};
use tokio::task::LocalSet;

use super::*;
use crate::config;
use crate::telemetry;

thread_local! {
    /// How many events are still to panic.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Stands for a fault of the program in whatever an event leads to.
pub(super) fn panic_if_asked() {
    let left = PANICS.get();
    PANICS.set(left.saturating_sub(1));
    assert!(left == 0, "a fault");
}

const CONFIG: &str = "\
[source]
kind = \"files\"
path = \".\"
[log]
access = \"off\"
[listeners.a]
bind = \"127.0.0.1:0\"
selector = \"expose=a\"
scheme = \"http\"
workers = 1
drain = { wait = \"10ms\", timeout = \"1s\" }
";

/// An event whose handling panics is served nevertheless, though the source does not send it again, and a signal still ends
/// the process in order.
#[test]
fn the_control_loop_goes_on_after_a_panic() {
    let (folder, options) = Options::of_file(CONFIG);
    let config = config::load(&options).unwrap().config;
    let logs = telemetry::Logs::of_tests();
    let board = Board::default();
    let reporting = Reporting {
        board: board.clone(),
        gauges: Gauges::new(logs.clone()),
        metrics: Metrics::default(),
        access: logs.access().clone(),
        journal: Journal::new(),
        tracer: Tracer::off(),
    };
    let runtime = crate::commands::run::runtime().unwrap();
    let ended = LocalSet::new().block_on(&runtime, async move {
        let signals = Signals::catch(SignalAction::Reload).unwrap();
        let memory = MemoryBudget::new(usize::MAX);
        let descriptors = Descriptors::claim(&config);
        let supervisor = Supervisor::open(options, config, reporting, memory, descriptors, None).unwrap();
        let (sender, events) = mpsc::channel(1);
        let drive = async {
            PANICS.set(1);
            let content = FileSource::open(folder.path()).unwrap().load().unwrap();
            sender.send(SourceEvent::Loaded(content)).await.unwrap();
            // Until it has been taken.
            drop(sender.reserve().await.unwrap());
            assert!(!board.is_ready());
            let ready = async {
                while !board.is_ready() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let is_served = tokio::time::timeout(Duration::from_secs(20), ready).await;
            kill_process(getpid(), Signal::TERM).unwrap();
            is_served.expect("what the event brought is served");
        };
        tokio::join!(supervisor.run(events, signals), drive).0
    });
    assert_eq!((PANICS.get(), ended), (0, Ended::Clean));
}
