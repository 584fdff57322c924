//! Limits that a server keeps for several gateways.

use std::cell::Cell;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gateway_tests::tls::{Authority, H1, TlsFront, secret, secret_of};
use gateway_tests::{Backend, Client, Gateway, gateway, get};

use super::super::{DOOR, app};
use super::{NAMED, middleware};

/// A server of this test. It ends with it.
struct Server {
    child: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The server that is installed. Without one the test is left out, which is said, and which is a failure in CI.
fn program() -> Option<&'static str> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name: &&str| std::env::split_paths(&folders).any(|folder| folder.join(name).is_file());
    let found = ["valkey-server", "redis-server"].into_iter().find(is_there);
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "no valkey-server and no redis-server is installed"
        );
        eprintln!(
            "LEFT OUT: no valkey-server and no redis-server is installed; apt-get install redis-server"
        );
    }
    found
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    fn start(program: &str, port: u16, password: &str) -> Self {
        let child = Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--requirepass", password])
            .current_dir("/tmp")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child };
        let address: SocketAddr = ([127, 0, 0, 1], port).into();
        while std::net::TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }
}

/// The server as a Service of the cluster, and Secrets that name it or log in there.
fn objects(port: u16, password: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: counts, namespace: test}}\nspec: {{ports: [{{port: 6379}}]}}\n---\n\
         apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
         metadata: {{name: counts-1, namespace: test, labels: {{kubernetes.io/service-name: counts}}}}\n\
         addressType: IPv4\nports: [{{port: {port}}}]\nendpoints: [{{addresses: [127.0.0.1]}}]\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: login, namespace: test}}\nstringData: {{password: {password}}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: store, namespace: test}}\n\
         stringData: {{address: \"counts.test:6379\", password: {password}, db: \"2\"}}\n---\n"
    )
}

const OWN: &[(&str, &str)] = &[
    ("blastdoor.dev/rate-limit", "1/10h"),
    ("blastdoor.dev/rate-limit-burst", "100"),
    ("blastdoor.dev/rate-limit-store", "store"),
];
const REDIS: &str = "average: 1, period: 10h, burst: 100, \
                     redis: {endpoints: [\"counts:6379\"], secret: login, db: 3, poolSize: 5, minIdleConns: 1, \
                     maxActiveConns: 9, dialTimeout: 5s, readTimeout: 3s, writeTimeout: 3s}";

fn replica(backend: &Backend, annotations: &[(&str, &str)], others: &str) -> Gateway {
    gateway!()
        .door(DOOR, "workers = 2")
        .manifest("app.yaml", &app(backend, annotations))
        .manifest("others.yaml", others)
        .start()
}

/// Waits until a request has been answered by the server, so that both know each other. Returns how many passed until then.
fn settle(gateway: &Gateway) -> u64 {
    let passed = Cell::new(0);
    let errors = || gateway.metric("blastdoor_filter_store_errors_total", &[("listener", DOOR)]);
    gateway.until("the server of limits answers", |gateway| {
        let before = errors();
        let one = get(gateway.door(DOOR), "a.test", "/").status == 200;
        passed.set(passed.get() + u64::from(one));
        errors() == before
    });
    passed.get()
}

fn errors(gateways: &[Gateway]) -> f64 {
    let of = |gateway: &Gateway| gateway.metric("blastdoor_filter_store_errors_total", &[("listener", DOOR)]);
    gateways.iter().map(of).sum()
}

/// Two gateways and one bucket of a hundred, in both spellings.
#[test]
fn two_gateways_keep_one_limit() {
    let Some(program) = program() else { return };
    let backend = Backend::start("app");
    for annotations in [OWN, &[NAMED]] {
        let port = free_port();
        let _server = Server::start(program, port, "hunter2");
        let others = objects(port, "hunter2") + &middleware("rateLimit", REDIS);
        let replicas = [(); 2].map(|()| replica(&backend, annotations, &others));
        let mut passed: u64 = replicas.iter().map(settle).sum();
        let before = errors(&replicas);
        let doors = [replicas[0].door(DOOR), replicas[1].door(DOOR)];
        for round in 0..150 {
            passed += u64::from(get(doors[round % 2], "a.test", "/").status == 200);
        }
        // What the server did not answer in time was counted here, and perhaps there as well.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small count"
        )]
        let missed = errors(&replicas) as u64;
        assert!(
            passed <= 100 + missed && passed + missed >= 100,
            "{passed}, {missed} missed"
        );
        assert!(errors(&replicas) - before < 50.0, "the server answers");
    }
}

/// A hundred a minute with a burst of two hundred, at sixty times the pace, by two gateways together: 1,200 in ten.
#[test]
fn two_gateways_keep_one_rate() {
    let Some(program) = program() else { return };
    let backend = Backend::start("app");
    let port = free_port();
    let _server = Server::start(program, port, "hunter2");
    let redis = REDIS.replace(
        "average: 1, period: 10h, burst: 100",
        "average: 100, period: 1s, burst: 200",
    );
    let others = objects(port, "hunter2") + &middleware("rateLimit", &redis);
    let replicas = [(); 2].map(|()| replica(&backend, &[NAMED], &others));
    for replica in &replicas {
        let _answer = settle(replica);
    }
    // The bucket is full again.
    std::thread::sleep(Duration::from_millis(200));
    let (before, passed, started) = (errors(&replicas), AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for connection in 0..8 {
            let (door, passed) = (replicas[connection % 2].door(DOOR), &passed);
            scope.spawn(move || {
                let mut client = Client::connect(door);
                while started.elapsed() < Duration::from_secs(10) {
                    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
                    let status = client.response().expect("an answer").status;
                    assert!(matches!(status, 200 | 429), "{status}");
                    passed.fetch_add(u64::from(status == 200), Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
        }
    });
    #[expect(clippy::cast_precision_loss, reason = "some thousands at most")]
    let passed = passed.into_inner() as f64;
    let (missed, most) = (
        errors(&replicas) - before,
        200.0 + 100.0 * started.elapsed().as_secs_f64(),
    );
    assert!(
        passed <= most * 1.02 + missed && passed >= 1200.0 * 0.98 - missed,
        "{passed} of {most}, {missed} missed"
    );
}

/// The server is killed and started again while requests come: none of them fails for it, and limits are kept here.
#[test]
fn no_request_fails_for_the_server() {
    let Some(program) = program() else { return };
    let backend = Backend::start("app");
    let port = free_port();
    let mut server = Some(Server::start(program, port, "hunter2"));
    let redis = REDIS.replace(
        "average: 1, period: 10h, burst: 100",
        "average: 1000000, burst: 1000000",
    );
    let others = objects(port, "hunter2") + &middleware("rateLimit", &redis);
    let gateway = replica(&backend, &[NAMED], &others);
    settle(&gateway);
    let (door, ended, answered) = (gateway.door(DOOR), AtomicBool::new(false), AtomicU64::new(0));
    let counted = || gateway.metric("blastdoor_filter_store_errors_total", &[("listener", DOOR)]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(door);
                while !ended.load(Ordering::Relaxed) {
                    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
                    assert_eq!(client.response().expect("an answer").status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
        }
        for _ in 0..3 {
            let (before, seen) = (counted(), answered.load(Ordering::Relaxed));
            drop(server.take());
            gateway.until("requests are counted here", |_| counted() > before);
            gateway.until("requests go on", |_| answered.load(Ordering::Relaxed) > seen + 50);
            server = Some(Server::start(program, port, "hunter2"));
            gateway.until("requests are counted there", |_| {
                let before = counted();
                std::thread::sleep(Duration::from_millis(50));
                counted() == before
            });
        }
        ended.store(true, Ordering::Relaxed);
    });
    drop(server);
    let log = gateway.says("limits are counted by each replica alone");
    let told = log.matches("limits are counted by each replica alone").count();
    assert!((1..=8).contains(&told), "{told} warnings\n{log}");
    assert!(!log.contains("hunter2"));
}

/// Without its server a limit is kept by each replica, and is never off.
#[test]
fn a_server_that_was_never_there_is_no_open_door() {
    let backend = Backend::start("app");
    let others =
        objects(free_port(), "x") + &middleware("rateLimit", &REDIS.replace("burst: 100", "burst: 3"));
    let gateway = replica(&backend, &[NAMED], &others);
    let answers = (0..10).map(|_| get(gateway.door(DOOR), "a.test", "/").status);
    assert_eq!(answers.filter(|status| *status == 200).count(), 3);
    gateway.counts("blastdoor_filter_store_errors_total", &[("listener", DOOR)], 10.0);
}

#[test]
fn a_server_that_must_not_be_used_closes() {
    let backend = Backend::start("app");
    let redis = |fields: &str| format!("average: 1, redis: {{{fields}}}");
    for fields in [
        "endpoints: [\"counts\"]",
        "endpoints: [\"nowhere:6379\"]",
        "endpoints: [\"counts.other:6379\"]",
        "endpoints: [\"192.0.2.1:6379\"]",
        "endpoints: [\"redis.example.com:6379\"]",
        "endpoints: [\"169.254.169.254:80\"]",
        "endpoints: [\"counts:6379\"], secret: missing",
        "endpoints: [\"counts:6379\"], secret: other/login",
        "endpoints: [\"counts:6379\"], tls: {caSecret: login}",
        "endpoints: [\"counts:6379\"], username: x",
    ] {
        let others = objects(free_port(), "x") + &middleware("rateLimit", &redis(fields));
        let gateway = replica(&backend, &[NAMED], &others);
        assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 503, "{fields}");
    }
    for secret in ["missing", "login"] {
        let annotations = [
            ("blastdoor.dev/rate-limit", "1/h"),
            ("blastdoor.dev/rate-limit-store", secret),
        ];
        let gateway = replica(&backend, &annotations, &objects(free_port(), "x"));
        assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 503, "{secret}");
    }
}

/// The server is believed only with a valid certificate, unless the Middleware says that none is verified, and is shown that of
/// `certSecret`. Where it is not believed, the replica counts.
#[test]
fn a_server_is_asked_over_tls() {
    let Some(program) = program() else { return };
    let backend = Backend::start("app");
    let (good, other, clients) = (
        Authority::new("good"),
        Authority::new("other"),
        Authority::new("clients"),
    );
    let own = clients.client("gateway");
    let secrets = secret_of("good", "Opaque", &[("tls.ca", good.pem())])
        + &secret_of("other", "Opaque", &[("ca.crt", other.pem())])
        + &secret("own", &own);
    let port = free_port();
    let _server = Server::start(program, port, "hunter2");
    let front = TlsFront::start(&good.server(&["counts"]), H1, Some(&clients), port);
    for (tls, answers) in [
        ("caSecret: good, certSecret: own, caOptional: true", true),
        ("insecureSkipVerify: true, certSecret: own", true),
        ("caSecret: other, certSecret: own", false),
        ("caSecret: good", false),
    ] {
        let redis = REDIS.replace("db: 3", &format!("db: 3, tls: {{{tls}}}"));
        let others = objects(front.port(), "hunter2") + &secrets + &middleware("rateLimit", &redis);
        let gateway = replica(&backend, &[NAMED], &others);
        if answers {
            assert!(settle(&gateway) > 0, "{tls}");
        } else {
            for _ in 0..5 {
                assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200, "{tls}");
            }
            gateway.counts("blastdoor_filter_store_errors_total", &[("listener", DOOR)], 5.0);
        }
    }
    let shown: Vec<_> = front.met().into_iter().filter_map(|met| met.client).collect();
    assert!(shown.contains(&own.der()));
}

/// The server moves: its Service has another endpoint, which is found although a Secret alone names it.
#[test]
fn a_server_that_moves_is_found_again() {
    let Some(program) = program() else { return };
    let backend = Backend::start("app");
    for annotations in [OWN, &[NAMED]] {
        let (from, to) = (free_port(), free_port());
        let first = Server::start(program, from, "hunter2");
        let others = |port| objects(port, "hunter2") + &middleware("rateLimit", REDIS);
        let gateway = replica(&backend, annotations, &others(from));
        settle(&gateway);
        let _second = Server::start(program, to, "hunter2");
        drop(first);
        gateway.put("others.yaml", &others(to));
        let started = Instant::now();
        let errors = || gateway.metric("blastdoor_filter_store_errors_total", &[("listener", DOOR)]);
        gateway.until("the other server answers", |gateway| {
            let before = errors();
            let _ = get(gateway.door(DOOR), "a.test", "/");
            errors() == before && started.elapsed() > Duration::from_millis(100)
        });
    }
}

/// Two gateways that share a limit by halves.
#[test]
fn replicas_that_are_ready_share_a_limit() {
    let backend = Backend::start("app");
    let gateways = |ready: &[bool]| {
        let endpoints = ready.iter().enumerate().map(|(index, ready)| {
            format!("{{addresses: [\"10.9.0.{index}\"], conditions: {{ready: {ready}}}}}")
        });
        format!(
            "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
             metadata: {{name: gateways-1, namespace: test, labels: {{kubernetes.io/service-name: gateways}}}}\n\
             addressType: IPv4\nports: []\nendpoints: [{}]\n---\n",
            endpoints.collect::<Vec<_>>().join(", ")
        )
    };
    let annotations = [
        ("blastdoor.dev/rate-limit", "1/10h"),
        ("blastdoor.dev/rate-limit-burst", "60"),
        ("blastdoor.dev/rate-limit-scope", "cluster"),
    ];
    for (ready, expected) in [
        (&[true, true, false][..], 30),
        (&[true, true, true], 20),
        (&[false], 60),
    ] {
        let gateway = gateway!()
            .source("allow_loopback_backends = true\nreplicas = { services = [\"test/gateways\"] }")
            .manifest("app.yaml", &app(&backend, &annotations))
            .manifest("gateways.yaml", &gateways(ready))
            .start();
        let answers = (0..70).map(|_| get(gateway.door(DOOR), "a.test", "/").status);
        assert_eq!(
            answers.filter(|status| *status == 200).count(),
            expected,
            "{ready:?}"
        );
    }
}
