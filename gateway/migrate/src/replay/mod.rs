//! Recorded requests, sent to two gateways, and how their answers differ. What is pure of it: which requests a log records,
//! which of them are sent, and what counts as a difference.

mod answer;
mod log;
mod sample;
mod tally;

pub use answer::{Answer, Body, BodyHash, Mismatch, compare};
pub use log::{Recorded, Unusable, recorded};
pub use sample::{Share, ShareError};
pub use tally::{Example, Group, LogCounts, Tally};
