//! A gateway with a deliberate fault, for the tests of `blastdoor prove`: the socket of one door reads the table of another.
//!
//! It is made of the gateway's own crates, wired wrongly. The gateway itself has no switch for this, whatever it is built
//! with.
//!
//! `blastdoor-with-joined-doors CONFIG AT FROM`: at the address of door `AT`, the table of door `FROM` answers.

use std::path::PathBuf;

use blastdoor::config::{self, Options, SourceKind};
use control::FileSource;
use door::{AddressPolicy, BackendPolicy, ExternalNames, Ledger, OwnAddresses, PlatformRoots, Publisher};
use proxy::{AccessLog, Allotment, Listener, MemoryBudget, Metrics, Settings, Tracer};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, at, from] = arguments.as_slice() else {
        panic!("CONFIG AT FROM, instead of {arguments:?}");
    };
    let options = Options {
        config: Some(PathBuf::from(config)),
        ..Options::default()
    };
    let config = config::load(&options).unwrap().config;
    let SourceKind::Files(manifests) = &config.source.kind else {
        panic!("only files");
    };
    let view = FileSource::open(manifests).unwrap().load().unwrap().view;
    let backends = BackendPolicy {
        addresses: AddressPolicy {
            allow_loopback: true,
            own_addresses: OwnAddresses::At([].into()),
            ..AddressPolicy::default()
        },
        external_names: ExternalNames::Refused,
        platform_roots: PlatformRoots::default(),
        bounds: config.source.bounds,
        replicas: None,
    };
    let mut publishers: Vec<Publisher<Settings>> = Vec::new();
    let mut listeners = Vec::new();
    for door in &config.doors {
        // The fault: the door that this socket reads is another one.
        let read = match door.name.as_str() == at {
            true => config
                .doors
                .iter()
                .find(|other| other.name.as_str() == from)
                .unwrap(),
            false => door,
        };
        let (publisher, reader) = door::open(read.name.clone(), read.policy.clone(), read.settings.clone());
        let listener = Listener::bind(
            reader,
            door.binding.clone(),
            &Metrics::default(),
            AccessLog::off(),
            MemoryBudget::new(usize::MAX),
            Tracer::off(),
        );
        let mut listener = listener.unwrap();
        listener.allot(Allotment::UNLIMITED);
        listener.start();
        publishers.push(publisher);
        listeners.push(listener);
    }
    let _problems = door::publish(publishers.iter_mut(), &view, &backends, &mut Ledger::default());
    println!("ready");
    // It serves until it is killed.
    loop {
        std::thread::park();
    }
}
