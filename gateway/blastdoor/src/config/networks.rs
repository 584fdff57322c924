//! Networks that are trusted to name the client, in the configuration and in a separate file.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

/// A network, or one address.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        .map(|network| network.trunc())
}

/// The networks in a file: one per line, `#` starts a comment.
pub(super) fn read_networks(path: &Path) -> Result<Vec<IpNet>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        format!(
            "`{}` cannot be read: {error}; create it or correct the path",
            path.display()
        )
    })?;
    let mut networks = Vec::new();
    // Some editors begin a file with a byte order mark.
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if line.is_empty() {
            continue;
        }
        match network(line) {
            Some(network) => networks.push(network),
            None => {
                return Err(format!(
                    "{}:{}: `{line}` is not a network",
                    path.display(),
                    index + 1
                ));
            }
        }
    }
    Ok(networks)
}
