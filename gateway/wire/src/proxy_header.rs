//! The PROXY header, versions 1 and 2 (haproxy.org, `proxy-protocol.txt`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

/// The signature of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Longest version 1 line, CRLF included.
const LINE_BYTES: usize = 107;

/// Longest version 2 header. Only TLVs that no sender uses would make it longer.
const HEADER_BYTES: usize = 4096;

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyStep {
    /// More bytes are needed to decide.
    NeedMore,
    /// The connection does not start with a PROXY header.
    NotProxy,
    /// A PROXY header.
    Header {
        /// Its length in bytes.
        consumed: usize,
        /// Source and destination; `None` for health checks (`LOCAL`) and families other than TCP over IP.
        addresses: Option<(SocketAddr, SocketAddr)>,
    },
}

/// Why a PROXY header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The line of version 1 does not follow the grammar.
    #[error("malformed PROXY header, version 1")]
    Version1,
    /// Version, command, family or length of version 2 is not valid.
    #[error("malformed PROXY header, version 2")]
    Version2,
    /// Version 2: the TLVs after the addresses do not end where the header does.
    #[error("malformed PROXY header, version 2: a TLV runs past the end of the header")]
    Tlv,
    /// Version 2: the header has a checksum (`PP2_TYPE_CRC32C`) that is wrong.
    #[error("malformed PROXY header, version 2: its CRC32C is wrong")]
    Checksum,
    /// Longer than any sender needs.
    #[error("the PROXY header is longer than 4096 bytes")]
    TooLong,
}

/// The TLV that holds the checksum of the whole header, computed with zeros in its place.
const CRC32C: u8 = 0x03;

/// Looks for a PROXY header at the start of a connection.
///
/// # Errors
/// When the bytes start like a PROXY header and turn out not to be one.
pub fn parse(buffer: &[u8]) -> Result<ProxyStep, ProxyError> {
    let begins = |signature: &[u8]| {
        let length = signature.len().min(buffer.len());
        signature.get(..length) == buffer.get(..length)
    };
    if begins(SIGNATURE) {
        return if buffer.len() < SIGNATURE.len() {
            Ok(ProxyStep::NeedMore)
        } else {
            version2(buffer)
        };
    }
    if begins(b"PROXY ") {
        return version1(buffer);
    }
    Ok(ProxyStep::NotProxy)
}

fn version1(buffer: &[u8]) -> Result<ProxyStep, ProxyError> {
    let Some(lf) = memchr::memchr(
        b'\n',
        buffer.get(..buffer.len().min(LINE_BYTES)).unwrap_or_default(),
    ) else {
        return if buffer.len() < LINE_BYTES {
            Ok(ProxyStep::NeedMore)
        } else {
            Err(ProxyError::Version1)
        };
    };
    let line = buffer
        .get(..lf)
        .and_then(|line| line.strip_suffix(b"\r"))
        .ok_or(ProxyError::Version1)?;
    let line = std::str::from_utf8(line).map_err(|_invalid| ProxyError::Version1)?;
    let mut words = line.split(' ').skip(1);
    let mut word = || words.next().ok_or(ProxyError::Version1);
    let addresses = match word()? {
        "UNKNOWN" => {
            return Ok(ProxyStep::Header {
                consumed: lf + 1,
                addresses: None,
            });
        }
        family @ ("TCP4" | "TCP6") => {
            let address = |text: &str| match family {
                "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4),
                _ => text.parse::<Ipv6Addr>().map(IpAddr::V6),
            };
            let port = |text: &str| match text.as_bytes() {
                b"0" => Ok(0),
                [b'1'..=b'9', ..] => text.parse::<u16>().map_err(|_invalid| ProxyError::Version1),
                _ => Err(ProxyError::Version1),
            };
            let source = address(word()?).map_err(|_invalid| ProxyError::Version1)?;
            let destination = address(word()?).map_err(|_invalid| ProxyError::Version1)?;
            let (from, to) = (port(word()?)?, port(word()?)?);
            (SocketAddr::new(source, from), SocketAddr::new(destination, to))
        }
        _ => return Err(ProxyError::Version1),
    };
    if words.next().is_some() {
        return Err(ProxyError::Version1);
    }
    Ok(ProxyStep::Header {
        consumed: lf + 1,
        addresses: Some(addresses),
    })
}

fn version2(buffer: &[u8]) -> Result<ProxyStep, ProxyError> {
    let Some([version_command, family, high, low]) = buffer.get(12..16) else {
        return Ok(ProxyStep::NeedMore);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    if version_command >> 4 != 2 || version_command & 15 > 1 {
        return Err(ProxyError::Version2);
    }
    if 16 + length > HEADER_BYTES {
        return Err(ProxyError::TooLong);
    }
    let Some(header) = buffer.get(..16 + length) else {
        return Ok(ProxyStep::NeedMore);
    };
    let body = header.get(16..).unwrap_or_default();
    let local = version_command & 15 == 0;
    let block = match family {
        // UNSPEC: no address is known.
        0x00 => 0,
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        // In a sender's own health check nothing counts, not even the family.
        _ if local => body.len(),
        _ => return Err(ProxyError::Version2),
    };
    let tlvs = match body.get(block..) {
        Some(tlvs) => tlvs,
        None if local => &[],
        None => return Err(ProxyError::Version2),
    };
    match checksum(tlvs) {
        Ok(None) => {}
        Ok(Some((start, sent))) => {
            let start = header.len() - tlvs.len() + start;
            if crc32c(header, start..start + 4) != sent {
                return Err(ProxyError::Checksum);
            }
        }
        Err(_) if local => {}
        Err(error) => return Err(error),
    }
    let addresses = match (local, family) {
        (true, _) => None,
        (false, 0x11) => Some(inet(body).ok_or(ProxyError::Version2)?),
        (false, 0x21) => Some(inet6(body).ok_or(ProxyError::Version2)?),
        // Datagrams and UNIX sockets: a valid header without an address for us.
        (false, _) => None,
    };
    Ok(ProxyStep::Header {
        consumed: 16 + length,
        addresses,
    })
}

/// Walks over the TLVs and returns the checksum that they contain, with its position.
fn checksum(tlvs: &[u8]) -> Result<Option<(usize, u32)>, ProxyError> {
    let mut found = None;
    let mut rest = tlvs;
    while let [kind, tail @ ..] = rest {
        let (length, tail) = tail.split_first_chunk::<2>().ok_or(ProxyError::Tlv)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (value, behind) = tail.split_at_checked(length).ok_or(ProxyError::Tlv)?;
        if *kind == CRC32C {
            let value = value.try_into().map_err(|_not_four_bytes| ProxyError::Checksum)?;
            let place = (tlvs.len() - tail.len(), u32::from_be_bytes(value));
            if found.replace(place).is_some() {
                return Err(ProxyError::Checksum);
            }
        }
        rest = behind;
    }
    Ok(found)
}

/// The Castagnoli checksum (RFC 9260, appendix A) of a header, with zeros for the bytes of `own`. Bit by bit: a header
/// is short, and there is one for each connection.
fn crc32c(header: &[u8], own: Range<usize>) -> u32 {
    let bytes = header.iter().zip(0..);
    !bytes.fold(u32::MAX, |crc, (byte, at)| {
        let byte = if own.contains(&at) { 0 } else { *byte };
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    })
}

fn inet(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = body.split_first_chunk::<4>()?;
    let (destination, rest) = rest.split_first_chunk::<4>()?;
    let (from, to) = ports(rest)?;
    Some((
        SocketAddr::from((*source, from)),
        SocketAddr::from((*destination, to)),
    ))
}

fn inet6(body: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, rest) = body.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    let (from, to) = ports(rest)?;
    Some((
        SocketAddr::from((*source, from)),
        SocketAddr::from((*destination, to)),
    ))
}

fn ports(bytes: &[u8]) -> Option<(u16, u16)> {
    let (from, rest) = bytes.split_first_chunk::<2>()?;
    let (to, _) = rest.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*from), u16::from_be_bytes(*to)))
}
