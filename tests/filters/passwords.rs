//! Names and passwords, in every spelling and every form of Secret.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gateway_tests::http2::{Http2, block, request_with};
use gateway_tests::{Backend, Client, Gateway};

use super::{DOOR, Got, app, ask, ask_http1, gateway_with};

/// `secret`, at the least cost that there is.
const BCRYPT: &str = "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
/// `secret`
const SHA: &str = "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=";
/// `changed`
const CHANGED: &str = "$apr1$ab$Ss.Qz.YnDosDwDv8lTl3P1";

const OWN: &str = "blastdoor.dev/basic-auth";
const TYPE: &str = "nginx.ingress.kubernetes.io/auth-type";
const SECRET: &str = "nginx.ingress.kubernetes.io/auth-secret";
const SECRET_TYPE: &str = "nginx.ingress.kubernetes.io/auth-secret-type";
const REALM: &str = "nginx.ingress.kubernetes.io/auth-realm";
const MIDDLEWARES: &str = "traefik.ingress.kubernetes.io/router.middlewares";
const NAMED: (&str, &str) = (MIDDLEWARES, "test-login@kubernetescrd");

fn secret(name: &str, kind: &str, entries: &[(&str, &str)]) -> String {
    let lines: String = entries
        .iter()
        .map(|(key, value)| format!("  {key}: {}\n", serde_json::to_string(value).unwrap()))
        .collect();
    format!(
        "apiVersion: v1\nkind: Secret\ntype: {kind}\nmetadata:\n  name: {name}\n  namespace: test\nstringData:\n{lines}---\n"
    )
}

fn file(lines: &str) -> String {
    secret("users", "Opaque", &[("auth", lines)])
}

fn middleware(fields: &str) -> String {
    format!(
        "apiVersion: traefik.io/v1alpha1\nkind: Middleware\nmetadata: {{name: login, namespace: test}}\nspec:\n  basicAuth: {{{fields}}}\n---\n"
    )
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn log_in(gateway: &Gateway, name: &str, password: &str) -> Got {
    ask(
        gateway.door(DOOR),
        "GET",
        "/",
        &[("authorization", &basic(name, password))],
    )
}

/// What the last request had of a field, when it came to the backend.
fn told(backend: &Backend, field: &str) -> Option<String> {
    backend.last().field(field).map(str::to_owned)
}

#[test]
fn every_spelling_asks_for_a_password_and_lets_users_in() {
    let bcrypt = format!("alice:{BCRYPT}");
    let sha = format!("alice:{SHA}");
    let table = [
        // Annotations; objects; realm.
        (vec![(OWN, "users")], file(&bcrypt), "Authentication Required"),
        (
            vec![
                (OWN, "users"),
                ("blastdoor.dev/basic-auth-realm", "the \"staff\""),
            ],
            secret("users", "Opaque", &[("anything", &sha)]),
            "the \\\"staff\\\"",
        ),
        (
            vec![(OWN, "users")],
            secret(
                "users",
                "kubernetes.io/basic-auth",
                &[("username", "alice"), ("password", "secret")],
            ),
            "Authentication Required",
        ),
        (
            vec![(TYPE, "basic"), (SECRET, "users")],
            file(&bcrypt),
            "Authentication Required",
        ),
        (
            vec![
                (TYPE, "basic"),
                (SECRET, "test/users"),
                (SECRET_TYPE, "auth-file"),
                (REALM, "staff"),
            ],
            file(&format!("# staff\nbob:{SHA}\nalice:{BCRYPT}:a comment\n")),
            "staff",
        ),
        (
            vec![(TYPE, "basic"), (SECRET, "users"), (SECRET_TYPE, "auth-map")],
            secret("users", "Opaque", &[("alice", BCRYPT), ("bob", SHA)]),
            "Authentication Required",
        ),
        (
            vec![NAMED],
            middleware("secret: users") + &secret("users", "Opaque", &[("users", &bcrypt)]),
            "traefik",
        ),
        (
            vec![NAMED],
            middleware("secret: users, realm: staff")
                + &secret(
                    "users",
                    "kubernetes.io/basic-auth",
                    &[("username", "alice"), ("password", "secret")],
                ),
            "staff",
        ),
    ];
    for (annotations, objects, realm) in table {
        let backend = Backend::start("app");
        let gateway = gateway_with(&backend, &annotations, &objects);
        let door = gateway.door(DOOR);
        let wrong = basic("alice", "Secret");
        let challenged = [
            vec![],
            vec![("authorization", "Basic")],
            vec![("authorization", "Bearer c2VjcmV0")],
            vec![("authorization", &wrong)],
            vec![("authorization", "Basic YWxpY2U=")],
        ];
        for fields in challenged {
            let got = ask(door, "GET", "/", &fields);
            assert_eq!(got.status, 401, "{annotations:?} {fields:?}");
            let challenge = format!("Basic realm=\"{realm}\"");
            assert_eq!(got.field("www-authenticate"), Some(challenge), "{annotations:?}");
            assert_eq!(got.body, "Unauthorized\n");
        }
        let right = basic("alice", "secret");
        let twice = ask(
            door,
            "GET",
            "/",
            &[("authorization", &right), ("authorization", &right)],
        );
        assert_eq!(twice.status, 401, "two fields are none");
        assert_eq!(log_in(&gateway, "nobody", "secret").status, 401);
        assert_eq!(backend.requests(), 0, "{annotations:?}");
        // The first is verified, the second is remembered.
        for _ in 0..2 {
            assert_eq!(log_in(&gateway, "alice", "secret").status, 200, "{annotations:?}");
        }
        assert_eq!(backend.requests(), 4);
        gateway.counts(
            "blastdoor_refusals_total",
            &[("listener", DOOR), ("reason", "unauthenticated")],
            14.0,
        );
        gateway.counts(
            "blastdoor_filter_refusals_total",
            &[("listener", DOOR), ("kind", "basic_auth")],
            14.0,
        );
    }
}

#[test]
fn backends_are_told_what_is_written_and_nothing_else() {
    let right = basic("alice", "secret");
    let own = |option: &'static str, value: &'static str| vec![(OWN, "users"), (option, value)];
    let table = [
        (vec![(OWN, "users")], String::new(), None, None),
        (
            own("blastdoor.dev/basic-auth-forward", "on"),
            String::new(),
            Some(&right),
            None,
        ),
        (
            own("blastdoor.dev/basic-auth-forward", "off"),
            String::new(),
            None,
            None,
        ),
        (
            own("blastdoor.dev/basic-auth-header", "X-User"),
            String::new(),
            None,
            Some("alice"),
        ),
        (
            vec![(TYPE, "basic"), (SECRET, "users")],
            String::new(),
            None,
            None,
        ),
        (vec![NAMED], middleware("secret: users"), Some(&right), None),
        (
            vec![NAMED],
            middleware("secret: users, removeHeader: true"),
            None,
            None,
        ),
        (
            vec![NAMED],
            middleware("secret: users, removeHeader: false, headerField: X-User"),
            Some(&right),
            Some("alice"),
        ),
    ];
    for (annotations, objects, authorization, user) in table {
        let backend = Backend::start("app");
        let objects = objects + &file(&format!("alice:{SHA}"));
        let gateway = gateway_with(&backend, &annotations, &objects);
        // What a client says of itself counts for nothing, however it is spelt.
        let fields = [("authorization", &*right), ("x_user", "root"), ("X-User", "root")];
        let got = ask(gateway.door(DOOR), "GET", "/", &fields);
        assert_eq!(got.status, 200, "{annotations:?}");
        for seen in backend.seen() {
            assert_eq!(
                seen.field("authorization"),
                authorization.map(|text| &**text),
                "{annotations:?}"
            );
            if user.is_some() {
                assert_eq!(seen.fields("x-user"), user.as_slice(), "{annotations:?}");
                assert_eq!(seen.fields("x_user"), [""; 0], "{annotations:?}");
            }
        }
    }
}

#[test]
fn what_cannot_be_verified_lets_nobody_in() {
    let table = [
        // The Secret's content is wrong for one user, or for all.
        (file(&format!("alice:{SHA}\nbob:secret")), 200, 401),
        (file(&format!("bob:secret\nalice:{SHA}\nbob:{SHA}")), 200, 401),
        (file("bob:secret\nalice:rqXexS6ZhobKA"), 503, 503),
        (file(""), 503, 503),
        (
            file(&format!("alice:{}", BCRYPT.replacen("04", "15", 1))),
            503,
            503,
        ),
        (
            secret("users", "Opaque", &[("users", &format!("alice:{SHA}"))]),
            503,
            503,
        ),
        (String::new(), 503, 503),
    ];
    for (objects, alice, bob) in table {
        let backend = Backend::start("app");
        let gateway = gateway_with(&backend, &[(TYPE, "basic"), (SECRET, "users")], &objects);
        assert_eq!(log_in(&gateway, "alice", "secret").status, alice, "{objects}");
        assert_eq!(log_in(&gateway, "bob", "secret").status, bob, "{objects}");
        assert_eq!(ask(gateway.door(DOOR), "GET", "/", &[]).status, bob, "{objects}");
    }
}

#[test]
fn digest_and_foreign_secrets_close() {
    let users = file(&format!("alice:{SHA}"));
    for annotations in [
        vec![(TYPE, "digest"), (SECRET, "users")],
        vec![(TYPE, "basic"), (SECRET, "other/users")],
        vec![(TYPE, "basic")],
        vec![(SECRET, "users")],
        vec![(OWN, "")],
        vec![(OWN, "other/users")],
        vec![("blastdoor.dev/basic-auth-realm", "staff")],
        vec![NAMED],
    ] {
        let backend = Backend::start("app");
        let gateway = gateway_with(&backend, &annotations, &users);
        assert_eq!(log_in(&gateway, "alice", "secret").status, 503, "{annotations:?}");
        assert_eq!(backend.requests(), 0);
    }
}

/// A hash that is remembered under the old password counts no more.
#[test]
fn a_changed_password_counts_at_once() {
    let backend = Backend::start("app");
    let gateway = gateway_with(&backend, &[(OWN, "users")], &file(&format!("alice:{BCRYPT}")));
    assert_eq!(log_in(&gateway, "alice", "secret").status, 200);
    gateway.put("others.yaml", &file(&format!("alice:{CHANGED}")));
    gateway.until("the new password is asked for", |gateway| {
        ask_http1(
            gateway.door(DOOR),
            "GET",
            "/",
            &[("authorization", &basic("alice", "secret"))],
        )
        .status
            == 401
    });
    assert_eq!(log_in(&gateway, "alice", "changed").status, 200);
    // Nobody is left.
    gateway.put("others.yaml", &file("alice:changed"));
    gateway.until_status(DOOR, "a.test", "/", 503);
}

/// A client and an Ingress have so many failures; others are not concerned, and who is known comes in.
#[test]
fn who_fails_too_often_is_not_verified_any_more() {
    for hash in [SHA, BCRYPT] {
        let backend = Backend::start("app");
        let others = app(&backend, &[(OWN, "users")])
            .replace("name: app", "name: other")
            .replace("service: app", "service: other")
            .replace("app-", "other-")
            .replace("a.test", "b.test");
        let objects = others + &file(&format!("alice:{hash}\nbob:{hash}"));
        let gateway = gateway_with(&backend, &[(OWN, "users")], &objects);
        let door = gateway.door(DOOR);
        assert_eq!(log_in(&gateway, "alice", "secret").status, 200);
        let wrong = basic("nobody", "secret");
        let mut statuses = Vec::new();
        let mut last = None;
        for _ in 0..60 {
            let got = ask_http1(door, "GET", "/", &[("authorization", &wrong)]);
            statuses.push(got.status);
            last = Some(got);
        }
        let refused = statuses.iter().filter(|status| **status == 401).count();
        // One more each second that this takes.
        assert!((20..60).contains(&refused), "{statuses:?}");
        assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
        assert_eq!(last.unwrap().field("retry-after").as_deref(), Some("1"));
        assert_eq!(
            log_in(&gateway, "alice", "secret").status,
            200,
            "she was verified before"
        );
        let other = [("host", "b.test"), ("authorization", &*basic("bob", "secret"))];
        assert_eq!(ask(door, "GET", "/", &other).status, 200, "another Ingress");
    }
}

/// One thread, one place where it works, sixty-four that wait: what comes then is refused, and nothing else is.
#[test]
fn full_queues_refuse_and_other_requests_pass() {
    // Cost 13: most of a second. Nobody waits for the outcome.
    let slow = BCRYPT.replacen("$04$", "$13$", 1);
    let backend = Backend::start("app");
    let plain = gateway_tests::manifest::app("plain", DOOR, "plain.test", backend.port());
    let gateway = gateway_tests::gateway!()
        .door(DOOR, "filters = { verifiers = 1 }")
        .manifest("app.yaml", &app(&backend, &[(OWN, "users")]))
        .manifest("others.yaml", &(plain + &file(&format!("alice:{slow}"))))
        .start();
    let door = gateway.door(DOOR);
    block(async {
        let http2 = Http2::connect(door).await;
        let authorization = basic("alice", "wrong");
        let mut waiting = Vec::new();
        for _ in 0..70 {
            let request = request_with("GET", "a.test", "/", &[("authorization", &authorization)]);
            waiting.push(http2.open(request, true).await.unwrap());
        }
        let mut refused = 0;
        for _ in 0..100 {
            let got = gateway.metric(
                "blastdoor_refusals_total",
                &[("listener", DOOR), ("reason", "auth_unavailable")],
            );
            if got >= 5.0 {
                refused = got as usize;
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!((5..=6).contains(&refused), "{refused} of 70");
        assert_eq!(
            http2
                .exchange(request_with("GET", "plain.test", "/", &[]), b"")
                .await
                .status,
            200
        );
        drop(waiting);
    });
}

#[test]
fn a_client_that_does_not_wait_for_its_verification_is_forgotten() {
    let slow = BCRYPT.replacen("$04$", "$12$", 1);
    let backend = Backend::start("app");
    let gateway = gateway_with(&backend, &[(OWN, "users")], &file(&format!("alice:{slow}")));
    let door = gateway.door(DOOR);
    for _ in 0..30 {
        let mut client = Client::connect(door);
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: a.test\r\nAuthorization: {}\r\n\r\n",
            basic("alice", "wrong")
        ));
    }
    gateway.until("none is under way", |gateway| {
        gateway.metric(
            "blastdoor_connections",
            &[("listener", DOOR), ("state", "active")],
        ) == 0.0
    });
    // Those that were not begun are no failures.
    assert_eq!(
        ask_http1(door, "GET", "/", &[("authorization", &basic("alice", "wrong"))]).status,
        401
    );
}

#[test]
fn a_call_gets_its_own_status() {
    let backend = Backend::start("app");
    let gateway = gateway_with(&backend, &[(OWN, "users")], &file(&format!("alice:{SHA}")));
    block(async {
        let http2 = Http2::connect(gateway.door(DOOR)).await;
        let call = request_with("POST", "a.test", "/", &[("content-type", "application/grpc")]);
        let answer = http2.exchange(call, b"").await;
        assert_eq!((answer.status, answer.field("grpc-status")), (200, Some("16")));
        assert_eq!(
            answer.field("www-authenticate"),
            Some("Basic realm=\"Authentication Required\"")
        );
    });
}

/// Neither a password nor a hash is written anywhere.
#[test]
fn no_secret_is_told() {
    let backend = Backend::start("app");
    let lines = format!("alice:{SHA}\nbob:hunter2\ncarol:$2y$15${}", &BCRYPT[7..]);
    let gateway = gateway_with(&backend, &[(OWN, "users")], &file(&lines));
    assert_eq!(log_in(&gateway, "alice", "secret").status, 200);
    assert_eq!(log_in(&gateway, "bob", "hunter2").status, 401);
    gateway.says("line 2: the user has no known hash");
    gateway.says("line 3: the user has bcrypt of cost 15");
    let (_, doors) = gateway.admin("/api/v1/doors");
    let (_, page) = gateway.admin("/");
    let log: String = gateway.access_log().iter().map(ToString::to_string).collect();
    let all = gateway.stderr() + &doors + &page + &log;
    for secret in ["hunter2", &BCRYPT[7..], &SHA[5..], &basic("alice", "secret")[6..]] {
        assert!(!all.contains(secret), "{all}");
    }
    assert_eq!(told(&backend, "authorization"), None);
}
