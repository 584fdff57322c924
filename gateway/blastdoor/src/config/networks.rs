//! Networks that are trusted to name the client, in the configuration and in a separate file.

use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;

use super::files::Files;

/// A network, or one address.
pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
        .map(|network| network.trunc())
}

/// A list of networks from a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NetworkList {
    pub(super) networks: Vec<IpNet>,
    /// When it was fetched from whoever publishes it, in seconds from 1970.
    pub(super) fetched: Option<i64>,
}

/// The networks in a file: one per line, `#` starts a comment. A comment with `fetched 2026-10-01` says how old the list is.
/// None if the file is not known.
pub(super) fn read_networks(files: &Files, path: &Path) -> Result<NetworkList, String> {
    let text = files.read_text(path).map_err(|error| {
        format!(
            "`{}` cannot be read: {error}; create it or correct the path",
            path.display()
        )
    })?;
    let text = text.unwrap_or_default();
    let (mut networks, mut fetched) = (Vec::new(), None);
    // Some editors begin a file with a byte order mark.
    for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let (line, comment) = line.split_once('#').unwrap_or((line, ""));
        let line = line.trim();
        // What has been put together of several lists is as old as the oldest of them.
        fetched = [fetched, date_of_fetch(comment)].into_iter().flatten().min();
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
    Ok(NetworkList { networks, fetched })
}

/// The date after the word `fetched` (UTC, ISO 8601, with or without a time), as seconds from 1970.
fn date_of_fetch(comment: &str) -> Option<i64> {
    let mut words = comment.split([' ', '\t', ':']).filter(|word| !word.is_empty());
    words.find(|word| word.eq_ignore_ascii_case("fetched"))?;
    let date = words.next()?.split('T').next()?;
    let mut parts = date.split('-');
    let mut number = |digits: usize| -> Option<i64> {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse().ok()).flatten()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let valid = (1970..).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    (valid && parts.next().is_none()).then(|| days_from_1970(year, month, day) * 86_400)
}

/// Of a date of the Gregorian calendar. Years begin in March here, so that the leap day is their last.
fn days_from_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days_before_month = (153 * month + 2) / 5;
    let leap_days = year / 4 - year / 100 + year / 400;
    // The days from 1 March of the year 0 to 1 January 1970.
    365 * year + leap_days + days_before_month + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_how_old_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_networks(&Files::Host, &path).map(|list| (list.networks.len(), list.fetched))
        };
        let table = [
            ("10.0.0.0/8\n", Some((1, None))),
            ("# fetched 1970-01-01\n10.0.0.0/8\n", Some((1, Some(0)))),
            (
                "# Cloudflare, fetched 2026-10-01\n::1 # ours\n",
                Some((1, Some(1_790_812_800))),
            ),
            (
                "# Fetched: 2024-02-29T10:11:12Z\n",
                Some((0, Some(1_709_164_800))),
            ),
            ("# fetched 2024-03-01\n", Some((0, Some(1_709_251_200)))),
            (
                "# fetched 2000-12-31\n# fetched 2001-01-01\n",
                Some((0, Some(978_220_800))),
            ),
            (
                "# fetched yesterday\n# fetched 2026-13-01\n# fetched 26-1-1\n",
                Some((0, None)),
            ),
            (
                "# fetched 2026-10-01-02\n# fetched\n# prefetched 2026-10-01\n",
                Some((0, None)),
            ),
            ("# fetched 2026-10-01\nx\n", None),
        ];
        for (text, expected) in table {
            assert_eq!(read(text).ok(), expected, "{text:?}");
        }
    }
}
