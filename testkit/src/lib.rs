//! Properties that hold for every input, as functions that panic if they do not.
//!
//! Fuzz targets and the tests that replay the corpora call them. Each computes the answer a second time, in the simplest
//! possible way, and compares. The program does not contain this crate.

pub mod fields;
pub mod grammar;
pub mod logs;
pub mod manifests;
pub mod names;
pub mod passwords;
