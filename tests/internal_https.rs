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
fn the_backend_learns_the_doors_scheme_and_port() {
    doors::the_backend_learns_the_doors_scheme_and_port("internal-https", "https", "443");
}
