//! What doors are compiled from, and the compilation itself. It needs nothing else of a world, so that it can run on a
//! thread of its own.

use door::{BackendPolicy, ExternalNames, Ledger, PlatformRoots, Policy, Publisher, publish_beside};
use proxy::Settings;
use resource::{ClusterView, ProblemLists};
use route::ListenerName;

use crate::gateway_addresses::GatewayAddresses;
use crate::platform_roots::platform_roots;
use crate::problems::Finder;
use crate::world::World;

/// What doors are compiled from.
pub(crate) struct Input {
    pub(crate) view: ClusterView,
    pub(crate) backends: BackendPolicy,
    /// Doors of the same configuration that other processes open.
    pub(crate) others: Vec<(ListenerName, Policy)>,
}

impl Input {
    /// Compiles it for these doors and makes the result live. Returns what is wrong.
    pub(crate) fn publish<'p>(
        &self,
        doors: impl IntoIterator<Item = &'p mut Publisher<Settings>>,
        ledger: &mut Ledger,
    ) -> Vec<ProblemLists> {
        let reports = publish_beside(&self.others, doors, &self.view, &self.backends, ledger);
        reports.lists().to_vec()
    }
}

/// What doors depend on besides objects and configuration.
pub(crate) struct Surroundings {
    /// Where the gateways of this installation listen.
    pub(crate) addresses: GatewayAddresses,
    platform_roots: PlatformRoots,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            addresses: GatewayAddresses::default(),
            platform_roots: platform_roots(),
        }
    }
}

impl Surroundings {
    /// What the doors of a world are to be compiled from now; `None` before there is a view.
    pub(crate) fn input<D>(&mut self, world: &mut World<D>, external_names: ExternalNames) -> Option<Input> {
        self.addresses.look_again();
        let view = world.view.as_ref()?.clone();
        let (addresses, unknown) = self.addresses.policy(&world.config.source, &view);
        world.problems.set(Finder::Addresses, unknown);
        let backends = BackendPolicy {
            addresses,
            external_names,
            platform_roots: self.platform_roots.clone(),
            bounds: world.config.source.bounds,
        };
        Some(Input {
            view,
            backends,
            others: world.config.others.clone(),
        })
    }
}
