//! The door for plain HTTP from the private network.

use crate::doors;

#[test]
fn answers_its_own_and_refuses_the_others() {
    doors::answers_its_own_and_refuses_the_others("internal-http", &["internal-http"]);
}

#[test]
fn the_backend_learns_the_doors_scheme_and_port() {
    doors::the_backend_learns_the_doors_scheme_and_port("internal-http", "http", "80");
}
