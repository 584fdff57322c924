//! The door for HTTPS from the private network.

use crate::doors;

#[test]
fn answers_its_own_and_refuses_the_others() {
    doors::answers_its_own_and_refuses_the_others(
        "internal-https",
        &["internal-https", "internal-httpsecure"],
    );
}

#[test]
fn tells_the_backend_its_scheme_and_port() {
    doors::tells_the_backend_its_scheme_and_port("internal-https", "https", "443");
}
