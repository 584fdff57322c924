//! Traces: whose are continued, what backends are told, what the log and the admin port say, and that a collector that is gone
//! costs no request.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

use gateway_tests::http2::{self, Http2};
use gateway_tests::{Backend, Client, Gateway, Http2Backend, Reply, Seen, gateway, get, manifest};
use serde_json::Value;

const DOOR: &str = "external-http";
const TRUSTED: &str = "client_ip = \"xff\"\ntrusted_proxies = [\"127.0.0.0/8\"]\n";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// An address at which nobody listens.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn traced(door: &str, backend: &Backend) -> Gateway {
    gateway!()
        .env("BLASTDOOR_TRACING__ENDPOINT", &format!("http://{}", nowhere()))
        .door(DOOR, door)
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start()
}

/// What the backend sees of a request with these fields, through a door with these settings.
fn seen(door: &str, fields: &str) -> (Seen, Value) {
    let backend = Backend::start("app");
    let gateway = traced(door, &backend);
    let request = format!("GET /p?q=secret HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    let response = Client::connect(gateway.door(DOOR)).request(request).unwrap();
    assert_eq!(response.status, 200);
    gateway.until("a line", |gateway| gateway.access_log().len() == 1);
    (backend.last(), gateway.access_log().remove(0))
}

/// Trace, span and flags of the only `traceparent`.
fn parts(seen: &Seen) -> [String; 3] {
    let fields = seen.fields("traceparent");
    let [field] = &*fields else {
        panic!("{}", seen.head)
    };
    let parts: Vec<String> = field.split('-').map(str::to_owned).collect();
    let [version, trace, span, flags] = <[String; 4]>::try_from(parts).unwrap();
    assert_eq!((&*version, trace.len(), span.len()), ("00", 32, 16), "{field}");
    [trace, span, flags]
}

#[test]
fn a_door_without_traces_passes_on_what_clients_say() {
    let (seen, line) = seen("", &format!("traceparent: {PARENT}\r\ntracestate: a=1\r\n"));
    assert_eq!(seen.fields("traceparent"), [PARENT]);
    assert_eq!(seen.fields("tracestate"), ["a=1"]);
    assert_eq!(line["trace_id"], TRACE, "the log says what the client says");
}

#[test]
fn a_trusted_peers_trace_goes_on() {
    let door = format!("{TRUSTED}tracing = {{ sample = 0.0 }}");
    let (seen, line) = seen(
        &door,
        &format!("traceparent: {PARENT}\r\ntracestate: a=1\r\ntracestate: b=2\r\n"),
    );
    let [trace, span, flags] = parts(&seen);
    assert_eq!((&*trace, &*flags), (TRACE, "01"));
    assert_ne!(
        span, "b7ad6b7169203331",
        "the backend's parent is the gateway's span"
    );
    assert_eq!(seen.fields("tracestate"), ["a=1", "b=2"]);
    assert_eq!(line["trace_id"], TRACE);
}

#[test]
fn a_trusted_peer_says_that_nothing_is_recorded() {
    let door = format!("{TRUSTED}tracing = {{ sample = 1.0 }}");
    let unsampled = PARENT.replace("-01", "-00");
    let (seen, _) = seen(&door, &format!("traceparent: {unsampled}\r\n"));
    assert_eq!(
        seen.fields("traceparent"),
        [&*unsampled],
        "no span is missing between"
    );
}

#[test]
fn a_stranger_chooses_neither_the_trace_nor_whether_it_is_recorded() {
    let fields = format!("traceparent: {PARENT}\r\ntracestate: a=1\r\n");
    for (sample, flags) in [("0", "00"), ("1", "01")] {
        let (seen, line) = seen(&format!("tracing = {{ sample = {sample} }}"), &fields);
        let [trace, _, found] = parts(&seen);
        assert_ne!(trace, TRACE);
        assert_eq!(found, flags);
        assert_eq!(seen.fields("tracestate"), Vec::<&str>::new());
        assert_eq!(line["trace_id"], *trace);
        assert_eq!(line["request_id"], *trace, "one number finds both");
    }
    let (seen, _) = seen("tracing = { sample = 0, parents = \"any\" }", &fields);
    let [trace, _, flags] = parts(&seen);
    assert_eq!((&*trace, &*flags), (TRACE, "00"));
    assert_eq!(seen.fields("tracestate"), ["a=1"]);
}

/// Load balancers pass on `traceparent` as their clients have sent it: that the peer is trusted says nothing about it.
#[test]
fn a_stranger_behind_a_load_balancer_is_a_stranger() {
    let forwarded = "X-Forwarded-For: 203.0.113.7\r\n";
    let google = "X-Forwarded-For: 203.0.113.7, 127.0.0.9\r\n";
    let cloudflare = "CF-Connecting-IP: 203.0.113.7\r\n";
    let trusted = |client_ip: &str| format!("client_ip = {client_ip}\ntrusted_proxies = [\"127.0.0.0/8\"]\n");
    let cases = [
        (TRUSTED.to_owned(), forwarded),
        (format!("{TRUSTED}behind = \"alb\"\n"), forwarded),
        (format!("{TRUSTED}behind = \"gclb\"\n"), google),
        (trusted("\"header:CF-Connecting-IP\""), cloudflare),
        // Whoever goes around Cloudflare, and has the balancer behind it say so.
        (trusted("\"header:CF-Connecting-IP\""), forwarded),
        (trusted("\"peer\""), forwarded),
    ];
    for (door, client) in &cases {
        for (own, sample, flags) in [("01", "0", "00"), ("00", "1", "01")] {
            let parent = PARENT.replace("-01", &format!("-{own}"));
            let fields = format!("{client}traceparent: {parent}\r\ntracestate: a=1\r\nbaggage: b=1\r\n");
            let (seen, line) = seen(&format!("{door}tracing = {{ sample = {sample} }}"), &fields);
            let [trace, _, found] = parts(&seen);
            assert_ne!(trace, TRACE, "{door} {client}");
            assert_eq!(found, flags, "{door} {client}");
            assert_eq!(line["trace_id"], *trace);
            for name in ["tracestate", "baggage"] {
                assert_eq!(seen.fields(name), Vec::<&str>::new(), "{door} {client}");
            }
        }
    }
    let fields = format!("{forwarded}traceparent: {PARENT}\r\nbaggage: b=1\r\n");
    let (seen, _) = seen(
        &format!("{TRUSTED}tracing = {{ sample = 0, parents = \"any\" }}"),
        &fields,
    );
    let [trace, _, flags] = parts(&seen);
    assert_eq!(
        (&*trace, &*flags),
        (TRACE, "00"),
        "any may name it, none may have it recorded"
    );
    assert_eq!(seen.fields("baggage"), ["b=1"]);
}

/// A program in a trusted network speaks for itself, directly and through a balancer.
#[test]
fn a_trusted_program_behind_a_load_balancer_is_believed() {
    for (door, client) in [
        (TRUSTED, "X-Forwarded-For: 127.0.0.5\r\n"),
        (
            &*format!("{TRUSTED}behind = \"gclb\"\n"),
            "X-Forwarded-For: 127.0.0.5, 203.0.113.1\r\n",
        ),
        (TRUSTED, ""),
    ] {
        let fields = format!("{client}traceparent: {PARENT}\r\nbaggage: b=1\r\n");
        let (seen, _) = seen(&format!("{door}tracing = {{ sample = 0 }}"), &fields);
        let [trace, _, flags] = parts(&seen);
        assert_eq!((&*trace, &*flags), (TRACE, "01"), "{door} {client}");
        assert_eq!(seen.fields("baggage"), ["b=1"]);
    }
}

#[test]
fn what_is_malformed_begins_a_new_trace() {
    let door = format!("{TRUSTED}tracing = {{ sample = 1 }}");
    for fields in [
        "traceparent: 00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01\r\ntracestate: a=1\r\n"
            .to_owned(),
        format!("traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\ntracestate: a=1\r\n"),
        "tracestate: a=1\r\n".to_owned(),
    ] {
        let (seen, _) = seen(&door, &fields);
        assert_ne!(parts(&seen)[0], TRACE, "{fields}");
        assert_eq!(seen.fields("tracestate"), Vec::<&str>::new(), "{fields}");
    }
    let (seen, _) = seen(&door, &format!("traceparent: {PARENT}\r\ntracestate: A=1\r\n"));
    assert_eq!(parts(&seen)[0], TRACE);
    assert_eq!(seen.fields("tracestate"), Vec::<&str>::new());
}

#[test]
fn what_a_load_balancer_of_aws_calls_it_is_kept_and_logged() {
    const AMAZON: &str = "Root=1-67891233-abcdef012345678912345678;Self=1-67891234-12456789abcdef012345678";
    let fields = format!("X-Amzn-Trace-Id: {AMAZON}\r\n");
    let (first, line) = seen("behind = \"alb\"", &fields);
    assert_eq!(first.fields("x-amzn-trace-id"), [AMAZON]);
    assert_eq!(line["amzn_trace_id"], AMAZON);
    let (second, line) = seen("", &fields);
    assert_eq!(second.fields("x-amzn-trace-id"), [AMAZON]);
    assert_eq!(line.get("amzn_trace_id"), None, "nothing says that it is one");
}

#[test]
fn a_collector_that_is_gone_costs_spans_and_no_request() {
    let backend = Backend::start("app");
    let gateway = traced("tracing = { sample = 1 }", &backend);
    let address = gateway.door(DOOR);
    for _ in 0..20 {
        assert_eq!(get(address, "a.test", "/").status, 200);
    }
    gateway.says("traces cannot be sent");
    assert_eq!(gateway.metric("blastdoor_traces_exported_total", &[]), 0.0);
    assert_eq!(get(address, "a.test", "/").status, 200);
    drop(gateway);
}

#[test]
fn a_queue_has_a_bound() {
    // Somebody who takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let backend = Backend::start("app");
    let gateway = gateway!()
        .env(
            "BLASTDOOR_TRACING__ENDPOINT",
            &format!("http://{}", silent.local_addr().unwrap()),
        )
        .env("BLASTDOOR_TRACING__QUEUE", "64KiB")
        .door(DOOR, "tracing = { sample = 1 }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = Client::connect(gateway.door(DOOR));
    let path = format!("/{}", "x".repeat(800));
    let lost =
        |gateway: &Gateway| gateway.metric("blastdoor_traces_dropped_total", &[("reason", "queue_full")]);
    for _ in 0..200 {
        assert_eq!(client.get("a.test", &path).unwrap().status, 200);
    }
    gateway.until("spans without room", |gateway| lost(gateway) > 0.0);
}

/// A real collector's receiver, as `cargo xtask traces` builds it.
struct Collector {
    child: Child,
    grpc: SocketAddr,
    http: SocketAddr,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn start() -> Self {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/traces/collector");
        let (grpc, http) = (nowhere(), nowhere());
        let mut child = Command::new(program)
            .args([grpc.to_string(), http.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}; cargo xtask traces builds it"));
        let mut reader = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        reader.read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&lines);
        thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        Self {
            child,
            grpc,
            http,
            lines,
        }
    }

    /// All spans so far.
    fn spans(&self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap();
        let of = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let resources = lines.iter().flat_map(|line| of(line, "resourceSpans"));
        let scopes = resources.flat_map(|resource| of(&resource, "scopeSpans"));
        scopes.flat_map(|scope| of(&scope, "spans")).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The value of an attribute, as text.
fn attribute(span: &Value, key: &str) -> Option<String> {
    let attributes = span["attributes"].as_array()?;
    let value = &attributes.iter().find(|attribute| attribute["key"] == key)?["value"];
    let value = value.as_object()?.values().next()?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// A request passes a door, its backend asks another door with the context that it has got, and that one's backend answers: four
/// spans, one trace.
#[test]
#[ignore = "takes a collector: cargo xtask traces"]
fn a_request_through_two_services_is_one_trace() {
    let collector = Collector::start();
    for protocol in ["grpc", "http"] {
        let address = if protocol == "grpc" {
            collector.grpc
        } else {
            collector.http
        };
        let second = Backend::start("second");
        let inner: Arc<OnceLock<SocketAddr>> = Arc::default();
        let asked = Arc::clone(&inner);
        let first = Backend::with(
            "first",
            Reply::computed(move |seen| {
                let parent = seen.field("traceparent").unwrap_or_default();
                let request = format!("GET /inner HTTP/1.1\r\nHost: b.test\r\ntraceparent: {parent}\r\n\r\n");
                let answer = Client::connect(*asked.get().unwrap()).request(request).unwrap();
                assert_eq!(answer.status, 200);
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
            }),
        );
        let gateway = gateway!()
            .env("BLASTDOOR_TRACING__ENDPOINT", &format!("http://{address}"))
            .env("BLASTDOOR_TRACING__PROTOCOL", protocol)
            .env(
                "BLASTDOOR_TRACING__RESOURCE",
                "{ \"deployment.environment.name\" = \"test\" }",
            )
            .door(DOOR, "tracing = { sample = 1 }")
            .door("internal-http", &format!("{TRUSTED}tracing = {{ sample = 0 }}"))
            .manifest(
                "first.yaml",
                &manifest::app("first", DOOR, "a.test", first.port()),
            )
            .manifest(
                "second.yaml",
                &manifest::app("second", "internal-http", "b.test", second.port()),
            )
            .start();
        inner.set(gateway.door("internal-http")).unwrap();
        let before = collector.spans().len();
        assert_eq!(get(gateway.door(DOOR), "a.test", "/outer").status, 200);
        gateway.until("four spans", |_| collector.spans().len() >= before + 4);
        let spans = collector.spans().split_off(before);
        assert_eq!(spans.len(), 4, "{spans:#?}");
        let traces: std::collections::BTreeSet<&str> = spans
            .iter()
            .map(|span| span["traceId"].as_str().unwrap())
            .collect();
        assert_eq!(traces.len(), 1, "{spans:#?}");
        let one = |door: Option<&str>, path: &str| {
            let mut found = spans.iter().filter(|span| {
                attribute(span, "blastdoor.door").as_deref() == door
                    && attribute(span, "url.path").as_deref() == Some(path)
            });
            let (first, second) = (found.next(), found.next());
            assert!(second.is_none());
            first.unwrap_or_else(|| panic!("{door:?} {path} {spans:#?}"))
        };
        // Outer server, its client, inner server, its client: each is the parent of the next.
        let chain = [
            one(Some(DOOR), "/outer"),
            one(None, "/outer"),
            one(Some("internal-http"), "/inner"),
            one(None, "/inner"),
        ];
        for pair in chain.windows(2) {
            assert_eq!(pair[1]["parentSpanId"], pair[0]["spanId"], "{spans:#?}");
        }
        assert_eq!(
            chain[0]
                .get("parentSpanId")
                .and_then(Value::as_str)
                .unwrap_or_default(),
            ""
        );
        assert_eq!(chain[0]["name"], "GET /");
        for (span, kind) in chain.iter().zip([2, 3, 2, 3]) {
            assert_eq!(span["kind"], kind, "{span:#}");
            assert_eq!(attribute(span, "http.request.method").as_deref(), Some("GET"));
            assert_eq!(
                attribute(span, "http.response.status_code").as_deref(),
                Some("200")
            );
            let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
            assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"));
        }
        for (key, value) in [
            ("http.route", "/"),
            ("url.scheme", "http"),
            ("server.address", "a.test"),
            ("client.address", "127.0.0.1"),
            ("network.protocol.version", "1.1"),
            ("blastdoor.ingress.namespace", "test"),
            ("blastdoor.ingress.name", "first"),
        ] {
            assert_eq!(attribute(chain[0], key).as_deref(), Some(value), "{key}");
        }
        let url = format!("http://127.0.0.1:{}/outer", first.port());
        assert_eq!(attribute(chain[1], "url.full"), Some(url));
        assert_eq!(
            attribute(chain[1], "network.protocol.version").as_deref(),
            Some("1.1")
        );
        gateway.counts("blastdoor_traces_exported_total", &[], 4.0);
    }
    let lines = collector.lines.lock().unwrap();
    let resource = &lines[0]["resourceSpans"][0]["resource"];
    assert_eq!(attribute(resource, "service.name").as_deref(), Some("blastdoor"));
    assert_eq!(
        attribute(resource, "deployment.environment.name").as_deref(),
        Some("test")
    );
}

/// The head for an HTTP/2 backend names the span as well.
#[test]
fn http2_on_both_sides_carries_the_trace() {
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    let heads = Arc::clone(&kept);
    let backend = Http2Backend::start(move |request, mut respond| {
        let fields = request.headers().get_all("traceparent");
        let fields = fields.iter().map(|value| value.to_str().unwrap().to_owned());
        heads.lock().unwrap().extend(fields);
        async move {
            respond.send_response(http2::response(200, &[]), true).unwrap();
        }
    });
    let gateway = gateway!()
        .env("BLASTDOOR_TRACING__ENDPOINT", &format!("http://{}", nowhere()))
        .door(DOOR, &format!("{TRUSTED}tracing = {{ sample = 0 }}"))
        .manifest(
            "app.yaml",
            &manifest::app_speaking("app", DOOR, "a.test", backend.port(), "kubernetes.io/h2c"),
        )
        .start();
    let address = gateway.door(DOOR);
    http2::block(async {
        let client = Http2::connect(address).await;
        let request = http2::request_with("GET", "a.test", "/", &[("traceparent", PARENT)]);
        assert_eq!(client.exchange(request, b"").await.status, 200);
    });
    let seen = kept.lock().unwrap().clone();
    let [field] = &*seen else { panic!("{seen:?}") };
    assert!(
        field.starts_with(&format!("00-{TRACE}-")) && field.ends_with("-01"),
        "{field}"
    );
    assert_ne!(field, PARENT);
}

/// What a filter sets is for the backend, whatever it speaks.
#[test]
fn a_traceparent_that_a_filter_sets_stays() {
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    let heads = Arc::clone(&kept);
    let second = Http2Backend::start(move |request, mut respond| {
        let fields = request.headers().get_all("traceparent");
        let fields = fields.iter().map(|value| value.to_str().unwrap().to_owned());
        heads.lock().unwrap().extend(fields);
        async move {
            respond.send_response(http2::response(200, &[]), true).unwrap();
        }
    });
    let first = Backend::start("app");
    let annotated = |manifest: String| {
        let ingress = "kind: Ingress\nmetadata:\n";
        assert!(manifest.contains(ingress), "{manifest}");
        let annotations =
            format!("{ingress}  annotations: {{ blastdoor.dev/request-headers: \"traceparent: own\" }}\n");
        manifest.replacen(ingress, &annotations, 1)
    };
    let speaking = manifest::app_speaking("second", DOOR, "b.test", second.port(), "kubernetes.io/h2c");
    let gateway = gateway!()
        .env("BLASTDOOR_TRACING__ENDPOINT", &format!("http://{}", nowhere()))
        .door(DOOR, "tracing = { sample = 1 }")
        .manifest(
            "first.yaml",
            &annotated(manifest::app("app", DOOR, "a.test", first.port())),
        )
        .manifest("second.yaml", &annotated(speaking))
        .start();
    for host in ["a.test", "b.test"] {
        assert_eq!(get(gateway.door(DOOR), host, "/").status, 200);
    }
    assert_eq!(first.last().fields("traceparent"), ["own"]);
    assert_eq!(*kept.lock().unwrap(), ["own"]);
}

/// Whoever stops reading a long answer has not broken anything.
#[test]
#[ignore = "takes a collector: cargo xtask traces"]
fn a_client_that_leaves_is_no_error_in_its_trace() {
    let collector = Collector::start();
    let backend = Backend::with(
        "app",
        Reply::script(|stream, _| {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
            let mut sent = stream.write_all(head);
            while sent.is_ok() {
                sent = stream.write_all(&[b'x'; 4096]);
            }
        }),
    );
    let gateway = gateway!()
        .env(
            "BLASTDOOR_TRACING__ENDPOINT",
            &format!("http://{}", collector.grpc),
        )
        .door(DOOR, "tracing = { sample = 1 }")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let mut client = TcpStream::connect(gateway.door(DOOR)).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    client.read_exact(&mut [0; 100]).unwrap();
    drop(client);
    gateway.until("two spans", |_| collector.spans().len() == 2);
    for span in collector.spans() {
        let has_ended = if span["kind"] == 2 {
            assert_eq!(attribute(&span, "error.type"), None, "{span:#}");
            attribute(&span, "blastdoor.refusal")
        } else {
            attribute(&span, "error.type")
        };
        assert_eq!(has_ended.as_deref(), Some("client_gone"), "{span:#}");
        assert_eq!(
            attribute(&span, "http.response.status_code").as_deref(),
            Some("200")
        );
        assert!(span["status"]["code"].is_null(), "{span:#}");
    }
}
