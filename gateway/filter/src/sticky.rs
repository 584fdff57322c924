//! Sticky sessions: what the cookie of a client says about its endpoint.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The bytes of a tag.
const LENGTH: usize = 12;

/// The characters of a tag in a cookie.
pub const TEXT_LENGTH: usize = LENGTH / 3 * 4;

/// Names an endpoint, and reveals nothing about it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tag([u8; LENGTH]);

/// The key of the tags of one Service at one door. Every replica derives the same one, without configuration; it is no
/// secret that protects anything: whoever knows it can choose an endpoint, which a client without a cookie can do too, by
/// trying.
pub struct TagKey(hmac::Key);

impl TagKey {
    /// The key for a Service at a door. `service` is its UID, or its name where it has none.
    #[must_use]
    pub fn derive(door: &str, service: &str) -> Self {
        // HKDF (RFC 5869) with one block of output.
        let salt = hmac::Key::new(hmac::HMAC_SHA256, b"blastdoor sticky sessions");
        let extracted = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&salt, service.as_bytes()).as_ref());
        let mut info = hmac::Context::with_key(&extracted);
        info.update(door.as_bytes());
        info.update(&[1]);
        Self(hmac::Key::new(hmac::HMAC_SHA256, info.sign().as_ref()))
    }

    /// The tag of an endpoint.
    #[must_use]
    pub fn tag(&self, endpoint: SocketAddr) -> Tag {
        let mut context = hmac::Context::with_key(&self.0);
        match endpoint.ip() {
            IpAddr::V4(address) => context.update(&address.octets()),
            IpAddr::V6(address) => context.update(&address.octets()),
        }
        context.update(&endpoint.port().to_be_bytes());
        let mut tag = Tag([0; LENGTH]);
        for (to, from) in tag.0.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        tag
    }
}

impl Tag {
    /// Reads the value of a cookie; `None` if it is no tag.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut tag = Self([0; LENGTH]);
        let is_long = value.len() == TEXT_LENGTH;
        let decoded = is_long.then(|| URL_SAFE_NO_PAD.decode_slice(value, &mut tag.0));
        matches!(decoded, Some(Ok(LENGTH))).then_some(tag)
    }

    /// As the cookie has it.
    #[must_use]
    pub fn text(self) -> [u8; TEXT_LENGTH] {
        let mut text = [b'A'; TEXT_LENGTH];
        // There is exactly enough room for it.
        let _fits = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        text
    }
}

/// The tags of an upstream's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// In the order of the endpoints.
    tags: Box<[Tag]>,
    /// Positions of endpoints, sorted by their tags.
    sorted: Box<[u32]>,
}

impl Tags {
    /// The tags of these endpoints.
    pub fn of(key: &TagKey, endpoints: impl IntoIterator<Item = SocketAddr>) -> Self {
        let tags: Box<[Tag]> = endpoints.into_iter().map(|endpoint| key.tag(endpoint)).collect();
        let mut sorted: Vec<u32> = (0..).take(tags.len()).collect();
        let tag = |position: u32| tags.get(usize::try_from(position).ok()?);
        sorted.sort_unstable_by_key(|position| tag(*position));
        Self {
            sorted: sorted.into(),
            tags,
        }
    }

    /// The tag of the endpoint at a position.
    #[must_use]
    pub fn at(&self, position: usize) -> Option<Tag> {
        self.tags.get(position).copied()
    }

    /// The position of the endpoint with this tag.
    #[must_use]
    pub fn find(&self, tag: Tag) -> Option<usize> {
        let of = |position: &u32| self.at(usize::try_from(*position).ok()?);
        let found = self.sorted.binary_search_by_key(&Some(tag), of).ok()?;
        usize::try_from(*self.sorted.get(found)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn endpoint(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 8080).into()
    }

    #[test]
    fn a_tag_is_of_one_door_one_service_and_one_endpoint() {
        let tag = |door, service, last| TagKey::derive(door, service).tag(endpoint(last));
        let base = tag("external-http", "uid-1", 1);
        assert_eq!(base, tag("external-http", "uid-1", 1));
        for other in [
            tag("internal-http", "uid-1", 1),
            tag("external-http", "uid-2", 1),
            tag("external-http", "uid-1", 2),
        ] {
            assert_ne!(base, other);
        }
    }

    /// Replicas of different versions must agree, and clients keep their cookies across updates.
    #[test]
    fn a_tag_is_always_the_same() {
        let tag = TagKey::derive("external-http", "uid-1").tag(endpoint(1));
        let text = tag.text();
        assert_eq!(std::str::from_utf8(&text).unwrap(), "i7dYpncuCKpUFvVo");
        assert_eq!(Tag::parse(&text), Some(tag));
    }

    #[test]
    fn what_is_no_tag() {
        for value in [
            "",
            "AAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAA",
            "AAAA AAAAAAAAAAA",
            "AAAAAAAAAAAAAA==",
            "\u{e4}AAAAAAAAAAAAAA",
        ] {
            assert_eq!(Tag::parse(value.as_bytes()), None, "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn every_endpoint_is_found_by_its_tag_and_no_other_by_it(lasts in prop::collection::btree_set(any::<u8>(), 0..40), stranger in any::<[u8; LENGTH]>()) {
            let endpoints: Vec<SocketAddr> = lasts.into_iter().map(endpoint).collect();
            let tags = Tags::of(&TagKey::derive("d", "s"), endpoints.iter().copied());
            for position in 0..endpoints.len() {
                prop_assert_eq!(tags.find(tags.at(position).unwrap()), Some(position));
            }
            prop_assert_eq!(tags.find(Tag(stranger)), None);
            prop_assert_eq!(tags.at(endpoints.len()), None);
        }

        #[test]
        fn no_value_panics(value in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(tag) = Tag::parse(&value) {
                prop_assert_eq!(&tag.text()[..], &value[..]);
            }
        }
    }
}
