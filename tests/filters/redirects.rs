//! Redirects.

use gateway_tests::Backend;

use super::{DOOR, ask, gateway_with};

#[test]
fn https_redirect_keeps_host_path_and_query() {
    let backend = Backend::start("app");
    let gateway = gateway_with(&backend, &[("blastdoor.dev/https-redirect", "on")], "");
    let got = ask(gateway.door(DOOR), "GET", "/shop/?q=1", &[]);
    assert_eq!(
        (got.status, got.field("location").as_deref()),
        (308, Some("https://a.test/shop/?q=1"))
    );
    assert_eq!(backend.requests(), 0);
}
