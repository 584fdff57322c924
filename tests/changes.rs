//! What changed: the journal on the admin port, and a line and a count for each host that is new at a door.

use gateway_tests::{Backend, Gateway, gateway, get, manifest};
use serde_json::Value;

const DOOR: &str = "external-http";
const OTHER: &str = "internal-http";

fn changes(gateway: &Gateway, query: &str) -> Value {
    let (status, body) = gateway.admin(&format!("/api/v1/changes{query}"));
    assert_eq!(status, 200, "{query}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn entries(gateway: &Gateway) -> Vec<Value> {
    changes(gateway, "")["entries"].as_array().unwrap().clone()
}

/// The last entry, once it is about this host.
fn entry_about(gateway: &Gateway, host: &str) -> Value {
    let about = |entry: &Value| entry.to_string().contains(&format!("\"{host}\""));
    gateway.until(&format!("an entry about {host}"), |gateway| {
        entries(gateway).last().is_some_and(about)
    });
    entries(gateway).pop().unwrap()
}

fn door<'e>(entry: &'e Value, listener: &str) -> &'e Value {
    let mut doors = entry["doors"].as_array().unwrap().iter();
    doors
        .find(|door| door["listener"] == listener)
        .unwrap_or_else(|| panic!("nothing of {listener} in {entry:#}"))
}

fn new_hosts(gateway: &Gateway, listener: &str) -> f64 {
    gateway.metric("blastdoor_hosts_appeared_total", &[("listener", listener)])
}

#[test]
fn a_host_that_appears_moves_and_goes_is_told() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest(
            "app.yaml",
            &manifest::app("app", DOOR, "old.test", backend.port()),
        )
        .start();
    let first = entries(&gateway);
    assert_eq!(first.len(), 1, "{first:#?}");
    assert_eq!(door(&first[0], DOOR)["event"], "opened");
    assert_eq!(door(&first[0], DOOR)["hosts"]["appeared"], 1);
    assert_eq!(first[0]["doors"].as_array().unwrap().len(), 4);
    for listener in [DOOR, OTHER] {
        assert_eq!(
            new_hosts(&gateway, listener),
            0.0,
            "what is there at the start is no news"
        );
    }

    gateway.put(
        "new.yaml",
        &manifest::app("new", DOOR, "new.test", backend.port()),
    );
    gateway.until_status(DOOR, "new.test", "/", 200);
    let entry = entry_about(&gateway, "new.test");
    let change = &door(&entry, DOOR)["changes"][0];
    assert_eq!(change["host"], "new.test");
    assert_eq!(change["new_host"], true);
    assert_eq!(change["before"], Value::Null);
    assert_eq!(change["after"]["ingress"], "test/new");
    assert_eq!(change["after"]["service"], "test/new");
    assert_eq!(change["after"]["state"], "ready");
    let cause = &entry["causes"][0];
    assert_eq!(
        (&cause["kind"], &cause["change"]),
        (&"Ingress".into(), &"created".into())
    );
    assert!(cause["file"].as_str().unwrap().ends_with("new.yaml"), "{cause}");
    gateway.counts("blastdoor_hosts_appeared_total", &[("listener", DOOR)], 1.0);
    let said = gateway.says("a host is new at this door");
    let line = said.lines().find(|line| line.contains("a host is new")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(
        (&line["listener"], &line["host"]),
        (&DOOR.into(), &"new.test".into())
    );
    assert_eq!(
        (&line["level"], &line["ingress"]),
        (&"INFO".into(), &"test/new".into())
    );

    // Relabelled: it goes here and appears there.
    gateway.put(
        "new.yaml",
        &manifest::app("new", OTHER, "new.test", backend.port()),
    );
    gateway.until_status(OTHER, "new.test", "/", 200);
    gateway.counts("blastdoor_hosts_appeared_total", &[("listener", OTHER)], 1.0);
    let entry = entry_about(&gateway, "new.test");
    assert_eq!(door(&entry, DOOR)["hosts"]["gone"], 1);
    assert_eq!(door(&entry, OTHER)["hosts"]["appeared"], 1);
    assert_eq!(entry["causes"][0]["change"], "changed");

    std::fs::remove_file(gateway.manifests().join("new.yaml")).unwrap();
    gateway.until_status(OTHER, "new.test", "/", 404);
    gateway.until("its end is told", |gateway| {
        let last = entries(gateway).pop().unwrap();
        last["causes"][0]["change"] == "deleted" && last["doors"][0]["hosts"]["gone"] == 1
    });
    assert_eq!(new_hosts(&gateway, DOOR), 1.0);
    assert_eq!(get(gateway.door(DOOR), "old.test", "/").status, 200);
}

#[test]
fn parts_are_asked_for_by_parameters() {
    let backend = Backend::start("app");
    let gateway = gateway!().start();
    for name in ["one", "two"] {
        let host = format!("{name}.test");
        gateway.put(
            &format!("{name}.yaml"),
            &manifest::app(name, DOOR, &host, backend.port()),
        );
        entry_about(&gateway, &host);
    }
    let all = entries(&gateway);
    let first_of_these = all[1]["number"].as_u64().unwrap();
    let hosts = |page: &Value| -> Vec<String> {
        let entries = page["entries"].as_array().unwrap().iter();
        let changes = entries.flat_map(|entry| entry["doors"][0]["changes"].as_array().unwrap());
        changes
            .map(|change| change["host"].as_str().unwrap().to_owned())
            .collect()
    };
    let after = changes(&gateway, &format!("?after={first_of_these}"));
    assert_eq!(hosts(&after), ["two.test"]);
    assert_eq!(after["complete"], true);
    let limited = changes(&gateway, "?since=1h&limit=1");
    assert_eq!(hosts(&limited), ["two.test"]);
    // It has not run for an hour.
    assert_eq!(limited["complete"], false);
    let time = all[1]["time"].as_str().unwrap();
    assert_eq!(
        hosts(&changes(&gateway, &format!("?since={time}"))),
        ["one.test", "two.test"]
    );
    let escaped = time.replace(':', "%3A");
    assert_eq!(
        hosts(&changes(&gateway, &format!("?since={escaped}&door={DOOR}"))),
        ["one.test", "two.test"]
    );
    let other = changes(&gateway, &format!("?door={OTHER}"));
    assert_eq!(
        other["entries"].as_array().unwrap().len(),
        1,
        "its first table: {other:#}"
    );

    let nobodys = changes(&gateway, "?namespace=nobody");
    assert_eq!(nobodys["entries"].as_array().unwrap().len(), 1, "{nobodys:#}");
    let ours = changes(&gateway, "?namespace=test&since=1h");
    assert_eq!(hosts(&ours), ["one.test", "two.test"]);
    // As at the other pages.
    let all = changes(&gateway, "?namespace=&door=");
    assert_eq!(all["entries"], changes(&gateway, "")["entries"]);

    for refused in [
        "?since=yesterday",
        "?namespace=a&namespace=b",
        "?after=x",
        "?limit=0",
        "?door=nowhere",
        "?what=ever",
    ] {
        let (status, body) = gateway.admin(&format!("/api/v1/changes{refused}"));
        assert_eq!(status, 400, "{refused}: {body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert!(
            body["error"].as_str().is_some_and(|words| !words.is_empty()),
            "{body}"
        );
    }
}

/// A door that a reload adds is no news, and a restart makes nothing news. A door that admits more is.
#[test]
fn reloads_and_restarts() {
    let backend = Backend::start("app");
    let builder = gateway!()
        .manifest(
            "app.yaml",
            &manifest::app("app", DOOR, "app.test", backend.port()),
        )
        .manifest(
            "more.yaml",
            &manifest::app("more", "more", "more.test", backend.port()),
        );
    let mut gateway = builder.start();
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let added = "[listeners.more]\nbind = \"127.0.0.1:0\"\nselector = \"expose=more\"\nscheme = \"http\"\n";
    std::fs::write(gateway.config(), format!("{config}\n{added}")).unwrap();
    gateway.until("the door opens", |gateway| {
        entries(gateway).last().unwrap()["doors"][0]["listener"] == "more"
    });
    let entry = entries(&gateway).pop().unwrap();
    assert_eq!(door(&entry, "more")["event"], "opened");
    assert_eq!(entry["causes"][0]["kind"], "Configuration");
    assert_eq!(new_hosts(&gateway, "more"), 0.0);

    let wider = config.replacen("expose=external-http", "expose in (external-http, more)", 1);
    assert_ne!(wider, config);
    std::fs::write(gateway.config(), &wider).unwrap();
    gateway.counts("blastdoor_hosts_appeared_total", &[("listener", DOOR)], 1.0);
    let entry = entry_about(&gateway, "more.test");
    assert_eq!(entry["causes"][0]["kind"], "Configuration");
    assert_eq!(door(&entry, "more")["event"], "closed");
    assert_eq!(door(&entry, DOOR)["changes"][0]["new_host"], true);

    gateway.terminate();
    assert!(gateway.wait().success());
    let again = gateway!()
        .manifest(
            "app.yaml",
            &manifest::app("app", DOOR, "app.test", backend.port()),
        )
        .start();
    assert_eq!(new_hosts(&again, DOOR), 0.0);
    let entries = entries(&again);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0]["number"], 1);
    assert!(!again.stderr().contains("a host is new"), "{}", again.stderr());
}

/// A thousand at once are numbers with a few examples, in the journal and in the log.
#[test]
fn many_hosts_at_once_fill_neither_journal_nor_log() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("service.yaml", &manifest::service("app", &[backend.port()]))
        .start();
    let many: String = (0..1_000)
        .map(|number| {
            let host = format!("h{number}.test");
            manifest::ingress(&format!("i{number}"), DOOR, &[(&host, "Prefix", "/", "app")])
        })
        .collect();
    gateway.put("many.yaml", &many);
    gateway.counts("blastdoor_hosts_appeared_total", &[("listener", DOOR)], 1_000.0);
    let entry = entries(&gateway).pop().unwrap();
    let door = door(&entry, DOOR);
    assert_eq!(door["hosts"]["appeared"], 1_000);
    let listed = door["changes"].as_array().unwrap().len();
    assert!(listed <= 100, "{listed}");
    assert_eq!(door["omitted"], 1_000 - listed);
    assert_eq!(
        entry["causes"].as_array().unwrap().len() as u64 + entry["causes_omitted"].as_u64().unwrap(),
        1_000
    );
    let said = gateway.says("more hosts are new at this door");
    let lines = said
        .lines()
        .filter(|line| line.contains("a host is new at this door"));
    assert_eq!(lines.count(), 20, "{said}");
    let numbers = said
        .lines()
        .find(|line| line.contains("more hosts are new"))
        .unwrap();
    let numbers: Value = serde_json::from_str(numbers).unwrap();
    assert_eq!(numbers["hosts"], 980, "{numbers}");
}

/// The command shows what the page says, wherever it finds the admin port, and passes its errors on.
#[test]
fn the_command_shows_the_journal() {
    let backend = Backend::start("app");
    let builder = gateway!();
    let gateway = builder.twin(2).start();
    gateway.put(
        "new.yaml",
        &manifest::app("new", DOOR, "new.test", backend.port()),
    );
    entry_about(&gateway, "new.test");
    let admin = format!("unix:{}", gateway.admin_socket().display());

    let table = builder.run(&["audit", "--since", "1h", "--door", DOOR, "--admin", &admin]);
    assert_eq!(table.status, 0, "{table:?}");
    let line = table
        .stdout
        .lines()
        .find(|line| line.contains("+ new.test/ (Prefix)"));
    assert!(line.is_some_and(|line| line.ends_with("NEW HOST")), "{table:?}");
    assert!(
        table.stdout.contains("because  Ingress test/new created"),
        "{table:?}"
    );
    assert!(!table.stdout.contains(OTHER), "{table:?}");
    assert!(table.stdout.contains("does not reach back that far"), "{table:?}");

    let json = builder.run(&["audit", "--since", "1h", "-o", "json", "--admin", &admin]);
    assert_eq!(json.status, 0, "{json:?}");
    let page: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(page["entries"], changes(&gateway, "")["entries"]);

    for (arguments, why) in [
        (
            &["--since", "yesterday", "--admin", &*admin][..],
            "expected a time",
        ),
        (
            &["--since", "1h", "--door", "nowhere", "--admin", &admin],
            "no door is named `nowhere`",
        ),
        (&["--since", "1h", "--diff", "a.json"], "cannot be used with"),
        (&["--door", DOOR], "--since"),
        (
            &["--since", "1h", "--admin", "unix:/nowhere"],
            "admin port unix:/nowhere",
        ),
    ] {
        let refused = builder.run(&[&["audit"], arguments].concat());
        assert_eq!(refused.status, 2, "{refused:?}");
        assert!(refused.stderr.contains(why), "{why}: {refused:?}");
    }
}
