//! The end of a process: load balancers learn of it first, connections end in order, and a successor takes over without a
//! gap.

use std::io::Write;
use std::time::{Duration, Instant};

use gateway_tests::{Backend, Client, Load, Reply, free_port, gateway, get, manifest, scaled};

const DOOR: &str = "external-http";

#[test]
fn the_phases_of_a_drain() {
    let backend = Backend::start("app");
    let mut gateway = gateway!()
        .every_door("drain = { wait = \"1s\", timeout = \"5s\" }")
        .door(
            DOOR,
            "trusted_proxies = [\"127.0.0.0/8\"]\nhealth_path = \"/healthz\"",
        )
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let address = gateway.door(DOOR);
    let lb = format!("/lb/{DOOR}");
    assert_eq!(
        (
            gateway.admin("/livez").0,
            gateway.admin("/readyz").0,
            gateway.admin(&lb).0
        ),
        (200, 200, 200)
    );
    assert_eq!(gateway.admin("/lb/nosuchdoor").0, 404);
    assert_eq!(get(address, "anything.test", "/healthz").status, 200);
    let mut kept = Client::connect(address);
    assert_eq!(
        kept.get("a.test", "/").expect("an answer").field("connection"),
        None
    );
    backend.reply(Reply::script(|stream, _| {
        std::thread::sleep(Duration::from_millis(1800));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow")
            .unwrap();
    }));
    let mut slow = Client::connect(address);
    slow.send("GET /slow HTTP/1.1\r\nHost: a.test\r\n\r\n");
    gateway.until("the slow request is under way", |_| backend.requests() == 2);
    backend.reply(Reply::Name);

    let told = Instant::now();
    gateway.terminate();
    gateway.until("red at once", |gateway| gateway.admin(&lb).0 == 503);
    assert!(
        told.elapsed() < Duration::from_millis(500),
        "{:?}",
        told.elapsed()
    );
    assert_eq!(
        gateway.admin("/readyz").0,
        200,
        "ready while draining: kube-proxy still sends here"
    );
    assert_eq!(get(address, "anything.test", "/healthz").status, 503);
    let new = get(address, "a.test", "/");
    assert_eq!(
        (new.status, new.field("connection")),
        (200, Some("close")),
        "new connections are served and told to close"
    );
    assert_eq!(
        kept.get("a.test", "/").expect("an answer").field("connection"),
        Some("close")
    );
    assert!(kept.is_closed());
    let answer = slow.response().expect("an answer");
    assert_eq!(
        (answer.text().as_str(), answer.field("connection")),
        ("slow", Some("close")),
        "what is in flight ends in order"
    );
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(told.elapsed() >= Duration::from_millis(1700));
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[test]
fn cut_requests_show_in_the_exit_status() {
    let backend = Backend::with("app", Reply::Silence);
    let mut gateway = gateway!()
        .every_door("drain = { wait = \"100ms\", timeout = \"300ms\" }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    gateway.until("under way", |_| backend.requests() == 1);
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(1));
    assert_eq!(client.response().expect("an answer").status, 503);
}

#[test]
fn a_cut_upgraded_connection_does_not_change_the_exit_status() {
    let backend = Backend::with(
        "app",
        Reply::script(|stream, _| {
            stream
                .write_all(
                    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n",
                )
                .unwrap();
            let _ended = std::io::Read::read(stream, &mut [0; 1]);
        }),
    );
    let mut gateway = gateway!()
        .every_door("drain = { wait = \"100ms\", timeout = \"300ms\" }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    assert_eq!(
        client
            .request("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\n")
            .expect("an answer")
            .status,
        101
    );
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(client.is_closed());
}

/// SIGHUP reloads, and signals with a meaning for other servers have none here: no request is affected.
#[test]
fn other_signals_do_not_end_the_process() {
    use rustix::process::Signal;
    let backend = Backend::start("app");
    let mut gateway = gateway!()
        .manifest(
            "app.yaml",
            &manifest::app("app", "external-http", "a.test", backend.port()),
        )
        .start();
    let mut client = Client::connect(gateway.door("external-http"));
    for (signal, told) in [
        (Signal::HUP, "SIGHUP: reading the configuration anew"),
        (Signal::USR1, "SIGUSR1 is ignored"),
        (Signal::USR2, "SIGUSR2 is ignored"),
        (Signal::QUIT, "SIGQUIT is ignored"),
    ] {
        gateway.signal(signal);
        gateway.until(told, |gateway| gateway.stderr().contains(told));
        assert_eq!(client.get("a.test", "/").unwrap().status, 200, "{told}");
    }
    assert!(!gateway.has_ended());
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut gateway = gateway!()
        .every_door("drain = { wait = \"60s\", timeout = \"60s\" }")
        .start();
    let told = Instant::now();
    gateway.terminate();
    gateway.until("draining", |gateway| gateway.admin("/lb/external-http").0 == 503);
    gateway.signal(rustix::process::Signal::INT);
    assert_eq!(gateway.wait().code(), Some(1));
    assert!(told.elapsed() < Duration::from_secs(5));
}

/// A free port for each door, so that a successor can bind the same.
fn fixed_ports(mut builder: gateway_tests::Builder) -> gateway_tests::Builder {
    for door in gateway_tests::DOORS {
        builder = builder.door(door, &format!("bind = \"127.0.0.1:{}\"", free_port()));
    }
    builder
}

/// SO_REUSEPORT hand-over: the new process binds, the old one drains, and no request is lost, neither on kept nor on
/// new connections.
#[test]
fn twenty_hand_overs_under_load() {
    let backend = Backend::start("app");
    backend.count_only();
    let builder = fixed_ports(gateway!().log("access = \"off\""))
        .every_door("drain = { wait = \"200ms\", timeout = \"5s\" }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()));
    let mut current = builder.twin(0).start();
    let address = current.door(DOOR);
    let kept = Load::start(address, "a.test", 8, 400);
    let stop = std::sync::atomic::AtomicBool::new(false);
    let fresh = std::thread::scope(|scope| {
        let fresh = scope.spawn(|| {
            let mut done = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                assert_eq!(get(address, "a.test", "/fresh").status, 200);
                done += 1;
            }
            done
        });
        for number in 1..=scaled("hand-overs", 5, 20) {
            let next = builder.twin(number).start();
            current.terminate();
            assert_eq!(current.wait().code(), Some(0), "{}", current.stderr());
            current = next;
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        fresh.join().unwrap()
    });
    let outcome = kept.finish();
    assert_eq!(
        outcome.failures,
        Vec::<String>::new(),
        "of {} requests",
        outcome.done
    );
    assert!(
        fresh > 100 && outcome.done > 100,
        "{fresh} and {} requests",
        outcome.done
    );
}

/// SIGTERM under load, with clients that go elsewhere when they are asked to close, as load balancers do.
#[test]
fn twenty_drains_under_load() {
    let backend = Backend::start("app");
    backend.count_only();
    for number in 0..scaled("drains", 5, 20) {
        let mut gateway = gateway!()
            .log("access = \"off\"")
            .every_door("drain = { wait = \"400ms\", timeout = \"5s\" }")
            .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
            .start();
        let address = gateway.door(DOOR);
        let load = Load::start(address, "a.test", 16, 800);
        while load.done() < 50 {
            std::thread::sleep(Duration::from_millis(5));
        }
        gateway.terminate();
        // The load balancer finds the door unhealthy and stops before the wait is over.
        gateway.until("red", |gateway| gateway.admin("/lb/external-http").0 == 503);
        std::thread::sleep(Duration::from_millis(150));
        let outcome = load.finish();
        assert_eq!(
            outcome.failures,
            Vec::<String>::new(),
            "drain {number}, of {} requests",
            outcome.done
        );
        assert_eq!(gateway.wait().code(), Some(0));
    }
}
