//! What a gateway knows at one moment: its configuration, the objects, what is wrong with either, and its doors.
//!
//! This is the one model that commands and pages read. `check` makes one and prints its problems; a running gateway
//! keeps one up to date. The doors of the first are open and nothing listens at them; those of the second also have
//! listeners. Readers of a world need not know which of the two it is.

use std::sync::Arc;

use control::names::Names;
use door::{BackendPolicy, Door, ExternalNames, Ledger, PlatformRoots, Publisher};
use proxy::Settings;
use resource::ClusterView;

use crate::config::{Config, DoorConfig, Options};
use crate::gateway_addresses::GatewayAddresses;
use crate::platform_roots::platform_roots;
use crate::problems::{Finder, Problems};
use crate::source::{Source, SourceError};

/// Everything that is known at one moment. `D` is how its doors are held.
pub(crate) struct World<D> {
    /// The configuration in use.
    pub(crate) config: Config,
    /// The objects; `None` until the source has been read.
    pub(crate) view: Option<ClusterView>,
    /// What is wrong.
    pub(crate) problems: Problems,
    /// The doors of this process.
    pub(crate) doors: Vec<D>,
}

/// A door of a world: how it is configured, and what it serves.
pub(crate) trait WorldDoor {
    fn config(&self) -> &DoorConfig;
    fn publisher(&self) -> &Publisher<Settings>;
    fn publisher_mut(&mut self) -> &mut Publisher<Settings>;
}

/// A door that is open, with nothing listening at it.
pub(crate) struct OpenDoor {
    config: Arc<DoorConfig>,
    publisher: Publisher<Settings>,
}

impl WorldDoor for OpenDoor {
    fn config(&self) -> &DoorConfig {
        &self.config
    }

    fn publisher(&self) -> &Publisher<Settings> {
        &self.publisher
    }

    fn publisher_mut(&mut self) -> &mut Publisher<Settings> {
        &mut self.publisher
    }
}

/// Opens a door as it is configured.
pub(crate) fn open(config: &DoorConfig) -> (Publisher<Settings>, Door<Settings>) {
    door::open(
        config.name.clone(),
        config.policy.clone(),
        config.settings.clone(),
    )
}

impl World<OpenDoor> {
    /// Reads all objects once and compiles them for every door. Needs a runtime.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub(crate) async fn load(config: Config, options: &Options) -> Result<Self, SourceError> {
        let content = Source::open(&config, options)?.load().await?;
        let doors = config.doors.iter().map(|config| {
            let (publisher, _nobody_reads) = open(config);
            OpenDoor {
                config: Arc::clone(config),
                publisher,
            }
        });
        let mut world = Self {
            doors: doors.collect(),
            view: Some(content.view),
            problems: Problems::default(),
            config,
        };
        world.problems.replace(Finder::Source, vec![content.problems]);
        let mut compilation = Compilation::default();
        compilation.addresses.declare(&world.config);
        // What is found depends on what is written, not on the network.
        let external_names = match world.config.source.external_names {
            Some(_) => ExternalNames::Unasked,
            None => ExternalNames::Refused,
        };
        compilation.publish(&mut world, &mut [], external_names);
        Ok(world)
    }
}

impl<D: WorldDoor> World<D> {
    /// Passes on which names of Services must be resolved, and puts their known addresses into the view.
    pub(crate) fn resolve(&mut self, names: &mut Names, leaving: &[&mut Publisher<Settings>]) {
        let Some(view) = &mut self.view else { return };
        let serving = self.doors.iter().map(|door| &door.config().policy);
        let leaving = leaving.iter().map(|publisher| publisher.policy());
        let needed = door::needs(serving.chain(leaving), view).names();
        names.follow(needed.iter().map(|needed| (needed.service, needed.name)));
        view.replace_resolutions(names.known());
    }
}

/// What compiling a world needs besides it, and remembers.
pub(crate) struct Compilation {
    /// Where the gateways of this installation listen.
    pub(crate) addresses: GatewayAddresses,
    platform_roots: PlatformRoots,
    /// What the doors were compiled from last.
    ledger: Ledger,
}

impl Default for Compilation {
    fn default() -> Self {
        Self {
            addresses: GatewayAddresses::default(),
            platform_roots: platform_roots(),
            ledger: Ledger::default(),
        }
    }
}

impl Compilation {
    /// Compiles the view for every door and makes it live. Doors that are `leaving` are not in the world any more and
    /// follow the objects to their end. Nothing happens before there is a view.
    pub(crate) fn publish<D: WorldDoor>(
        &mut self,
        world: &mut World<D>,
        leaving: &mut [&mut Publisher<Settings>],
        external_names: ExternalNames,
    ) {
        self.addresses.look();
        let Some(view) = &world.view else { return };
        let (addresses, unknown) = self.addresses.policy(&world.config.source, view);
        world.problems.set(Finder::Addresses, unknown);
        let backends = BackendPolicy {
            addresses,
            external_names,
            platform_roots: self.platform_roots.clone(),
            bounds: world.config.source.bounds,
        };
        let serving = world.doors.iter_mut().map(WorldDoor::publisher_mut);
        let all = serving.chain(leaving.iter_mut().map(|publisher| &mut **publisher));
        let others = &world.config.others;
        let reports = door::publish_beside(others, all, view, &backends, &mut self.ledger);
        world
            .problems
            .replace(Finder::Compilation, reports.lists().to_vec());
    }

    /// Has the next publication compile everything: time has changed what no object says.
    pub(crate) fn forget(&mut self) {
        self.ledger.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const CONFIG: &str = "\
[source]
kind = \"files\"
path = \".\"
[listeners.a]
bind = \"127.0.0.1:0\"
selector = \"expose=a\"
scheme = \"http\"
[listeners.b]
bind = \"127.0.0.1:0\"
selector = \"expose=b\"
scheme = \"http\"
";

    const INGRESS: &str = "\
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: { name: web, namespace: shop, labels: { expose: a } }
spec:
  rules:
    - host: a.test
      http: { paths: [{ path: /, pathType: Prefix, backend: { service: { name: gone, port: { number: 80 } } } }] }
";

    /// Configuration, objects, doors with what they serve, and problems: all that a report is made of.
    #[test]
    fn a_loaded_world_holds_everything_that_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("listeners.toml");
        std::fs::write(&path, CONFIG).unwrap();
        std::fs::write(folder.path().join("web.yaml"), INGRESS).unwrap();
        let options = Options {
            config: Some(path),
            ..Options::default()
        };
        let config = config::load(&options).unwrap().config;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let world = runtime.block_on(World::load(config, &options)).unwrap();

        let served: Vec<(String, Vec<String>)> = world
            .doors
            .iter()
            .map(|door| {
                let snapshot = door.publisher().snapshot();
                let routes = snapshot.routes().map(|row| row.action.origin.key.to_string());
                (door.config().name.to_string(), routes.collect())
            })
            .collect();
        let expected = [("a", vec!["shop/web".to_owned()]), ("b", vec![])];
        assert_eq!(served, expected.map(|(door, routes)| (door.to_owned(), routes)));
        assert_eq!(world.view.unwrap().ingresses().count(), 1);
        assert_eq!(world.config.doors.len(), 2);
        let problems: Vec<String> = world.problems.all().iter().map(ToString::to_string).collect();
        assert!(
            matches!(&*problems, [problem] if problem.contains("Service `shop/gone` does not exist")),
            "{problems:#?}"
        );
    }
}
