//! `blastdoor audit` and `/api/v1/audit`: what is reachable where, and what has changed.

use gateway_tests::{Backend, Builder, Output, gateway, manifest};
use serde_json::{Value, json};

fn rig(backend: &Backend) -> Builder {
    gateway!()
        .door("external-http", "redirect = \"external-https\"")
        .manifest(
            "shop.yaml",
            &manifest::app("shop", "external-https", "shop.test", backend.port()),
        )
        .manifest(
            "crm.yaml",
            &manifest::ingress("crm", "internal-http", &[("crm.test", "Exact", "/login", "gone")]),
        )
}

fn row(listener: &str, app: (&str, &str, &str), service: &str, state: &str) -> Value {
    let (name, path, path_type) = app;
    json!({
        "listener": listener, "host": format!("{name}.test"), "path": path, "path_type": path_type,
        "ingress": format!("test/{name}"), "service": service, "port": 80, "state": state,
    })
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn files_and_a_running_gateway_say_the_same() {
    let backend = Backend::start("app");
    let builder = rig(&backend);
    let shop = ("shop", "/", "Prefix");
    let expected = json!({ "routes": [
        row("external-http", shop, "test/shop", "redirect"),
        row("external-https", shop, "test/shop", "ready"),
        row("internal-http", ("crm", "/login", "Exact"), "test/gone", "blocked"),
    ]});
    let from_files = builder.run(&["audit", "-o", "json"]);
    assert_eq!((from_files.status, json_of(&from_files)), (0, expected.clone()));
    let gateway = builder.twin(2).start();
    let (status, body) = gateway.admin("/api/v1/audit");
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap(), expected);
    let admin = format!("unix:{}", gateway.admin_socket().display());
    let asked = builder.run(&["audit", "-o", "json", "--admin", &admin]);
    assert_eq!((asked.status, json_of(&asked)), (0, expected));
    let table = builder.run(&["audit"]).stdout;
    let lines: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "LISTENER", "HOST", "PATH", "TYPE", "INGRESS", "SERVICE", "PORT", "STATE"
        ]
    );
    assert_eq!(
        lines[3],
        [
            "internal-http",
            "crm.test",
            "/login",
            "Exact",
            "test/crm",
            "test/gone",
            "80",
            "blocked"
        ]
    );
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_change_is_found_before_and_after_it_is_live() {
    let backend = Backend::start("app");
    let builder = rig(&backend);
    let before = builder.folder().join("before.json");
    std::fs::write(&before, builder.run(&["audit", "-o", "json"]).stdout).unwrap();
    let before = before.to_str().unwrap();
    let unchanged = builder.run(&["audit", "--diff", before]);
    assert_eq!(
        (unchanged.status, &*unchanged.stdout),
        (0, "0 appeared, 0 went, 0 changed\n")
    );

    let moved = manifest::app("shop", "external-http", "shop.test", backend.port());
    let builder = builder.manifest("shop.yaml", &moved);
    let changed = builder.run(&["audit", "--diff", before]);
    let expected = "\
- external-https  shop.test/ (Prefix)  test/shop -> test/shop:80 ready
~ external-http  shop.test/ (Prefix)  test/shop -> test/shop:80 redirect  =>  test/shop -> test/shop:80 ready
0 appeared, 1 went, 1 changed
";
    assert_eq!((changed.status, &*changed.stdout), (1, expected));
    let gateway = builder.twin(2).start();
    let admin = format!("unix:{}", gateway.admin_socket().display());
    let live = builder.run(&["audit", "--diff", before, "--admin", &admin, "-o", "json"]);
    let live_lists = json_of(&live);
    assert_eq!(live.status, 1);
    assert_eq!(live_lists["went"].as_array().unwrap().len(), 1);
    assert_eq!(live_lists["changed"][0]["after"]["state"], "ready");
    assert_eq!(live_lists["appeared"], json!([]));
}

#[test]
fn a_file_that_is_no_audit_is_an_error() {
    let builder = gateway!();
    let file = builder.folder().join("other.json");
    std::fs::write(&file, "{\"problems\":[]}").unwrap();
    for (file, why) in [
        (
            file.to_str().unwrap(),
            "not what `blastdoor audit -o json` writes",
        ),
        ("nowhere.json", "No such file"),
    ] {
        let output = builder.run(&["audit", "--diff", file]);
        assert_eq!(output.status, 2, "{output:?}");
        assert!(output.stderr.contains(why), "{output:?}");
    }
}

/// What tenants write reaches no terminal as a command.
#[test]
fn hostile_paths_are_shown_as_text() {
    let hostile = manifest::ingress(
        "bad",
        "external-http",
        &[("bad.test", "Prefix", "/a\\u001b[2Jb", "gone")],
    );
    let output = gateway!().manifest("bad.yaml", &hostile).run(&["audit"]);
    assert_eq!(output.status, 0, "{output:?}");
    assert!(output.stdout.contains("bad.test"), "{output:?}");
    assert!(!output.stdout.contains('\u{1b}'), "{output:?}");
}

/// The places of other namespaces are left out, and so are their changes.
#[test]
fn a_report_may_be_about_one_namespace() {
    let backend = Backend::start("app");
    let other = manifest::app("blog", "external-https", "blog.test", backend.port())
        .replace("namespace: test", "namespace: two");
    let builder = rig(&backend).manifest("blog.yaml", &other);
    let ingresses = |arguments: &[&str]| {
        let output = builder.run(&[&["audit", "-o", "json"], arguments].concat());
        let report = json_of(&output);
        let rows = report.get("routes").unwrap_or(&report["appeared"]);
        let rows = rows.as_array().unwrap().iter();
        let mut names: Vec<String> = rows
            .map(|row| row["ingress"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names.dedup();
        (output.status, names.join(" "))
    };
    assert_eq!(ingresses(&[]), (0, "test/crm test/shop two/blog".to_owned()));
    assert_eq!(ingresses(&["-A"]), (0, "test/crm test/shop two/blog".to_owned()));
    assert_eq!(ingresses(&["-n", "two"]), (0, "two/blog".to_owned()));
    let empty = builder.folder().join("empty.json");
    std::fs::write(&empty, "{\"routes\": []}").unwrap();
    let empty = empty.to_str().unwrap();
    assert_eq!(
        ingresses(&["--diff", empty, "-n", "two"]),
        (1, "two/blog".to_owned())
    );
    let said = |arguments: &[&str]| {
        let output = builder.run(&[&["audit"], arguments].concat());
        (output.status, output.stderr)
    };
    // A gate that looks at nothing lets everything pass: a misspelt namespace, or a variable that is not set.
    let (status, told) = said(&["--diff", empty, "-n", "three"]);
    assert!(
        status == 2 && told.contains("no object of namespace `three` was read"),
        "{told}"
    );
    let (status, told) = said(&["-n", "three"]);
    assert!(
        status == 0 && told.contains("no object of namespace `three` was read"),
        "{told}"
    );
    let (status, told) = said(&["--diff", empty, "-n", ""]);
    assert!(
        status == 2 && told.contains("no namespace has this name"),
        "{told}"
    );
    let gone = builder.folder().join("gone.json");
    let before = builder.run(&["audit", "-o", "json"]).stdout;
    std::fs::write(&gone, before.replace("two/", "three/")).unwrap();
    let (status, told) = said(&["--diff", gone.to_str().unwrap(), "-n", "three"]);
    assert!(status == 1, "what it had is gone: {told}");
    // What is cut is told.
    let (status, told) = said(&["-n", "two"]);
    assert!(
        status == 0 && told.contains("only namespace `two`; ") && told.contains(" of others are left out"),
        "{told}"
    );
    let both = builder.run(&["audit", "-A", "-n", "two"]);
    assert_eq!(both.status, 2, "{both:?}");

    // What a running gateway serves, and what it has changed.
    let gateway = builder.twin(2).start();
    let admin = format!("unix:{}", gateway.admin_socket().display());
    assert_eq!(
        ingresses(&["--admin", &admin, "-n", "two"]),
        (0, "two/blog".to_owned())
    );
    let (status, told) = said(&["--admin", &admin, "--diff", empty, "-n", "three"]);
    assert!(
        status == 2 && told.contains("serves nothing of namespace `three`"),
        "{told}"
    );
    gateway.put(
        "more.yaml",
        &[
            manifest::app("more", "external-https", "more.test", backend.port()),
            other.replace("blog", "news"),
        ]
        .concat(),
    );
    gateway.until_status("external-https", "news.test", "/", 200);
    let since = |arguments: &[&str]| {
        let output = builder.run(&[&["audit", "--since", "1h", "--admin", &admin], arguments].concat());
        assert_eq!(output.status, 0, "{output:?}");
        output.stdout
    };
    for all in [&[][..], &["-A"]] {
        let told = since(all);
        assert!(
            told.contains("more.test/ (Prefix)  test/more") && told.contains("two/news"),
            "{told}"
        );
    }
    let told = since(&["-n", "two"]);
    assert!(
        told.contains("two/news to") && !told.contains("test/more to"),
        "{told}"
    );
    assert!(told.contains("… and 1 of other namespaces"), "{told}");
}

/// A file may come from somebody else.
#[test]
fn what_is_wrong_with_an_earlier_audit_is_shown_as_text() {
    let backend = Backend::start("app");
    let builder = rig(&backend);
    let file = builder.folder().join("earlier.json");
    std::fs::write(&file, "{\"routes\": \"\\u001b[2J\\u202eKAEL\"}").unwrap();
    let output = builder.run(&["audit", "--diff", file.to_str().unwrap()]);
    assert_eq!(output.status, 2, "{output:?}");
    assert!(output.stderr.contains("KAEL"), "{output:?}");
    assert!(!output.stderr.contains(['\u{1b}', '\u{202e}']), "{output:?}");
}
