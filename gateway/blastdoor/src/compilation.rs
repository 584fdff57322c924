//! What doors are compiled from, and the compilation itself. It needs nothing else of a world, so that it can run on a
//! thread of its own.

use door::{BackendPolicy, ExternalNames, Ledger, PlatformRoots, Policy, Publisher, publish_beside};
use proxy::Settings;
use resource::{ClusterView, Problem, ProblemLists};
use route::ListenerName;

use crate::config::Config;
use crate::gateway_addresses::{GatewayAddresses, ready_replicas};
use crate::platform_roots::platform_roots;

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
    /// What doors are to be compiled from now, and what is not known of the gateway's own addresses.
    pub(crate) fn input(
        &mut self,
        config: &Config,
        view: ClusterView,
        external_names: ExternalNames,
    ) -> (Input, Vec<Problem>) {
        self.addresses.look_again();
        let (addresses, unknown) = self.addresses.policy(&config.source, &view);
        let backends = BackendPolicy {
            addresses,
            external_names,
            platform_roots: self.platform_roots.clone(),
            bounds: config.source.bounds,
            replicas: ready_replicas(&config.source, &view),
        };
        let others = config.others.clone();
        (
            Input {
                view,
                backends,
                others,
            },
            unknown,
        )
    }
}
