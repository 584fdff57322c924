//! Files, documents and lists; what does not parse.

use resource::manifest::{Manifest, parse};
use resource::{Ingress, Severity};
use route::ObjectKey;

use crate::{SOUND, ingress, read, reported, view};

#[test]
fn a_document_of_another_kind_or_version_is_reported_and_ignored() {
    let table = [
        (
            "apiVersion: extensions/v1beta1\nkind: Ingress\nmetadata: {name: web}\n",
            "1: error: Ingress default/web apiVersion: `extensions/v1beta1` is not served by any cluster; write `networking.k8s.io/v1` and its fields; the object is ignored",
        ),
        (
            "apiVersion: discovery.k8s.io/v1beta1\nkind: EndpointSlice\nmetadata: {name: web}\n",
            "1: error: EndpointSlice default/web apiVersion: `discovery.k8s.io/v1beta1` is not served by any cluster; write `discovery.k8s.io/v1` and its fields; the object is ignored",
        ),
        (
            "kind: Service\nmetadata: {name: web}\n",
            "1: error: Service default/web apiVersion: `apiVersion` is missing; write `v1`; the object is ignored",
        ),
        (
            "apiVersion: v1\nkind: service\nmetadata: {name: web}\n",
            "1: error: File f.yaml apiVersion: kind `service` is written `Service`; the object is ignored",
        ),
        (
            "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: web}\n",
            "2: note: File f.yaml kind: `Service` (serving.knative.dev/v1) is not a kind that the gateway reads; the object is ignored",
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\n",
            "2: note: File f.yaml kind: `Deployment` (apps/v1) is not a kind that the gateway reads; the object is ignored",
        ),
        (
            "apiVersion: traefik.containo.us/v1alpha1\nkind: Middleware\n",
            "2: note: File f.yaml kind: `Middleware` (traefik.containo.us/v1alpha1) is not a kind that the gateway reads; the object is ignored; write apiVersion: traefik.io/v1alpha1",
        ),
        (
            "a: 1\n",
            "1: error: File f.yaml: the document has no `kind` and is ignored",
        ),
        (
            "- kind: Service\n",
            "1: error: File f.yaml: the document is a list and is ignored; write one object per document, or `kind: List` with `items`",
        ),
        (
            "hello\n",
            "1: error: File f.yaml: the document is not a Kubernetes object and is ignored",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: {}\n",
            "3: error: File f.yaml: `items` is not a list; the document is ignored",
        ),
        (
            "apiVersion: v1\nkind: List\nitems: [{}]\n",
            "3: error: File f.yaml: the item has no `kind` and is ignored",
        ),
    ];
    for (text, message) in table {
        let manifest = read(text);
        assert_eq!(reported(&manifest), [message]);
        assert_eq!(manifest.objects, []);
    }
}

#[test]
fn lists_are_read_item_by_item() {
    let items = "- {metadata: {name: a}}\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}\n";
    let typed = read(&format!("apiVersion: v1\nkind: ConfigMapList\nitems:\n{items}"));
    assert_eq!(reported(&typed), [""; 0]);
    let view = view(&typed);
    for name in ["a", "b"] {
        assert!(view.config_map(&ObjectKey::new("default", name)).is_some());
    }
    let lines: Vec<u32> = typed.objects.iter().map(|placed| placed.at.line).collect();
    assert_eq!(lines, [4, 5]);
    let json = r#"{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "a", "annotations": {"emoji": "\ud83d\ude00", "slash": "\/"}}}]}"#;
    let manifest = read(json);
    assert_eq!(reported(&manifest), [""; 0]);
    assert_eq!(manifest.objects.len(), 1);
    assert_eq!(
        read("apiVersion: v1\nkind: List\nitems: ~\n"),
        Manifest::default()
    );
}

#[test]
fn a_document_that_does_not_parse_harms_only_itself() {
    let sound = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";
    let table: &[(&[u8], &str)] = &[
        (b"a: [\n", "5: error: File f.yaml: not valid YAML: "),
        (b"a: b: c\n", "5: error: File f.yaml: not valid YAML: "),
        (b"a:\n\tb: 1\n", "6: error: File f.yaml: not valid YAML: "),
        (b"a: 'x\n", "5: error: File f.yaml: not valid YAML: "),
        (b"a: *nowhere\n", "5: error: File f.yaml: not valid YAML: "),
        (
            b"ok: 1\na: \xff\xfe\n",
            "6: error: File f.yaml: not valid UTF-8; the document is ignored",
        ),
        (
            b"? [a]\n: 1\n",
            "5: error: File f.yaml: a list or map cannot be a key; the document is ignored",
        ),
        (
            b"a: &a [*a]\n",
            "5: error: File f.yaml: anchors and aliases expand to too much (at most 100000 values); the document is ignored",
        ),
        (b"@\n", "5: error: File f.yaml: not valid YAML: "),
        (
            b"kind: &x !!int hello\n",
            "5: error: File f.yaml: the document has no `kind` and is ignored",
        ),
    ];
    for (broken, message) in table {
        let file = [
            sound.as_bytes(),
            b"---\n",
            broken,
            b"---\n",
            sound.replace("a}", "b}").as_bytes(),
        ]
        .concat();
        let manifest = parse("f.yaml", &file);
        let reported = reported(&manifest);
        assert_eq!(reported.len(), 1, "{reported:?}");
        assert!(reported[0].starts_with(message), "{reported:?}");
        assert_eq!(manifest.objects.len(), 2, "{}", String::from_utf8_lossy(broken));
    }
}

#[test]
fn documents_that_are_too_deep_or_too_large_are_ignored() {
    let reported = |text: &str| reported(&read(text)).join("\n");
    let deep = format!("kind: {}1{}\n", "[".repeat(200), "]".repeat(200));
    assert_eq!(
        reported(&deep),
        "1: error: File f.yaml: nested more than 100 levels deep; the document is ignored"
    );
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = level - 1;
        laughs.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{below}"); 10].join(", ")
        ));
    }
    assert!(reported(&laughs).contains("anchors and aliases expand to too much"));
    let big = format!(
        "a: &a {}\nb: [{}]\n",
        "x".repeat(1 << 20),
        vec!["*a"; 1_000].join(", ")
    );
    assert!(reported(&big).contains("anchors and aliases expand to too much"));
    let large = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{a: {}}}\n",
        "x".repeat(3 << 20)
    );
    assert_eq!(
        reported(&large),
        "1: error: ConfigMap default/a: larger than 1.5 MiB, which no cluster would store; the object is ignored"
    );
    assert_eq!(
        reported("\u{feff}apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"),
        ""
    );
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain("a: 1".bytes().flat_map(|byte| [byte, 0]))
        .collect();
    assert_eq!(
        parse("f.yaml", &utf16).problems[0].to_string(),
        "f.yaml:1: error: File f.yaml: the file is UTF-16; write it as UTF-8"
    );
}

#[test]
fn anchors_and_merge_keys_are_resolved() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: &meta {name: web, labels: &labels {a: '1', b: '2'}}\nspec:\n  ports:\n    - &port {name: http, port: 80}\n    - {<<: *port, name: alt, port: 81}\n";
    let manifest = read(text);
    assert_eq!(reported(&manifest), [""; 0]);
    let view = view(&manifest);
    let ports: Vec<_> = view
        .services()
        .next()
        .unwrap()
        .ports
        .iter()
        .map(|port| (port.name.clone().unwrap(), port.port))
        .collect();
    assert_eq!(ports, [("http".into(), 80), ("alt".into(), 81)]);
}

#[test]
fn problems_serialise_as_json() {
    let manifest = read("apiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: A}\n");
    assert_eq!(
        serde_json::to_value(&manifest.problems[0]).unwrap(),
        serde_json::json!({
            "severity": "error",
            "object": {"kind": "IngressClass", "namespace": null, "name": "A"},
            "field": "metadata.name",
            "message": "`A` is not an object name; allowed: at most 253 lower-case letters, digits, `-` and `.`; the object is ignored",
            "file": "f.yaml",
            "line": 3
        })
    );
    let (ingress, _) = ingress(SOUND);
    let unplaced = Ingress {
        source: None,
        ..ingress
    }
    .problem(Severity::Note, "spec", "x");
    assert_eq!(
        serde_json::to_value(&unplaced).unwrap(),
        serde_json::json!({
            "severity": "note",
            "object": {"kind": "Ingress", "namespace": "shop", "name": "web"},
            "field": "spec",
            "message": "x",
            "file": null,
            "line": null
        })
    );
}
