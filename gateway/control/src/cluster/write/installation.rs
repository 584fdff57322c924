//! An installation: the replicas of one gateway, of which one writes.

use std::rc::Rc;

use crate::cluster::connection::Connection;

/// The name where no other is known.
const DEFAULT: &str = "blastdoor";
/// What a name of a manager of fields may have (Kubernetes: 128), less what is put behind it.
const LONGEST: usize = 116;
/// The characters that Kubernetes makes random names of (apimachinery, `rand.String`).
const RANDOM: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// The ones that it makes of a number (`rand.SafeEncodeString`): the hash of a pod template.
const HASH: &[u8] = b"456789bcdf";
/// Characters behind the name of a DaemonSet or ReplicaSet in the names of its pods.
const SUFFIX: usize = 5;
/// Characters of such a hash: a number of 32 bits with fewer digits is one of a million.
const HASHES: std::ops::RangeInclusive<usize> = 5..=10;

/// An installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installation {
    /// The name of its Lease.
    pub(crate) lease: Rc<str>,
    /// The name under which it writes, which no other in the cluster has.
    pub(crate) manager: Rc<str>,
    /// Where the name comes from.
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// `[source] instance`
    Given,
    /// The name of the pod tells whose it is.
    Owner,
    /// Nothing is known.
    Default,
}

impl Installation {
    /// The one that is configured, else that of the Deployment or DaemonSet to which the pod belongs.
    pub(crate) fn new(given: Option<&str>, connection: &Connection) -> Self {
        match (given, owner(&connection.identity)) {
            (Some(given), _) => Self {
                lease: given.into(),
                // Whoever gives it a name answers for it that no other has the same.
                manager: given.into(),
                origin: Origin::Given,
            },
            (None, Some(owner)) => Self::of_namespace(owner, Origin::Owner, connection),
            (None, None) => Self::of_namespace(DEFAULT, Origin::Default, connection),
        }
    }

    /// Deployments of two namespaces may have one name.
    fn of_namespace(name: &str, origin: Origin, connection: &Connection) -> Self {
        let manager = format!("{}/{name}", connection.namespace);
        let longest = manager.floor_char_boundary(LONGEST);
        Self {
            lease: name.into(),
            manager: manager.get(..longest).unwrap_or_default().into(),
            origin,
        }
    }

    /// The one to be where this one must not hold a Lease; `None` where there is no other.
    pub(crate) fn fallback(&self, connection: &Connection) -> Option<Self> {
        let has_other = self.origin == Origin::Owner && *self.lease != *DEFAULT;
        has_other.then(|| Self::of_namespace(DEFAULT, Origin::Default, connection))
    }
}

/// The Deployment or DaemonSet of a pod, by the name that Kubernetes gave to the pod: `NAME-HASH-SUFFIX` or
/// `NAME-SUFFIX`. To ask for it would take rights to read pods and ReplicaSets.
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
            // Names that people gave.
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
