//! Descriptors are few: each door has its part, what is idle gives way, and probes are answered whatever is full.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gateway_tests::frames::{self, End, Raw, headers, kind};
use gateway_tests::{Backend, Builder, Client, DOORS, Gateway, Reply, gateway, get, manifest};
use rustix::process::{Resource, Rlimit, prlimit};

const DOOR: &str = "external-http";
const PATIENCE: Duration = Duration::from_secs(10);

/// A gateway that may open so many.
/// One client may have everything.
const ONE_CLIENT: &str = "limits = { client_share = 100 }";

fn with(descriptors: usize) -> Builder {
    gateway!().env("BLASTDOOR_PROCESS__DESCRIPTORS", &descriptors.to_string())
}

/// How many connections of clients a door may hold.
fn most(gateway: &Gateway, door: &str) -> usize {
    let labels = [("listener", door), ("side", "clients")];
    gateway.metric("blastdoor_door_descriptors_limit", &labels) as usize
}

fn closed_for(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric("blastdoor_idle_connections_closed_total", &[("reason", reason)])
}

fn refused(gateway: &Gateway, reason: &str) -> f64 {
    gateway.metric("blastdoor_refusals_total", &[("reason", reason)])
}

/// The same application at each door.
fn at_every_door(builder: Builder, backend: &Backend) -> Builder {
    DOORS.iter().fold(builder, |builder, door| {
        let yaml = manifest::app(door, door, "a.test", backend.port());
        builder.manifest(&format!("{door}.yaml"), &yaml)
    })
}

/// Answers 200 once `opened` says so.
fn held_back(opened: &Arc<AtomicBool>) -> Reply {
    let opened = Arc::clone(opened);
    Reply::computed(move |_| {
        while !opened.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
    })
}

fn probes(gateway: &Gateway) -> [u16; 3] {
    let lb = format!("/lb/{DOOR}");
    ["/livez", "/readyz", &lb].map(|path| gateway.admin(path).0)
}

/// More idle clients than each door may hold, with few, more and many descriptors.
#[test]
fn probes_and_new_clients_are_answered_while_every_door_is_full() {
    let backend = Backend::start("app");
    for descriptors in [128, 256, 1024] {
        let gateway = at_every_door(with(descriptors), &backend).start();
        let doors: Vec<SocketAddr> = DOORS.iter().map(|door| gateway.door(door)).collect();
        let mut idle = Vec::new();
        for (name, door) in DOORS.iter().zip(&doors) {
            let most = most(&gateway, name);
            assert!((2..descriptors).contains(&most), "{name}: {most}");
            idle.extend((0..most + 10).map(|_| TcpStream::connect(door).unwrap()));
        }
        assert_eq!(probes(&gateway), [200, 200, 200], "{descriptors}");
        for door in &doors {
            assert_eq!(get(*door, "a.test", "/").status, 200, "{descriptors}");
        }
        assert!(closed_for(&gateway, "connections") >= 40.0, "{descriptors}");
        assert_eq!(refused(&gateway, "connection_limit"), 0.0, "{descriptors}");
        assert!(gateway.descriptors() <= descriptors);
        drop(idle);
        for door in &doors {
            assert_eq!(get(*door, "a.test", "/").status, 200, "{descriptors}");
        }
        gateway.until("all connections have gone", |gateway| {
            gateway.metric("blastdoor_connections", &[]) == 0.0
        });
    }
}

/// Who is busy keeps its connection, and a new client gets a 503.
#[test]
fn only_idle_connections_give_way() {
    let opened = Arc::new(AtomicBool::new(false));
    let _opens = gateway_tests::Finally(&opened);
    let backend = Backend::with("app", held_back(&opened));
    let most = 5;
    let gateway = at_every_door(with(256), &backend)
        .door(DOOR, "limits = { connections = 5 }")
        .start();
    let door = gateway.door(DOOR);
    let mut busy: Vec<Client> = (0..most).map(|_| Client::connect(door)).collect();
    for client in &mut busy {
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    }
    let labels = [("listener", DOOR), ("state", "active")];
    gateway.until("all are busy", |gateway| {
        gateway.metric("blastdoor_connections", &labels) == f64::from(most)
    });
    assert_eq!(get(door, "a.test", "/").status, 503);
    assert_eq!(refused(&gateway, "connection_limit"), 1.0);
    assert_eq!(probes(&gateway), [200, 200, 200]);
    opened.store(true, Ordering::SeqCst);
    for client in &mut busy {
        assert_eq!(client.response().expect("an answer").status, 200);
    }
    assert_eq!(get(door, "a.test", "/").status, 200);
    assert_eq!(closed_for(&gateway, "connections"), 1.0);
}

/// The oldest goes first, and whoever has just sent a request stays.
#[test]
fn the_connection_that_has_been_idle_for_longest_gives_way() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "limits = { connections = 3 }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let door = gateway.door(DOOR);
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(door)).collect();
    for client in &mut clients {
        assert_eq!(client.get("a.test", "/").expect("an answer").status, 200);
    }
    // The first is the youngest now.
    assert_eq!(clients[0].get("a.test", "/").expect("an answer").status, 200);
    let mut new = Client::connect(door);
    assert_eq!(new.get("a.test", "/").expect("an answer").status, 200);
    assert!(clients[1].is_closed());
    for index in [0, 2] {
        assert_eq!(clients[index].get("a.test", "/").expect("an answer").status, 200);
    }
    assert_eq!(closed_for(&gateway, "connections"), 1.0);
}

/// The kernel chooses the worker, and idle connections may be at another.
#[test]
fn a_worker_makes_room_for_another() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(
            DOOR,
            "workers = 4\nlimits = { connections = 4, connections_per_client = 100 }",
        )
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let door = gateway.door(DOOR);
    let mut kept = Vec::new();
    for _ in 0..60 {
        let mut client = Client::connect(door);
        assert_eq!(client.get("a.test", "/").expect("an answer").status, 200);
        kept.push(client);
    }
    assert!(closed_for(&gateway, "connections") >= 56.0);
    assert_eq!(refused(&gateway, "connection_limit"), 0.0);
}

/// Over HTTP/2 it is told that it can send its next request elsewhere (RFC 9113 6.8).
#[test]
fn an_idle_http2_connection_gives_way_with_goaway() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "limits = { connections = 1 }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let door = gateway.door(DOOR);
    let mut idle = Raw::open(door);
    idle.send(&headers(1, true, &frames::get("a.test", "/", &[])));
    assert_eq!(idle.end_of(1, PATIENCE), End::Status(200));
    let labels = [("listener", DOOR), ("state", "idle")];
    gateway.until("it is idle", |gateway| {
        gateway.metric("blastdoor_connections", &labels) == 1.0
    });
    assert_eq!(get(door, "a.test", "/").status, 200);
    let goaway = loop {
        let frame = idle.frame(PATIENCE).expect("a GOAWAY");
        if frame.kind == kind::GOAWAY {
            break frame.payload;
        }
    };
    // The last stream that was served, and no error.
    assert_eq!(goaway[..8], [0, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(idle.frame(PATIENCE), Err(End::Closed));
}

/// Connections that never begin a handshake, or a PROXY header, cost nobody a place.
#[test]
fn connections_that_have_said_nothing_give_way() {
    let backend = Backend::start("app");
    let header = "PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n";
    let gateway = gateway!()
        .door(
            DOOR,
            "limits = { connections = 3 }\nproxy_protocol = \"required\"\ntrusted_proxies = [\"127.0.0.0/8\"]",
        )
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let door = gateway.door(DOOR);
    let silent: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(door).unwrap()).collect();
    let request = format!("{header}GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let response = Client::connect(door).request(request).expect("an answer");
    assert_eq!(response.status, 200);
    assert_eq!(closed_for(&gateway, "connections"), 8.0);
    drop(silent);
}

/// More backends than connections to them can be kept: the oldest are closed, and no request fails.
#[test]
fn kept_connections_to_backends_give_way() {
    let backends: Vec<Backend> = (0..60)
        .map(|number| Backend::start(&number.to_string()))
        .collect();
    let mut builder = with(128);
    for (number, backend) in backends.iter().enumerate() {
        let yaml = manifest::app(
            &format!("app-{number}"),
            DOOR,
            &format!("{number}.test"),
            backend.port(),
        );
        builder = builder.manifest(&format!("{number}.yaml"), &yaml);
    }
    let gateway = builder.door(DOOR, "workers = 2").start();
    let labels = [("listener", DOOR), ("side", "backends")];
    let most = gateway.metric("blastdoor_door_descriptors_limit", &labels);
    assert!(most < 60.0, "{most}");
    let door = gateway.door(DOOR);
    for _ in 0..2 {
        for number in 0..60 {
            let response = get(door, &format!("{number}.test"), "/");
            assert_eq!((response.status, response.text()), (200, number.to_string()));
        }
    }
    let used = gateway.metric("blastdoor_door_descriptors", &labels);
    assert!((1.0..=most).contains(&used), "{used} of {most}");
    assert_eq!(refused(&gateway, "overload"), 0.0);
}

/// Clients that are idle may use more than half of what a door has, until others need it for their backends.
#[test]
fn idle_clients_give_way_to_backends() {
    let opened = Arc::new(AtomicBool::new(false));
    let _opens = gateway_tests::Finally(&opened);
    let backend = Backend::with("app", held_back(&opened));
    let gateway = with(128)
        .every_door(ONE_CLIENT)
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let door = gateway.door(DOOR);
    let most = most(&gateway, DOOR);
    let idle: Vec<TcpStream> = (1..most).map(|_| TcpStream::connect(door).unwrap()).collect();
    let mut client = Raw::open(door);
    let block = frames::get("a.test", "/", &[]);
    for number in 0..most as u32 {
        client.send(&headers(2 * number + 1, true, &block));
    }
    let labels = [("listener", DOOR), ("side", "backends")];
    gateway.until("each request has a backend", |gateway| {
        gateway.metric("blastdoor_door_descriptors", &labels) == most as f64
    });
    assert!(closed_for(&gateway, "descriptors") > 0.0);
    assert_eq!(refused(&gateway, "overload"), 0.0);
    drop(idle);
}

/// One client can cause many connections to backends; a door that has used up its part answers 503, and no other door
/// notices.
#[test]
fn a_door_without_descriptors_for_backends_takes_none_from_others() {
    let opened = Arc::new(AtomicBool::new(false));
    let _opens = gateway_tests::Finally(&opened);
    let slow = Backend::with("slow", held_back(&opened));
    let other = Backend::start("other");
    let gateway = with(128)
        .every_door(ONE_CLIENT)
        .manifest("slow.yaml", &manifest::app("slow", DOOR, "a.test", slow.port()))
        .manifest(
            "other.yaml",
            &manifest::app("other", "internal-http", "a.test", other.port()),
        )
        .start();
    let labels = [("listener", DOOR), ("side", "backends")];
    let most = gateway.metric("blastdoor_door_descriptors_limit", &labels) as u32;
    let mut client = Raw::open(gateway.door(DOOR));
    let block = frames::get("a.test", "/", &[]);
    for number in 0..most + 5 {
        client.send(&headers(2 * number + 1, true, &block));
    }
    gateway.counts("blastdoor_refusals_total", &[("reason", "overload")], 5.0);
    assert_eq!(
        gateway.metric("blastdoor_door_descriptors", &labels),
        f64::from(most)
    );
    assert_eq!(get(gateway.door("internal-http"), "a.test", "/").status, 200);
    assert_eq!(probes(&gateway), [200, 200, 200]);
    opened.store(true, Ordering::SeqCst);
    gateway.until("all have been answered", |gateway| {
        gateway.metric(
            "blastdoor_requests_total",
            &[("listener", DOOR), ("status_class", "2xx")],
        ) == f64::from(most)
    });
}

/// The process is out of descriptors although no door is, as when something else takes them.
#[test]
fn without_any_descriptor_probes_are_answered_and_clients_refused() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let door = gateway.door(DOOR);
    let mut kept = Client::connect(door);
    assert_eq!(kept.get("a.test", "/").expect("an answer").status, 200);
    let before = prlimit(Some(gateway.pid()), Resource::Nofile, none_left(&gateway)).unwrap();
    // The idle connection gives way, though its number may be above the limit. Whoever comes then gets an answer.
    let mut client = Client::connect(door);
    let status = client.get("a.test", "/").map(|response| response.status);
    assert!(matches!(status, Some(200 | 503)), "{status:?}");
    assert!(kept.is_closed());
    for _ in 0..20 {
        assert_eq!(probes(&gateway), [200, 200, 200]);
    }
    assert_eq!(closed_for(&gateway, "descriptors"), 1.0);
    let told = gateway.says("cannot accept a connection");
    let told = told.matches("cannot accept a connection").count();
    assert_eq!(told, 1, "at a limited rate");
    prlimit(Some(gateway.pid()), Resource::Nofile, before).unwrap();
    gateway.until("it serves again", |_| get(door, "a.test", "/").status == 200);
}

/// The limit at which the process can open nothing more.
fn none_left(gateway: &Gateway) -> Rlimit {
    let folder = format!("/proc/{}/fd", gateway.pid().as_raw_nonzero());
    let names = std::fs::read_dir(folder).unwrap();
    let open: std::collections::BTreeSet<u64> = names
        .map(|name| name.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    let free = (0..).find(|number| !open.contains(number));
    Rlimit {
        current: free,
        maximum: prlimit_of(gateway),
    }
}

fn prlimit_of(gateway: &Gateway) -> Option<u64> {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gateway.pid().as_raw_nonzero())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    line.split_whitespace().nth(4).unwrap().parse().ok()
}

#[test]
fn what_each_door_may_hold_is_said_at_start() {
    let said = |descriptors: usize| {
        let gateway = with(descriptors)
            .every_door("limits = { connections = 100 }")
            .start();
        let lines = |what: &str| {
            let stderr = gateway.stderr();
            let doors = DOORS.iter();
            let named = doors.filter(|door| {
                let is_about = |line: &&str| line.contains(what) && line.contains(&format!("\"{door}\""));
                stderr.lines().any(|line| is_about(&line))
            });
            named.count()
        };
        gateway.until("each door is told", |_| lines("the door may hold ") == 4);
        (
            lines("the door may hold 100 connections of clients"),
            lines("not the 100 of `limits.connections`: the process can open 256 descriptors"),
        )
    };
    assert_eq!(said(2048), (4, 0));
    assert_eq!(said(256), (0, 4));
}

/// A gateway that can never work ends, so that whoever started it notices.
#[test]
fn too_few_descriptors_for_the_doors_are_an_error() {
    let output = with(64).run(&["run"]);
    assert_eq!(output.status, 1, "{output:?}");
    let message = "64 descriptors (open files) are too few for 4 doors with 4 workers: at least ";
    assert!(output.stderr.contains(message), "{output:?}");
    assert!(!output.stderr.contains("panic"), "{output:?}");
}

/// A reload divides anew, and is not taken over when there is too little for what it adds.
#[test]
fn a_reload_divides_anew() {
    let gateway = with(256).start();
    let before = most(&gateway, DOOR);
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let door = |name: &str, workers: usize| {
        format!(
            "[listeners.{name}]\nbind = \"127.0.0.1:0\"\nselector = \"expose={name}\"\nscheme = \"http\"\nworkers = {workers}\n"
        )
    };
    std::fs::write(gateway.config(), format!("{config}{}", door("many", 60))).unwrap();
    gateway.until("it is not taken over", |gateway| {
        gateway
            .stderr()
            .contains("256 descriptors (open files) are too few for 5 doors with 64 workers")
    });
    assert_eq!((gateway.admin("/readyz").0, most(&gateway, DOOR)), (200, before));
    std::fs::write(gateway.config(), format!("{config}{}", door("more", 1))).unwrap();
    gateway.until("there is one door more", |gateway| most(gateway, "more") > 0);
    gateway.until("the others have less", |gateway| most(gateway, DOOR) < before);
    // What it had goes back to the others.
    std::fs::write(gateway.config(), &config).unwrap();
    gateway.until("it is as before", |gateway| most(gateway, DOOR) == before);
}

/// The configuration with another number of workers for [`DOOR`].
fn with_workers(config: &str, workers: usize) -> String {
    let at = config.find(&format!("[listeners.{DOOR}]")).unwrap();
    let (before, door) = config.split_at(at);
    let line = door.lines().find(|line| line.starts_with("workers")).unwrap();
    before.to_owned() + &door.replacen(line, &format!("workers = {workers}"), 1)
}

/// Workers of the sockets to be and of those that were count as long as they are there.
#[test]
fn workers_of_other_sockets_are_counted_until_they_have_ended() {
    let opened = Arc::new(AtomicBool::new(false));
    let _opens = gateway_tests::Finally(&opened);
    let backend = Backend::with("app", held_back(&opened));
    let gateway = with(512)
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let reserved = |gateway: &Gateway| gateway.metric("blastdoor_descriptors_reserved", &[]);
    let before = reserved(&gateway);
    let mut busy = Client::connect(gateway.door(DOOR));
    busy.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let labels = [("listener", DOOR), ("state", "active")];
    gateway.counts("blastdoor_connections", &labels, 1.0);
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    std::fs::write(gateway.config(), with_workers(&config, 4)).unwrap();
    gateway.until("it has moved", |gateway| {
        gateway.stderr().contains("door bound anew")
    });
    // Five descriptors each, four new ones and the old one that still has a connection.
    assert_eq!(reserved(&gateway), before + 20.0);
    opened.store(true, Ordering::SeqCst);
    assert_eq!(busy.response().expect("an answer").status, 200);
    gateway.counts("blastdoor_descriptors_reserved", &[], before + 15.0);
}

/// What has ended is in nobody's way, and a new door has its part before it listens.
#[test]
fn a_door_can_be_added_after_many_workers_have_ended() {
    let gateway = with(600).door(DOOR, "workers = 60").start();
    let config = with_workers(&std::fs::read_to_string(gateway.config()).unwrap(), 1);
    std::fs::write(gateway.config(), &config).unwrap();
    gateway.until("it has moved", |gateway| {
        gateway.stderr().contains("door bound anew")
    });
    let more = "[listeners.more]\nbind = \"127.0.0.1:0\"\nselector = \"expose=more\"\nscheme = \"http\"\nworkers = 30\n";
    std::fs::write(gateway.config(), config + more).unwrap();
    gateway.until("the new door has its part", |gateway| {
        (1..600).contains(&most(gateway, "more"))
    });
}

/// Whoever changes the hard limit of open files, the process itself if it has the privilege to raise it: that is no reason
/// for another number of workers, for which sockets would be replaced.
#[test]
fn another_limit_moves_no_door() {
    let many = "bind = \"127.0.0.1:0\"\nselector = \"expose=many\"\nscheme = \"http\"\ncpus = \"0-1023\"";
    let gateway = with(512).door("many", many).start();
    let lower = Rlimit {
        current: Some(256),
        maximum: Some(256),
    };
    prlimit(Some(gateway.pid()), Resource::Nofile, lower).unwrap();
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let config = config.replace("selector = \"expose=many\"", "selector = \"expose=more\"");
    std::fs::write(gateway.config(), config).unwrap();
    gateway.until("it is reloaded", |gateway| {
        gateway.stderr().contains("configuration reloaded")
    });
    assert!(!gateway.stderr().contains("door bound anew"));
    let doors: serde_json::Value = serde_json::from_str(&gateway.admin("/api/v1/doors").1).unwrap();
    let mut doors = doors["doors"].as_array().unwrap().iter();
    let many = doors.find(|door| door["listener"] == "many").unwrap();
    assert_eq!(many["workers"]["configured"], 8);
}

/// Far more connections to the admin port than it has places, none of which asks for anything.
#[test]
fn a_flood_of_the_admin_port_does_not_silence_probes() {
    let gateway = gateway!().start();
    let path = gateway.admin_socket();
    let mut idle: Vec<UnixStream> = (0..300).map(|_| UnixStream::connect(&path).unwrap()).collect();
    // Some have begun, and some ask for pages that they do not read.
    for stream in &mut idle {
        // Those that have been closed do not matter.
        let _closed = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
    }
    assert_eq!(probes(&gateway), [200, 200, 200]);
    let refused = gateway.metric(
        "blastdoor_admin_connections_refused_total",
        &[("reason", "places")],
    );
    assert!(refused >= 200.0, "{refused}");
    assert!(gateway.metric("blastdoor_admin_connections", &[]) <= 80.0);
    idle[0].set_read_timeout(Some(PATIENCE)).unwrap();
    // The first to come was the first to go.
    let mut rest = Vec::new();
    let _reset = idle[0].read_to_end(&mut rest);
    assert_eq!(rest, b"");
    gateway.says("admin port: all places are taken");
}
