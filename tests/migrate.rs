//! `blastdoor migrate`: reports, exit statuses, labelled copies, and a replay against a real nginx.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gateway_tests::{Backend, Output, free_port, gateway, manifest};
use serde_json::Value;

const DOOR: &str = "external-http";

/// An Ingress of a class, without a label.
fn ingress(name: &str, class: &str, annotations: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: shop\n  uid: x\n  annotations: {{{annotations}}}\nspec:\n  ingressClassName: {class}\n  rules:\n  - host: {name}.test\n    http:\n      paths:\n      - path: /\n        pathType: Prefix\n        backend: {{ service: {{ name: web, port: {{ number: 80 }} }} }}\n---\n"
    )
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:#?}"))
}

#[test]
fn exit_statuses_and_the_report() {
    let snippet = "nginx.ingress.kubernetes.io/server-snippet: \"x;\"";
    let fine = gateway!().manifest("a.yaml", &ingress("fine", "nginx", ""));
    let (same, differs) = (["migrate", "--door", "nginx=external-http"], ["migrate"]);
    let output = fine.run(&same);
    assert_eq!(output.status, 0, "{output:#?}");
    let output = fine.run(&differs);
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(output.stdout.contains("no-door"), "{output:#?}");
    let output = fine.run(&["migrate", "--accept", "no-door"]);
    assert_eq!(output.status, 0, "{output:#?}");

    let closed = gateway!().manifest("a.yaml", &ingress("closed", "nginx", snippet));
    let output = closed.run(&["migrate", "--door", "*=external-http", "-o", "json"]);
    assert_eq!(output.status, 1, "{output:#?}");
    let report = json(&output);
    let ingress = &report["ingresses"][0];
    assert_eq!(ingress["ingress"], "shop/closed");
    assert_eq!(ingress["controller"], "ingress-nginx");
    assert_eq!(ingress["doors"], serde_json::json!([DOOR]));
    assert_eq!(ingress["add_labels"], serde_json::json!({"expose": DOOR}));
    assert_eq!(ingress["routes"][0]["state"], "blocked");
    let difference = &ingress["differences"][0];
    assert_eq!(
        (&difference["kind"], &difference["effect"], &difference["field"]),
        (
            &"annotation-refused".into(),
            &"closed".into(),
            &"metadata.annotations[nginx.ingress.kubernetes.io/server-snippet]".into()
        )
    );
    assert_eq!(report["summary"]["with_differences"], 1);

    for wrong in [
        &["migrate", "--door", "nginx=nowhere"][..],
        &["migrate", "--door", "nginx"],
        &["migrate", "--accept", "nothing"],
        &["migrate", "--replay", "log"],
        &["migrate", "--manifests", "/does/not/exist"],
    ] {
        let output = fine.run(wrong);
        assert_eq!(output.status, 2, "{wrong:?}: {output:#?}");
        assert!(!output.stderr.is_empty());
    }
}

/// What Git has is in folders, and some of it are templates.
#[test]
fn folders_are_read_and_templates_are_told() {
    let repository = gateway!();
    let folder = repository.folder().join("git");
    fs::create_dir_all(folder.join("apps/shop/.hidden")).unwrap();
    fs::write(folder.join("apps/shop/a.yaml"), ingress("a", "nginx", "")).unwrap();
    fs::write(folder.join("apps/shop/.hidden/b.yaml"), ingress("b", "nginx", "")).unwrap();
    fs::write(
        folder.join("apps/template.yaml"),
        "metadata:\n  {{- if .x }}\n  name: {{ .y }}\n",
    )
    .unwrap();
    let output = repository.run(&[
        "migrate",
        "--manifests",
        folder.to_str().unwrap(),
        "--door",
        "*=internal-http",
        "-o",
        "json",
    ]);
    assert_eq!(output.status, 1, "{output:#?}");
    let report = json(&output);
    assert_eq!(report["ingresses"].as_array().unwrap().len(), 1);
    let unreadable = report["unreadable"].as_array().unwrap();
    assert_eq!(unreadable.len(), 1, "{unreadable:?}");
    assert!(
        unreadable[0]["message"]
            .as_str()
            .unwrap()
            .contains("helm template"),
        "{unreadable:?}"
    );
}

#[test]
fn labelled_copies_are_written_once_and_nothing_is_replaced() {
    let yaml = [ingress("a", "nginx", ""), ingress("b", "other", "")].concat();
    let builder = gateway!().manifest("a.yaml", &yaml);
    let copies = builder.folder().join("copies");
    let arguments = [
        "migrate",
        "--door",
        "nginx=internal-http",
        "--write",
        copies.to_str().unwrap(),
    ];
    let output = builder.run(&arguments);
    assert_eq!(output.status, 1, "{output:#?}");
    assert!(output.stderr.contains("1 labelled copies"), "{output:#?}");
    let written = fs::read_to_string(copies.join("shop.a.yaml")).unwrap();
    assert!(
        written.contains("  labels:\n    expose: internal-http\n"),
        "{written}"
    );
    assert!(!written.contains("uid"), "{written}");

    // The copy is what the gateway takes: there is nothing left to label.
    let output = builder.run(&["migrate", "--manifests", copies.to_str().unwrap()]);
    assert_eq!(output.status, 0, "{output:#?}");

    fs::write(copies.join("shop.a.yaml"), "kept").unwrap();
    let output = builder.run(&arguments);
    assert_eq!(output.status, 2, "{output:#?}");
    assert!(output.stderr.contains("is there already"), "{output:#?}");
    assert_eq!(fs::read_to_string(copies.join("shop.a.yaml")).unwrap(), "kept");
}

/// Of names as long as Kubernetes allows, in a list as an API server writes it.
#[test]
fn copies_of_long_names_and_of_lists_are_written() {
    let name = format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(61));
    let item = |name: &str| {
        serde_json::json!({
            "metadata": {"name": name, "namespace": "n".repeat(63)},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": "a.test"}]},
        })
    };
    let list = serde_json::json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "IngressList", "items": [item("a"), item(&name)],
    });
    let builder = gateway!().manifest("a.yaml", &list.to_string());
    let copies = builder.folder().join("copies");
    let wish = ["migrate", "--door", "nginx=internal-http"];
    let output = builder.run(&[&wish[..], &["--write", copies.to_str().unwrap()]].concat());
    assert!(output.stderr.contains("2 labelled copies"), "{output:#?}");
    let output = builder.run(&["migrate", "--manifests", copies.to_str().unwrap(), "-o", "json"]);
    let report = json(&output);
    let name = format!("{}/{name}", "n".repeat(63));
    assert_eq!(report["ingresses"][1]["ingress"], Value::from(name), "{report:#}");
    assert_eq!(report["summary"]["to_label"], 0, "{report:#}");
}

/// There is one way to say what is reachable.
#[test]
fn routes_are_the_rows_of_an_audit() {
    let labelled =
        |yaml: String, door: &str| yaml.replace("  uid: x\n", &format!("  labels: {{ expose: {door} }}\n"));
    let redirect = "nginx.ingress.kubernetes.io/permanent-redirect: \"https://new.test/\"";
    let closed = "nginx.ingress.kubernetes.io/server-snippet: \"x;\"";
    let backend = "spec:\n  defaultBackend: { service: { name: web, port: { number: 80 } } }";
    let yaml = [
        labelled(ingress("plain", "nginx", ""), DOOR),
        labelled(ingress("moved", "nginx", redirect), DOOR),
        labelled(ingress("closed", "nginx", closed), "internal-https"),
        labelled(ingress("default", "nginx", ""), "internal-http")
            .replace("spec:", backend)
            .replace("- host: default.test\n    http", "- http")
            .replace(
                "path: /\n        pathType: Prefix",
                "path: /x\n        pathType: ImplementationSpecific",
            ),
    ]
    .concat();
    let gateway = gateway!().manifest("a.yaml", &yaml);
    let audit = json(&gateway.run(&["audit", "-o", "json"]));
    let report = json(&gateway.run(&["migrate", "-o", "json"]));
    let routes = report["ingresses"].as_array().unwrap().iter();
    let mut routes: Vec<&Value> = routes
        .flat_map(|ingress| ingress["routes"].as_array().unwrap())
        .collect();
    let mut rows: Vec<&Value> = audit["routes"].as_array().unwrap().iter().collect();
    assert!(rows.len() >= 5, "{rows:#?}");
    rows.sort_by_key(|row| row.to_string());
    routes.sort_by_key(|row| row.to_string());
    assert_eq!(routes, rows);
}

/// Ends with the test.
struct Nginx(Child);

impl Drop for Nginx {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// nginx as ingress-nginx would configure it for the Ingress of the test; `None` where it is not installed.
#[expect(clippy::print_stdout, reason = "a test that is left out says so")]
#[expect(clippy::disallowed_methods, reason = "in CI nothing is left out")]
fn nginx(folder: &Path, port: u16, backend: u16) -> Option<Nginx> {
    let program = ["/usr/sbin/nginx", "/usr/bin/nginx"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    let Some(program) = program else {
        assert!(std::env::var("CI").is_err(), "nginx is not installed");
        println!("left out: nginx is not installed");
        return None;
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {}/{name};\n", folder.display()))
        .collect();
    let pass = format!("proxy_pass http://127.0.0.1:{backend}; proxy_set_header Host $http_host;");
    let configuration = format!(
        "pid {0}/nginx.pid; daemon off; worker_processes 1; error_log stderr;\nevents {{ worker_connections 512; }}\n\
         http {{ access_log off; server_tokens off; {temporary}\n\
         server {{ listen 127.0.0.1:{port} default_server; return 404; }}\n\
         server {{ listen 127.0.0.1:{port}; server_name a.test; port_in_redirect off;\n\
         location / {{ return 404; }}\n\
         location /app/ {{ {pass} }}\nlocation = /app {{ {pass} }}\n\
         location /impl {{ {pass} }}\nlocation /dir/ {{ {pass} }}\n\
         location = /old {{ return 301 https://new.test/; }} }} }}\n",
        folder.display()
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration).unwrap();
    let child = Command::new(program)
        .args([
            "-e",
            "stderr",
            "-p",
            folder.to_str().unwrap(),
            "-c",
            file.to_str().unwrap(),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let nginx = Nginx(child);
    let end = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < end, "nginx does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    Some(nginx)
}

/// The Ingress that nginx is configured for.
fn application() -> String {
    let path = |path_type: &str, path: &str| {
        format!(
            "      - {{ path: {path}, pathType: {path_type}, backend: {{ service: {{ name: app, port: {{ number: 80 }} }} }} }}\n"
        )
    };
    let paths = [
        path("Prefix", "/app"),
        path("ImplementationSpecific", "/impl"),
        path("Prefix", "/dir/"),
    ]
    .concat();
    let rules = |paths: &str| format!("spec:\n  rules:\n  - host: a.test\n    http:\n      paths:\n{paths}");
    let meta = |name: &str, annotations: &str| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {name}\n  namespace: test\n  labels: {{ expose: {DOOR} }}\n  annotations: {{{annotations}}}\n"
        )
    };
    let redirect = "nginx.ingress.kubernetes.io/permanent-redirect: \"https://new.test/\"";
    [
        meta("app", ""),
        rules(&paths),
        "---\n".to_owned(),
        meta("old", redirect),
        rules(&path("Exact", "/old")),
        "---\n".to_owned(),
    ]
    .concat()
}

/// Ten thousand lines of ingress-nginx, and what is not to be sent among them.
fn log() -> String {
    let mut log = String::new();
    for number in 0..10_000 {
        let request = match number % 100 {
            0 => "GET /implx?token=secret HTTP/1.1".to_owned(),
            1 => "GET /dir HTTP/1.1".to_owned(),
            2 => "GET /old HTTP/1.1".to_owned(),
            3 => "GET /nothing HTTP/1.1".to_owned(),
            4 => format!("POST /app/{number} HTTP/1.1"),
            5 => "HEAD /app/x HTTP/1.1".to_owned(),
            6 => "\\x16\\x03\\x01".to_owned(),
            _ => format!("GET /app/{number}?q=1 HTTP/1.1"),
        };
        writeln!(
            log,
            "192.0.2.1 - - [27/Nov/2026:20:00:00 +0000] \"{request}\" 200 3 \"-\" \"curl\" 80 0.001 [test-app-80] [] 10.0.0.1:80 3 0.001 200 0123"
        )
        .unwrap();
    }
    log
}

#[test]
fn ten_thousand_lines_are_replayed_against_nginx_and_this_gateway() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest(
            "app.yaml",
            &[application(), manifest::service("app", &[backend.port()])].concat(),
        )
        .start();
    let builder = gateway!();
    let port = free_port();
    let Some(_nginx) = nginx(builder.folder(), port, backend.port()) else {
        return;
    };
    let file = builder.folder().join("access.log");
    fs::write(&file, log()).unwrap();
    let (old, new) = (
        format!("http://127.0.0.1:{port}"),
        format!("http://{}", gateway.door(DOOR)),
    );
    let replay = |more: &[&str]| {
        let fixed = [
            "migrate",
            "--replay",
            file.to_str().unwrap(),
            "--old",
            &old,
            "--new",
            &new,
            "-o",
            "json",
        ];
        builder.run(&[&fixed[..], more].concat())
    };
    let output = replay(&["--host", "a.test", "--rate", "0", "--concurrency", "16"]);
    assert_eq!(output.status, 1, "{output:#?}");
    let tally = json(&output);
    assert_eq!(
        tally["log"],
        serde_json::json!({
            "lines": 10_000, "malformed": 100, "not_safe": 100, "without_host": 0, "left_out": 0,
            "malformed_examples": [
                [7, "what it quotes is no request"], [107, "what it quotes is no request"], [207, "what it quotes is no request"],
            ],
        })
    );
    assert_eq!(
        (&tally["sent"], &tally["same"]),
        (&9_800.into(), &9_500.into()),
        "{tally:#}"
    );
    let groups: Vec<(&str, &str, &str, u64)> = tally["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let text = |name: &str| group[name].as_str().unwrap();
            (
                text("kind"),
                text("old"),
                text("new"),
                group["count"].as_u64().unwrap(),
            )
        })
        .collect();
    // The bodies of 404 are not the same either: nginx sends a page.
    let expected = [
        ("body", "another body", "another body", 100),
        ("location", "http://a.test/dir/", "none", 100),
        ("status", "200", "404", 100),
        ("status", "301", "200", 100),
    ];
    assert_eq!(groups, expected, "{tally:#}");
    assert!(!output.stdout.contains("secret"), "{output:#?}");
    assert!(output.stderr.is_empty(), "no progress in a pipe: {output:#?}");

    // A share of them, without bodies: what is not sent is counted.
    let output = replay(&[
        "--host",
        "a.test",
        "--rate",
        "0",
        "--share",
        "0.1",
        "--limit",
        "50",
        "--ignore-body",
    ]);
    let tally = json(&output);
    assert_eq!(tally["sent"], 50, "{tally:#}");
    // Nothing of the log can be sent: no result is no good result.
    let output = replay(&["--rate", "0"]);
    assert_eq!(
        (output.status, &json(&output)["log"]["without_host"]),
        (2, &9_800.into())
    );
    assert!(
        output.stderr.contains("nothing was sent") && output.stderr.contains("--host"),
        "{output:#?}"
    );
    let output = replay(&["--host", "a.test", "--rate", "2000000000"]);
    assert_eq!(output.status, 2, "{output:#?}");
    assert!(output.stderr.contains("--rate"), "{output:#?}");
    let output = replay(&["--host", "a.test", "--rate", "100000", "--limit", "100"]);
    assert_eq!(json(&output)["sent"], 100, "{output:#?}");

    let output = builder.run(&[
        "migrate",
        "--replay",
        file.to_str().unwrap(),
        "--old",
        &old,
        "--new",
        "http://127.0.0.1:1",
    ]);
    assert_eq!(output.status, 2, "{output:#?}");
    assert!(output.stderr.contains("--new http://127.0.0.1:1"), "{output:#?}");
}

/// Other namespaces are read, and are neither reported nor copied.
#[test]
fn a_report_may_be_about_one_namespace() {
    let snippet = "nginx.ingress.kubernetes.io/server-snippet: \"x;\"";
    let other = ingress("b", "nginx", snippet).replace("namespace: shop", "namespace: crm");
    let of_traefik: String = ["TLSOption", "TLSStore", "IngressRoute"]
        .map(|kind| {
            format!(
                "---\napiVersion: traefik.io/v1alpha1\nkind: {kind}\nmetadata: {{ name: default, namespace: edge }}\n"
            )
        })
        .concat();
    let builder = gateway!()
        .manifest("a.yaml", &[ingress("a", "nginx", snippet), other].concat())
        .manifest("traefik.yaml", &of_traefik);
    let migrate = |arguments: &[&str]| {
        let all = ["migrate", "--door", "*=external-http", "-o", "json"];
        builder.run(&[&all, arguments].concat())
    };
    let names = |arguments: &[&str]| {
        let report = json(&migrate(arguments));
        let of_controller = report["defaults"][0]["ingresses"].as_u64();
        let ingresses = report["ingresses"].as_array().unwrap().iter();
        let names: Vec<String> = ingresses
            .map(|ingress| ingress["ingress"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(report["summary"]["ingresses"], names.len());
        (names.join(" "), of_controller)
    };
    for all in [&[][..], &["-A"]] {
        assert_eq!(names(all), ("crm/b shop/a".to_owned(), Some(2)));
    }
    assert_eq!(names(&["-n", "crm"]), ("crm/b".to_owned(), Some(1)));
    let output = migrate(&["-n", "crm"]);
    assert!(
        output
            .stderr
            .contains("only namespace `crm`; 2 objects of others are left out"),
        "{output:#?}"
    );
    // That nothing differs would be said of nothing.
    let output = migrate(&["-n", "nobody"]);
    assert_eq!(output.status, 2, "{output:#?}");
    assert!(
        output.stderr.contains("no object of namespace `nobody` was read"),
        "{output:#?}"
    );
    assert_eq!(migrate(&["-n", ""]).status, 2);
    // What holds for all of Traefik is told to every namespace.
    let report = json(&migrate(&["-n", "crm"]));
    let objects = report["objects"].as_array().unwrap().iter();
    let kinds: Vec<&str> = objects.map(|object| object["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["traefik.io/TLSOption", "traefik.io/TLSStore"]);

    let copies = builder.folder().join("copies");
    let output = migrate(&["--namespace", "crm", "--write", copies.to_str().unwrap()]);
    assert_eq!(output.status, 1, "{output:#?}");
    let written = fs::read_dir(&copies).unwrap();
    let written: Vec<_> = written.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(written, ["crm.b.yaml"]);

    // Requests of a log are of no namespace.
    let of_log = ["migrate", "--replay", "log", "--old", "http://127.0.0.1:1"];
    let output = builder.run(&[&of_log[..], &["--new", "http://127.0.0.1:2", "-n", "crm"]].concat());
    assert_eq!(output.status, 2, "{output:#?}");
    assert!(output.stderr.contains("cannot be used with"), "{output:#?}");
}
