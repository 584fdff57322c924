//! An installation: the replicas of one gateway, of which one writes.

use std::rc::Rc;

use crate::cluster::connection::Connection;

/// The name if no other is known.
const DEFAULT: &str = "blastdoor";
/// Bytes of a field manager's name (Kubernetes: 128), less the suffix that is appended.
const LONGEST: usize = 116;
/// The characters of random names in Kubernetes (apimachinery, `rand.String`).
const RANDOM: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// The characters of the hash of a pod template (`rand.SafeEncodeString` of a number).
const HASH: &[u8] = b"456789bcdf";
/// Length of the suffix that a DaemonSet or ReplicaSet appends to the names of its pods.
const SUFFIX: usize = 5;
/// Length of such a hash: of the 32-bit numbers, one in a million has fewer digits.
const HASHES: std::ops::RangeInclusive<usize> = 5..=10;

/// An installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    /// The name of its Lease.
    pub(crate) lease: Rc<str>,
    /// The name under which it writes, unique in the cluster.
    pub(crate) manager: Rc<str>,
    /// Where the name comes from.
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// `[source] instance`
    Given,
    /// The name of the pod contains it.
    Owner,
    /// Nothing is known.
    Default,
}

impl Installation {
    /// The configured one, else that of the Deployment or DaemonSet to which the pod belongs.
    pub(crate) fn new(given: Option<&str>, connection: &Connection) -> Self {
        match (given, owner(&connection.identity)) {
            (Some(given), _) => Self {
                lease: given.into(),
                // The operator who configures a name ensures that no other installation has the same.
                manager: given.into(),
                origin: Origin::Given,
            },
            (None, Some(owner)) => Self::of_namespace(owner, Origin::Owner, connection),
            (None, None) => Self::of_namespace(DEFAULT, Origin::Default, connection),
        }
    }

    /// Two namespaces may have Deployments of the same name.
    fn of_namespace(name: &str, origin: Origin, connection: &Connection) -> Self {
        let manager = format!("{}/{name}", connection.namespace);
        let longest = manager.floor_char_boundary(LONGEST);
        Self {
            lease: name.into(),
            manager: manager.get(..longest).unwrap_or_default().into(),
            origin,
        }
    }

    /// The installation to use instead if this one may not hold its Lease; `None`: there is none.
    pub(crate) fn fallback(&self, connection: &Connection) -> Option<Self> {
        let has_other = self.origin == Origin::Owner && *self.lease != *DEFAULT;
        has_other.then(|| Self::of_namespace(DEFAULT, Origin::Default, connection))
    }
}

/// The Deployment or DaemonSet of a pod, by the name that Kubernetes gave to the pod: `NAME-HASH-SUFFIX` or
/// `NAME-SUFFIX`. Asking the API server would take permission to read pods and ReplicaSets.
fn owner(pod: &str) -> Option<&str> {
    let is_of = |text: &str, characters: &[u8]| text.bytes().all(|byte| characters.contains(&byte));
    let (set, suffix) = pod.rsplit_once('-')?;
    if suffix.len() != SUFFIX || set.is_empty() || !is_of(suffix, RANDOM) {
        return None;
    }
    match set.rsplit_once('-') {
        Some((deployment, hash))
            if !deployment.is_empty() && HASHES.contains(&hash.len()) && is_of(hash, HASH) =>
        {
            Some(deployment)
        }
        Some(_) | None => Some(set),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_pod_gives_the_name_of_its_owner() {
        let table = [
            ("blastdoor-7d9f8b6c5-x2x4z", Some("blastdoor")),
            ("edge-internal-6d4b75cb6d-hwtqz", Some("edge-internal")),
            ("blastdoor-mk7rv", Some("blastdoor")),
            ("edge-gw-8z5tk", Some("edge-gw")),
            ("gw-20251105-8z5tk", Some("gw-20251105")),
            // Names that people chose.
            ("blastdoor", None),
            ("one", None),
            ("blastdoor-0", None),
            ("blastdoor-first", None),
            ("node-1.example.com_4711", None),
            ("-x2x4z", None),
            ("", None),
        ];
        for (pod, expected) in table {
            assert_eq!(owner(pod), expected, "{pod}");
        }
    }
}
