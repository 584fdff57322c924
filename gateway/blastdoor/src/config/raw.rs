//! What may be written in `listeners.toml`. Everything is optional here; the checks fill in the defaults.
//! The comments of these fields are the reference documentation.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

/// The configuration of Blastdoor.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    /// Where Kubernetes objects come from.
    #[serde(default)]
    pub(super) source: RawSource,
    /// The admin port: health, metrics, API. Never expose it to clients.
    #[serde(default)]
    pub(super) admin: RawAdmin,
    /// Logging.
    #[serde(default)]
    pub(super) log: RawLog,
    /// What the whole process may use of its host; the doors share it.
    #[serde(default)]
    pub(super) process: RawProcess,
    /// Where traces go.
    #[serde(default)]
    pub(super) tracing: RawTracing,
    /// The doors, by name.
    #[serde(default)]
    pub(super) listeners: BTreeMap<String, RawListener>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSource {
    /// `kubernetes` (default) or `files`.
    pub(super) kind: Option<String>,
    /// `files`: a directory of Kubernetes YAML, watched. Relative to the configuration file.
    pub(super) path: Option<String>,
    /// `kubernetes`: the namespaces to watch; absent means all.
    pub(super) namespaces: Option<Vec<String>>,
    /// Ingress classes that are admitted at all doors, by name; absent: `selector` and `classes` of each door alone decide.
    pub(super) ingress_class: Option<Vec<String>>,
    /// Allow backends on loopback addresses: for the demo and for tests. Default false.
    pub(super) allow_loopback_backends: Option<bool>,
    /// Allow Services of type ExternalName: their names are resolved by DNS ahead of requests. Default false: they are
    /// refused (503). If set, anyone who can write Services can choose what the gateway calls, including in other
    /// namespaces.
    pub(super) allow_external_names: Option<bool>,
    /// The DNS servers for names of Services: `IP` or `IP:PORT`. Default: those of `/etc/resolv.conf`.
    pub(super) resolvers: Option<Vec<String>>,
    /// Which Secrets are read: `auto` (default), `none`, `named` or `cluster`.
    pub(super) secrets: Option<String>,
    /// Networks (`10.0.0.0/8`, or one address) that are never called as backends, in addition to the built-in ones.
    pub(super) refuse_backends: Option<Vec<String>>,
    /// The gateways of this installation, so that none of them becomes a backend of another.
    pub(super) replicas: Option<RawReplicas>,
    /// How many Secrets and ConfigMaps that Ingresses name are watched individually, each over its own connection.
    /// Default 200.
    pub(super) most_followed: Option<u32>,
    /// How many ports of one Service are used, in their order: rules for others answer 503. Default 250.
    pub(super) service_ports: Option<u32>,
    /// How many EndpointSlices of one Service are read, in the order of their names. Default 1000.
    pub(super) service_slices: Option<u32>,
    /// How many endpoints of one Service are read, over all its ports: each port has an equal part. Default 20000.
    pub(super) service_endpoints: Option<u32>,
    /// `kubernetes`: the name of this installation in its Lease, its Events and its writes to statuses. It must be
    /// unique in the cluster. Default: the name of the Deployment or DaemonSet, derived from `POD_NAME`, else
    /// `blastdoor`.
    pub(super) instance: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawReplicas {
    /// The Services (`namespace/name`) whose endpoints are the pods of all gateways of this installation, including
    /// those that run other doors. Backends at the ports of doors and at the admin port are refused there. Each must
    /// have an EndpointSlice; without one these ports are refused at every address.
    pub(super) services: Option<Vec<String>>,
    /// Doors are also reached through host ports, at addresses of nodes that cannot be listed: backends at the ports of
    /// doors and at the admin port are refused at every address. Default false.
    pub(super) host_ports: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAdmin {
    /// An address, or `unix:PATH`. Default `127.0.0.1:10254`.
    pub(super) bind: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    /// Tracing directives, such as `info` or `info,proxy=debug`. Default `info`.
    pub(super) level: Option<String>,
    /// `auto` (default: text on a terminal, JSON elsewhere), `json` or `text`.
    pub(super) format: Option<String>,
    /// Requests that are logged: `all` (default), `errors` (status 500 and above, refusals, aborted) or `off`.
    pub(super) access: Option<String>,
    /// How much of each log may wait for a sink that is slow; what is beyond is lost and counted. Default 4MiB, from 64KiB
    /// to 256MiB.
    pub(super) buffer: Option<Size>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProcess {
    /// Descriptors (open files and sockets) that the process uses at most: `auto` (default: as many as the hard limit
    /// allows, to which the soft limit is raised) or a number from 64. A part is kept for the admin port, files and the
    /// control plane; doors share the rest.
    pub(super) descriptors: Option<Count>,
    /// Memory that the process uses at most: `auto` (default: the limit of its control group, else half of the host's
    /// memory) or a size from `32MiB`, such as `512MiB`. A limit of the control group holds in any case. Three quarters of
    /// it at most are for traffic; doors share them, and shed before the kernel kills the process.
    pub(super) memory: Option<Size>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTracing {
    /// The collector (OTLP): `http://HOST:PORT` or `https://HOST:PORT`. The usual ports are 4317 for `grpc` and 4318 for `http`.
    /// Default none: nothing is traced.
    pub(super) endpoint: Option<String>,
    /// `grpc` (default), or `http` for Protocol Buffers over HTTP/1.1; then the endpoint may have a path, and `/v1/traces` stands
    /// for none.
    pub(super) protocol: Option<String>,
    /// Further fields of each request to the collector, such as a token. As a variable: `BLASTDOOR_TRACING__HEADERS` with
    /// `{ authorization = "Bearer …" }`.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, Secret>,
    /// A file with further fields, one `name: value` in each line; read again for each request. It wins over `headers`. Relative to
    /// the configuration file.
    pub(super) headers_file: Option<String>,
    /// A PEM file with the authorities of the collector's certificate. Default: those of the system. Relative to the configuration
    /// file.
    pub(super) ca: Option<String>,
    /// How long a request to the collector may take, connecting included. Default 10s.
    pub(super) timeout: Option<String>,
    /// How much may wait to be sent; what is beyond is lost and counted. Default 4MiB, from 64KiB to 256MiB.
    pub(super) queue: Option<Size>,
    /// Attributes of the resource, beside and before those that the gateway knows (`service.name`, `service.version`,
    /// `service.instance.id`, `k8s.pod.name`, `k8s.namespace.name`).
    #[serde(default)]
    pub(super) resource: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDoorTracing {
    /// The share of traces that begin here and are recorded, from 0 to 1. A trace that a trusted client has begun is recorded if that
    /// client says so. Default 0.01.
    pub(super) sample: Option<Share>,
    /// Whose `traceparent` is continued: `trusted` (default: that of clients in `trusted_proxies`; that the peer is
    /// one of them is not enough), `any` (that of every client; whether it is recorded is for the door to say) or `none`.
    pub(super) parents: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawListener {
    /// The address to listen on, such as `[::]:10000`. Required.
    pub(super) bind: Option<String>,
    /// Kubernetes label selector of the Ingresses that are admitted, or a list of selectors, of which one must match.
    /// Each needs at least one positive requirement. Required unless `classes` is set.
    pub(super) selector: Option<OneOrMore>,
    /// Ingress classes that are admitted, by name: an Ingress must have one of them as well. Without `selector` the class
    /// alone decides. An Ingress without a class counts only where the default class is among them. Default: of
    /// all classes.
    pub(super) classes: Option<Vec<String>>,
    /// The scheme with which clients reach this door: `http` or `https`. Required; never taken from a header.
    pub(super) scheme: Option<String>,
    /// What is in front of the door: `alb`, `nlb`, `nlb-proxy-v2`, `gclb`, `cloudflare` or `none` (default). Sets the
    /// defaults of `client_ip`, `proxy_protocol`, `idle_timeout` and `drain`, and says which fields a trusted peer
    /// vouches for.
    pub(super) behind: Option<String>,
    /// Where the client's address comes from: `peer`, `xff`, `proxy-protocol` or `header:NAME`.
    pub(super) client_ip: Option<String>,
    /// Networks of peers that are believed about the client. Default none.
    pub(super) trusted_proxies: Option<Vec<String>>,
    /// A file with further trusted networks, one per line, watched. Relative to the configuration file. A comment such as
    /// `# fetched 2026-10-01` says how old it is, for metrics and alerts.
    pub(super) trusted_proxies_file: Option<String>,
    /// The PROXY header, versions 1 and 2, from trusted proxies only: `off`, `optional` or `required`. Default by
    /// `behind`.
    pub(super) proxy_protocol: Option<String>,
    /// Redirect (308) to https everything that the named door serves and this one does not.
    pub(super) redirect: Option<String>,
    /// A path answered before routing, for trusted peers. Default off.
    pub(super) health_path: Option<String>,
    /// How long a client connection may be idle. Default by `behind`.
    pub(super) idle_timeout: Option<String>,
    /// The durations of the drain. Default by `behind`.
    #[serde(default)]
    pub(super) drain: RawDrain,
    /// Namespaces that may expose here; names or patterns with `*`. Default all.
    pub(super) namespaces: Option<Vec<String>>,
    /// Hosts that may be exposed here: a host, or `*.suffix` for any depth below it. Default all.
    pub(super) hosts: Option<Vec<String>>,
    /// Which namespaces may have rules for a host: `any` (default; each place of a host belongs to the oldest rule for
    /// it) or `namespace` (a host, and what a wildcard covers, belongs to the namespace of the oldest Ingress that
    /// names it).
    pub(super) host_owner: Option<String>,
    /// Namespaces whose `spec.defaultBackend` without rules counts; names or patterns with `*`. Default all; with
    /// `host_owner = "namespace"` the default then answers only hosts that no Ingress names.
    pub(super) default_backend: Option<Vec<String>>,
    /// What is written to `status.loadBalancer` of admitted Ingresses.
    pub(super) publish: Option<RawPublish>,
    /// Sizes and counts.
    #[serde(default)]
    pub(super) limits: RawLimits,
    /// Durations.
    #[serde(default)]
    pub(super) timeouts: RawTimeouts,
    /// Worker threads. Default: one per available core, or one per CPU in `cpus`, but no more than one for each 64 of
    /// `[process] descriptors` and of the hard limit of open files at start.
    pub(super) workers: Option<usize>,
    /// The CPUs that the workers run on, such as `2-3`, so that a flood at another door takes no time from them. The
    /// other doors need a list without these. Default: all CPUs of the process.
    pub(super) cpus: Option<String>,
    /// Bind with SO_REUSEPORT, so that a new process can take over without a gap. Default true.
    pub(super) reuse_port: Option<bool>,
    /// Another door's selector may admit the same Ingresses; must be set on both. Default false.
    pub(super) overlap: Option<bool>,
    /// The port that clients used, sent as `X-Forwarded-Port`. Default 443 or 80 by `scheme`.
    pub(super) forwarded_port: Option<u16>,
    /// HTTP/2 by prior knowledge on the same port. Default true on doors without `tls`.
    pub(super) h2c: Option<bool>,
    /// Whether answers of the gateway's own say in `Proxy-Status` (RFC 9209) what went wrong, such as
    /// `blastdoor; error=connection_refused`. They name nothing behind the door, and say the same of every host that it does
    /// not serve. Default false: a door that faces the internet tells strangers no more than it must.
    pub(super) proxy_status: Option<bool>,
    /// Whether Ingresses may have the TLS of their hosts passed through (`ssl-passthrough`); if not, they are closed
    /// (503). Default true, but false if `tls.client_auth` is not `off`, because the door sees no client certificate of
    /// connections that it passes through.
    pub(super) passthrough: Option<bool>,
    /// TLS, if the door terminates it itself.
    pub(super) tls: Option<RawTls>,
    /// What filters (middlewares, annotations) may use.
    #[serde(default)]
    pub(super) filters: RawFilters,
    /// Which requests are traced. Default none, and what clients say of traces passes through.
    pub(super) tracing: Option<RawDoorTracing>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFilters {
    /// Whom filters may ask beside the Services of their own namespace and those that allow it: Services
    /// (`namespace/name`), hosts, networks. Default none.
    pub(super) call: Option<Vec<String>>,
    /// Clients whose rates are remembered at once, 16 bytes each; rounded up to a power of two. Default 2097152.
    pub(super) keys: Option<u32>,
    /// Bytes of bodies that filters may hold at once. Default 64MiB.
    pub(super) buffer: Option<Size>,
    /// Threads that verify passwords. Default 2.
    pub(super) verifiers: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDrain {
    /// How long new connections are accepted after SIGTERM, while load balancers deregister the target.
    pub(super) wait: Option<String>,
    /// How long requests in flight may take after that.
    pub(super) timeout: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPublish {
    /// A host name.
    pub(super) hostname: Option<String>,
    /// A Service (`namespace/name`) whose address is published.
    pub(super) service: Option<String>,
    /// IP addresses.
    pub(super) ip: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    /// Open client connections of the door. Default 30000.
    pub(super) connections: Option<usize>,
    /// Open connections per client: an IPv4 address, or an IPv6 network of 64 bits. 0 is unlimited. Default: a share of
    /// `connections`, by `client_share`, if `client_ip` is `peer` or `proxy-protocol`; otherwise unlimited.
    pub(super) connections_per_client: Option<usize>,
    /// What one client may hold of the door's connections and of the places on HTTP/2 connections to an endpoint, in
    /// percent, 1 to 100; the rest is kept for others. Default 50: as many as are free. 100 is no bound.
    pub(super) client_share: Option<usize>,
    /// Bytes of a request or response head. Default 32KiB.
    pub(super) header_bytes: Option<Size>,
    /// Header fields of a head. Default 100.
    pub(super) headers: Option<usize>,
    /// Bytes of a request target. Default 16KiB.
    pub(super) uri_bytes: Option<Size>,
    /// Bytes of a request body, or `unlimited` (default).
    pub(super) body: Option<Size>,
    /// Concurrent HTTP/2 streams of a connection, 1 to 1000. Default 100.
    pub(super) h2_streams: Option<usize>,
    /// Bytes that all streams of one HTTP/2 connection may hold for a client that reads slowly, 64KiB to 16MiB, and at
    /// least 3 KiB for each of `h2_streams`. Default 512KiB.
    pub(super) h2_buffer: Option<Size>,
    /// Series of metrics about single routes and their Services, 100 to 1000000, or 0: none. What comes too late for one of
    /// its own counts as `other`. An Ingress with its Service takes about 16. Default 5000.
    pub(super) route_series: Option<usize>,
    /// How many rules one Ingress may have at this door: its paths, and the hosts of its `spec.tls`. The hosts of one that has
    /// more answer 503. Default 5000.
    pub(super) ingress_rules: Option<u32>,
    /// How many rules all Ingresses of one namespace may have at this door. Older ones come first; the hosts of those beyond
    /// answer 503. Default 40000.
    pub(super) namespace_rules: Option<u32>,
    /// How many endpoints the Services may have that Ingresses of one namespace name at this door, over all their ports. Older
    /// Ingresses come first; the hosts of those beyond answer 503. Default 200000.
    pub(super) namespace_endpoints: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTimeouts {
    /// From accept to the first byte. Default 10s.
    pub(super) first_byte: Option<String>,
    /// The TLS handshake. Default 10s.
    pub(super) tls_handshake: Option<String>,
    /// From the first byte of a request to the end of its head. Default 10s.
    pub(super) head: Option<String>,
    /// Without progress in the request body (less than 1 KiB counts as none). Default 30s.
    pub(super) body_idle: Option<String>,
    /// Without progress in writing to the client. Default 30s.
    pub(super) write_stall: Option<String>,
    /// For connecting to an endpoint. Default 2s.
    pub(super) connect: Option<String>,
    /// From the end of the request to the end of the response head. Default 60s.
    pub(super) response_head: Option<String>,
    /// Without progress in the response body. Default 60s; an hour for server-sent events and upgraded connections.
    pub(super) response_idle: Option<String>,
    /// How long upgraded connections, passed-through connections and server-sent events continue when their route has
    /// left the door. Default 0s.
    pub(super) withdrawn: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    /// `ingress` (default): from each Ingress's `spec.tls` Secrets, by SNI.
    pub(super) certificates: Option<String>,
    /// For names for which no Ingress has a certificate: `{ secret = "ns/name" }`, `{ cert = "tls.crt", key = "tls.key"
    /// }` or `"self-signed"`. Default none: their handshakes fail.
    pub(super) default_certificate: Option<RawDefaultCertificate>,
    /// The oldest version that is accepted: `1.2` (default) or `1.3`.
    pub(super) min_version: Option<String>,
    /// Client certificates.
    #[serde(default)]
    pub(super) client_auth: RawClientAuth,
}

/// A certificate, or the word `self-signed`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(super) enum RawDefaultCertificate {
    /// `self-signed`: made at start; for load balancers that do not verify their targets.
    Word(String),
    /// From a Secret or from files.
    Table(RawCertificate),
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCertificate {
    /// `namespace/name` of a Secret of type `kubernetes.io/tls`.
    pub(super) secret: Option<String>,
    /// A PEM file with the chain, the server's own certificate first, watched. Relative to the configuration file.
    pub(super) cert: Option<String>,
    /// A PEM file with the private key, watched. Relative to the configuration file.
    pub(super) key: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawClientAuth {
    /// `off` (default), `optional` (a certificate that is presented must be valid) or `require`.
    pub(super) mode: Option<String>,
    /// The authorities of client certificates. Required unless the mode is `off`.
    pub(super) ca: Option<RawAuthorities>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAuthorities {
    /// `namespace/name` of a Secret with `ca.crt`.
    pub(super) secret: Option<String>,
    /// A PEM file, watched. Relative to the configuration file.
    pub(super) file: Option<String>,
}

/// By hand, because a derived choice would not say which key of the table is wrong.
impl<'de> Deserialize<'de> for RawDefaultCertificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;

        impl<'de> Visitor<'de> for Choice {
            type Value = RawDefaultCertificate;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str(
                    "`{ secret = \"ns/name\" }`, `{ cert = \"FILE\", key = \"FILE\" }`, \"self-signed\"",
                )
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Self::Value, E> {
                Ok(RawDefaultCertificate::Word(word.to_owned()))
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
                RawCertificate::deserialize(MapAccessDeserializer::new(map)).map(RawDefaultCertificate::Table)
            }
        }

        deserializer.deserialize_any(Choice)
    }
}

/// A text that nobody may read.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct Secret(pub(super) String);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("(secret)")
    }
}

/// A share of all, from 0 to 1.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[serde(transparent)]
pub(super) struct Share(pub(super) f64);

/// By hand, because a variable has a number as text.
impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;

        impl Visitor<'_> for Number {
            type Value = Share;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a number from 0 to 1")
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Share, E> {
                Ok(Share(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Share, E> {
                i32::try_from(number)
                    .map(|number| Share(f64::from(number)))
                    .map_err(|_large| E::invalid_value(Unexpected::Signed(number), &self))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Share, E> {
                u32::try_from(number)
                    .map(|number| Share(f64::from(number)))
                    .map_err(|_large| E::invalid_value(Unexpected::Unsigned(number), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Share, E> {
                text.parse()
                    .map(Share)
                    .map_err(|_word| E::invalid_value(Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Number)
    }
}

/// A text, or a list of texts.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(super) enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

/// By hand, because a derived choice would not say what was written instead.
impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;

        impl<'de> Visitor<'de> for Choice {
            type Value = OneOrMore;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a text, or a list of texts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(OneOrMore::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(OneOrMore::More)
            }
        }

        deserializer.deserialize_any(Choice)
    }
}

/// A number of bytes, or text such as `32KiB`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Size {
    /// Bytes.
    Bytes(u64),
    /// With a unit: `KiB`, `MiB`, `GiB`; or `unlimited` where that is allowed.
    Text(String),
}

/// By hand, because a derived choice would not say what was written instead.
impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;

        impl Visitor<'_> for Choice {
            type Value = Size;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("bytes as a number, or text such as \"32KiB\"")
            }

            fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size::Bytes(bytes))
            }

            fn visit_i64<E: Error>(self, bytes: i64) -> Result<Size, E> {
                u64::try_from(bytes)
                    .map(Size::Bytes)
                    .map_err(|_negative| E::invalid_value(Unexpected::Signed(bytes), &self))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
                Ok(Size::Text(text.to_owned()))
            }
        }

        deserializer.deserialize_any(Choice)
    }
}

/// A number, or a word such as `auto`.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Count {
    /// A whole number.
    Number(u64),
    /// A word.
    Word(String),
}

/// By hand, because a derived choice would not say what was written instead.
impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;

        impl Visitor<'_> for Choice {
            type Value = Count;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a whole number, or \"auto\"")
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Count, E> {
                Ok(Count::Number(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Count, E> {
                u64::try_from(number)
                    .map(Count::Number)
                    .map_err(|_negative| E::invalid_value(Unexpected::Signed(number), &self))
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Count, E> {
                Ok(Count::Word(word.to_owned()))
            }
        }

        deserializer.deserialize_any(Choice)
    }
}
