//! The Lease against an API server that says what the test wants, on a clock that the test turns.

use std::time::Duration;

use http::Response;
use tokio::sync::watch;
use tokio::time::Instant;

use super::installation::Installation;
use super::lease;
use crate::cluster::connection::{Connection, Contact};
use crate::cluster::scripted::{self, failure};

/// Tries to hold a Lease while the API server answers as the script says, and nothing afterwards.
async fn hold(script: Vec<Response<String>>, time: Duration) -> Vec<(Instant, String)> {
    let contact = Contact::new();
    let (client, requests) = scripted::client(script, &contact);
    let connection = Connection {
        client,
        contact,
        server: "https://api".into(),
        namespace: "default".into(),
        identity: "one".into(),
    };
    let installation = Installation::new(Some("edge"), &connection);
    let held = watch::Sender::new(None);
    let retirement = watch::Sender::default();
    tokio::select! {
        () = lease::hold(connection, installation, &held, &retirement) => {}
        () = tokio::time::sleep(time) => {}
    }
    requests.all()
}

#[tokio::test(start_paused = true)]
async fn the_lease_keeps_to_retry_after_as_lists_do() {
    for status in [429, 503] {
        let mut busy = failure(status);
        busy.headers_mut().insert("retry-after", "25".parse().unwrap());
        let requests = hold(vec![busy, failure(500), failure(500)], Duration::from_secs(40)).await;
        let look = "GET /apis/coordination.k8s.io/v1/namespaces/default/leases/edge";
        assert!(requests.iter().all(|(_, line)| line == look), "{requests:?}");
        let pauses: Vec<Duration> = requests.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        assert!(pauses[0] >= Duration::from_secs(25), "{status}: {pauses:?}");
        assert!(pauses[0] < Duration::from_secs(28), "{status}: {pauses:?}");
        assert!(pauses[1] < Duration::from_secs(3), "{status}: {pauses:?}");
    }
}
