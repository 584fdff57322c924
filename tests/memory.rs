//! The budget of memory: what is given up while it is short, by whom, and that it comes back.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway_tests::{Backend, Client, Gateway, Reply, gateway, get, manifest};

const FLOODED: &str = "external-http";
const QUIET: &str = "internal-http";

/// A backend that answers `/` at once, without end at `/much`, upgrades `/socket`, and reads no body at `/stall`.
fn backend() -> Backend {
    let script = |stream: &mut TcpStream, head: &str| {
        if head.starts_with("GET /much") {
            let piece = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
            let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            while sent.is_ok() {
                sent = stream.write_all(&piece);
            }
        } else if head.starts_with("GET /socket") {
            let head =
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
            if stream.write_all(head.as_bytes()).is_ok() {
                // Until the gateway closes.
                let _end = std::io::copy(stream, &mut std::io::sink());
            }
        } else if head.starts_with("POST /stall") {
            // Longer than its test.
            std::thread::sleep(Duration::from_secs(60));
        } else {
            let _gone = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    };
    Backend::with("app", Reply::script(script))
}

/// A gateway that may use so much memory more than it needs to start, with a door that is flooded and one that is not.
fn gateway(memory: &str, backend: &Backend) -> Gateway {
    let app = |door| manifest::app(&format!("app-{door}"), door, "a.test", backend.port());
    gateway!()
        .env("BLASTDOOR_PROCESS__MEMORY", memory)
        .every_door("workers = 1")
        .manifest("flooded.yaml", &app(FLOODED))
        .manifest("quiet.yaml", &app(QUIET))
        .start()
}

fn stage(gateway: &Gateway, door: &str) -> f64 {
    gateway.metric("blastdoor_memory_stage", &[("listener", door)])
}

fn cut(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric(
        "blastdoor_exchanges_cut_total",
        &[("listener", FLOODED), ("reason", reason)],
    )
}

/// Opens connections that begin like this, and reads nothing from them, until `done`.
fn flood(gateway: &Gateway, begin: &[u8], most: usize, done: impl Fn() -> bool) -> Vec<Client> {
    let mut held = Vec::new();
    for number in 0..most {
        let mut client = Client::connect(gateway.door(FLOODED));
        client.send(begin);
        held.push(client);
        if number % 16 == 15 {
            assert_eq!(
                get(gateway.door(QUIET), "a.test", "/").status,
                200,
                "after {number}"
            );
            if done() {
                return held;
            }
        }
    }
    panic!("{most} connections are no flood");
}

/// Clients that read nothing are cut for what is held for them. Requests at the same door are answered meanwhile, and the
/// other door notices nothing.
#[test]
fn readers_that_stall_are_cut() {
    let backend = backend();
    let gateway = gateway("96MiB", &backend);
    let request = b"GET /much HTTP/1.1\r\nHost: a.test\r\n\r\n";
    let held = flood(&gateway, request, 4000, || cut(&gateway, "stalled") > 0.0);
    assert_eq!(stage(&gateway, QUIET), 0.0);
    gateway.says("memory is short: ");
    let refused = [("listener", QUIET), ("reason", "overload")];
    assert_eq!(gateway.metric("blastdoor_refusals_total", &refused), 0.0);
    drop(held);
    gateway.until("memory suffices again", |gateway| stage(gateway, FLOODED) == 0.0);
    gateway.until_status(FLOODED, "a.test", "/", 200);
    // What was held is held no more: a few connections and buffers remain.
    gateway.until("what was held is free", |gateway| {
        gateway.metric("blastdoor_memory_held_bytes", &[("listener", FLOODED)]) < 4e6
    });
}

/// What waits for a backend that does not read is cut as well, and requests on a connection that was there before are
/// answered meanwhile.
#[test]
fn uploads_that_their_backend_does_not_read_are_cut() {
    let backend = backend();
    let gateway = gateway("96MiB", &backend);
    let mut kept = Client::connect(gateway.door(FLOODED));
    let piece = [b'x'; 0x10000];
    let mut held = Vec::new();
    for number in 0..2000 {
        let mut client = TcpStream::connect(gateway.door(FLOODED)).unwrap();
        client
            .write_all(b"POST /stall HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n")
            .unwrap();
        client.set_nonblocking(true).unwrap();
        // As much as the kernel and the gateway take.
        while client.write(&piece).is_ok_and(|count| count > 0) {}
        held.push(client);
        if number % 16 == 15 {
            let answer = kept.get("a.test", "/").expect("an answer");
            assert_eq!(answer.status, 200, "after {number}");
            for client in &mut held {
                while client.write(&piece).is_ok_and(|count| count > 0) {}
            }
            if cut(&gateway, "stalled") > 0.0 {
                return;
            }
        }
    }
    panic!("no upload was cut");
}

/// Clients that begin a request and do not go on hold little, and are cut for that.
#[test]
fn heads_that_stop_arriving_are_cut() {
    let backend = backend();
    // Little enough that it is short before the descriptors of the door are.
    let gateway = gateway("48MiB", &backend);
    let _held = flood(&gateway, b"G", 8000, || cut(&gateway, "stalled") > 0.0);
}

/// What an HTTP/2 connection begins with: the preface, and SETTINGS without content.
fn h2_preface() -> Vec<u8> {
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0, 0, 0, 4, 0, 0, 0, 0, 0][..],
    ]
    .concat()
}

/// Idle HTTP/2 connections count with the buffers that the library has for them.
#[test]
fn idle_http2_connections_count() {
    const CONNECTIONS: usize = 100;
    let backend = backend();
    let gateway = gateway("256MiB", &backend);
    let preface = h2_preface();
    let held: Vec<TcpStream> = (0..CONNECTIONS)
        .map(|_| {
            let mut client = TcpStream::connect(gateway.door(FLOODED)).unwrap();
            client.write_all(&preface).unwrap();
            client
        })
        .collect();
    gateway.until("each counts", |gateway| {
        let held = gateway.metric("blastdoor_memory_held_bytes", &[("listener", FLOODED)]);
        held >= (CONNECTIONS * 25 * 1024) as f64
    });
    drop(held);
    gateway.until("none counts any more", |gateway| {
        gateway.metric("blastdoor_memory_held_bytes", &[("listener", FLOODED)]) < 1e6
    });
}

/// The kernel's own limit: the process stays within it although its clients ask for far more.
#[test]
fn the_limit_of_a_control_group_holds() {
    let Some(group) = Group::new("blastdoor-test-memory", 128 << 20) else {
        // Past the harness, which shows nothing of tests that pass.
        let _shown = writeln!(
            std::io::stderr(),
            "SKIPPED: no control group of version 1 or 2 can be made here; the limit of one is not tested"
        );
        return;
    };
    let backend = backend();
    let mut gateway = gateway("auto", &backend);
    group.enter(&gateway);
    gateway.until("the limit is known", |gateway| {
        gateway.metric("blastdoor_memory_limit_bytes", &[]) == f64::from(128 << 20)
    });
    // The largest that costs a client nothing: in version 1 buffers of sockets do not count.
    let held = flood(&gateway, &h2_preface(), 10_000, || {
        let for_memory = [("listener", FLOODED), ("reason", "memory")];
        gateway.metric("blastdoor_idle_connections_closed_total", &for_memory) > 50.0
    });
    assert!(!gateway.has_ended());
    assert_eq!(get(gateway.door(QUIET), "a.test", "/").status, 200);
    drop(held);
}

/// A control group of version 1 or 2 with a limit on memory.
struct Group(PathBuf);

impl Group {
    fn new(name: &str, limit: u64) -> Option<Self> {
        let two: &[_] = &[("memory.max", limit), ("memory.swap.max", 0)];
        let one: &[_] = &[("memory.limit_in_bytes", limit)];
        let versions = [
            ("/sys/fs/cgroup", "cgroup.controllers", two),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", one),
        ];
        versions.into_iter().find_map(|(root, mark, limits)| {
            let root = Path::new(root);
            // The folder alone can be one of any file system.
            root.join(mark).exists().then_some(())?;
            let folder = root.join(format!("{name}-{}", std::process::id()));
            std::fs::create_dir(&folder).ok()?;
            let group = Self(folder);
            for (file, value) in limits {
                std::fs::write(group.0.join(file), value.to_string()).ok()?;
            }
            Some(group)
        })
    }

    fn enter(&self, gateway: &Gateway) {
        let pid = gateway.pid().as_raw_nonzero().to_string();
        std::fs::write(self.0.join("cgroup.procs"), pid).unwrap();
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its process has been killed by now, or is about to end.
        for _ in 0..100 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
