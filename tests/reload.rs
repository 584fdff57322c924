//! Changes under load: manifests, endpoints, configuration. Nothing fails, and nothing half-written counts.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gateway_tests::{Backend, Load, free_port, gateway, get, manifest, scaled};

const DOOR: &str = "external-http";

/// Other Ingresses come and go while one is under load.
#[test]
fn a_thousand_manifest_reloads_under_load() {
    let backend = Backend::start("app");
    backend.count_only();
    let gateway = gateway!()
        .log("access = \"off\"")
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let load = Load::start(gateway.door(DOOR), "a.test", 16, 1000);
    let reloads = scaled("manifest reloads", 200, 1000);
    for number in 0..reloads {
        let yaml = manifest::app("other", DOOR, &format!("other-{number}.test"), backend.port());
        if number % 2 == 0 {
            gateway.put("other.yaml", &yaml);
        } else {
            // In place, as an editor or a careless script writes.
            std::fs::write(gateway.manifests().join("other.yaml"), yaml).unwrap();
        }
        let host = format!("other-{number}.test");
        let started = Instant::now();
        while get(gateway.door(DOOR), &host, "/").status != 200 {
            assert!(started.elapsed() < Duration::from_secs(10), "{host} is not live");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let outcome = load.finish();
    assert_eq!(
        outcome.failures,
        Vec::<String>::new(),
        "of {} requests",
        outcome.done
    );
    assert!(outcome.done > reloads, "{} requests", outcome.done);
}

/// Endpoints come and go; those that leave keep answering for a moment, as pods do.
#[test]
fn a_thousand_endpoint_changes_under_load() {
    let backends: Vec<Backend> = (0..4).map(|_| Backend::start("app")).collect();
    for backend in &backends {
        backend.count_only();
    }
    let rule = manifest::ingress("app", DOOR, &[("a.test", "Prefix", "/", "app")]);
    let service = |skip: usize| {
        let ports: Vec<u16> = backends
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != skip)
            .map(|(_, backend)| backend.port())
            .collect();
        manifest::service("app", &ports)
    };
    let gateway = gateway!()
        .log("access = \"off\"")
        .manifest("rule.yaml", &rule)
        .manifest("service.yaml", &service(0))
        .start();
    let load = Load::start(gateway.door(DOOR), "a.test", 16, 1000);
    for number in 0..scaled("endpoint changes", 200, 1000) {
        gateway.put("service.yaml", &service(number % 4));
        std::thread::sleep(Duration::from_millis(45));
    }
    let outcome = load.finish();
    assert_eq!(
        outcome.failures,
        Vec::<String>::new(),
        "of {} requests",
        outcome.done
    );
    assert!(backends.iter().all(|backend| backend.requests() > 0));
}

#[test]
fn a_half_written_file_does_not_count() {
    let backend = Backend::start("app");
    let yaml = manifest::app("app", DOOR, "a.test", backend.port());
    let gateway = gateway!().manifest("app.yaml", &yaml).start();
    let load = Load::start(gateway.door(DOOR), "a.test", 4, 200);
    let changed = yaml.clone() + &manifest::app("more", DOOR, "b.test", backend.port());
    for text in [yaml.as_str(), changed.as_str(), yaml.as_str()] {
        let mut file = std::fs::File::create(gateway.manifests().join("app.yaml")).unwrap();
        for part in text.as_bytes().chunks(text.len() / 4 + 1) {
            file.write_all(part).unwrap();
            file.flush().unwrap();
            std::thread::sleep(Duration::from_millis(150));
        }
        drop(file);
        std::thread::sleep(Duration::from_millis(200));
    }
    let outcome = load.finish();
    assert_eq!(outcome.failures, Vec::<String>::new());
}

#[test]
fn a_lost_directory_keeps_its_last_content() {
    let backend = Backend::start("app");
    let yaml = manifest::app("app", DOOR, "a.test", backend.port());
    let gateway = gateway!().manifest("app.yaml", &yaml).start();
    let away = gateway.manifests().with_file_name("away");
    std::fs::rename(gateway.manifests(), &away).unwrap();
    gateway.until("the loss is told", |gateway| {
        gateway.metric("blastdoor_config_problems", &[("severity", "error")]) == 1.0
    });
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(get(gateway.door(DOOR), "a.test", "/").status, 200);
    assert!(gateway.metric("blastdoor_config_age_seconds", &[]) > 0.0);
    assert_eq!(gateway.admin("/readyz").0, 200);
    std::fs::rename(&away, gateway.manifests()).unwrap();
    gateway.until("it is back", |gateway| {
        gateway.metric("blastdoor_config_problems", &[("severity", "error")]) == 0.0
    });
    gateway.put("app.yaml", &yaml.replace("a.test", "b.test"));
    gateway.until_status(DOOR, "b.test", "/", 200);
}

/// ConfigMaps are mounted as symlinks into a folder that is swapped.
#[test]
fn a_config_map_swap_is_followed() {
    let backend = Backend::start("app");
    let gateway = gateway!().start();
    let folder = gateway.manifests();
    let write = |version: &str, host: &str| {
        let data = folder.join(version);
        std::fs::create_dir(&data).unwrap();
        std::fs::write(
            data.join("app.yaml"),
            manifest::app("app", DOOR, host, backend.port()),
        )
        .unwrap();
        std::os::unix::fs::symlink(version, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    write("..2026_1", "one.test");
    std::os::unix::fs::symlink("..data/app.yaml", folder.join("app.yaml")).unwrap();
    gateway.until_status(DOOR, "one.test", "/", 200);
    write("..2026_2", "two.test");
    gateway.until_status(DOOR, "two.test", "/", 200);
    assert_eq!(get(gateway.door(DOOR), "one.test", "/").status, 404);
}

/// A relabelled Ingress is served at one of the two doors at most.
#[test]
fn relabelling_serves_at_one_door_at_most() {
    let backend = Backend::start("app");
    let yaml = |door: &str| manifest::app("app", door, "a.test", backend.port());
    let gateway = gateway!().manifest("app.yaml", &yaml("internal-http")).start();
    let (inside, outside) = (gateway.door("internal-http"), gateway.door("external-http"));
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut both = 0;
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                // Served at the new door, then still served at the old one: that must not happen.
                for (new, old) in [(inside, outside), (outside, inside)] {
                    let new_first = get(new, "a.test", "/").status == 200;
                    let old_after = get(old, "a.test", "/").status == 200;
                    let new_still = get(new, "a.test", "/").status == 200;
                    both += usize::from(new_first && old_after && new_still);
                }
            }
            both
        });
        for number in 0..40 {
            let door = if number % 2 == 0 {
                "external-http"
            } else {
                "internal-http"
            };
            gateway.put("app.yaml", &yaml(door));
            gateway.until_status(door, "a.test", "/", 200);
        }
        stop.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(watcher.join().unwrap(), 0);
    });
}

#[test]
fn listeners_toml_is_reloaded_live() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest(
            "app.yaml",
            &(manifest::app("app", DOOR, "a.test", backend.port())
                + &manifest::app("team", "team-door", "t.test", backend.port())),
        )
        .start();
    let address = gateway.door(DOOR);
    let load = Load::start(address, "a.test", 8, 400);
    let config = std::fs::read_to_string(gateway.config()).unwrap();

    // A broken file changes nothing and is reported.
    std::fs::write(
        gateway.config(),
        config.replace("scheme = \"http\"", "scheme = \"gopher\""),
    )
    .unwrap();
    gateway.until("the broken file is told", |gateway| {
        gateway.metric("blastdoor_config_problems", &[("severity", "error")]) >= 1.0
    });
    assert_eq!(get(address, "a.test", "/").status, 200);

    // A new selector, a new limit, a new door, one door less: all without a restart.
    let changed = config.replace(
        "selector = \"expose=external-http\"",
        "selector = \"expose in (external-http, team-door)\"\nlimits = { uri_bytes = 300 }",
    );
    let cut = changed.find("[listeners.internal-https]").unwrap();
    let changed = changed[..cut].to_owned()
        + "[listeners.extra]\nbind = \"127.0.0.1:0\"\nselector = \"expose=extra\"\nscheme = \"http\"\nworkers = 1\n";
    std::fs::write(gateway.config(), &changed).unwrap();
    gateway.until_status(DOOR, "t.test", "/", 200);
    assert_eq!(
        get(address, "t.test", &format!("/{}", "x".repeat(400))).status,
        414
    );
    gateway.until("the new door is there", |gateway| {
        gateway.admin("/lb/extra").0 == 200
    });
    assert!(!gateway.admin("/api/v1/doors").1.contains("\"internal-https\""));
    assert_eq!(get(gateway.door("extra"), "a.test", "/").status, 404);
    assert_eq!(
        gateway.metric("blastdoor_config_problems", &[("severity", "error")]),
        0.0
    );

    // A new socket opens before the old one drains.
    let free = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let at = changed.find("[listeners.external-http]").unwrap();
    let moved = changed[..at].to_owned() + &changed[at..].replacen("127.0.0.1:0", &free.to_string(), 1);
    let outcome = load.finish();
    assert_eq!(outcome.failures, Vec::<String>::new());
    std::fs::write(gateway.config(), moved).unwrap();
    gateway.until("the door has moved", |gateway| gateway.door(DOOR) == free);
    gateway.until("the new socket listens", |_| {
        std::net::TcpStream::connect(free).is_ok()
    });
    assert_eq!(get(free, "a.test", "/").status, 200);
    gateway.until("the old port is closed", |_| {
        std::net::TcpStream::connect(address).is_err()
    });
}

/// A process that began without a collector has none to send spans to, and its doors tell nobody of any.
#[test]
fn the_first_collector_takes_a_restart() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .start();
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let door = format!("[listeners.{DOOR}]\n");
    let traced = config.replace(&door, &format!("{door}tracing = {{ sample = 1 }}\n"));
    assert_ne!(traced, config);
    let traced = format!(
        "{traced}\n[tracing]\nendpoint = \"http://127.0.0.1:{}\"\n",
        free_port()
    );
    std::fs::write(gateway.config(), traced).unwrap();
    gateway.says("the door traces nothing before a restart");
    gateway.says("[tracing] need a restart");
    let address = gateway.door(DOOR);
    assert_eq!(get(address, "a.test", "/").status, 200);
    assert_eq!(backend.last().field("traceparent"), None);
}

/// Half of a file may restrict less than the whole: neither half a configuration nor half a list of networks counts.
#[test]
fn a_half_written_configuration_does_not_count() {
    let backend = Backend::start("app");
    let gateway = gateway!()
        .door(DOOR, "hosts = [\"ok.test\"]")
        .manifest(
            "app.yaml",
            &(manifest::app("app", DOOR, "a.test", backend.port())
                + &manifest::app("ok", DOOR, "ok.test", backend.port())),
        )
        .start();
    let (config, address) = (gateway.config(), gateway.door(DOOR));
    let text = std::fs::read_to_string(&config).unwrap();
    let restriction = "hosts = [\"ok.test\"]\n";
    // The restriction is the end of the file.
    let table = text.find(&format!("[listeners.{DOOR}]")).unwrap();
    let next = text[table + 1..]
        .find("[listeners.")
        .map_or(text.len(), |next| table + 1 + next);
    let whole = text[..table].to_owned() + &text[next..] + &text[table..next].replace(restriction, "");
    for _ in 0..20 {
        let started = Instant::now();
        let mut file = std::fs::File::create(&config).unwrap();
        file.write_all(whole.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(90));
        file.write_all(restriction.as_bytes()).unwrap();
        drop(file);
        if started.elapsed() > Duration::from_millis(180) {
            // On a slow machine this was a complete write rather than half of one.
            gateway.until_status(DOOR, "a.test", "/", 404);
            std::thread::sleep(Duration::from_millis(500));
            continue;
        }
        let until = Instant::now() + Duration::from_millis(310);
        while Instant::now() < until {
            assert_eq!(get(address, "a.test", "/").status, 404);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    assert_eq!(get(address, "ok.test", "/").status, 200);
    // Once the file stays without it, that counts.
    std::fs::write(&config, whole).unwrap();
    gateway.until_status(DOOR, "a.test", "/", 200);
}

/// An error in a value that the environment gives is not blamed on the file, at a reload either. One in the file is
/// reported with its line.
#[test]
fn a_reload_reports_the_variable_or_the_line_that_is_wrong() {
    let variable = "BLASTDOOR_LISTENERS__EXTERNAL_HTTP__TRUSTED_PROXIES_FILE";
    let builder = gateway!().env(variable, "trusted.txt");
    let list = builder.folder().join("trusted.txt");
    std::fs::write(&list, "10.0.0.0/8\n").unwrap();
    let gateway = builder.start();

    std::fs::write(&list, "10.0.0.0/8\nx\n").unwrap();
    gateway.until("the list is reported", |gateway| {
        gateway.metric("blastdoor_config_problems", &[("severity", "error")]) >= 1.0
    });
    let reported = format!("Variable {variable}: listeners.external-http.trusted_proxies_file: ");
    gateway.says(&reported);

    std::fs::write(&list, "10.0.0.0/8\n").unwrap();
    gateway.until("the list is good again", |gateway| {
        gateway.metric("blastdoor_config_problems", &[("severity", "error")]) == 0.0
    });
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let wrong = config.replacen("scheme = \"http\"", "scheme = \"gopher\"", 1);
    let line = wrong.lines().position(|line| line.contains("gopher")).unwrap() + 1;
    std::fs::write(gateway.config(), wrong).unwrap();
    gateway.until("the file is reported", |gateway| {
        gateway.metric("blastdoor_config_problems", &[("severity", "error")]) >= 1.0
    });
    let reported = format!("{}:{line}: error: File ", gateway.config().display());
    gateway.says(&reported);
}

/// A door that is removed from the file continues to serve while it drains, following changes of objects.
#[test]
fn a_removed_door_follows_the_objects_to_its_end() {
    let backend = Backend::start("app");
    let app = |door: &str| manifest::app("app", door, "a.test", backend.port());
    let gateway = gateway!()
        .door(DOOR, "drain = { wait = \"60s\", timeout = \"1s\" }")
        .manifest("app.yaml", &app(DOOR))
        .start();
    let (address, inside) = (gateway.door(DOOR), gateway.door("internal-http"));
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    let start = config.find(&format!("[listeners.{DOOR}]")).unwrap();
    let end = config[start + 1..]
        .find("[listeners.")
        .map_or(config.len(), |end| start + 1 + end);
    std::fs::write(gateway.config(), config[..start].to_owned() + &config[end..]).unwrap();
    gateway.until("the door is gone", |gateway| {
        !gateway.admin("/api/v1/doors").1.contains(&format!("\"{DOOR}\""))
    });
    assert_eq!(get(address, "a.test", "/").status, 200, "it drains");

    gateway.put("app.yaml", &app("internal-http"));
    gateway.until_status("internal-http", "a.test", "/", 200);
    assert_eq!(get(address, "a.test", "/").status, 404);
    gateway.put("app.yaml", "");
    gateway.until_status("internal-http", "a.test", "/", 404);
    assert_eq!(
        get(inside, "a.test", "/").status,
        get(address, "a.test", "/").status
    );
}

/// When a `listeners.toml` that was found rather than named is lost, its doors stay: the standard doors are for set-ups
/// that never had one.
#[test]
fn a_lost_listeners_toml_keeps_its_doors() {
    let backend = Backend::start("app");
    let free = || SocketAddr::from(([127, 0, 0, 1], free_port()));
    let (address, other) = (free(), free());
    let builder = gateway!().manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()));
    let folder = builder.folder();
    let config = folder.join("listeners.toml");
    let toml = |address: SocketAddr| {
        format!(
            "[source]\nkind = \"files\"\npath = \"{}\"\nallow_loopback_backends = true\n[admin]\nbind = \"unix:{}\"\n\
             [listeners.{DOOR}]\nbind = \"{address}\"\nselector = \"expose={DOOR}\"\nscheme = \"http\"\nworkers = 1\n\
             drain = {{ wait = \"0s\", timeout = \"1s\" }}\n",
            folder.join("manifests").display(),
            folder.join("admin").display()
        )
    };
    std::fs::write(&config, toml(address)).unwrap();
    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_blastdoor-under-test"))
        .current_dir(folder)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let until = |what: &str, condition: &dyn Fn() -> bool| {
        let patience = Instant::now() + Duration::from_secs(20);
        while !condition() {
            assert!(Instant::now() < patience, "{what}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let listens = |address: SocketAddr| std::net::TcpStream::connect(address).is_ok();
    until("the door opens", &|| listens(address));
    std::fs::remove_file(&config).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(get(address, "a.test", "/").status, 200);
    assert!(process.try_wait().unwrap().is_none());
    // It is still followed when it comes back.
    std::fs::write(&config, toml(other)).unwrap();
    until("the door moves", &|| listens(other));
    assert_eq!(get(other, "a.test", "/").status, 200);
    process.kill().unwrap();
    process.wait().unwrap();
}
