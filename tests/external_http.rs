//! The door for plain HTTP from the internet.

use crate::doors;

#[test]
fn answers_its_own_and_refuses_the_others() {
    doors::answers_its_own_and_refuses_the_others("external-http", &["external-http"]);
}

#[test]
fn tells_the_backend_its_scheme_and_port() {
    doors::tells_the_backend_its_scheme_and_port("external-http", "http", "80");
}
