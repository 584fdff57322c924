//! The host that a request is for.

use route::{HostBuf, RequestHost, normalise_authority};
use wire::{RequestHead, Target};

use crate::refusal::Refusal;

/// The host that a request is for. `Host` and an absolute target must agree: RFC 9112 3.2.2 gives precedence to the
/// target, but another server may read it the other way.
pub(crate) fn request_host<'b>(
    request: &RequestHead,
    head: &'b [u8],
    scratch: &'b mut HostBuf,
) -> Result<Option<RequestHost<'b>>, Refusal> {
    let (authority, default_port) = match request.target {
        Target::Absolute { authority, https } => (Some(authority.of(head)), if https { 443 } else { 80 }),
        Target::Origin | Target::Asterisk | Target::Authority => (None, 80),
    };
    let host = request.host.map(|host| host.of(head));
    if let (Some(authority), Some(host)) = (authority, host) {
        same_authority(authority, host, default_port)?;
    }
    match host.or(authority) {
        Some(raw) => normalise_authority(raw, scratch).map(Some).map_err(Refusal::Host),
        None => Ok(None),
    }
}

/// Whether two authorities of a request name the same host and port.
pub(crate) fn same_authority(left: &[u8], right: &[u8], default_port: u16) -> Result<(), Refusal> {
    if left.eq_ignore_ascii_case(right) {
        return Ok(());
    }
    let (mut left_buf, mut right_buf) = (HostBuf::new(), HostBuf::new());
    let left = normalise_authority(left, &mut left_buf).map_err(Refusal::Host)?;
    let right = normalise_authority(right, &mut right_buf).map_err(Refusal::Host)?;
    let port = |host: &RequestHost<'_>| host.port().unwrap_or(default_port);
    if left.as_str() == right.as_str() && port(&left) == port(&right) {
        Ok(())
    } else {
        Err(Refusal::HostMismatch)
    }
}
