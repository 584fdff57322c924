//! The door for plain HTTP from the internet.

use crate::doors;

#[test]
fn answers_its_own_and_refuses_the_others() {
    doors::answers_its_own_and_refuses_the_others("external-http", &["external-http"]);
}

#[test]
fn the_backend_learns_the_doors_scheme_and_port() {
    doors::the_backend_learns_the_doors_scheme_and_port("external-http", "http", "80");
}
