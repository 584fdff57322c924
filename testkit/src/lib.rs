//! What must hold for every input, as functions that panic where it does not.
//!
//! Fuzz targets call them, and so do the tests that replay the corpora. Each works the answer out a second time, in
//! the simplest way that there is, and compares. The program does not contain this crate.

pub mod grammar;
pub mod manifests;
pub mod names;
