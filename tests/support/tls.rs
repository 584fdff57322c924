//! TLS for tests: authorities and certificates, clients that look at what they are shown, and a TLS front for any
//! backend.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prove::Everyone;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use rustls::client::{ClientConnection, Resumption};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, StreamOwned, SupportedProtocolVersion};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Client;
use crate::http2::Http2;

/// Protocols that a client offers.
pub const H2: &[&[u8]] = &[b"h2", b"http/1.1"];
/// HTTP/1.1 alone.
pub const H1: &[&[u8]] = &[b"http/1.1"];

/// A certificate authority.
pub struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate as PEM.
    pub chain: String,
    /// The private key as PEM.
    pub key: String,
}

impl Authority {
    /// A new one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// Its own certificate as PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server's certificate for these names.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Identity {
        let params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// The same, but it has expired at the end of 2020.
    #[must_use]
    pub fn expired_server(&self, names: &[&str]) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2020, 12, 31);
        self.sign(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client's certificate.
    #[must_use]
    pub fn client(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let uri = format!(
            "spiffe://test/{}",
            name.replace(|character: char| !character.is_ascii_alphanumeric(), "-")
        );
        params
            .subject_alt_names
            .push(SanType::URI(uri.try_into().unwrap()));
        self.sign(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Identity {
        params.extended_key_usages.push(usage);
        let key = KeyPair::generate().unwrap();
        Identity {
            chain: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Identity {
    /// The certificate itself.
    #[must_use]
    pub fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }

    fn pair(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (
            vec![self.der()],
            PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap(),
        )
    }
}

/// A client to be: it believes every certificate and keeps the sessions of its earlier connections.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
}

/// What a client is made of.
pub struct Offer<'a> {
    /// Protocols, best first.
    pub alpn: &'a [&'a [u8]],
    /// The client's own certificate.
    pub identity: Option<&'a Identity>,
    /// Versions of TLS.
    pub versions: &'a [&'static SupportedProtocolVersion],
    /// Whom to believe; `None` believes everyone.
    pub authority: Option<&'a Authority>,
}

impl Default for Offer<'_> {
    fn default() -> Self {
        Self {
            alpn: H1,
            identity: None,
            versions: rustls::ALL_VERSIONS,
            authority: None,
        }
    }
}

/// A handshake that is over.
pub struct Shaken {
    /// The connection.
    pub stream: StreamOwned<ClientConnection, TcpStream>,
}

impl TlsClient {
    /// A client that offers this.
    #[must_use]
    pub fn new(offer: &Offer<'_>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(offer.versions)
            .unwrap();
        let builder = match offer.authority {
            None => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Everyone::new(Arc::clone(&provider)))),
            Some(authority) => builder.with_root_certificates(roots(authority.pem())),
        };
        let mut config = match offer.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let (chain, key) = identity.pair();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = offer.alpn.iter().map(|protocol| protocol.to_vec()).collect();
        config.resumption = Resumption::in_memory_sessions(32);
        Self {
            config: Arc::new(config),
        }
    }

    /// Shakes hands. Without a name, no server name is sent.
    ///
    /// # Errors
    /// When the handshake fails; also when a server of TLS 1.3 takes back what it seemed to accept.
    pub fn connect(&self, address: SocketAddr, name: Option<&str>) -> io::Result<Shaken> {
        self.connect_within(address, name, Duration::from_secs(20))
    }

    /// The same with another patience for each step, also later on.
    ///
    /// # Errors
    /// As above, and when it takes longer.
    pub fn connect_within(
        &self,
        address: SocketAddr,
        name: Option<&str>,
        patience: Duration,
    ) -> io::Result<Shaken> {
        self.connect_behind(address, name, patience, b"")
    }

    /// The same, behind what a load balancer writes first.
    ///
    /// # Errors
    /// As above.
    pub fn connect_behind(
        &self,
        address: SocketAddr,
        name: Option<&str>,
        patience: Duration,
        header: &[u8],
    ) -> io::Result<Shaken> {
        let mut tcp = TcpStream::connect_timeout(&address, patience)?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(patience))?;
        tcp.set_write_timeout(Some(patience))?;
        tcp.write_all(header)?;
        let connection = self.session(name);
        let mut stream = StreamOwned::new(connection, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Shaken { stream })
    }

    /// A handshake that has not begun.
    #[must_use]
    pub fn session(&self, name: Option<&str>) -> ClientConnection {
        ClientConnection::new(Arc::clone(&self.config), server_name(name)).unwrap()
    }

    /// Speaks HTTP/2.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn http2(&self, address: SocketAddr, name: Option<&str>) -> io::Result<Http2> {
        self.http2_behind(address, name, b"").await
    }

    /// Speaks HTTP/2, behind what a load balancer writes first.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn http2_behind(
        &self,
        address: SocketAddr,
        name: Option<&str>,
        header: &[u8],
    ) -> io::Result<Http2> {
        let mut tcp = tokio::net::TcpStream::connect(address).await?;
        tcp.set_nodelay(true)?;
        tokio::io::AsyncWriteExt::write_all(&mut tcp, header).await?;
        let stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(server_name(name), tcp)
            .await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Http2::try_over(stream, &h2::client::Builder::new())
            .await
            .map_err(io::Error::other)
    }
}

/// An address is never sent as a server name.
fn server_name(name: Option<&str>) -> ServerName<'static> {
    ServerName::try_from(name.unwrap_or("127.0.0.1").to_owned()).unwrap()
}

impl Shaken {
    /// The certificate that was shown.
    #[must_use]
    pub fn shown(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0]
            .clone()
            .into_owned()
    }

    /// The protocol that was chosen.
    #[must_use]
    pub fn protocol(&self) -> Option<&[u8]> {
        self.stream.conn.alpn_protocol()
    }

    /// Whether an earlier session went on.
    #[must_use]
    pub fn resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// Speaks HTTP/1.1.
    #[must_use]
    pub fn http1(self) -> Client {
        Client::over_tls(self.stream)
    }
}

fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    roots
}

/// A handshake as a [`TlsFront`] saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The server name that was asked for.
    pub name: Option<String>,
    /// The protocol that was chosen.
    pub protocol: Option<Vec<u8>>,
    /// The client's certificate.
    pub client: Option<CertificateDer<'static>>,
}

/// TLS before a backend that speaks none.
pub struct TlsFront {
    port: u16,
    met: Arc<Mutex<Vec<Met>>>,
}

impl TlsFront {
    /// Ends TLS with this certificate and passes what is inside to `backend`. With `clients`, asks for a certificate
    /// of that authority.
    #[must_use]
    pub fn start(identity: &Identity, alpn: &[&[u8]], clients: Option<&Authority>, backend: u16) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authority.pem())), provider)
                    .build()
                    .unwrap(),
            ),
        };
        let (chain, key) = identity.pair();
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let met = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&met);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            tokio::task::LocalSet::new().block_on(&runtime, async move {
                let listener = TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::task::spawn_local(relay(stream, acceptor.clone(), backend, Arc::clone(&shared)));
                }
            });
        });
        Self { port, met }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The handshakes that succeeded.
    #[must_use]
    pub fn met(&self) -> Vec<Met> {
        self.met.lock().unwrap().clone()
    }
}

async fn relay(
    stream: tokio::net::TcpStream,
    acceptor: TlsAcceptor,
    backend: u16,
    met: Arc<Mutex<Vec<Met>>>,
) {
    let Ok(mut client) = acceptor.accept(stream).await else {
        return;
    };
    let (_, settled) = client.get_ref();
    met.lock().unwrap().push(Met {
        name: settled.server_name().map(str::to_owned),
        protocol: settled.alpn_protocol().map(<[u8]>::to_vec),
        client: settled
            .peer_certificates()
            .map(|chain| chain[0].clone().into_owned()),
    });
    let Ok(mut backend) = tokio::net::TcpStream::connect(("127.0.0.1", backend)).await else {
        return;
    };
    let _ended = tokio::io::copy_bidirectional(&mut client, &mut backend).await;
}

/// A Secret of type `kubernetes.io/tls` in namespace `test`.
#[must_use]
pub fn secret(name: &str, identity: &Identity) -> String {
    secret_of(
        name,
        "kubernetes.io/tls",
        &[("tls.crt", &identity.chain), ("tls.key", &identity.key)],
    )
}

/// A Secret in namespace `test`.
#[must_use]
pub fn secret_of(name: &str, kind: &str, entries: &[(&str, &str)]) -> String {
    let mut yaml = format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: test\ntype: {kind}\nstringData: {{}}\ndata:\n"
    );
    for (key, value) in entries {
        yaml += &format!("  {key}: {}\n", base64(value.as_bytes()));
    }
    yaml + "---\n"
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            if place <= chunk.len() {
                text.push(char::from(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// Adds annotations to a manifest's first object.
#[must_use]
pub fn annotated(yaml: &str, annotations: &[(&str, &str)]) -> String {
    let lines: String = annotations
        .iter()
        .map(|(key, value)| format!("    {key}: \"{value}\"\n"))
        .collect();
    yaml.replacen("  labels:\n", &format!("  annotations:\n{lines}  labels:\n"), 1)
}

/// Adds `spec.tls` to a manifest's first object: hosts and the Secret of each entry.
#[must_use]
pub fn with_tls(yaml: &str, entries: &[(&[&str], &str)]) -> String {
    let lines: String = entries
        .iter()
        .map(|(hosts, secret)| {
            let hosts: Vec<String> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
            format!("  - hosts: [{}]\n    secretName: {secret}\n", hosts.join(", "))
        })
        .collect();
    yaml.replacen("spec:\n", &format!("spec:\n  tls:\n{lines}"), 1)
}
