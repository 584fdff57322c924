//! One address in a status.

use std::cmp::Ordering;

use serde_json::json;

/// One address in a status.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `hostname`
    Hostname(Box<str>),
    /// `ip`
    Ip(Box<str>),
    /// Something that we would not write: both, neither, or with ports. As JSON, to be left as it is.
    Other(Box<str>),
}

impl Address {
    pub(crate) fn of(hostname: Option<&str>, ip: Option<&str>) -> Option<Self> {
        let set = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(Box::from);
        match (set(hostname), set(ip)) {
            (Some(hostname), None) => Some(Self::Hostname(hostname)),
            (None, Some(ip)) => Some(Self::Ip(ip)),
            (_, _) => None,
        }
    }

    /// The host name, or the address.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Hostname(text) | Self::Ip(text) | Self::Other(text) => text,
        }
    }

    /// As an entry of the list.
    pub(crate) fn entry(&self) -> serde_json::Value {
        match self {
            Self::Hostname(name) => json!({ "hostname": name }),
            Self::Ip(ip) => json!({ "ip": ip }),
            Self::Other(entry) => serde_json::from_str(entry).unwrap_or_default(),
        }
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Sorted as text, whatever they are.
impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |address: &Self| match address {
            Self::Hostname(_) => 0,
            Self::Ip(_) => 1,
            Self::Other(_) => 2,
        };
        self.text()
            .cmp(other.text())
            .then_with(|| rank(self).cmp(&rank(other)))
    }
}
