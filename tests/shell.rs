//! What the program is to a shell: completions, manual pages, a plugin of kubectl, and which build it is.

use std::path::Path;
use std::process::Command;

use gateway_tests::{Output, command, gateway, manifest};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_blastdoor-under-test");

fn run(program: &Path, arguments: &[&str], folder: &Path) -> Output {
    command(program, arguments, &[], folder)
}

#[test]
fn completions_name_every_command_and_bash_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let of = |shell: &str| {
        let output = run(Path::new(PROGRAM), &["completions", shell], folder.path());
        assert_eq!((output.status, output.stderr.as_str()), (0, ""), "{shell}");
        for word in ["prove", "check", "doctor", "completions", "manifests"] {
            assert!(output.stdout.contains(word), "{word} for {shell}");
        }
        output.stdout
    };
    let (bash, zsh, fish) = (of("bash"), of("zsh"), of("fish"));
    assert!(zsh.starts_with("#compdef blastdoor"), "{zsh:.40}");
    assert!(fish.contains("complete -c blastdoor"));
    let script = folder.path().join("blastdoor.bash");
    std::fs::write(&script, bash).unwrap();
    let ask = format!(
        "source {}; COMP_WORDS=(blastdoor pr); COMP_CWORD=1; _blastdoor blastdoor pr blastdoor; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let told = Command::new("bash")
        .args(["--norc", "-c", &ask])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&told.stdout), "prove\n", "{told:?}");
    assert_eq!(
        run(Path::new(PROGRAM), &["completions", "csh"], folder.path()).status,
        2
    );
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let page = run(Path::new(PROGRAM), &["man"], folder.path());
    assert_eq!(page.status, 0);
    assert!(
        page.stdout.contains(".TH blastdoor") && page.stdout.contains("prove"),
        "{:.200}",
        page.stdout
    );
    let pages = folder.path().join("share/man1");
    assert_eq!(
        run(
            Path::new(PROGRAM),
            &["man", pages.to_str().unwrap()],
            folder.path()
        )
        .status,
        0
    );
    for name in ["blastdoor", "blastdoor-prove", "blastdoor-check", "blastdoor-run"] {
        let page = std::fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        assert!(page.contains("Examples"), "{name}");
    }
    // A file is no directory.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_eq!(
        run(
            Path::new(PROGRAM),
            &["man", file.to_str().unwrap()],
            folder.path()
        )
        .status,
        1
    );
}

#[test]
fn a_build_says_which_one_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(Path::new(PROGRAM), &["version", "-o", "json"], folder.path());
    assert_eq!(output.status, 0);
    let build: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(build["version"], env!("CARGO_PKG_VERSION"));
    assert!(
        build["rustc"].as_str().unwrap().starts_with("rustc 1."),
        "{build}"
    );
    assert!(build["target"].as_str().unwrap().contains("linux"), "{build}");
    assert!(
        build["commit"].is_null() || build["commit"].as_str().unwrap().len() > 6,
        "{build}"
    );
    let text = run(Path::new(PROGRAM), &["version"], folder.path()).stdout;
    assert!(
        text.starts_with(concat!("blastdoor ", env!("CARGO_PKG_VERSION"), "\n")),
        "{text}"
    );
}

/// kubectl finds it by its name, and passes everything on.
#[test]
fn a_plugin_of_kubectl() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-blastdoor");
    std::os::unix::fs::symlink(PROGRAM, &plugin).unwrap();
    let help = run(&plugin, &[], folder.path());
    assert_eq!(help.status, 2, "no doors run from kubectl");
    assert!(
        help.stderr.contains("Usage: kubectl blastdoor"),
        "{}",
        help.stderr
    );
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: one\n\
                      contexts: [{name: one, context: {cluster: a, user: a}}, {name: two, context: {cluster: b, user: a}}]\n\
                      clusters: [{name: a, cluster: {server: 'http://127.0.0.1:1'}}, {name: b, cluster: {server: 'http://127.0.0.1:2'}}]\n\
                      users: [{name: a, user: {}}]\n";
    let file = folder.path().join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    let ask = |context: &str| {
        let arguments = [
            "doctor",
            "--kubeconfig",
            file.to_str().unwrap(),
            "--context",
            context,
        ];
        run(&plugin, &arguments, folder.path())
    };
    let unknown = ask("three");
    assert_eq!(unknown.status, 2);
    assert!(
        unknown
            .stderr
            .contains("there is no context `three`; allowed: one, two"),
        "{}",
        unknown.stderr
    );
    // Each context is a cluster of its own.
    for (context, port) in [("one", "127.0.0.1:1"), ("two", "127.0.0.1:2")] {
        let refused = ask(context);
        assert_eq!(refused.status, 2);
        assert!(refused.stderr.contains(port), "{context}: {}", refused.stderr);
    }
}

/// Other namespaces are read, and not reported.
#[test]
fn a_report_may_be_about_one_namespace() {
    let broken = |namespace: &str| {
        manifest::ingress("app", "external-http", &[("a.test", "Prefix", "relative", "app")])
            .replace("namespace: test", &format!("namespace: {namespace}"))
    };
    let builder = gateway!()
        .manifest("one.yaml", &broken("one"))
        .manifest("two.yaml", &broken("two"));
    let namespaces = |arguments: &[&str]| {
        let all = [&["check", "-o", "json"], arguments].concat();
        let output = builder.run(&all);
        let report: Value = serde_json::from_str(&output.stdout).unwrap();
        let problems = report["problems"].as_array().unwrap().iter();
        let mut found: Vec<String> = problems
            .map(|problem| problem["object"]["namespace"].as_str().unwrap().to_owned())
            .collect();
        found.sort();
        found.dedup();
        (output.status, found)
    };
    assert_eq!(namespaces(&[]), (1, vec!["one".to_owned(), "two".to_owned()]));
    assert_eq!(namespaces(&["-A"]), (1, vec!["one".to_owned(), "two".to_owned()]));
    assert_eq!(namespaces(&["-n", "two"]), (1, vec!["two".to_owned()]));
    assert_eq!(namespaces(&["-n", "three"]), (0, vec![]));
    let said = |namespace| builder.run(&["check", "-n", namespace]).stderr;
    let told = said("three");
    assert!(told.contains("no object of namespace `three` was read"), "{told}");
    let told = said("two");
    assert!(
        told.contains("only namespace `two`; ") && told.contains(" left out"),
        "{told}"
    );
    for command in [&["check"][..], &["explain", "http://a.test/"], &["doctor"]] {
        let output = builder.run(&[command, &["-n", ""]].concat());
        assert_eq!(output.status, 2, "{output:?}");
        assert!(output.stderr.contains("no namespace has this name"), "{output:?}");
    }
}

/// What a terminal is shown, which `script` plays.
fn at_a_terminal(line: &str, folder: &Path, environment: &[(&str, &str)]) -> String {
    let output = Command::new("script")
        .args(["-qefc", line, "/dev/null"])
        .current_dir(folder)
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .output()
        .expect("`script`, of util-linux");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn colours_and_progress_are_for_terminals() {
    let builder = gateway!().manifest("app.yaml", &manifest::app("app", "external-http", "a.test", 9000));
    let folder = builder.folder();
    std::fs::write(folder.join("listeners.toml"), builder.config()).unwrap();
    let (help, check) = (format!("{PROGRAM} --help"), format!("{PROGRAM} check"));
    assert!(at_a_terminal(&help, folder, &[]).contains("\x1b["), "colours");
    assert!(
        at_a_terminal(&help, folder, &[("NO_COLOR", "")]).contains("\x1b["),
        "an empty text counts as none"
    );
    assert!(
        !at_a_terminal(&help, folder, &[("NO_COLOR", "1")]).contains("\x1b["),
        "no colours"
    );
    let shown = at_a_terminal(&check, folder, &[]);
    assert!(
        shown.contains("reading and compiling all objects") && shown.contains("\x1b[2K"),
        "{shown:?}"
    );
    let dumb = at_a_terminal(&check, folder, &[("TERM", "dumb")]);
    assert!(
        !dumb.contains("reading and compiling") && dumb.contains("4 doors"),
        "{dumb:?}"
    );
    let piped = builder.run(&["check"]);
    assert_eq!((piped.status, piped.stderr.as_str()), (0, ""), "{piped:?}");
    assert!(!builder.run(&["--help"]).stdout.contains('\x1b'));
}
