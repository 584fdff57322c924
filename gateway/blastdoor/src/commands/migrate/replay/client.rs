//! One kept connection to a gateway, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use migrate::replay::{Answer, Body, BodyHash, Recorded};
use prove::Everyone;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::target::Target;

/// What is compared of answers.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) fields: Vec<String>,
    /// Bytes of a body that are read; `None`: bodies are not compared.
    pub(super) body: Option<u64>,
    pub(super) timeout: Duration,
}

/// Bytes of a body that is not compared.
const SHORT: u64 = 64 << 10;

/// Sends requests to a gateway, one after the other.
pub(super) struct Client {
    target: Target,
    tls: Option<TlsConnector>,
    wanted: Wanted,
    /// The connection, and the name for which it was made.
    kept: Option<(String, SendRequest<Empty<Bytes>>)>,
}

impl Client {
    pub(super) fn new(target: &Target, is_insecure: bool, wanted: &Wanted) -> Result<Self, String> {
        let tls = target.is_https.then(|| connector(is_insecure)).transpose()?;
        Ok(Self {
            target: target.clone(),
            tls,
            wanted: wanted.clone(),
            kept: None,
        })
    }

    /// Whether it accepts connections at all.
    pub(super) async fn reach(&self) -> Result<(), String> {
        let connected = tokio::time::timeout(self.wanted.timeout, self.dial());
        connected
            .await
            .map_err(|_elapsed| "no connection in time".to_owned())?
            .map(drop)
    }

    /// What it answers, or why there is no answer.
    pub(super) async fn ask(&mut self, request: &Recorded, host: &str) -> Result<Answer, String> {
        let timeout = self.wanted.timeout;
        let answer = tokio::time::timeout(timeout, self.ask_in_time(request, host)).await;
        if !matches!(answer, Ok(Ok(_))) {
            self.kept = None;
        }
        answer.map_err(|_elapsed| "no answer in time".to_owned())?
    }

    async fn ask_in_time(&mut self, recorded: &Recorded, host: &str) -> Result<Answer, String> {
        let message = message(recorded, host)?;
        let mut is_fresh = false;
        loop {
            let mut connection = match self.kept.take() {
                // TLS names a host once.
                Some((name, kept)) if (self.tls.is_none() || name == host) && !kept.is_closed() => kept,
                Some(_) | None => {
                    is_fresh = true;
                    self.connect(host).await?
                }
            };
            let sent = async {
                connection.ready().await?;
                connection.send_request(message.clone()).await
            };
            match sent.await {
                Ok(response) => {
                    let (answer, is_whole) = self.answer(response, host).await?;
                    if is_whole {
                        self.kept = Some((host.to_owned(), connection));
                    }
                    return Ok(answer);
                }
                // It was closed while it was kept.
                Err(_) if !is_fresh => {}
                Err(error) => return Err(reason(&error)),
            }
        }
    }

    /// Also says whether the connection can be kept.
    async fn answer(&self, response: Response<Incoming>, host: &str) -> Result<(Answer, bool), String> {
        let (head, mut body) = response.into_parts();
        let text = |name: &str| {
            let values = head.headers.get_all(name).iter();
            let texts: Vec<String> = values
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            (!texts.is_empty()).then(|| texts.join(", "))
        };
        let scheme = if self.target.is_https { "https" } else { "http" };
        let location = text(LOCATION.as_str());
        let location =
            location.map(|written| Answer::normal_location(&written, scheme, host, &self.target.authority));
        let fields = self.wanted.fields.iter().map(|name| text(name)).collect();
        // A short body is read even where it is not compared, so that the connection can be kept.
        let mut hash = BodyHash::new(self.wanted.body.unwrap_or(SHORT));
        let mut is_whole = true;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| format!("the body broke off: {}", reason(&error)))?;
            if let Some(piece) = frame.data_ref()
                && !hash.take(piece)
            {
                is_whole = false;
                break;
            }
        }
        let body = if self.wanted.body.is_some() {
            hash.finish()
        } else {
            Body::Ignored
        };
        let answer = Answer {
            status: head.status.as_u16(),
            location,
            fields,
            body,
        };
        Ok((answer, is_whole))
    }

    async fn connect(&self, host: &str) -> Result<SendRequest<Empty<Bytes>>, String> {
        let socket = self.dial().await?;
        match &self.tls {
            None => handshake(TokioIo::new(socket)).await,
            Some(tls) => {
                let bare = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(bare)
                    .map_err(|_invalid| "its host is no name for TLS".to_owned())?;
                let stream = tls
                    .connect(name, socket)
                    .await
                    .map_err(|error| format!("TLS: {error}"))?;
                handshake(TokioIo::new(stream)).await
            }
        }
    }

    async fn dial(&self) -> Result<TcpStream, String> {
        let address = (self.target.host.as_str(), self.target.port);
        let socket = TcpStream::connect(address)
            .await
            .map_err(|error| error.kind().to_string())?;
        let _slower = socket.set_nodelay(true);
        Ok(socket)
    }
}

async fn handshake<S>(stream: S) -> Result<SendRequest<Empty<Bytes>>, String>
where
    S: hyper::rt::Read + hyper::rt::Write + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(stream).await.map_err(|error| reason(&error))?;
    // It ends when the sender is dropped.
    tokio::task::spawn_local(async move {
        let _closed = connection.await;
    });
    Ok(sender)
}

/// Nothing of the client that was recorded is sent but what it asked for.
fn message(recorded: &Recorded, host: &str) -> Result<Request<Empty<Bytes>>, String> {
    Request::builder()
        .method(recorded.method)
        .uri(&*recorded.target)
        .header(HOST, host)
        .header(USER_AGENT, "blastdoor-migrate")
        .header(ACCEPT, "*/*")
        .body(Empty::new())
        .map_err(|error| format!("it cannot be sent: {error}"))
}

fn reason(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "closed without an answer".to_owned()
    } else if error.is_parse() {
        "the answer is not HTTP".to_owned()
    } else {
        error.to_string()
    }
}

fn connector(is_insecure: bool) -> Result<TlsConnector, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let mut config = if is_insecure {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Everyone::new(provider)))
            .with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        builder.with_root_certificates(roots).with_no_client_auth()
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}
