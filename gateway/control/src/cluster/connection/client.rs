//! The client, and who we are there.

use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response, header};
use kube::Client;
use kube::client::{Body, ClientBuilder};
use tower::util::{MapRequestLayer, MapResponseLayer};

use super::contact::Contact;
use super::credentials::{Credentials, token_file};
use super::error::ClusterError;

/// The client, and who we are there.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) contact: Contact,
    /// For messages.
    pub(crate) server: Rc<str>,
    pub(crate) namespace: Rc<str>,
    pub(crate) identity: Rc<str>,
}

/// For an answer. Longer than a watch lasts, because its connection may be silent for that long.
const ANSWER: Duration = Duration::from_secs(57);
/// For a connection and its handshake, in which an API server under load is slow. The same as client-go's
/// `TLSHandshakeTimeout`.
const CONNECT: Duration = Duration::from_secs(10);

impl Connection {
    /// Finds credentials and makes a client from them. Sends no request.
    pub(crate) fn open(credentials: &Credentials) -> Result<Self, ClusterError> {
        let config = credentials.find()?;
        let contact = Contact::new();
        let own = credentials.pod_namespace.as_ref();
        Ok(Self {
            server: config.cluster_url.to_string().trim_end_matches('/').into(),
            namespace: own.unwrap_or(&config.default_namespace).as_str().into(),
            identity: credentials.identity.as_str().into(),
            client: connect(config, &contact)?,
            contact,
        })
    }
}

/// A client that notes every answer in `contact`.
fn connect(mut config: kube::Config, contact: &Contact) -> Result<Client, ClusterError> {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(ANSWER);
    config.write_timeout = Some(ANSWER);
    // Otherwise the idle time of a pooled connection would count.
    config.reset_reader_on_write = true;
    // `Pace` decides when a request is sent again.
    config.default_retry = false;
    let contact = contact.clone();
    let token = token_file(&mut config)?;
    let builder = ClientBuilder::try_from(config).map_err(|error| ClusterError::Client(Box::new(error)))?;
    let hearing = MapResponseLayer::new(move |response: Response<_>| {
        contact.note_response(response.status(), response.headers());
        response
    });
    let signing = MapRequestLayer::new(move |mut request: Request<Body>| {
        if let Some(token) = &token {
            let headers = request.headers_mut();
            headers.insert(header::AUTHORIZATION, token.authorization());
        }
        request
    });
    Ok(builder.with_layer(&hearing).with_layer(&signing).build())
}
