//! The rig of the black-box tests: the real program, real sockets, scripted backends, raw clients.
//!
//! Everything is blocking and plain, so that a test reads as the bytes it sends. Each test has a directory, ports and
//! processes of its own; nothing is shared, and whatever a test started ends with it.

mod backend;
mod client;
mod dns;
pub mod frames;
mod gateway;
pub mod http2;
mod http2_backend;
mod load;
pub mod manifest;
mod port;
pub mod tls;

use std::io::Write as _;
use std::net::{IpAddr, UdpSocket};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

pub use backend::{Backend, Reply, Seen};
pub use client::{Client, Response, exchange, get};
pub use dns::{Dns, Told};
pub use gateway::{Builder, Gateway, Output, command};
pub use http2_backend::Http2Backend;
pub use load::{Load, Outcome};
pub use port::free_port;

/// The four standard doors, and the label that chooses each.
pub const DOORS: [&str; 4] = [
    "internal-http",
    "internal-https",
    "external-http",
    "external-https",
];

/// Starts a gateway of the program under test.
#[macro_export]
macro_rules! gateway {
    () => {
        $crate::Gateway::builder(env!("CARGO_BIN_EXE_blastdoor-under-test"))
    };
}

/// Sets a flag when it is dropped, also when a test fails: a thread that goes on until then would be waited for forever.
pub struct Finally<'a>(pub &'a AtomicBool);

impl Drop for Finally<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// An address of this machine that is not loopback. Nothing is sent to find it.
///
/// # Panics
/// On a machine without a route: endpoints need such an address.
#[must_use]
pub fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let found = socket
        .connect("198.51.100.1:9")
        .and_then(|()| socket.local_addr());
    let address = found.expect("a machine with a route: endpoints need an address that is not loopback");
    assert!(!address.ip().is_loopback(), "{address}");
    address.ip()
}

static SHORT: Once = Once::new();

/// Whether the long versions of the tests are asked for: `BLASTDOOR_TEST_FULL=1`.
#[must_use]
pub fn full() -> bool {
    #[expect(clippy::disallowed_methods, reason = "a switch of the tests alone")]
    std::env::var("BLASTDOOR_TEST_FULL").is_ok()
}

/// `full` when the long versions are asked for; else `short`. That there are such is said once, whatever a test that
/// passes prints otherwise; which ones is said by each.
#[must_use]
pub fn scaled(what: &str, short: usize, full_size: usize) -> usize {
    if full() {
        return full_size;
    }
    SHORT.call_once(|| {
        let _shown = writeln!(
            std::io::stderr(),
            "SHORT: some tests do less than they could; BLASTDOOR_TEST_FULL=1 runs all of them, --nocapture tells which"
        );
    });
    eprintln!("SHORT: {what}: {short} instead of {full_size}; BLASTDOOR_TEST_FULL=1 runs all of it");
    short
}
