//! What is asked for.

use std::collections::BTreeMap;

/// What is asked for on the command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// `--namespace`: gateways elsewhere do not count.
    pub namespace: Option<String>,
    /// `--selector`: the labels of the gateway's pods, where they cannot be recognised.
    pub selector: Option<BTreeMap<String, String>>,
    /// `--expect-nodes`: nodes, by name or address, to which somebody sends traffic, such as those in DNS.
    pub expected_nodes: Vec<String>,
}
