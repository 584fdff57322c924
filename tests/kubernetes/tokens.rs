//! Tokens that expire and are renewed, in a file as the kubelet writes it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gateway_tests::{Finally, Load, gateway, get, scaled};
use rcgen::{KeyPair, SigningKey as _};
use serde_json::json;

use crate::api_server;
use crate::apiserver::{ApiServer, until};
use crate::backend::Backend;
use crate::link::Link;
use crate::objects::{app, ingress};

const DOOR: &str = "external-http";
const USER: &str = "system:serviceaccount:default:gateway";

/// A service account with all rights; tokens are signed as the API server signs them, but for as short as the test
/// wants: a TokenRequest gives ten minutes at least.
struct Account {
    key: KeyPair,
    uid: String,
}

impl Account {
    fn create(server: &ApiServer) -> Self {
        let accounts = "/api/v1/namespaces/default/serviceaccounts";
        let account =
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": "gateway" } });
        let (status, account) = server.request("POST", accounts, Some(&account));
        assert_eq!(status, 201, "{account}");
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": { "name": "gateway" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "kind": "ServiceAccount", "name": "gateway", "namespace": "default" }]
        });
        let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
        assert_eq!(server.request("POST", bindings, Some(&binding)).0, 201);
        let key = std::fs::read_to_string(server.path("accounts.key")).unwrap();
        Self {
            key: KeyPair::from_pem(&key).unwrap(),
            uid: account["metadata"]["uid"].as_str().unwrap().to_owned(),
        }
    }

    /// A token that is accepted for so many seconds (RFC 7519, ES256). The API server allows for clocks that differ by
    /// a minute, so this one has been over for nearly as long.
    fn token(&self, seconds: u64) -> String {
        #[expect(clippy::disallowed_methods, reason = "a token is in wall time")]
        let now = SystemTime::now();
        let now = now.duration_since(UNIX_EPOCH).unwrap().as_secs() - 60;
        let issuer = "https://kubernetes.default.svc";
        let claims = json!({
            "iss": issuer, "aud": [issuer], "sub": USER, "iat": now, "nbf": now, "exp": now + seconds,
            "kubernetes.io": {
                "namespace": "default", "serviceaccount": { "name": "gateway", "uid": self.uid }
            }
        });
        let parts = [json!({ "alg": "ES256", "typ": "JWT" }), claims];
        let signed = parts.map(|part| base64url(part.to_string().as_bytes())).join(".");
        let signature = raw_signature(&self.key.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{}", base64url(&signature))
    }
}

/// RFC 4648, section 5, without padding.
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk
            .iter()
            .fold(0, |word: u32, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

/// The two numbers of an ECDSA signature side by side (RFC 7518, section 3.4), from their DER.
fn raw_signature(der: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    let mut rest = &der[2..];
    for _ in 0..2 {
        let (length, number) = (usize::from(rest[1]), &rest[2..]);
        let (number, after) = number.split_at(length);
        let number = number.strip_prefix(&[0]).unwrap_or(number);
        raw.extend(std::iter::repeat_n(0, 32 - number.len()).chain(number.iter().copied()));
        rest = after;
    }
    raw
}

/// A folder with a token as the kubelet projects it: `token` leads through `..data` to a folder of its own for each
/// renewal, and the middle link is what is replaced.
struct Projected {
    folder: PathBuf,
    renewals: usize,
}

impl Projected {
    fn new(server: &ApiServer, token: &str) -> Self {
        let folder = server.path("projected");
        std::fs::create_dir(&folder).unwrap();
        let mut projected = Self { folder, renewals: 0 };
        projected.renew(token);
        std::os::unix::fs::symlink("..data/token", projected.folder.join("token")).unwrap();
        projected
    }

    fn renew(&mut self, token: &str) {
        self.renewals += 1;
        let name = format!("..{}", self.renewals);
        std::fs::create_dir(self.folder.join(&name)).unwrap();
        std::fs::write(self.folder.join(&name).join("token"), token).unwrap();
        let fresh = self.folder.join("..data_tmp");
        std::os::unix::fs::symlink(&name, &fresh).unwrap();
        std::fs::rename(&fresh, self.folder.join("..data")).unwrap();
        if self.renewals > 1 {
            let old = format!("..{}", self.renewals - 1);
            std::fs::remove_dir_all(self.folder.join(old)).unwrap();
        }
    }
}

/// A kubeconfig that names the file with the token, over a link.
fn kubeconfig(server: &ApiServer, link: &Link, token: &Path) -> PathBuf {
    let path = link.config(server, &server.token("account", ""));
    let text = std::fs::read_to_string(&path).unwrap();
    let text = text.replace(
        &server.path("account.token").display().to_string(),
        &token.display().to_string(),
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Requests with credentials that were not accepted, by the API server's own word. Nobody else than the gateway sends
/// any.
fn unauthorised(server: &ApiServer) -> usize {
    let log = std::fs::read_to_string(server.path("kube-apiserver.log")).unwrap();
    log.matches("Unable to authenticate the request").count()
}

#[test]
fn a_token_that_is_renewed_in_time_leaves_no_gap() {
    let server = api_server!();
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    server.create(&ingress("app", DOOR, "a.test", "app"));
    let (account, link) = (Account::create(&server), Link::to(&server));
    let mut file = Projected::new(&server, &account.token(20));
    let config = kubeconfig(&server, &link, &file.folder.join("token"));
    let over = AtomicBool::new(false);
    let (outcome, rounds, renewals) = std::thread::scope(|scope| {
        let _ends = Finally(&over);
        // Whatever the test waits for, it is never a token.
        let renewing = scope.spawn(|| {
            let mut last = Instant::now();
            while !over.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(50));
                if last.elapsed() >= Duration::from_secs(3) {
                    last = Instant::now();
                    file.renew(&account.token(20));
                }
            }
            file.renewals
        });
        let gateway = gateway!().log("access = \"off\"").cluster(&config).start();
        let load = Load::start(gateway.door(DOOR), "a.test", 4, 200);

        // Over more than the life of two tokens, and the API server itself believes one for ten seconds at most. The
        // connections break all the time, so that every watch has to show its token again.
        let rounds = scaled("rounds with broken connections", 12, 120);
        for round in 0..rounds {
            std::thread::sleep(Duration::from_secs(4));
            link.cut();
            let host = format!("round-{round}.test");
            server.create(&ingress(&format!("round-{round}"), DOOR, &host, "app"));
            gateway.until_status(DOOR, &host, "/", 200);
            assert_eq!(gateway.admin("/readyz").0, 200);
        }
        assert_eq!(unauthorised(&server), 0, "of all requests in {rounds} rounds");
        let outcome = load.finish();
        over.store(true, Ordering::SeqCst);
        (outcome, rounds, renewing.join().unwrap())
    });
    eprintln!("{rounds} rounds with {renewals} tokens");
    assert_eq!(outcome.failures, Vec::<String>::new(), "of {}", outcome.done);
}

#[test]
fn an_expired_token_is_reported_and_a_fresh_one_is_used() {
    let server = api_server!();
    let backend = Backend::start("app");
    for object in app("app", &backend) {
        server.create(&object);
    }
    server.create(&ingress("app", DOOR, "a.test", "app"));
    let (account, link) = (Account::create(&server), Link::to(&server));
    let mut file = Projected::new(&server, &account.token(3_600));
    let config = kubeconfig(&server, &link, &file.folder.join("token"));
    let gateway = gateway!().log("access = \"off\"").cluster(&config).start();
    let door = gateway.door(DOOR);
    let load = Load::start(door, "a.test", 4, 200);
    let errors = || gateway.metric("blastdoor_config_problems", &[("severity", "error")]);
    assert_eq!(errors(), 0.0);

    // Every new request with the token is refused; the token is read from the file each time.
    file.renew(&account.token(0));
    link.cut();
    until("the API server refuses", || unauthorised(&server) > 0);
    let told = "does not accept the credentials (401)";
    until("it is told", || gateway.stderr().contains(told));
    assert_eq!(errors(), 1.0, "{}", gateway.stderr());
    // It stays a single problem, reported once, for as long as it lasts.
    std::thread::sleep(Duration::from_secs(
        scaled("seconds without a valid token", 8, 120) as u64,
    ));
    server.create(&ingress("late", DOOR, "late.test", "app"));
    assert_eq!(gateway.stderr().matches(told).count(), 1, "{}", gateway.stderr());
    assert_eq!(errors(), 1.0);
    assert_eq!(gateway.admin("/readyz").0, 200);
    assert_eq!(get(door, "a.test", "/").status, 200);
    assert_eq!(get(door, "late.test", "/").status, 404);
    assert!(gateway.metric("blastdoor_config_age_seconds", &[]) >= 7.0);

    // Written by hand, with the newline that editors leave.
    file.renew(&format!("{}\n", account.token(3_600)));
    let started = Instant::now();
    until("the change is live", || get(door, "late.test", "/").status == 200);
    eprintln!("a fresh token is taken up after {:?}", started.elapsed());
    until("nothing is wrong any more", || errors() == 0.0);
    let outcome = load.finish();
    assert_eq!(outcome.failures, Vec::<String>::new(), "of {}", outcome.done);
}
