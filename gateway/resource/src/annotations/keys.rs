//! The keys of annotations.

/// The prefix of the gateway's own annotations.
pub(super) const OWN: &str = "blastdoor.dev/";

/// The prefixes of the gateway's own annotations, and of those of ingress-nginx and Traefik.
pub(super) const PREFIXES: [&str; 3] = [
    OWN,
    "nginx.ingress.kubernetes.io/",
    "traefik.ingress.kubernetes.io/",
];

/// Whether the gateway has a say in an annotation: its key has one of the three prefixes.
pub(super) fn is_ours(key: &str) -> bool {
    split(key).is_some()
}

/// The prefix of a key, if it is one of the three, and the rest.
pub(super) fn split(key: &str) -> Option<(&'static str, &str)> {
    PREFIXES
        .into_iter()
        .find_map(|prefix| Some((prefix, key.strip_prefix(prefix)?)))
}
