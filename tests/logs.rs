//! Standard output and standard error that are full, slow or gone: they cost lines, which are counted, and nothing else.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use gateway_tests::{Backend, Gateway, free_port, gateway, get, manifest};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

const DOOR: &str = "external-http";

/// A pipe that nobody reads and that has no room left.
fn full_pipe() -> (File, OwnedFd) {
    let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
    fcntl_setpipe_size(&writer, 4096).unwrap();
    let mut writer = File::from(writer);
    while writer.write(&[b'-'; 512]).is_ok() {}
    // Whoever inherits it blocks.
    rustix::fs::fcntl_setfl(&writer, rustix::fs::OFlags::empty()).unwrap();
    (reader.into(), writer.into())
}

/// A pipe whose reader has gone.
fn closed_pipe() -> OwnedFd {
    pipe_with(PipeFlags::CLOEXEC).unwrap().1
}

fn full_disk() -> OwnedFd {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// An application that answers, and one of which a worker has something to say.
fn apps(builder: gateway_tests::Builder, backend: &Backend) -> gateway_tests::Builder {
    builder
        .manifest("app.yaml", &manifest::app("app", DOOR, "a.test", backend.port()))
        .manifest(
            "dead.yaml",
            &manifest::app("dead", DOOR, "dead.test", free_port()),
        )
}

fn lost(gateway: &Gateway, stream: &str) -> f64 {
    gateway.metric("blastdoor_log_lines_lost_total", &[("stream", stream)])
}

/// Reads a pipe until a text has been written to it.
fn until_written(gateway: &Gateway, pipe: &mut File, text: &str) -> String {
    let seen = std::cell::RefCell::new(Vec::new());
    let pipe = std::cell::RefCell::new(pipe);
    gateway.until(text, |_| {
        let mut some = [0; 64 * 1024];
        while let Ok(count @ 1..) = pipe.borrow_mut().read(&mut some) {
            seen.borrow_mut().extend_from_slice(&some[..count]);
        }
        String::from_utf8_lossy(&seen.borrow()).contains(text)
    });
    String::from_utf8_lossy(&seen.borrow()).into_owned()
}

#[test]
fn a_full_pipe_on_standard_error_stalls_nothing() {
    let backend = Backend::start("app");
    let (mut reader, stderr) = full_pipe();
    let mut gateway = apps(gateway!(), &backend)
        .log("level = \"trace\"\nbuffer = \"64KiB\"")
        .stderr(stderr)
        .start();
    let address = gateway.door(DOOR);
    gateway.until("lines are lost", |gateway| {
        assert_eq!(get(address, "a.test", "/").status, 200);
        assert!([502, 503].contains(&get(address, "dead.test", "/").status));
        lost(gateway, "stderr") > 0.0
    });
    assert_eq!(gateway.admin("/livez").0, 200);
    assert_eq!(lost(&gateway, "stdout"), 0.0);
    let said = until_written(&gateway, &mut reader, "log lines were lost");
    let line = said
        .lines()
        .find(|line| line.contains("log lines were lost"))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["stream"], "stderr");
    assert!(line["lost"].as_u64().unwrap() > 0, "{line}");
    // Nobody reads it any more, and the process ends all the same.
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_full_pipe_on_standard_output_stalls_nothing() {
    let backend = Backend::start("app");
    let (mut reader, stdout) = full_pipe();
    let mut gateway = apps(gateway!(), &backend)
        .log("buffer = \"64KiB\"")
        .stdout(stdout)
        .start();
    let address = gateway.door(DOOR);
    let long = format!("/{}", "a".repeat(8000));
    gateway.until("lines are lost", |gateway| {
        assert_eq!(get(address, "a.test", &long).status, 200);
        lost(gateway, "stdout") > 0.0
    });
    let dropped = gateway.metric("blastdoor_access_log_dropped_total", &[]);
    assert!(dropped > 0.0);
    until_written(&gateway, &mut reader, &long);
    let reader = std::cell::RefCell::new(reader);
    gateway.until("the loss is told", |gateway| {
        // Somebody reads on, so that the sink takes lines.
        while let Ok(1..) = reader.borrow_mut().read(&mut [0; 64 * 1024]) {}
        gateway.stderr().contains("log lines were lost")
    });
    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn streams_that_cannot_be_written_to_cost_lines_alone() {
    let backend = Backend::start("app");
    for (what, [stdout, stderr]) in [
        ("readers gone", [closed_pipe(), closed_pipe()]),
        ("disk full", [full_disk(), full_disk()]),
    ] {
        let mut gateway = apps(gateway!(), &backend).stdout(stdout).stderr(stderr).start();
        let address = gateway.door(DOOR);
        for _ in 0..4 {
            assert!(
                [502, 503].contains(&get(address, "dead.test", "/").status),
                "{what}"
            );
        }
        assert_eq!(get(address, "a.test", "/").status, 200, "{what}");
        let before = lost(&gateway, "stderr");
        let config = std::fs::read_to_string(gateway.config()).unwrap();
        std::fs::write(gateway.config(), config + "idle_timeout = \"600s\"\n").unwrap();
        gateway.until(what, |gateway| lost(gateway, "stderr") > before);
        gateway.counts("blastdoor_log_lines_lost_total", &[("stream", "stdout")], 5.0);
        gateway.counts("blastdoor_access_log_dropped_total", &[], 5.0);
        assert_eq!(get(address, "a.test", "/").status, 200, "{what}");
        assert_eq!(gateway.metric("blastdoor_process_panics_total", &[]), 0.0);
        gateway.terminate();
        assert_eq!(gateway.wait().code(), Some(0), "{what}");
    }
}

#[test]
fn a_process_that_cannot_start_ends_although_nobody_reads_why() {
    let (_reader, stderr) = full_pipe();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut gateway = gateway!()
        .door(DOOR, &format!("bind = \"{}\"", taken.local_addr().unwrap()))
        .stderr(stderr)
        .without_waiting()
        .start();
    assert_eq!(gateway.wait().code(), Some(1));
}

/// Exit status, and what is said on standard error, if that can be written to.
fn command(gateway: &gateway_tests::Builder, arguments: &[&str], stdout: OwnedFd) -> (Option<i32>, String) {
    let config = gateway.folder().join("listeners.toml");
    std::fs::write(&config, gateway.config()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_blastdoor-under-test"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn no_command_panics_on_its_output() {
    let gateway = gateway!().manifest("app.yaml", &manifest::app("app", "nowhere", "a.test", 1));
    let table: &[(&[&str], i32)] = &[
        (&["check", "-o", "json"], 1),
        (&["check"], 1),
        (&["--help"], 0),
        (&["--version"], 0),
    ];
    for (arguments, status) in table {
        // A reader that has seen enough is no failure.
        assert_eq!(
            command(&gateway, arguments, closed_pipe()),
            (Some(*status), String::new()),
            "{arguments:?}"
        );
        let (status, said) = command(&gateway, arguments, full_disk());
        assert_eq!(status, Some(1), "{arguments:?}");
        assert!(
            said.starts_with("cannot write to standard output: "),
            "{arguments:?}: {said}"
        );
    }
}

/// Errors that come before anything is served are printed as before, and whoever cannot read them learns the status.
#[test]
fn no_command_panics_on_its_errors() {
    for stderr in [closed_pipe(), full_disk()] {
        for (arguments, status) in [
            (&["check", "--config", "/does/not/exist"][..], 2),
            (&["run", "--config", "/does/not/exist"], 2),
            (&["health", "--admin", "unix:/does/not/exist"], 1),
            (&["--nonsense"], 2),
        ] {
            let ended = Command::new(env!("CARGO_BIN_EXE_blastdoor-under-test"))
                .args(arguments)
                .stdin(Stdio::null())
                .stderr(stderr.try_clone().unwrap())
                .status()
                .unwrap();
            assert_eq!(ended.code(), Some(status), "{arguments:?}");
        }
    }
}

/// Whoever writes objects can make problems without end. The log has some of each namespace, and says how many more there were
/// with the next one.
#[test]
fn a_namespace_does_not_fill_the_log_with_its_problems() {
    let ingress = |namespace: &str, number: usize| {
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\n\
             metadata: {{name: web-{number}, namespace: {namespace}, labels: {{expose: {DOOR}}}}}\n\
             spec:\n  rules:\n  - host: {namespace}-{number}.test\n    http: {{paths: [{{path: /, pathType: Prefix, \
             backend: {{service: {{name: gone, port: {{number: 80}}}}}}}}]}}\n---\n"
        )
    };
    let greedy: String = (0..300).map(|number| ingress("greedy", number)).collect();
    let gateway = gateway!()
        .manifest("greedy.yaml", &greedy)
        .manifest("modest.yaml", &ingress("modest", 0))
        .start();
    gateway.counts("blastdoor_config_problems", &[("severity", "error")], 301.0);
    gateway.until("all are looked through", |gateway| {
        gateway.stderr().contains("modest/web-0")
    });
    let said = gateway.stderr();
    let lines = said.lines().filter(|line| line.contains("greedy/web-"));
    assert_eq!(lines.count(), 100);
}
