//! The CPUs of a door's workers (`cpus`).

use gateway_tests::{Gateway, gateway};

/// Name of each thread, and where it may run, as the kernel says.
fn threads(gateway: &Gateway) -> Vec<(String, String)> {
    let tasks = format!("/proc/{}/task", gateway.pid().as_raw_nonzero());
    let tasks = std::fs::read_dir(tasks).unwrap();
    let status = |path: std::path::PathBuf| std::fs::read_to_string(path.join("status")).unwrap();
    tasks
        .map(|task| status(task.unwrap().path()))
        .map(|status| (line(&status, "Name:"), line(&status, "Cpus_allowed_list:")))
        .collect()
}

fn line(status: &str, name: &str) -> String {
    let found = status.lines().find_map(|line| line.strip_prefix(name));
    found.unwrap().trim().to_owned()
}

/// The first CPU that this test may use, and one that it may not.
fn a_cpu_and_none() -> (usize, usize) {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let find = |is_set: bool| (0..1024).find(|cpu| allowed.is_set(*cpu) == is_set).unwrap();
    (find(true), find(false))
}

#[test]
fn the_workers_of_a_door_stay_on_its_cpus() {
    let (cpu, _) = a_cpu_and_none();
    let gateway = gateway!()
        .door("internal-http", &format!("workers = 2\ncpus = \"{cpu}\"\n"))
        .start();
    let threads = threads(&gateway);
    let cpus_of = |prefix: &str| -> Vec<String> {
        let named = threads.iter().filter(|(name, _)| name.starts_with(prefix));
        named.map(|(_, cpus)| cpus.clone()).collect()
    };
    // Names of threads have 15 bytes.
    assert_eq!(cpus_of("internal-http-"), [cpu.to_string(), cpu.to_string()]);
    let everywhere = line(
        &std::fs::read_to_string("/proc/self/status").unwrap(),
        "Cpus_allowed_list:",
    );
    assert_eq!(cpus_of("external-http-"), [everywhere]);
}

#[test]
fn cpus_that_the_process_may_not_use_are_an_error() {
    let (_, none) = a_cpu_and_none();
    let output = gateway!()
        .door("internal-http", &format!("cpus = \"{none}\""))
        .run(&["run"]);
    assert_eq!(output.status, 1);
    let message = format!(
        "listener `internal-http`: none of the CPUs {none} may be used by this process, which may use "
    );
    assert!(output.stderr.contains(&message), "{}", output.stderr);
}
