//! `behind`: what stands in front of a door, and what follows from it.

use proxy::{ClientIp, Front, ProxyProtocol};

/// What stands in front of a door, and what follows from it.
pub(super) struct Preset {
    pub(super) name: &'static str,
    pub(super) front: Front,
    pub(super) client_ip: ClientIp,
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) idle: u64,
    pub(super) wait: u64,
    pub(super) timeout: u64,
}

pub(super) fn presets() -> [Preset; 6] {
    let preset = |name, front, client_ip, proxy_protocol, idle, wait, timeout| Preset {
        name,
        front,
        client_ip,
        proxy_protocol,
        idle,
        wait,
        timeout,
    };
    [
        preset(
            "none",
            Front::Other,
            ClientIp::Peer,
            ProxyProtocol::Off,
            620,
            5,
            30,
        ),
        preset(
            "alb",
            Front::Alb,
            ClientIp::ForwardedFor,
            ProxyProtocol::Off,
            620,
            25,
            60,
        ),
        preset(
            "nlb",
            Front::Nlb,
            ClientIp::Peer,
            ProxyProtocol::Off,
            620,
            150,
            90,
        ),
        preset(
            "nlb-proxy-v2",
            Front::Nlb,
            ClientIp::ProxyProtocol,
            ProxyProtocol::Required,
            620,
            150,
            90,
        ),
        preset(
            "gclb",
            Front::Gclb,
            ClientIp::ForwardedForGoogle,
            ProxyProtocol::Off,
            620,
            40,
            60,
        ),
        preset(
            "cloudflare",
            Front::Cloudflare,
            ClientIp::Header("cf-connecting-ip".into()),
            ProxyProtocol::Off,
            905,
            2,
            30,
        ),
    ]
}
