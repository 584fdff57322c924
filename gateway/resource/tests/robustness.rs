//! What no input may do: panic, disturb another object, open what is closed.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use resource::manifest::{self, Manifest, collect};
use resource::{Ingress, Severity};
use route::{HostPattern, ObjectKey};

const BYSTANDER: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: bystander, namespace: other, labels: {expose: internal-http}}
spec: {rules: [{host: b.test, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: b, port: {number: 1}}}}]}}]}
";

/// One object of every kind, with a hole for each string, numbered.
const TEMPLATE: &[&str] = &[
    r#"{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": §, "namespace": §, "uid": §,
        "creationTimestamp": §, "labels": {"expose": §, §: "x"}, "annotations": {§: §,
        "nginx.ingress.kubernetes.io/ssl-redirect": §, "nginx.ingress.kubernetes.io/proxy-body-size": §,
        "nginx.ingress.kubernetes.io/proxy-read-timeout": §, "traefik.ingress.kubernetes.io/router.entrypoints": §,
        "nginx.ingress.kubernetes.io/auth-url": §, "kubernetes.io/ingress.class": §}},
        "spec": {"ingressClassName": §, "defaultBackend": {"service": {"name": §, "port": {"name": §}}},
        "tls": [{"hosts": [§], "secretName": §}], "rules": [{"host": §, "http": {"paths": [
        {"path": §, "pathType": §, "backend": {"service": {"name": §, "port": {"name": §}}}}]}}]}}"#,
    r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": §, "namespace": §,
        "annotations": {"traefik.ingress.kubernetes.io/service.serversscheme": §}}, "spec": {"type": §,
        "clusterIP": §, "externalName": §, "ports": [{"name": §, "port": 80, "protocol": §, "appProtocol": §}]}}"#,
    r#"{"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": §, "namespace": §,
        "labels": {"kubernetes.io/service-name": §}}, "addressType": §, "endpoints": [{"addresses": [§], "zone": §}],
        "ports": [{"name": §, "port": 80, "protocol": §}]}"#,
    r#"{"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass", "metadata": {"name": §,
        "annotations": {"ingressclass.kubernetes.io/is-default-class": §}}, "spec": {"controller": §}}"#,
    r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": §, "namespace": §}, "type": §,
        "data": {§: §}, "stringData": {§: §}}"#,
    r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": §, "namespace": §}, "data": {§: §}}"#,
    r#"{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": §, "labels": {§: §}}}"#,
    r#"{"apiVersion": §, "kind": §, "metadata": {"name": §}}"#,
];

/// Strings that have broken something somewhere, and any others.
fn strings() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        " ",
        "*",
        "*.*",
        "*.test",
        "a.test",
        "A.Test.",
        "10.0.0.1",
        "[::1]",
        "a.test:80",
        "xn--a",
        "ä.test",
        "/",
        "/a",
        "/..",
        "/%2e%2e/",
        "\r\n",
        "\0",
        "`",
        "{",
        "}",
        ";",
        "#",
        "$(id)",
        "../../etc/passwd",
        "null",
        "~",
        "true",
        "---",
        "...",
        "&a",
        "*a",
        "<<",
        "Exact",
        "Prefix",
        "ImplementationSpecific",
        "TCP",
        "ExternalName",
        "None",
        "IPv4",
        "FQDN",
        "http",
        "\u{202e}",
        "\u{feff}",
        "2026-01-31T12:00:00Z",
        "99999999999999999999",
        "-1",
        "1e9",
        "nginx.ingress.kubernetes.io/auth-url",
        "blastdoor.dev/x",
        "default",
        "shop",
    ])
    .prop_map(str::to_owned);
    prop_oneof![3 => known, 1 => any::<String>(), 1 => "[a-z0-9.*/-]{0,40}"]
}

fn fill(template: &str, strings: &[String]) -> String {
    let mut strings = strings.iter().cycle();
    let mut filled = String::new();
    for (index, part) in template.split('§').enumerate() {
        if index > 0 {
            filled.push_str(&serde_json::to_string(strings.next().unwrap()).unwrap());
        }
        filled.push_str(part);
    }
    filled
}

/// Everything that is true of any file whatsoever.
fn laws(file: &Manifest) {
    for problem in &file.problems {
        let source = problem.source.as_ref().expect("every problem has its place");
        assert!(source.line > 0);
        let shown = problem.to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
        assert!(
            !problem.message.contains("cannot be read; the object is ignored"),
            "the schema lets it through: {shown}"
        );
    }
    for placed in &file.objects {
        let reference = placed.object.reference();
        for name in [Some(&reference.name), reference.namespace.as_ref()]
            .into_iter()
            .flatten()
        {
            let plain =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
            assert!(!name.is_empty() && name.bytes().all(plain), "{name:?}");
        }
    }
}

fn bystander(file: &Manifest) -> Option<Ingress> {
    let (view, _) = collect([file]);
    let ingress = view.ingress(&ObjectKey::new("other", "bystander"))?;
    Some(Ingress {
        source: None,
        ..(**ingress).clone()
    })
}

/// Random strings in every string of every kind.
#[test]
fn arbitrary_strings_harm_only_their_own_object() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(1_500));
    let alone = bystander(&manifest::parse("f.yaml", BYSTANDER.as_bytes())).unwrap();
    let input = (0..TEMPLATE.len(), vec(strings(), 1..30));
    runner
        .run(&input, |(template, strings)| {
            let object = fill(TEMPLATE[template], &strings);
            let file = manifest::parse("f.yaml", format!("--- {object}\n---\n{BYSTANDER}").as_bytes());
            laws(&file);
            // Only an object of the very same name can take its place.
            if file.objects.len() < 2
                || file.objects[0].object.reference() != file.objects[1].object.reference()
            {
                let after = bystander(&file);
                prop_assert_eq!(after.as_ref(), Some(&alone));
            }
            Ok(())
        })
        .unwrap();
}

/// Wrong types and nulls anywhere in an Ingress never make it broader than it is.
#[test]
fn wrong_types_never_widen_an_ingress() {
    let sound: serde_json::Value = serde_json::from_str(&fill(
        TEMPLATE[0],
        &["web", "shop", "uid", "2026-01-31T12:00:00Z"].map(str::to_owned),
    ))
    .unwrap();
    let mut sound = sound;
    sound["metadata"]["annotations"] = serde_json::json!({});
    sound["spec"]["tls"] = serde_json::json!([{"hosts": ["a.test"], "secretName": "cert"}]);
    sound["spec"]["rules"] = serde_json::json!([
        {"host": "a.test", "http": {"paths": [
            {"path": "/a", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 1}}}},
            {"path": "/b", "pathType": "Exact", "backend": {"service": {"name": "b", "port": {"name": "http"}}}}]}},
        {"host": "c.test", "http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "c", "port": {"number": 1}}}}]}}]);
    sound["spec"]["defaultBackend"] = serde_json::json!({"service": {"name": "d", "port": {"number": 1}}});
    let wrongs = [
        serde_json::json!(5),
        serde_json::json!("text"),
        serde_json::json!([]),
        serde_json::json!([5]),
        serde_json::json!({}),
        serde_json::json!({"x": 1}),
        serde_json::json!(true),
        serde_json::json!(1.5),
    ];
    let mut pointers = Vec::new();
    pointers_of(&sound["spec"], "/spec", &mut pointers);
    assert!(pointers.len() > 40, "{pointers:?}");
    for pointer in &pointers {
        for wrong in &wrongs {
            let mut object = sound.clone();
            *object.pointer_mut(pointer).unwrap() = wrong.clone();
            let file = manifest::parse("f.yaml", object.to_string().as_bytes());
            laws(&file);
            let (view, _) = collect([&file]);
            let Some(ingress) = view.ingresses().next() else {
                panic!("{pointer} = {wrong}: the Ingress vanished")
            };
            let served = served(ingress);
            for place in &served {
                let known = [
                    ("a.test", "/a", "a"),
                    ("a.test", "/b", "b"),
                    ("c.test", "/", "c"),
                    // A valid value in place of another valid one is no mistake that could be known as such.
                    ("text", "/a", "a"),
                    ("text", "/b", "b"),
                    ("text", "/", "c"),
                    ("a.test", "/a", "text"),
                    ("a.test", "/b", "text"),
                    ("c.test", "/", "text"),
                ];
                assert!(
                    known.contains(&(place.0.as_str(), place.1.as_str(), place.2.as_str())),
                    "{pointer} = {wrong}: {served:?}"
                );
            }
            let any = ingress.rules.iter().any(|rule| rule.host == Ok(HostPattern::Any));
            // An empty rule says nothing wrong: it is one for every host, and serves nothing by itself.
            let empty_rule = pointer
                .strip_prefix("/spec/rules/")
                .is_some_and(|index| index.len() == 1)
                && *wrong == serde_json::json!({});
            assert!(!any || empty_rule, "{pointer} = {wrong}");
            let promoted = ingress.rules.is_empty() && ingress.default_backend.is_some();
            let emptied = pointer == "/spec/rules" && *wrong == serde_json::json!([]);
            assert!(
                !promoted || emptied,
                "{pointer} = {wrong}: the default backend would answer every host"
            );
        }
    }
}

fn pointers_of(value: &serde_json::Value, here: &str, found: &mut Vec<String>) {
    found.push(here.to_owned());
    for (key, value) in value.as_object().into_iter().flatten() {
        pointers_of(value, &format!("{here}/{key}"), found);
    }
    for (index, value) in value.as_array().into_iter().flatten().enumerate() {
        pointers_of(value, &format!("{here}/{index}"), found);
    }
}

/// Host, path and Service of every rule that would be served.
fn served(ingress: &Ingress) -> Vec<(String, String, String)> {
    let mut served = Vec::new();
    for rule in &ingress.rules {
        for path in &rule.paths {
            if let (Ok(host), Ok(_), Ok(backend)) = (&rule.host, &path.pattern, &path.backend) {
                served.push((
                    host.to_string(),
                    path.written.to_string(),
                    backend.service.name().to_owned(),
                ));
            }
        }
    }
    served
}

/// Any bytes at all.
#[test]
fn no_bytes_make_the_parser_panic() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(3_000));
    let yamlish = vec(
        prop::sample::select(vec![
            "---\n",
            "...\n",
            "a",
            ": ",
            "- ",
            "? ",
            "[",
            "]",
            "{",
            "}",
            ",",
            "\n",
            "  ",
            "\t",
            "&a ",
            "*a",
            "!!str ",
            "!x ",
            "'",
            "\"",
            "|\n",
            ">-\n",
            "#",
            "%YAML 1.2\n",
            "%TAG ! x\n",
            "\\",
            "<<: ",
            "kind: Ingress\n",
            "apiVersion: v1\n",
            "\u{feff}",
            "é",
            "\r",
            "\0",
            "0x",
            "1",
            ".",
            "~",
            "@",
            "`",
        ]),
        0..40,
    )
    .prop_map(|parts| parts.concat().into_bytes());
    let input = prop_oneof![vec(any::<u8>(), 0..200), yamlish];
    runner
        .run(&input, |bytes| {
            laws(&manifest::parse("f.yaml", &bytes));
            Ok(())
        })
        .unwrap();
}

/// The corpus of the fuzz target, and what becomes of it when it is cut or a byte of it changes.
#[test]
fn the_corpus_and_its_mutations_do_not_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/manifests");
    let mut files = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        laws(&manifest::parse("f.yaml", &bytes));
        for position in (0..bytes.len()).step_by(7) {
            laws(&manifest::parse("f.yaml", &bytes[..position]));
            let mut changed = bytes.clone();
            changed[position] = b"\n :-[]{}&*!\0\xff"[position % 14];
            laws(&manifest::parse("f.yaml", &changed));
        }
    }
    assert!(files >= 8, "{files} files");
}

/// Ten thousand Ingresses, most of them in one list.
#[test]
fn ten_thousand_ingresses_are_read() {
    let mut file = String::from("apiVersion: v1\nkind: List\nitems:\n");
    for number in 0..10_000 {
        let path = if number % 100 == 0 { "nowhere" } else { "/" };
        file.push_str(&format!(
            "- {{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: i{number}, namespace: shop}}, spec: {{rules: \
             [{{host: h{number}.test, http: {{paths: [{{path: {path}, pathType: Prefix, backend: {{service: {{name: s, port: \
             {{number: 80}}}}}}}}]}}}}]}}}}\n"
        ));
    }
    let manifest = manifest::parse("f.yaml", file.as_bytes());
    assert_eq!(manifest.objects.len(), 10_000);
    assert_eq!(manifest.problems.len(), 100);
    assert!(
        manifest
            .problems
            .iter()
            .all(|problem| problem.severity == Severity::Error)
    );
    let (view, _) = collect([&manifest]);
    assert_eq!(
        view.ingresses()
            .map(|ingress| served(ingress).len())
            .sum::<usize>(),
        9_900
    );
}
