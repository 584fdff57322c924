//! Publications: what is compiled when, and what happens once it is live.

use std::sync::Arc;

use ::door::ExternalNames;
use control::names::{Names, Resolver};
use resource::{Problem, Severity};

use super::Supervisor;
use super::compiler::{Job, JobDoor, Outcome, Published};
use super::door::{LeavingDoor, RunningDoor};
use super::schedule::Compiled;
use crate::problems::Finder;
use crate::world::FollowedNames;

/// How many new problems of one namespace are logged in 10 s. `blastdoor check` and Events have them all.
const MOST_LINES: usize = 100;

impl Supervisor {
    /// Has the current view compiled for every door and made live; at once, or after the publication that is under way.
    pub(super) fn publish(&mut self) {
        if self.publications.compiler.is_busy() {
            self.publications.is_outdated = true;
            return;
        }
        self.publications.is_outdated = false;
        let bound = self.world.doors.iter().map(|door| door.listener.address());
        self.surroundings.addresses.listen(bound);
        let source = &self.world.config.source;
        let external_names = match source.external_names {
            Some(_) => ExternalNames::Resolved,
            None => ExternalNames::Refused,
        };
        let lists_names = |door: &RunningDoor| door.config.policy.filters.calls_names();
        if self.names.is_none() && self.world.doors.iter().any(lists_names) {
            let resolver = Resolver::new(&source.resolvers);
            self.names = Some(FollowedNames::new(Names::start(resolver), true));
        }
        if let Some(names) = &mut self.names {
            let leaving = self.leaving.iter().map(|door| &*door.config);
            self.world.resolve(names, leaving);
        }
        let Some(input) = self.world.input(&mut self.surroundings, external_names) else {
            // There are no backends either that could be a new door.
            self.open_up();
            self.report();
            return;
        };
        let serving = self.world.doors.iter_mut().map(RunningDoor::job);
        let doors: Vec<JobDoor> = serving
            .chain(self.leaving.iter_mut().map(LeavingDoor::job))
            .collect();
        self.publications.under_way = self.publications.changes;
        self.publications.compiled = Some(Compiled {
            config: Arc::clone(&self.world.config),
            view: input.view.clone(),
        });
        self.publications.compiler.begin(Job {
            input,
            doors,
            everything: std::mem::take(&mut self.publications.everything),
            writes: std::mem::take(&mut self.publications.writes),
            configuration: self.publications.configuration.take(),
        });
    }

    /// Takes note of the end of a publication, and begins the next one if something has changed meanwhile. Returns whether
    /// it is live.
    pub(super) fn published(&mut self, outcome: Outcome) -> bool {
        let is_live = match outcome {
            Outcome::Live(published) => {
                self.is_live(published);
                true
            }
            Outcome::Panicked(words) => {
                let message = format!(
                    "a fault of the program: the compilation panicked ({words}); every door serves what it served \
                     before, and everything is compiled again with the next change, or within a minute; please report it"
                );
                let problem = Problem::of_file(Severity::Error, "publication of the objects", message);
                self.world.problems.set(Finder::Publication, [problem]);
                self.report();
                false
            }
        };
        if self.publications.is_outdated {
            self.publish();
        }
        is_live
    }

    fn is_live(&mut self, published: Published) {
        let problems = &mut self.world.problems;
        problems.replace(Finder::Compilation, &published.problems);
        problems.set(Finder::Publication, []);
        if let Some(compiled) = self.publications.compiled.take() {
            self.publications.live = Some(compiled);
        }
        if let Some(certificates) = published.certificates {
            self.reporting.gauges.certificates(certificates);
        }
        if self.publications.under_way == self.publications.changes {
            self.open_up();
        }
        self.report();
        self.reporting.board.published();
    }

    /// Opens the doors and sockets of a configuration that has gone live. No door listens at a new port before every door
    /// refuses that port as a backend.
    fn open_up(&mut self) {
        if !self.publications.is_new_config {
            return;
        }
        for door in &mut self.world.doors {
            door.open_up();
        }
        self.show_listeners();
        self.world.problems.set(Finder::Config, []);
        self.publications.is_new_config = false;
        tracing::info!("configuration reloaded");
    }

    /// Counts all problems, and logs those that are new.
    pub(super) fn report(&mut self) {
        let problems = &mut self.world.problems;
        self.reporting.gauges.problems(problems.counts());
        let is_rejected = problems.has(Finder::Config) || problems.has(Finder::Files);
        self.reporting.gauges.rejected(is_rejected);
        for problem in problems.news() {
            // Whoever writes objects can make as many problems as he likes, again and again.
            let namespace = problem.object.namespace.as_deref().unwrap_or("-");
            let now = std::time::Instant::now();
            let Some(kept_back) = self.lines.admit_some(namespace, MOST_LINES, now) else {
                continue;
            };
            match problem.severity {
                Severity::Error => tracing::error!("{problem}{kept_back}"),
                Severity::Warning => tracing::warn!("{problem}{kept_back}"),
                Severity::Note => tracing::info!("{problem}{kept_back}"),
            }
        }
        if let Some(cluster) = &self.cluster {
            cluster.problems(problems.all().clone());
        }
        self.show_world();
    }
}
