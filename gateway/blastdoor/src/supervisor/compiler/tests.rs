use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use resource::{Kind, ObjectRef, Problem, Severity, manifest};

use super::*;
use crate::compilation::Surroundings;
use crate::config::{self, Options};
use crate::problems::Problems;
use crate::world::{World, open};

const CONFIG: &str = "\
[source]
kind = \"files\"
path = \".\"
[listeners.a]
bind = \"127.0.0.1:0\"
selector = \"expose=a\"
scheme = \"http\"
";

const INGRESS: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: NAME, namespace: shop, labels: { expose: a } }
spec:
  rules:
    - host: NAME.test
      http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: gone, port: { number: 80 } } } }] }
---
";

/// A world of one door with a publisher, and jobs for it.
struct Rig {
    world: World<()>,
    surroundings: Surroundings,
    publisher: SharedPublisher,
    door: door::Door<Settings>,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        let (folder, options) = Options::of_file(CONFIG);
        let config = config::load(&options).unwrap().config;
        let (publisher, door) = open(&config.doors[0]);
        Self {
            world: World {
                config: config.into(),
                view: None,
                problems: Problems::default(),
                doors: Vec::new(),
            },
            surroundings: Surroundings::default(),
            publisher: Arc::new(Mutex::new(publisher)),
            door,
            _folder: folder,
        }
    }

    /// A job with Ingresses of these names.
    fn job(&mut self, names: &[&str]) -> Job {
        let yaml: String = names.iter().map(|name| INGRESS.replace("NAME", name)).collect();
        let (view, _) = manifest::collect([&manifest::parse("test.yaml", yaml.as_bytes())]);
        self.world.view = Some(view);
        Job {
            input: self
                .world
                .input(&mut self.surroundings, door::ExternalNames::Refused)
                .unwrap(),
            doors: vec![JobDoor {
                publisher: Arc::clone(&self.publisher),
                config: None,
                verdicts: None,
                is_shown: true,
            }],
            everything: false,
            writes: Writes::default(),
            configuration: None,
        }
    }

    fn served(&self) -> Vec<String> {
        let snapshot = self.door.snapshot();
        let routes = snapshot.routes();
        routes
            .map(|row| row.action.origin.key.name().to_owned())
            .collect()
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn done(compiler: &mut Compiler) -> Outcome {
    runtime().block_on(async {
        let outcome = tokio::time::timeout(Duration::from_secs(20), compiler.done());
        outcome.await.expect("the job ends")
    })
}

/// What the panic of one publication leaves alone, and what the next one does.
#[test]
fn a_panic_loses_one_publication_only() {
    let mut rig = Rig::new();
    let mut state = State::new(Journal::new());
    let mut compiler = Compiler::with(move |job| {
        let poison = ObjectRef::namespaced(Kind::Ingress, &route::ObjectKey::new("shop", "poison"));
        let panics = job
            .input
            .view
            .ingresses()
            .any(|ingress| ingress.key.name() == &*poison.name);
        let published = state.publish(job);
        assert!(!panics, "in the midst of it");
        published
    })
    .unwrap();

    compiler.begin(rig.job(&["one"]));
    assert!(matches!(done(&mut compiler), Outcome::Live(_)));
    assert_eq!(rig.served(), ["one"]);
    assert_eq!(rig.door.snapshot().publication(), 1);

    // With the lock of the publisher held and lost.
    let held = Arc::clone(&rig.publisher);
    let lost = std::thread::spawn(move || {
        let _held = held.lock();
        panic!("on purpose");
    });
    assert!(lost.join().is_err());
    assert!(rig.publisher.is_poisoned());
    compiler.begin(rig.job(&["one", "poison"]));
    let Outcome::Panicked(words) = done(&mut compiler) else {
        panic!("it has panicked");
    };
    assert!(words.contains("in the midst of it"), "{words}");
    assert!(!compiler.is_busy());

    compiler.begin(rig.job(&["one", "two"]));
    let Outcome::Live(published) = done(&mut compiler) else {
        panic!("it is live");
    };
    assert_eq!(rig.served(), ["one", "two"]);
    let reported: Vec<String> = published
        .problems
        .iter()
        .flat_map(ProblemLists::iter)
        .map(|problem| problem.object.name.to_string())
        .collect();
    assert_eq!(
        reported,
        ["one", "two"],
        "each forwards to a Service that is not there"
    );
}

/// Whoever gives a job to the thread goes on while it works.
#[test]
fn nobody_waits_for_a_compilation() {
    let mut rig = Rig::new();
    let (go, gate): (SyncSender<()>, Receiver<()>) = sync_channel(1);
    let mut state = State::new(Journal::new());
    let mut compiler = Compiler::with(move |job| {
        gate.recv().unwrap();
        state.publish(job)
    })
    .unwrap();
    compiler.begin(rig.job(&["one"]));
    assert!(compiler.is_busy());
    runtime().block_on(async {
        tokio::select! {
            biased;
            _ = compiler.done() => panic!("it waits for the gate"),
            () = std::future::ready(()) => {}
        }
    });
    assert!(rig.served().is_empty());
    assert!(compiler.is_busy(), "a look at it changes nothing");
    go.send(()).unwrap();
    assert!(matches!(done(&mut compiler), Outcome::Live(_)));
    assert_eq!(rig.served(), ["one"]);

    // Certificates are told when they are others, and the same routes are not swapped again.
    go.send(()).unwrap();
    compiler.begin(rig.job(&["one"]));
    let Outcome::Live(published) = done(&mut compiler) else {
        panic!("it is live");
    };
    assert!(published.certificates.is_none());
    assert_eq!(rig.door.snapshot().publication(), 1);
    let problem = published.problems.iter().flat_map(ProblemLists::iter).next();
    assert_eq!(
        problem.map(|problem: &Arc<Problem>| problem.severity),
        Some(Severity::Error)
    );

    // After a panic they may not have been shown.
    go.send(()).unwrap();
    let everything = Job {
        everything: true,
        ..rig.job(&["one"])
    };
    compiler.begin(everything);
    let Outcome::Live(published) = done(&mut compiler) else {
        panic!("it is live");
    };
    assert!(published.certificates.is_some());
}

/// What was there before this process is no news, so nobody will ask who wrote it.
#[test]
fn who_wrote_what_the_first_publication_shows_is_forgotten() {
    let mut rig = Rig::new();
    let mut state = State::new(Journal::new());
    let mut publish = |rig: &mut Rig| {
        let mut job = rig.job(&["one"]);
        let elsewhere = ObjectRef::namespaced(Kind::Ingress, &route::ObjectKey::new("shop", "elsewhere"));
        job.writes.put(elsewhere, control::Write::default());
        state.publish(job);
        state.writes.is_empty()
    };
    assert!(publish(&mut rig));
    assert!(!publish(&mut rig), "a later change may be of interest");
}
