//! Connections to a door: what they begin with, and TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::HandshakeKind;
use rustls::client::{ClientConfig, Resumption};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::answer::End;
use crate::everyone::Everyone;
use crate::plan::Door;
use crate::tricks::Opening;

/// For a connection, and for a handshake.
const CONNECT: Duration = Duration::from_secs(3);

/// What every connection of version 2 of the PROXY protocol begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The certificate with which clients prove who they are.
#[derive(Debug)]
pub struct ClientIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientIdentity {
    /// Reads a chain and its key.
    ///
    /// # Errors
    /// When one of them is not PEM, or there is no certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, String> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|error| format!("the certificate is not PEM: {error}"))?;
        if chain.is_empty() {
            return Err("there is no certificate in the file".to_owned());
        }
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|error| format!("the key is not PEM: {error}"))?;
        Ok(Self { chain, key })
    }
}

/// TLS as a client speaks it who believes every certificate. It keeps the sessions of its connections.
#[derive(Clone)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// A client that offers this protocol (ALPN).
    ///
    /// # Errors
    /// When the client's certificate and its key cannot be used together.
    pub(crate) fn new(protocol: &[u8], identity: Option<&ClientIdentity>) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Everyone::new(provider)));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|error| format!("the client's certificate cannot be used: {error}"))?,
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        config.resumption = Resumption::in_memory_sessions(8);
        Ok(Self(Arc::new(config)))
    }
}

/// A connection to a door.
pub(crate) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How to connect.
pub(crate) struct Way<'a> {
    pub(crate) door: &'a Door,
    /// How long an answer may take.
    pub(crate) patience: Duration,
    /// Whether the door wants a PROXY header.
    pub(crate) writes_header: bool,
    /// Which door a forged PROXY header names, and which host.
    pub(crate) forged: (SocketAddr, &'a str),
    pub(crate) opening: Opening,
    pub(crate) tls: &'a Tls,
    /// The server name of the handshake, if one is sent.
    pub(crate) server_name: Option<&'a str>,
}

impl Connection {
    /// # Errors
    /// When there is no connection, or no handshake.
    pub(crate) async fn open(way: &Way<'_>) -> Result<Self, End> {
        let connecting = tokio::time::timeout(CONNECT, TcpStream::connect(way.door.address));
        let mut stream = match connecting.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(End::Unreachable(error.to_string())),
            Err(_) => return Err(End::Unreachable(format!("not within {CONNECT:?}"))),
        };
        let _hint = stream.set_nodelay(true);
        if let Some(header) = opening(way, &stream) {
            // If the door does not want it, the next read shows how it ended.
            let _broken = stream.write_all(&header).await;
        }
        if !way.door.tls {
            return Ok(Self::Plain(stream));
        }
        let name = server_name(way.server_name);
        let shaking = TlsConnector::from(Arc::clone(&way.tls.0)).connect(name, stream);
        match tokio::time::timeout(CONNECT, shaking).await {
            Ok(Ok(stream)) => Ok(Self::Tls(Box::new(stream))),
            Ok(Err(error)) => Err(End::Handshake(error.to_string())),
            Err(_) => Err(End::Handshake(format!("not within {CONNECT:?}"))),
        }
    }

    /// The certificate that the door showed.
    pub(crate) fn certificate(&self) -> Option<Vec<u8>> {
        let Self::Tls(stream) = self else { return None };
        let shown = stream.get_ref().1.peer_certificates()?;
        shown.first().map(|certificate| certificate.to_vec())
    }

    /// Whether an earlier session went on.
    pub(crate) fn is_resumed(&self) -> bool {
        let Self::Tls(stream) = self else { return false };
        stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Whether the handshake chose HTTP/2.
    pub(crate) fn has_chosen_http2(&self) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

/// An address is never sent as a server name, and neither is what is no name.
fn server_name(name: Option<&str>) -> ServerName<'static> {
    let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
    name.unwrap_or_else(|| ServerName::from(IpAddr::V4(Ipv4Addr::LOCALHOST)))
}

/// What the connection begins with.
fn opening(way: &Way<'_>, stream: &TcpStream) -> Option<Vec<u8>> {
    let client = stream.local_addr().ok()?;
    let (other, host) = way.forged;
    match way.opening {
        Opening::Usual if way.writes_header => Some(version_2(client, way.door.bind, &[])),
        Opening::Usual => None,
        Opening::ForgedV1 => {
            let (client, other) = (v4(client), v4(other));
            let text = format!("PROXY TCP4 {} {} {} {}\r\n", client.0, other.0, client.1, other.1);
            Some(text.into_bytes())
        }
        Opening::ForgedV2 => Some(version_2(client, other, &[])),
        Opening::ForgedAuthority => {
            let mut tlv = vec![2];
            tlv.extend_from_slice(&u16::try_from(host.len()).ok()?.to_be_bytes());
            tlv.extend_from_slice(host.as_bytes());
            Some(version_2(client, other, &tlv))
        }
    }
}

/// TCP over IPv4 from `client` to `door`.
fn version_2(client: SocketAddr, door: SocketAddr, tlvs: &[u8]) -> Vec<u8> {
    let (client, door) = (v4(client), v4(door));
    let mut rest = Vec::new();
    rest.extend_from_slice(&client.0.octets());
    rest.extend_from_slice(&door.0.octets());
    rest.extend_from_slice(&client.1.to_be_bytes());
    rest.extend_from_slice(&door.1.to_be_bytes());
    rest.extend_from_slice(tlvs);
    let mut header = SIGNATURE.to_vec();
    header.extend_from_slice(&[0x21, 0x11]);
    header.extend_from_slice(&u16::try_from(rest.len()).unwrap_or(u16::MAX).to_be_bytes());
    header.extend_from_slice(&rest);
    header
}

/// Addresses of IPv6 that are none of IPv4 stand for this machine.
fn v4(address: SocketAddr) -> (Ipv4Addr, u16) {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) if !ip.is_unspecified() => ip,
        IpAddr::V4(_) | IpAddr::V6(_) => Ipv4Addr::LOCALHOST,
    };
    (ip, address.port())
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
