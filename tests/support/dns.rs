//! A DNS server over UDP that answers what the test wants.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};

/// What a name has come to.
#[derive(Debug, Clone)]
pub enum Told {
    /// These addresses, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// An alias for another name, and the addresses of that, for so many seconds each.
    Alias(&'static str, u32, Vec<IpAddr>, u32),
    /// NXDOMAIN.
    NoSuchName,
    /// SERVFAIL.
    Failure,
    /// No answer.
    Silence,
}

/// A DNS server on a free loopback port. It answers NXDOMAIN for unknown names.
pub struct Dns {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    names: HashMap<String, Told>,
    asked: Vec<String>,
}

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;

impl Dns {
    /// Starts it.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    /// The same at a certain address.
    #[must_use]
    pub fn start_at(address: &str) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let mut question = [0; 4_096];
            while let Ok((length, peer)) = socket.recv_from(&mut question) {
                if let Some(answer) = answer(&question[..length], &mut shared.lock().unwrap()) {
                    let _sent = socket.send_to(&answer, peer);
                }
            }
        });
        Self { address, state }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lines of `[source]` with which a gateway asks it.
    #[must_use]
    pub fn source(&self) -> String {
        format!(
            "allow_external_names = true\nresolvers = [\"{}\"]\n",
            self.address
        )
    }

    /// Answers this for a name from now on.
    pub fn says(&self, name: &str, told: Told) {
        self.state.lock().unwrap().names.insert(name.to_owned(), told);
    }

    /// Answers these addresses for a name from now on.
    pub fn resolves(&self, name: &str, addresses: &[&str], ttl: u32) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        self.says(name, Told::Addresses(addresses.collect(), ttl));
    }

    /// The names it has been asked for, each as often as it was.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().unwrap().asked.clone()
    }
}

/// One question in, one answer out (RFC 1035 4.1).
fn answer(question: &[u8], state: &mut State) -> Option<Vec<u8>> {
    let (mut name, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(question.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes(question.get(at..at + 2)?.try_into().unwrap());
    let end = at + 4;
    let name = name.join(".");
    let told = state.names.get(&name).cloned().unwrap_or(Told::NoSuchName);
    state.asked.push(name);
    // Of the name asked for there is one copy, in the question.
    let asked = vec![0xc0, 12];
    let (code, records) = match told {
        Told::Silence => return None,
        Told::NoSuchName => (3, Vec::new()),
        Told::Failure => (2, Vec::new()),
        Told::Addresses(addresses, ttl) => (0, fitting(&asked, &addresses, kind, ttl)),
        Told::Alias(target, alias_ttl, addresses, ttl) => {
            let mut encoded = Vec::new();
            for label in target.split('.') {
                encoded.push(u8::try_from(label.len()).unwrap());
                encoded.extend_from_slice(label.as_bytes());
            }
            encoded.push(0);
            let mut records = vec![record(&asked, CNAME, alias_ttl, &encoded)];
            records.extend(fitting(&encoded, &addresses, kind, ttl));
            (0, records)
        }
    };
    let mut answer = question.get(..2)?.to_vec();
    // A response to a query with recursion desired and available.
    answer.extend([0x81, 0x80 | code, 0, 1]);
    answer.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    answer.extend([0; 4]);
    answer.extend_from_slice(question.get(12..end)?);
    answer.extend(records.concat());
    Some(answer)
}

fn fitting(owner: &[u8], addresses: &[IpAddr], kind: u16, ttl: u32) -> Vec<Vec<u8>> {
    let data = addresses.iter().filter_map(|address| match (address, kind) {
        (IpAddr::V4(address), A) => Some(address.octets().to_vec()),
        (IpAddr::V6(address), AAAA) => Some(address.octets().to_vec()),
        _ => None,
    });
    data.map(|data| record(owner, kind, ttl, &data)).collect()
}

fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend(kind.to_be_bytes());
    record.extend([0, 1]);
    record.extend(ttl.to_be_bytes());
    record.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    record.extend_from_slice(data);
    record
}
