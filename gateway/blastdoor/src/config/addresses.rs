//! Addresses of the process that exclude each other.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::model::{AdminBind, DoorConfig};

/// Something that listens.
struct Listens {
    key: String,
    what: String,
    address: SocketAddr,
}

/// The addresses of doors and of the admin port must not overlap. The kernel would let two doors have the wildcard and one
/// of its addresses (`SO_REUSEPORT`); but whenever one of them is closed, as in a drain, its clients would arrive at the
/// other.
pub(super) fn addresses(diagnostics: &mut Diagnostics<'_>, doors: &[Arc<DoorConfig>], admin: &AdminBind) {
    let doors = doors.iter().map(|door| Listens {
        key: format!("listeners.{}.bind", door.name),
        what: format!("door `{}`", door.name),
        address: door.binding.address,
    });
    let admin = match admin {
        AdminBind::Tcp(address) => Some(Listens {
            key: "admin.bind".to_owned(),
            what: "the admin port".to_owned(),
            address: *address,
        }),
        AdminBind::Unix(_) => None,
    };
    let all: Vec<Listens> = doors.chain(admin).collect();
    for (index, one) in all.iter().enumerate() {
        for other in all
            .iter()
            .skip(index + 1)
            .filter(|other| meet(one.address, other.address))
        {
            // A value from a variable is the one that is reported.
            let turned = diagnostics.is_from_variable(&other.key) && !diagnostics.is_from_variable(&one.key);
            let (here, there) = if turned { (other, one) } else { (one, other) };
            let relation = if here.address == there.address {
                format!("`{}` is also the address", here.address)
            } else {
                format!("`{}` meets `{}`, the address", here.address, there.address)
            };
            diagnostics.error(
                &here.key,
                format!("{relation} of {} ({}); each needs its own", there.what, there.key),
            );
        }
    }
}

/// Whether one of two addresses takes in what the other would get. IPv6's wildcard is IPv4's as well.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    let (left, right) = (one.ip().to_canonical(), other.ip().to_canonical());
    let takes_in = |wide: IpAddr, narrow: IpAddr| {
        wide.is_unspecified() && (wide.is_ipv6() || narrow.is_ipv4()) || wide == narrow
    };
    one.port() == other.port() && one.port() != 0 && (takes_in(left, right) || takes_in(right, left))
}

#[cfg(test)]
mod tests {
    use super::meet;

    #[test]
    fn wildcards_overlap_with_the_addresses_they_cover() {
        let table = [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:80", "[::1]:80", false),
            ("127.0.0.1:80", "[::ffff:127.0.0.1]:80", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("0.0.0.0:80", "[::]:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[2001:db8::1]:80", true),
            ("[::]:80", "[::]:8080", false),
        ];
        for (one, other, expected) in table {
            let (left, right) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!(meet(left, right), expected, "{one} {other}");
            assert_eq!(meet(right, left), expected, "{other} {one}");
        }
    }
}
