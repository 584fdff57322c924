//! Names of listeners and objects.

use route::{ListenerName, ObjectKey};

/// RFC 1123 2.1, as Kubernetes has it for labels.
#[test]
fn a_listener_name_is_a_dns_label() {
    let (longest, too_long) = ("a".repeat(63), "a".repeat(64));
    for name in ["internal-http", "a", "0", "a--b", "443", &longest] {
        assert_eq!(
            name.parse::<ListenerName>()
                .map(|name| name.to_string())
                .as_deref(),
            Ok(name)
        );
    }
    for name in [
        "", "-", "-a", "a-", "A", "a_b", "a.b", "a b", "ü", "a/b", "a\n", &too_long,
    ] {
        let error = name.parse::<ListenerName>().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`{name}` cannot name a listener; allowed:")),
            "{error}"
        );
    }
}

#[test]
fn object_keys_are_ordered_by_namespace_and_name() {
    let key = ObjectKey::new("shop", "web");
    assert_eq!(
        (key.namespace(), key.name(), key.to_string().as_str()),
        ("shop", "web", "shop/web")
    );
    let mut keys = [("b", "a"), ("a", "z"), ("a-b", "a"), ("a", "b")]
        .map(|(namespace, name)| ObjectKey::new(namespace, name));
    keys.sort();
    assert_eq!(keys.map(|key| key.to_string()), ["a/b", "a/z", "a-b/a", "b/a"]);
}
