//! Where doors are reached, if not where they listen.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use crate::config::DoorConfig;

/// `DOOR=HOST:PORT`, with a scheme or without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DoorAddress {
    pub(crate) door: String,
    /// `HOST:PORT`
    authority: String,
    /// Whether TLS is spoken there; `None`: as at the door.
    pub(crate) tls: Option<bool>,
}

impl FromStr for DoorAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not `DOOR=HOST:PORT`, as in `external-http=192.0.2.7:80`");
        let (door, place) = text.split_once('=').ok_or_else(wrong)?;
        let (tls, authority) = match place.split_once("://") {
            None => (None, place),
            Some(("http", authority)) => (Some(false), authority),
            Some(("https", authority)) => (Some(true), authority),
            Some(_) => return Err(wrong()),
        };
        let authority = authority.trim_end_matches('/');
        let (host, port) = authority.rsplit_once(':').ok_or_else(wrong)?;
        if door.is_empty() || host.is_empty() || port.parse::<u16>().is_err() {
            return Err(wrong());
        }
        Ok(Self {
            door: door.to_owned(),
            authority: authority.to_owned(),
            tls,
        })
    }
}

impl DoorAddress {
    /// The address itself; a name is asked for once.
    ///
    /// # Errors
    /// When it is a name without an address.
    pub(crate) async fn resolve(&self) -> Result<SocketAddr, String> {
        let unknown = |reason: String| format!("--address {}={}: {reason}", self.door, self.authority);
        let mut found = tokio::net::lookup_host(&self.authority)
            .await
            .map_err(|error| unknown(error.to_string()))?;
        found
            .next()
            .ok_or_else(|| unknown("the name has no address".to_owned()))
    }
}

/// Where a door is reached on this machine.
///
/// # Errors
/// When only the process of the door knows its port.
pub(crate) fn local(door: &DoorConfig) -> Result<SocketAddr, String> {
    let mut address = door.binding.address;
    if address.port() == 0 {
        return Err(format!(
            "door {} listens at a port that the system chooses; say where with --address {}=HOST:PORT",
            door.name, door.name
        ));
    }
    // IPv6's wildcard is IPv4's as well.
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_doors() {
        let read = |text: &str| {
            text.parse::<DoorAddress>()
                .map(|address| (address.door, address.authority, address.tls))
        };
        let of = |authority: &str, tls| Ok(("a".to_owned(), authority.to_owned(), tls));
        assert_eq!(read("a=192.0.2.7:80"), of("192.0.2.7:80", None));
        assert_eq!(read("a=[2001:db8::1]:80"), of("[2001:db8::1]:80", None));
        assert_eq!(
            read("a=https://lb.example.com:443/"),
            of("lb.example.com:443", Some(true))
        );
        assert_eq!(
            read("a=http://lb.example.com:80"),
            of("lb.example.com:80", Some(false))
        );
        for wrong in [
            "a",
            "a=",
            "=x:1",
            "a=x",
            "a=:1",
            "a=x:y",
            "a=ftp://x:1",
            "a=x:70000",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
