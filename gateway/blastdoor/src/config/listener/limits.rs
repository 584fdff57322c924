//! `limits` and `timeouts` of a door.

use std::time::Duration;

use proxy::{ClientIp, ClientShare, Limits, PerClient, Timeouts};

use super::super::diagnostics::Section;
use super::super::raw::{RawListener, Size};
use super::super::size::bounded;
use super::super::units::{SIZE, size};

pub(super) fn limits(section: &mut Section<'_, '_>, raw: &RawListener, client_ip: &ClientIp) -> Limits {
    let limits = &raw.limits;
    let connections = limits.connections.unwrap_or(30_000);
    if connections == 0 {
        section.error(
            "limits.connections",
            "0 would refuse every client; allowed: 1 and above",
        );
    }
    let headers = limits.headers.unwrap_or(100);
    if !(1..=10_000).contains(&headers) {
        section.error(
            "limits.headers",
            format!("{headers} is out of range; allowed: 1 to 10000"),
        );
    }
    let client_share = client_share(section, limits.client_share);
    Limits {
        connections,
        connections_per_client: match (limits.connections_per_client, client_ip) {
            (Some(0), _) => PerClient::Unlimited,
            (Some(limit), _) => PerClient::Fixed(limit),
            // Only then is the client known when its connection arrives.
            (None, ClientIp::Peer | ClientIp::ProxyProtocol) => PerClient::Share(client_share),
            (None, ClientIp::ForwardedFor | ClientIp::ForwardedForGoogle | ClientIp::Header(_)) => {
                PerClient::Unlimited
            }
        },
        client_share,
        header_bytes: bytes(
            section,
            "limits.header_bytes",
            limits.header_bytes.as_ref(),
            32 << 10,
        ),
        headers,
        uri_bytes: bytes(section, "limits.uri_bytes", limits.uri_bytes.as_ref(), 16 << 10),
        body: body(section, limits.body.as_ref()),
        h2_streams: h2_streams(section, limits.h2_streams),
        h2_buffer: bounded(
            section,
            "limits.h2_buffer",
            limits.h2_buffer.as_ref(),
            512 << 10,
            ["64KiB", "16MiB"],
        ),
        route_series: route_series(section, limits.route_series),
    }
}

fn route_series(section: &mut Section<'_, '_>, written: Option<usize>) -> usize {
    let series = written.unwrap_or(5_000);
    if series != 0 && !(100..=1_000_000).contains(&series) {
        let message = format!("{series} is out of range; allowed: 0 (none), 100 to 1000000");
        section.error("limits.route_series", message);
    }
    series
}

fn h2_streams(section: &mut Section<'_, '_>, written: Option<usize>) -> u32 {
    let streams = written.unwrap_or(100);
    match u32::try_from(streams) {
        Ok(streams) if (1..=1_000).contains(&streams) => streams,
        Ok(_) | Err(_) => {
            let message = format!("{streams} is out of range; allowed: 1 to 1000");
            section.error("limits.h2_streams", message);
            100
        }
    }
}

fn client_share(section: &mut Section<'_, '_>, written: Option<usize>) -> ClientShare {
    let Some(percent) = written else {
        return ClientShare::default();
    };
    let share = u8::try_from(percent).ok().and_then(ClientShare::percent);
    share.unwrap_or_else(|| {
        let message = format!("{percent} is out of range; allowed: 1 to 100 (percent; 100 is no bound)");
        section.error("limits.client_share", message);
        ClientShare::default()
    })
}

/// A size that must fit in memory many times over.
fn bytes(section: &mut Section<'_, '_>, key: &str, written: Option<&Size>, default: usize) -> usize {
    bounded(section, key, written, default, ["256", "256KiB"])
}

fn body(section: &mut Section<'_, '_>, written: Option<&Size>) -> Option<u64> {
    match written {
        None => None,
        Some(Size::Bytes(bytes)) => Some(*bytes),
        Some(Size::Text(text)) if text == "unlimited" => None,
        Some(Size::Text(text)) => size(text).or_else(|| {
            section.error(
                "limits.body",
                format!("`{text}` is not a size; allowed: unlimited, {SIZE}"),
            );
            None
        }),
    }
}

pub(super) fn timeouts(section: &mut Section<'_, '_>, raw: &RawListener, idle: Duration) -> Timeouts {
    let timeouts = &raw.timeouts;
    let mut of = |key: &str, written: &Option<String>, default: u64| {
        section.duration(
            &format!("timeouts.{key}"),
            written.as_deref(),
            Duration::from_secs(default),
        )
    };
    Timeouts {
        first_byte: of("first_byte", &timeouts.first_byte, 10),
        tls_handshake: of("tls_handshake", &timeouts.tls_handshake, 10),
        head: of("head", &timeouts.head, 10),
        idle,
        body_idle: of("body_idle", &timeouts.body_idle, 30),
        write_stall: of("write_stall", &timeouts.write_stall, 30),
        connect: of("connect", &timeouts.connect, 2),
        response_head: of("response_head", &timeouts.response_head, 60),
        response_idle: of("response_idle", &timeouts.response_idle, 60),
        withdrawn: section.duration_or_zero(
            "timeouts.withdrawn",
            timeouts.withdrawn.as_deref(),
            Duration::ZERO,
        ),
    }
}
