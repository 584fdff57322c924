//! Forward auth, in the spellings of annotations.

use filter::forward_auth::{Cookies, Manner, Sends};

use super::read;
use crate::filter_spec::{FilterSpec, ForwardAuthSpec};

const URL: (&str, &str) = ("nginx.ingress.kubernetes.io/auth-url", "http://auth.idp/x?u=$uri");
const OWN: (&str, &str) = ("blastdoor.dev/forward-auth", "https://auth");

fn spec(annotations: &[(&str, &str)]) -> ForwardAuthSpec {
    let (parsed, reported) = read(annotations);
    assert_eq!((parsed.closes, reported), (Vec::new(), Vec::new()));
    let [written] = &*parsed.filters else {
        panic!("one filter: {:?}", parsed.filters)
    };
    let FilterSpec::ForwardAuth(spec) = &written.spec else {
        panic!("{written:?}")
    };
    assert_eq!(
        &*written.field,
        format!("metadata.annotations[{}]", annotations[0].0)
    );
    (**spec).clone()
}

#[test]
fn options_belong_to_their_main_annotation() {
    let nginx = |option: &str, value: &str| {
        spec(&[
            URL,
            (&format!("nginx.ingress.kubernetes.io/auth-{option}"), value),
        ])
    };
    let plain = spec(&[URL]);
    assert_eq!(plain.callee.service.as_ref().unwrap().to_string(), "idp/auth");
    assert_eq!(plain.rule.manner, Manner::Nginx { redirect: None });
    assert_eq!(plain.rule.method.as_ref().unwrap().as_str(), "GET");
    assert_eq!(plain.rule.cookies, Cookies::All { always: false });
    assert!(plain.rule.cache.is_none() && plain.connection.is_verified());
    assert_eq!(nginx("method", "POST").rule.method.unwrap().as_str(), "POST");
    let copies = nginx("response-headers", "X-User, X-Mail,").rule.copies;
    assert_eq!(
        copies.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
        ["x-user", "x-mail"]
    );
    let signin = |page: &str| nginx("signin", page).rule.signin.unwrap().parameter;
    assert_eq!(signin("https://login.test/").as_deref(), Some("rd"));
    assert_eq!(signin("https://login.test/?x=1&rd=$request_uri"), None);
    assert_eq!(
        nginx("always-set-cookie", "true").rule.cookies,
        Cookies::All { always: true }
    );
    assert_eq!(
        nginx("proxy-set-headers", "shop/fields")
            .adds
            .unwrap()
            .to_string(),
        "shop/fields"
    );
    let cache = nginx("cache-key", "$host").rule.cache.unwrap();
    assert_eq!(cache.time_of(202).unwrap().as_secs(), 300);
    assert_eq!(cache.time_of(403), None);

    let own =
        |option: &str, value: &str| spec(&[OWN, (&format!("blastdoor.dev/forward-auth-{option}"), value)]);
    assert_eq!(own("method", "request").rule.method, None);
    assert!(matches!(own("send", "Cookie").rule.sends, Sends::These(names) if names.len() == 1));
    assert_eq!(
        own("body", "1m").rule.body,
        Some(1 << 20),
        "never more than 1 MiB"
    );
    assert_eq!(own("cookies", "s").rule.cookies, Cookies::Named(vec!["s".into()]));
    assert!(own("ca", "configmap/roots").connection.authorities.is_some());
    assert_eq!(
        own("cache", "10s")
            .rule
            .cache
            .unwrap()
            .time_of(401)
            .unwrap()
            .as_secs(),
        10
    );
}

#[test]
fn what_cannot_be_honoured_closes() {
    let nginx = |option: &str| format!("nginx.ingress.kubernetes.io/auth-{option}");
    let table = [
        (nginx("url"), "http://$host/", "a variable in its host"),
        (nginx("url"), "auth.test", "does not begin with `http://`"),
        (nginx("method"), "FETCH", "is not a method"),
        (nginx("signin"), "https://$http_x/", "closed (503)"),
        (nginx("response-headers"), "Content-Length", "closed (503)"),
        (nginx("proxy-set-headers"), "other/fields", "namespace `other`"),
        (
            nginx("cache-duration"),
            "500 5m",
            "is not a status that can be kept",
        ),
        (nginx("cache-key"), "$upstream", "not known"),
        (
            "blastdoor.dev/forward-auth-ca".to_owned(),
            "roots",
            "`secret/NAME`",
        ),
        // Options alone protect nothing.
        (
            nginx("response-headers"),
            "X-User",
            "`nginx.ingress.kubernetes.io/auth-url`, to which it belongs, is missing",
        ),
        (
            "blastdoor.dev/forward-auth-headers".to_owned(),
            "X-User",
            "to which it belongs, is missing",
        ),
        (
            "blastdoor.dev/forwardauth".to_owned(),
            "http://auth",
            "may be a misspelling",
        ),
    ];
    for (key, value, expected) in table {
        let (parsed, reported) = read(&[(&key, value)]);
        assert!(!parsed.closes.is_empty(), "{key}: {value}");
        assert!(
            reported.iter().any(|line| line.contains(expected)),
            "{key}: {value}: {expected} is not in {reported:?}"
        );
    }
    let (parsed, reported) = read(&[URL, ("nginx.ingress.kubernetes.io/auth-keepalive", "8")]);
    assert!(parsed.closes.is_empty() && reported.len() == 1, "{reported:?}");
}
