//! Reports to the user: the status of Ingresses, and Events about their problems.
//!
//! Both are functions of what is known now. What is correct already is not written again. So writing stops when nothing
//! changes, and a replica that takes over the Lease repeats nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::events::EventWriter;
use super::installation::Installation;
use super::lease;
use super::status::StatusWriter;
use super::writer::Writer;
use crate::cluster::connection::Connection;
use crate::cluster::handle::ClusterHandle;
use crate::cluster::read::Store;

/// Changes are collected for this long, so that a storm of them is looked through once. Doors come first.
const PAUSE: Duration = Duration::from_millis(100);

/// Writes while the Lease is held, for ever.
pub(crate) async fn run(
    connection: Connection,
    installation: Installation,
    store: Rc<RefCell<Store>>,
    mut changes: watch::Receiver<()>,
    handle: &ClusterHandle,
) {
    let (held, mut holding) = watch::channel(None);
    let mut doors = handle.doors.subscribe();
    let mut problems = handle.problems.subscribe();
    let mut writer = Writer::new(connection.clone(), held.subscribe());
    let mut statuses = StatusWriter::new(Rc::clone(&store));
    let mut events = EventWriter::new(store);
    let write = async {
        let mut next: Option<Instant> = None;
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = doors.changed() => if changed.is_err() { return },
                changed = problems.changed() => if changed.is_err() { return },
                changed = holding.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
            tokio::time::sleep(PAUSE).await;
            changes.mark_unchanged();
            let doors = doors.borrow_and_update().clone();
            let problems = problems.borrow_and_update().clone();
            let again = [
                statuses.write(&*doors, &mut writer).await,
                events.write(&*doors, &problems, &mut writer).await,
                writer.quiet_until(),
            ];
            next = again.into_iter().flatten().min();
        }
    };
    tokio::join!(
        lease::hold(connection, installation, &held, &handle.retirement),
        write
    );
}
