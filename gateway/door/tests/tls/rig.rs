//! Certificates, manifests, doors and handshakes.

use std::sync::Arc;

use door::{
    BackendPolicy, DefaultCertificate, Door, DoorTls, Policy, Publisher, Scheme, Selector, TlsPolicy, open,
    publish,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use resource::{ClusterView, manifest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind, ServerConfig,
    ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

/// A certificate and its key, as PEM.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Made {
    pub(crate) fn der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }

    /// All certificates of the chain.
    pub(crate) fn whole(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.chain.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap()
    }

    pub(crate) fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

pub(crate) fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

/// A self-signed certificate for these names.
pub(crate) fn made(names: &[&str]) -> Made {
    made_with(&params(names))
}

pub(crate) fn made_with(params: &CertificateParams) -> Made {
    let key = KeyPair::generate().unwrap();
    Made {
        chain: params.self_signed(&key).unwrap().pem(),
        key: key.serialize_pem(),
    }
}

/// An authority.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

pub(crate) fn authority(name: &str) -> Authority {
    let mut params = params(&[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    Authority {
        pem,
        issuer: Issuer::new(params, key),
    }
}

impl Authority {
    /// A certificate for these names, signed by the authority.
    pub(crate) fn issue(&self, names: &[&str]) -> Made {
        self.issue_for(&KeyPair::generate().unwrap(), names)
    }

    /// The same for this key.
    pub(crate) fn issue_for(&self, key: &KeyPair, names: &[&str]) -> Made {
        Made {
            chain: params(names).signed_by(key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

fn text(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// A Secret in namespace `test` with these entries.
pub(crate) fn secret(name: &str, kind: &str, entries: &[(&str, &str)]) -> String {
    let entries: Vec<String> = entries
        .iter()
        .map(|(key, value)| format!("{key}: {}", text(value)))
        .collect();
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: test}}\ntype: {kind}\nstringData: {{{}}}\n---\n",
        entries.join(", ")
    )
}

/// A Secret in namespace `test` with a certificate.
pub(crate) fn tls_secret(name: &str, made: &Made) -> String {
    secret(
        name,
        "kubernetes.io/tls",
        &[("tls.crt", &made.chain), ("tls.key", &made.key)],
    )
}

/// An Ingress in namespace `test`, of a given age: the lower, the older.
#[derive(Debug, Clone)]
pub(crate) struct Rules<'a> {
    pub(crate) name: &'a str,
    pub(crate) door: &'a str,
    pub(crate) age: u8,
    pub(crate) hosts: &'a [&'a str],
    pub(crate) tls: &'a [(&'a [&'a str], &'a str)],
    pub(crate) annotations: &'a [(&'a str, &'a str)],
}

impl Default for Rules<'_> {
    fn default() -> Self {
        Self {
            name: "app",
            door: "one",
            age: 0,
            hosts: &[],
            tls: &[],
            annotations: &[],
        }
    }
}

impl Rules<'_> {
    pub(crate) fn yaml(&self) -> String {
        let annotations: Vec<String> = self
            .annotations
            .iter()
            .map(|(key, value)| format!("{key}: {}", text(value)))
            .collect();
        let hosts: String = self
            .hosts
            .iter()
            .map(|host| {
                let host = if host.is_empty() { String::new() } else { format!("host: {}, ", text(host)) };
                format!(
                    "  - {{{host}http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {{name: app, port: {{number: 80}}}}}}}}]}}}}\n"
                )
            })
            .collect();
        let tls: String = self
            .tls
            .iter()
            .map(|(hosts, secret)| {
                let secret = if secret.is_empty() {
                    String::new()
                } else {
                    format!("secretName: {secret}, ")
                };
                format!("  - {{{secret}hosts: {hosts:?}}}\n")
            })
            .collect();
        format!(
            "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: {}\n  namespace: test\n  creationTimestamp: \"2020-01-01T00:00:{:02}Z\"\n  labels: {{expose: {}}}\n  annotations: {{{}}}\nspec:\n  rules:\n{hosts}  tls:\n{tls}---\n",
            self.name,
            self.age,
            self.door,
            annotations.join(", "),
        )
        .replace("  rules:\n  tls", "  tls")
        .replace("  tls:\n---", "---")
    }
}

pub(crate) const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: app, namespace: test}\nspec: {ports: [{port: 80}]}\n---\n\
    apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: app-1, namespace: test, labels: {kubernetes.io/service-name: app}}\n\
    addressType: IPv4\nports: [{port: 8080}]\nendpoints: [{addresses: [\"10.0.0.1\"]}]\n---\n";

pub(crate) fn view(yaml: &str) -> ClusterView {
    let manifest = manifest::parse("test.yaml", yaml.as_bytes());
    let errors: Vec<_> = manifest
        .problems
        .iter()
        .filter(|problem| problem.source.is_none() || problem.to_string().contains("File"))
        .collect();
    assert!(errors.is_empty(), "{errors:?}\n{yaml}");
    manifest::collect([&manifest]).0
}

pub(crate) fn tls_policy(default_certificate: DefaultCertificate) -> TlsPolicy {
    TlsPolicy::new(default_certificate)
}

pub(crate) fn policy(door: &str, tls: Option<TlsPolicy>) -> Policy {
    Policy {
        tls,
        ..Policy::new(Selector::parse(&format!("expose={door}")).unwrap(), Scheme::Https)
    }
}

/// Two doors, `one` and `two`, with the same TLS policy.
pub(crate) struct Doors {
    pub(crate) publishers: Vec<Publisher<()>>,
    pub(crate) doors: Vec<Door<()>>,
}

impl Doors {
    pub(crate) fn new(tls: &TlsPolicy) -> Self {
        let (publishers, doors) = ["one", "two"]
            .into_iter()
            .map(|name| open(name.parse().unwrap(), policy(name, Some(tls.clone())), ()))
            .unzip();
        Self { publishers, doors }
    }

    /// Publishes manifests and returns the problems.
    pub(crate) fn publish(&mut self, yaml: &str) -> Vec<String> {
        let view = view(&format!("{SERVICE}{yaml}"));
        publish(
            &mut self.publishers,
            &view,
            &BackendPolicy::default(),
            &mut door::Ledger::default(),
        )
        .problems()
        .iter()
        .map(|problem| {
            format!(
                "{}: {} {}: {}",
                problem.severity.as_str(),
                problem.object,
                problem.field,
                problem.message
            )
        })
        .collect()
    }

    /// The TLS half of door `one` (0) or `two` (1).
    pub(crate) fn tls(&self, door: usize) -> Arc<DoorTls> {
        Arc::clone(self.doors[door].snapshot().tls().unwrap())
    }

    /// The certificate that a name gets; `None` when the handshake fails. The empty name stands for no server name.
    pub(crate) fn shown(&self, door: usize, name: &str) -> Option<CertificateDer<'static>> {
        shake(self.tls(door).server_config(), &client(name), name)
            .ok()
            .map(|shaken| shaken.shown)
    }
}

/// The result of a handshake.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) shown: CertificateDer<'static>,
    pub(crate) kind: HandshakeKind,
    pub(crate) alpn: Option<Vec<u8>>,
}

/// Performs a handshake in memory, and lets tickets arrive.
pub(crate) fn shake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> Result<Shaken, Error> {
    let name = if name.is_empty() { "nobody.test" } else { name };
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(server)).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(Shaken {
        shown: client.peer_certificates().unwrap()[0].clone().into_owned(),
        kind: client.handshake_kind().unwrap(),
        alpn: server.alpn_protocol().map(<[u8]>::to_vec),
    })
}

/// A client that accepts every certificate.
pub(crate) fn client(name: &str) -> Arc<ClientConfig> {
    Arc::new(client_with(rustls::ALL_VERSIONS, !name.is_empty(), None))
}

pub(crate) fn client_with(
    versions: &[&'static SupportedProtocolVersion],
    sends_name: bool,
    certificate: Option<&Made>,
) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone));
    let mut config = match certificate {
        Some(made) => builder
            .with_client_auth_cert(made.whole(), made.private())
            .unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.enable_sni = sends_name;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// Asserts that some line contains all of these parts.
#[track_caller]
pub(crate) fn assert_reported(lines: &[String], parts: &[&str]) {
    let found = lines
        .iter()
        .any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(found, "{parts:?} not in {lines:#?}");
}
