//! `kubectl blastdoor …` against an API server: which cluster is read, and which namespace is reported on.

use gateway_tests::{Output, command, gateway};
use serde_json::{Value, json};

use crate::api_server;
use crate::objects::{in_namespace, ingress};

const PROGRAM: &str = env!("CARGO_BIN_EXE_blastdoor-under-test");
const DOOR: &str = "external-http";

#[test]
fn kubectl_passes_on_the_cluster_and_the_namespace() {
    let server = api_server!();
    // The older one is also the first by name, in case both are of the same second.
    for namespace in ["crm", "shop"] {
        server.create(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": namespace } }));
        let host = format!("{namespace}.test");
        server.create(&in_namespace(ingress("web", DOOR, &host, "web"), namespace));
        // Two Ingresses for one place, of which the older one wins.
        let both = ingress(&format!("both-{namespace}"), DOOR, "both.test", "web");
        server.create(&in_namespace(both, namespace));
    }
    let mut old = ingress("old", "none", "old.test", "web");
    old["metadata"]["labels"] = json!({});
    old["spec"]["ingressClassName"] = json!("nginx");
    for namespace in ["shop", "crm"] {
        server.create(&in_namespace(old.clone(), namespace));
    }

    let builder = gateway!().cluster(&server.admin());
    // Writes the configuration.
    assert_eq!(builder.run(&["audit"]).status, 0);
    let folder = builder.folder();
    std::os::unix::fs::symlink(PROGRAM, folder.join("kubectl-blastdoor")).unwrap();
    // The current context is of a cluster that is not there.
    let kubeconfig = std::fs::read_to_string(server.admin()).unwrap();
    let kubeconfig = kubeconfig
        .replace(
            "clusters: [",
            "clusters: [{name: gone, cluster: {server: \"http://127.0.0.1:1\"}}, ",
        )
        .replace(
            "contexts: [",
            "contexts: [{name: gone, context: {cluster: gone, user: user, namespace: crm}}, ",
        )
        .replace("current-context: test", "current-context: gone");
    let file = folder.join("two.kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    let environment = [
        ("PATH".to_owned(), folder.display().to_string()),
        ("KUBECONFIG".to_owned(), file.display().to_string()),
    ];
    let config = folder.join("listeners.toml").display().to_string();
    let kubectl = |arguments: &[&str]| -> Output {
        let begin = [
            "blastdoor",
            arguments[0],
            "--config",
            &config,
            "--context",
            "test",
        ];
        let all = [&begin, &arguments[1..]].concat();
        command(&server.kubectl_program(), &all, &environment, folder)
    };
    let told = |arguments: &[&str], status: i32| -> Value {
        let output = kubectl(&[arguments, &["-o", "json"]].concat());
        assert_eq!(output.status, status, "{arguments:?}: {output:?}");
        serde_json::from_str(&output.stdout).unwrap()
    };
    let names = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["ingress"].as_str().unwrap().to_owned())
            .collect()
    };

    let everything = ["crm/both-crm", "crm/web", "shop/web"];
    for all in [&["audit"][..], &["audit", "-A"], &["audit", "--all-namespaces"]] {
        assert_eq!(names(&told(all, 0)["routes"]), everything, "{all:?}");
    }
    for narrow in [["audit", "-n", "crm"], ["audit", "--namespace", "crm"]] {
        assert_eq!(
            names(&told(&narrow, 0)["routes"]),
            ["crm/both-crm", "crm/web"],
            "{narrow:?}"
        );
    }

    // The older Ingress answers, whoever asks.
    let url = ["explain", "http://both.test/", "--door", DOOR];
    for (namespace, others) in [("shop", &["shop/both-shop"][..]), ("crm", &[])] {
        let told = told(&[&url[..], &["-n", namespace]].concat(), 0);
        let door = &told["listeners"][0];
        assert_eq!(door["ingress"], "crm/both-crm", "{door:#}");
        assert_eq!(names(&door["candidates"]), others, "{namespace}");
    }

    let migrate = [
        "migrate",
        "--from",
        "ingress-nginx",
        "--door",
        "nginx=external-http",
    ];
    let every = names(&told(&[&migrate[..], &["-A"]].concat(), 0)["ingresses"]);
    assert!(
        every.contains(&"crm/old".to_owned()) && every.contains(&"shop/old".to_owned()),
        "{every:?}"
    );
    let of_crm = names(&told(&[&migrate[..], &["-n", "crm"]].concat(), 0)["ingresses"]);
    assert_eq!(of_crm, ["crm/both-crm", "crm/old", "crm/web"]);

    let of_shop = told(&["check", "-n", "shop"], 1);
    let problems = of_shop["problems"].as_array().unwrap();
    assert!(!problems.is_empty());
    for problem in problems {
        let namespace = &problem["object"]["namespace"];
        assert!(namespace.is_null() || namespace == "shop", "{problem}");
    }

    // Without `--context`, the current one.
    let begin = ["blastdoor", "audit", "--config", &config];
    let gone = command(&server.kubectl_program(), &begin, &environment, folder);
    assert_eq!(gone.status, 2, "{gone:?}");
    assert!(gone.stderr.contains("127.0.0.1:1"), "{gone:?}");
}
