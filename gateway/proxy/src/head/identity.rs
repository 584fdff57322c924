//! Who the client is, and which request this is.

use std::io::Write;
use std::net::IpAddr;

use wire::forwarded::{client_at_depth, client_from_xff, parse_hop};
use wire::{FieldId, RequestHead, Span};

use crate::settings::{ClientIp, Front, ProxyProtocol, Settings};

/// Longest request id that is accepted from a trusted peer.
const REQUEST_ID_BYTES: usize = 128;

/// Longest `X-Amzn-Trace-Id` that is logged.
const AMAZON_TRACE_BYTES: usize = 512;

/// The client of one request, as determined by the door's settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity {
    peer: Peer,
    /// What the peer says about the client is believed.
    pub(crate) trusted: bool,
    /// The client: `X-Real-IP` and the access log.
    pub(crate) client: IpAddr,
    pub(crate) request_id: RequestId,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    /// The TCP peer, or the source in the PROXY header.
    pub(crate) address: IpAddr,
    text: AddressText,
    /// A PROXY header named it.
    proxied: bool,
    /// The peer that sent a PROXY header, with or without a source in it.
    herald: Option<IpAddr>,
}

/// An IP address as text, formatted once per connection and written with each of its requests.
#[derive(Debug, Clone, Copy)]
struct AddressText {
    /// The longest is an IPv6 address with eight groups of four.
    bytes: [u8; 39],
    length: u8,
}

/// Where a request's id comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RequestId {
    /// A trusted peer's, at this position in the head.
    Kept(Span),
    /// The gateway's own: 32 hexadecimal digits of this number.
    Made(u128),
}

impl Identity {
    pub(crate) fn of(peer: &Peer, settings: &Settings, request: &RequestHead, head: &[u8]) -> Self {
        // If the PROXY header names the client, everything after it comes from the client, whatever its network.
        let is_client = peer.proxied && settings.client_ip == ClientIp::ProxyProtocol;
        let trusted = !is_client && settings.trusted.contains(peer.address);
        let client = if trusted {
            reported_client(peer.address, settings, request, head)
        } else {
            peer.address
        };
        let kept = request
            .fields
            .iter()
            .find(|field| trusted && field.id == FieldId::XRequestId)
            .map(|field| field.value);
        let sane = |span: &Span| {
            (1..=REQUEST_ID_BYTES).contains(&span.len()) && span.of(head).iter().all(u8::is_ascii_graphic)
        };
        Self {
            peer: *peer,
            trusted,
            client,
            request_id: match kept.filter(sane) {
                Some(span) => RequestId::Kept(span),
                None => RequestId::Made(fastrand::u128(..)),
            },
        }
    }

    /// Whether the request is that of a trusted program, not of somebody for whom a trusted peer forwards it: what load
    /// balancers forward as it came is the client's word, and not theirs. An address in `X-Forwarded-For` that is not
    /// trusted shows this even where the client is not taken from there.
    pub(crate) fn is_of_trusted(&self, settings: &Settings, request: &RequestHead, head: &[u8]) -> bool {
        let trusts = |address| settings.trusted.contains(address);
        let is_forwarded = || {
            let origin = client_from_xff(forwarded_for(request, head), trusts, self.peer.address);
            // Google's own address is the last one, and the client is the one before it.
            settings.client_ip != ClientIp::ForwardedForGoogle && !trusts(origin)
        };
        self.trusted && trusts(self.client) && !is_forwarded()
    }

    /// The other end of the connection, or who a PROXY header says it is.
    pub(crate) fn peer(&self) -> IpAddr {
        self.peer.address
    }

    /// The peer as text.
    pub(crate) fn write_peer(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.peer.text.as_bytes());
    }

    /// The client as text.
    pub(crate) fn write_client(&self, out: &mut Vec<u8>) {
        if self.client == self.peer.address {
            self.write_peer(out);
        } else {
            out.extend_from_slice(AddressText::new(self.client).as_bytes());
        }
    }
}

/// What a load balancer of AWS calls the request, behind one: the value of `X-Amzn-Trace-Id`, which it adds to each. It is for
/// people: nothing depends on it, so that whoever reaches the door may send it.
pub(crate) fn amazon_trace(settings: &Settings, request: &RequestHead, head: &[u8]) -> Option<Span> {
    match settings.front {
        Front::Alb => {}
        Front::Other | Front::Nlb | Front::Gclb | Front::Cloudflare => return None,
    }
    let mut fields = request.fields.iter();
    let field = fields.find(|field| field.name.of(head).eq_ignore_ascii_case(b"x-amzn-trace-id"))?;
    (1..=AMAZON_TRACE_BYTES)
        .contains(&field.value.len())
        .then_some(field.value)
}

fn forwarded_for<'h>(request: &'h RequestHead, head: &'h [u8]) -> impl DoubleEndedIterator<Item = &'h [u8]> {
    request
        .fields
        .iter()
        .filter(|field| field.id == FieldId::XForwardedFor)
        .map(|field| field.value.of(head))
}

/// The client that a trusted peer names; the peer itself if it names none that can be read.
fn reported_client(peer: IpAddr, settings: &Settings, request: &RequestHead, head: &[u8]) -> IpAddr {
    let trusts = |address| settings.trusted.contains(address);
    let forwarded_for = || forwarded_for(request, head);
    match &settings.client_ip {
        ClientIp::Peer | ClientIp::ProxyProtocol => peer,
        ClientIp::ForwardedFor => client_from_xff(forwarded_for(), trusts, peer),
        ClientIp::ForwardedForGoogle => client_at_depth(forwarded_for(), 1, trusts, peer),
        ClientIp::Header(name) => {
            let mut values = request
                .fields
                .iter()
                .filter(|field| field.name.of(head).eq_ignore_ascii_case(name.as_bytes()));
            // If there are two, neither is believed.
            match (values.next(), values.next()) {
                (Some(field), None) => parse_hop(field.value.of(head)).unwrap_or(peer),
                _ => peer,
            }
        }
    }
}

impl Peer {
    /// The other end of the TCP connection.
    pub(crate) fn of_socket(address: IpAddr) -> Self {
        Self {
            address,
            text: AddressText::new(address),
            proxied: false,
            herald: None,
        }
    }

    /// The source that this peer's PROXY header names, else the peer itself.
    pub(crate) fn heralded(self, source: Option<IpAddr>) -> Self {
        Self {
            proxied: source.is_some(),
            herald: Some(self.address),
            ..source.map_or(self, Self::of_socket)
        }
    }

    /// Whether a PROXY header names it.
    pub(crate) fn is_named(&self) -> bool {
        self.proxied
    }

    /// Whether a connection that arrived as this one did would be admitted now.
    pub(crate) fn came_as(&self, settings: &Settings) -> bool {
        match (settings.proxy_protocol, self.herald) {
            (ProxyProtocol::Off | ProxyProtocol::Optional, None) => true,
            (ProxyProtocol::Required, None) | (ProxyProtocol::Off, Some(_)) => false,
            (ProxyProtocol::Optional | ProxyProtocol::Required, Some(herald)) => {
                settings.trusted.contains(herald)
            }
        }
    }
}

impl AddressText {
    fn new(address: IpAddr) -> Self {
        let mut bytes = [0; 39];
        let mut rest = bytes.as_mut_slice();
        let room = rest.len();
        // Every address fits, including an IPv4-mapped one.
        let _fits = write!(rest, "{address}");
        let length = u8::try_from(room - rest.len()).unwrap_or_default();
        Self { bytes, length }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl RequestId {
    /// Appends the id as text.
    pub(crate) fn write(self, head: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Kept(span) => out.extend_from_slice(span.of(head)),
            Self::Made(number) => out.extend_from_slice(&hexadecimal(number)),
        }
    }
}

/// The 32 hexadecimal digits of a number, in lower case.
fn hexadecimal(number: u128) -> [u8; 32] {
    let mut digits = [0; 32];
    let (high, low) = digits.split_at_mut(16);
    let half = |shift: u32| u64::try_from(number >> shift & u128::from(u64::MAX)).unwrap_or_default();
    high.copy_from_slice(&digits_of(half(64)));
    low.copy_from_slice(&digits_of(half(0)));
    digits
}

/// The 16 hexadecimal digits of a number, in lower case. All of them at once: each request has two such numbers, and one
/// digit after the other took ten times as long wherever the compiler did not see through it.
fn digits_of(number: u64) -> [u8; 16] {
    const ONE_IN_EACH: u128 = u128::MAX / 0xff;
    const TO_LETTERS: u128 = b'a' as u128 - b'0' as u128 - 10;
    // Halves of what is together move apart, until each byte has four bits.
    const STEPS: [(u32, u128); 4] = [
        (32, 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff),
        (16, 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f_0f0f),
    ];
    let mut spread = u128::from(number);
    for (distance, kept) in STEPS {
        spread = (spread | spread << distance) & kept;
    }
    // Those of ten and more overflow into their upper half with six more.
    let letters = (spread + 6 * ONE_IN_EACH) >> 4 & ONE_IN_EACH;
    (spread + u128::from(b'0') * ONE_IN_EACH + letters * TO_LETTERS).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::{AddressText, hexadecimal};

    #[test]
    fn a_number_has_32_digits() {
        let all = 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210;
        for number in [
            0,
            1,
            9,
            10,
            15,
            16,
            all,
            all << 4,
            all >> 4,
            u128::MAX,
            u128::MAX - 9,
        ] {
            assert_eq!(
                hexadecimal(number),
                *format!("{number:032x}").as_bytes(),
                "{number:x}"
            );
        }
    }

    #[test]
    fn every_address_fits_its_buffer() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "2001:db8:1111:2222:3333:4444:5555:6666",
            "::ffff:255.255.255.255",
        ] {
            let address = text.parse().unwrap();
            assert_eq!(AddressText::new(address).as_bytes(), text.as_bytes());
        }
    }
}
