//! A site on k3s behind Cloudflare, whose objects were written for Traefik, unchanged (`deploy/k3s`): two Ingresses of class
//! `traefik` without a label, four Middlewares, and the Secret of Cloudflare's origin certificate.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway_tests::http2::{block, request_with};
use gateway_tests::tls::{Authority, H1, H2, Offer, TlsClient, secret_of};
use gateway_tests::{Backend, Client, Gateway, Reply, gateway, manifest};

use super::{Got, without_framing};

const SITE: &str = "www.example.com";
const ADMIN: &str = "admin.example.com";
/// `secret`
const USER: &str = "admin:$2y$05$C/xY6HPzsMAURtzdBWrlv.AmjkPUmRHozWbN1gzPTA1Q8LYUd3BrW";

/// Where a connection comes from: one of Cloudflare's addresses, and somebody else's.
const CLOUDFLARE: &str = "173.245.48.7";
const STRANGER: &str = "192.0.2.9";

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new("Cloudflare Origin"));

fn deployed(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/k3s");
    std::fs::read_to_string(folder.join(file)).unwrap()
}

struct Rig {
    gateway: Gateway,
    site: Backend,
    admin: Backend,
    http1: TlsClient,
    http2: TlsClient,
}

impl Rig {
    /// The doors of `deploy/k3s/listeners.toml`, each on a free port. A PROXY header says where a connection comes from,
    /// because tests may use loopback alone.
    fn new() -> Self {
        let (site, admin) = (Backend::start("site"), Backend::start("admin"));
        let written = deployed("listeners.toml");
        let mut builder = gateway!().file("cloudflare.txt", &deployed("cloudflare.txt"));
        for door in [
            "internal-http",
            "internal-https",
            "external-http",
            "external-https",
        ] {
            builder = builder.without(door);
        }
        for table in written.split("[listeners.").skip(1) {
            let (name, lines) = table.split_once("]\n").unwrap();
            let lines: String = lines
                .lines()
                .filter(|line| line.contains(" = ") && !line.starts_with('#'))
                .map(|line| format!("{line}\n"))
                .collect();
            builder = match name {
                "websecure.tls" => builder.door("websecure", &format!("tls = {{ {} }}", lines.split('#').next().unwrap())),
                name => builder.door(name, &lines).door(
                    name,
                    "bind = \"127.0.0.1:0\"\nworkers = 1\nproxy_protocol = \"required\"\ntrusted_proxies = [\"127.0.0.0/8\"]",
                ),
            };
        }
        let certificate = AUTHORITY.server(&["*.example.com"]);
        let objects = secret_of(
            "cloudflare-origin",
            "kubernetes.io/tls",
            &[("tls.crt", &certificate.chain), ("tls.key", &certificate.key)],
        ) + &secret_of("admin-users", "Opaque", &[("users", USER)])
            + &manifest::service("site", &[site.port()])
            + &manifest::service("admin", &[admin.port()]);
        let gateway = builder
            .manifest("site.yaml", &deployed("site.yaml"))
            .manifest(
                "others.yaml",
                &objects.replace("namespace: test", "namespace: web"),
            )
            .start();
        let client = |alpn| {
            TlsClient::new(&Offer {
                alpn,
                authority: Some(&AUTHORITY),
                ..Offer::default()
            })
        };
        Self {
            gateway,
            site,
            admin,
            http1: client(H1),
            http2: client(H2),
        }
    }

    fn door(&self) -> SocketAddr {
        self.gateway.door("websecure")
    }

    /// Sends the same requests on one connection of each version, from this address for this client, and expects the same
    /// answers to both.
    #[track_caller]
    fn ask(&self, from: &str, client: &str, host: &str, requests: &[&[(&str, &str)]]) -> Vec<Got> {
        let first = self.ask_http1(from, &format!("{client}1"), host, requests);
        let second = self.ask_http2(from, &format!("{client}2"), host, requests);
        assert_eq!(first, second, "{host} over HTTP/1.1 and HTTP/2");
        first
    }

    fn ask_http1(&self, from: &str, client: &str, host: &str, requests: &[&[(&str, &str)]]) -> Vec<Got> {
        let header = proxy_header(from);
        let shaken = self
            .http1
            .connect_behind(
                self.door(),
                Some(host),
                Duration::from_secs(20),
                header.as_bytes(),
            )
            .unwrap();
        let mut connection = shaken.http1();
        let ask = |fields: &&[(&str, &str)]| {
            let lines: String = fields
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\nCF-Connecting-IP: {client}\r\n{lines}\r\n");
            super::got(connection.request(text).unwrap())
        };
        requests.iter().map(ask).collect()
    }

    fn ask_http2(&self, from: &str, client: &str, host: &str, requests: &[&[(&str, &str)]]) -> Vec<Got> {
        let header = proxy_header(from);
        block(async {
            let connection = self
                .http2
                .http2_behind(self.door(), Some(host), header.as_bytes())
                .await
                .unwrap();
            let mut answers = Vec::new();
            for fields in requests {
                let mut all = vec![("cf-connecting-ip", client)];
                all.extend_from_slice(fields);
                let answer = connection
                    .exchange(request_with("GET", host, "/", &all), b"")
                    .await;
                answers.push(Got {
                    status: answer.status,
                    body: answer.text(),
                    fields: without_framing(answer.headers),
                });
            }
            answers
        })
    }
}

fn proxy_header(from: &str) -> String {
    format!("PROXY TCP4 {from} 127.0.0.1 4711 443\r\n")
}

fn basic(password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("admin:{password}")))
}

/// The fields of `security-headers`.
const SECURITY: [(&str, &str); 6] = [
    (
        "strict-transport-security",
        "max-age=31536000; includeSubDomains; preload",
    ),
    ("x-frame-options", "DENY"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1; mode=block"),
    ("referrer-policy", "strict-origin-when-cross-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
];

#[track_caller]
fn assert_secured(got: &Got) {
    for (name, value) in SECURITY {
        assert_eq!(got.field(name).as_deref(), Some(value), "{got:?}");
    }
}

#[test]
fn nothing_of_it_is_a_problem() {
    let rig = Rig::new();
    assert_eq!(
        rig.gateway.metric("blastdoor_config_problems", &[]),
        0.0,
        "{}",
        rig.gateway.stderr()
    );
}

#[test]
fn each_host_is_served_with_its_security_headers() {
    let rig = Rig::new();
    let powered = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX-Powered-By: PHP\r\nServer: Apache\r\nX-Frame-Options: ALLOW\r\n\r\nsite";
    rig.site.reply(Reply::computed(|_| powered.to_vec()));
    let [got] = &rig.ask(CLOUDFLARE, "198.51.100.", SITE, &[&[]])[..] else {
        panic!();
    };
    assert_eq!((got.status, &*got.body), (200, "site"));
    assert_secured(got);
    assert_eq!((got.field("x-powered-by"), got.field("server")), (None, None));
    // The client is the one that Cloudflare names.
    assert_eq!(rig.site.last().field("x-real-ip"), Some("198.51.100.2"));
    assert_eq!(rig.admin.requests(), 0);
}

#[test]
fn only_cloudflare_comes_in() {
    let rig = Rig::new();
    for host in [SITE, ADMIN] {
        let authorization = basic("secret");
        let requests: &[&[(&str, &str)]] =
            &[&[("authorization", &authorization), ("x-forwarded-for", CLOUDFLARE)]];
        let [got] = &rig.ask(STRANGER, "173.245.48.", host, requests)[..] else {
            panic!();
        };
        assert_eq!(got.status, 403, "{host}");
    }
    assert_eq!((rig.site.requests(), rig.admin.requests()), (0, 0));
}

#[test]
fn the_admin_host_asks_for_a_password() {
    let rig = Rig::new();
    let (right, wrong) = (basic("secret"), basic("wrong"));
    let requests: &[&[(&str, &str)]] = &[
        &[],
        &[("authorization", &wrong)],
        &[("authorization", &right)],
        &[("authorization", &right)],
    ];
    let answers = rig.ask(CLOUDFLARE, "198.51.100.", ADMIN, requests);
    let statuses: Vec<u16> = answers.iter().map(|got| got.status).collect();
    assert_eq!(statuses, [401, 401, 200, 200]);
    for got in &answers {
        assert_secured(got);
    }
    assert_eq!(
        answers[0].field("www-authenticate").as_deref(),
        Some("Basic realm=\"admin\"")
    );
    assert_eq!(rig.admin.requests(), 4);
    assert_eq!(rig.admin.last().field("authorization"), None);
    // The site asks for none.
    assert_eq!(rig.ask(CLOUDFLARE, "198.51.100.", SITE, &[&[]])[0].status, 200);
}

#[test]
fn two_hundred_at_once_and_a_hundred_a_minute_for_each_client() {
    let rig = Rig::new();
    rig.site.count_only();
    let many: Vec<&[(&str, &str)]> = vec![&[]; 230];
    type Ask = fn(&Rig, &str, &str, &str, &[&[(&str, &str)]]) -> Vec<Got>;
    let versions: [(Ask, &str); 2] = [(Rig::ask_http1, "198.51.100.1"), (Rig::ask_http2, "198.51.100.2")];
    for (version, client) in versions {
        let answers = version(&rig, CLOUDFLARE, client, SITE, &many);
        let passed = answers.iter().filter(|got| got.status == 200).count();
        // One more for each 0.6 s that this takes.
        assert!((200..230).contains(&passed), "{passed}");
        let refused = answers.iter().find(|got| got.status == 429).unwrap();
        assert_eq!(refused.field("retry-after").as_deref(), Some("1"));
        // Another client is not concerned, nor is this one at another Ingress.
        assert_eq!(
            version(&rig, CLOUDFLARE, "198.51.100.9", SITE, &[&[]])[0].status,
            200
        );
        assert_eq!(version(&rig, CLOUDFLARE, client, ADMIN, &[&[]])[0].status, 401);
    }
}

#[test]
fn clear_text_is_redirected() {
    let rig = Rig::new();
    let mut client = Client::connect(rig.gateway.door("web"));
    client.send(proxy_header(CLOUDFLARE));
    let answer = client.get(SITE, "/cart?id=1").unwrap();
    assert_eq!(
        (answer.status, answer.field("location")),
        (308, Some("https://www.example.com/cart?id=1"))
    );
}
