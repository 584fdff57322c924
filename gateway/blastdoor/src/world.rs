//! What a gateway knows at one moment: its configuration, the objects, what is wrong with either, and its doors.
//!
//! This is the one model that commands and pages read. `check` makes one and prints its problems; a running gateway
//! keeps one up to date. The doors of the first are open and nothing listens at them; those of the second also have
//! listeners. Readers of a world need not know which of the two it is.

use std::sync::Arc;

use control::SourceContent;
use control::names::Names;
use door::{Door, ExternalNames, Ledger, Policy, Publisher, Snapshot};
use proxy::Settings;
use resource::ClusterView;

use crate::compilation::{Input, Surroundings};
use crate::config::{Config, DoorConfig, Options};
use crate::problems::{Finder, Problems};
use crate::shown::{ShownDoor, ShownWorld};
use crate::source::{Source, SourceError};

/// Everything that is known at one moment. `D` is how its doors are held.
pub(crate) struct World<D> {
    /// The configuration in use.
    pub(crate) config: Arc<Config>,
    /// The objects; `None` until the source has been read.
    pub(crate) view: Option<ClusterView>,
    /// What is wrong.
    pub(crate) problems: Problems,
    /// The doors of this process.
    pub(crate) doors: Vec<D>,
}

/// A door of a world, as it is configured.
pub(crate) trait WorldDoor {
    fn config(&self) -> &DoorConfig;
}

/// A door that is open, with nothing listening at it.
pub(crate) struct OpenDoor {
    config: Arc<DoorConfig>,
    publisher: Publisher<Settings>,
}

impl OpenDoor {
    /// What it would serve.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot<Settings>> {
        self.publisher.snapshot()
    }
}

impl WorldDoor for OpenDoor {
    fn config(&self) -> &DoorConfig {
        &self.config
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
        Ok(Self::compiled(config, content))
    }

    /// Compiles these objects for every door.
    pub(crate) fn compiled(config: Config, content: SourceContent) -> Self {
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
            config: Arc::new(config),
        };
        world.problems.replace(Finder::Source, &[content.problems]);
        let mut surroundings = Surroundings::default();
        surroundings.addresses.declare(&world.config);
        // What is found depends on what is written, not on the network.
        let external_names = match world.config.source.external_names {
            Some(_) => ExternalNames::Unasked,
            None => ExternalNames::Refused,
        };
        if let Some(input) = world.input(&mut surroundings, external_names) {
            let publishers = world.doors.iter_mut().map(|door| &mut door.publisher);
            let reports = input.publish(publishers, &mut Ledger::default());
            world.problems.replace(Finder::Compilation, &reports);
        }
        world
    }

    /// What readers see of it.
    pub(crate) fn shown(&self) -> ShownWorld {
        let doors = self.doors.iter().map(|door| ShownDoor {
            config: Arc::clone(&door.config),
            snapshot: door.publisher.snapshot(),
            status: None,
        });
        ShownWorld {
            config: Arc::clone(&self.config),
            view: self.view.clone(),
            problems: self.problems.all().clone(),
            doors: doors.collect(),
        }
    }
}

impl<D> World<D> {
    /// What its doors are to be compiled from now; `None` before there is a view.
    pub(crate) fn input(
        &mut self,
        surroundings: &mut Surroundings,
        external_names: ExternalNames,
    ) -> Option<Input> {
        let view = self.view.as_ref()?.clone();
        let (input, unknown) = surroundings.input(&self.config, view, external_names);
        self.problems.set(Finder::Addresses, unknown);
        Some(input)
    }
}

impl<D: WorldDoor> World<D> {
    /// Passes on which names of Services must be resolved, for these doors and those that are `leaving`, and puts their
    /// known addresses into the view.
    pub(crate) fn resolve<'w>(
        &'w mut self,
        names: &mut FollowedNames,
        leaving: impl Iterator<Item = &'w DoorConfig>,
    ) {
        let Some(view) = &mut self.view else { return };
        let doors = self.doors.iter().map(WorldDoor::config).chain(leaving);
        names.resolve(doors, view);
    }
}

/// The names in DNS that objects refer to.
pub(crate) struct FollowedNames {
    names: Names,
    /// Only those are followed that a door lists (`call`): others are refused.
    only_listed: bool,
    /// For which objects and doors they were found.
    found_for: Option<(ClusterView, Vec<Policy>)>,
}

impl FollowedNames {
    pub(crate) fn new(names: Names, only_listed: bool) -> Self {
        Self {
            names,
            only_listed,
            found_for: None,
        }
    }

    /// Waits for news of them. Cancel-safe.
    pub(crate) async fn changed(&mut self) {
        self.names.changed().await;
    }

    /// Follows what doors need of the view, and puts what is known into it. Where only endpoints are new, nothing else is
    /// needed than before.
    fn resolve<'d>(&mut self, doors: impl Iterator<Item = &'d DoorConfig>, view: &mut ClusterView) {
        let policies: Vec<&Policy> = doors.map(|door| &door.policy).collect();
        let is_known = self.found_for.as_ref().is_some_and(|(earlier, known)| {
            view.refers_as(earlier) && known.iter().eq(policies.iter().copied())
        });
        if !is_known {
            let needs = door::needs(policies.iter().copied(), view);
            let needed = if self.only_listed {
                needs.listed_names()
            } else {
                needs.names()
            };
            self.names
                .follow(needed.iter().map(|needed| (needed.service, needed.name)));
            let policies = policies.into_iter().cloned().collect();
            self.found_for = Some((view.clone(), policies));
        }
        view.replace_resolutions(self.names.known());
    }
}

#[cfg(test)]
impl World<OpenDoor> {
    /// Of a configuration whose source is the folder `.`, and of the objects in it.
    pub(crate) fn of_files(config: &str, objects: &str) -> Self {
        let (folder, options) = Options::of_file(config);
        std::fs::write(folder.path().join("objects.yaml"), objects).unwrap();
        let config = crate::config::load(&options).unwrap().config;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(Self::load(config, &options)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let world = World::of_files(CONFIG, INGRESS);
        let served: Vec<(String, Vec<String>)> = world
            .doors
            .iter()
            .map(|door| {
                let snapshot = door.publisher.snapshot();
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
