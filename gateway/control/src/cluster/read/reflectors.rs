//! The watches that are open.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use k8s_openapi::api::core::v1::{ConfigMap as RawConfigMap, Secret as RawSecret, Service as RawService};
use k8s_openapi::api::discovery::v1::EndpointSlice as RawEndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress as RawIngress, IngressClass as RawIngressClass};
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::Api;
use resource::{Kind, RawMiddleware};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::kinds::WatchedKind;
use super::received::ReceivedObject;
use super::reflector::Reflector;
use super::store::Store;
use super::target::{Scope, WatchTarget};
use super::update::Update;
use crate::cluster::connection::Connection;
use crate::survive::survive;

/// Types of Secrets that are never anything to a gateway, and often large.
const NO_SECRETS_OF: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";

/// One reflector for each target. What is watched here is what the store keeps account of.
pub(super) struct Reflectors {
    connection: Connection,
    store: Rc<RefCell<Store>>,
    running: HashMap<WatchTarget, Task>,
    updates: mpsc::Sender<Update>,
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reflectors {
    pub(super) fn new(
        connection: Connection,
        store: Rc<RefCell<Store>>,
        updates: mpsc::Sender<Update>,
    ) -> Self {
        Self {
            connection,
            store,
            running: HashMap::new(),
            updates,
        }
    }

    pub(super) fn are_watching(&self, target: &WatchTarget) -> bool {
        self.running.contains_key(target)
    }

    /// The single objects that are watched.
    pub(super) fn singles(&self) -> impl Iterator<Item = &WatchTarget> {
        let targets = self.running.keys();
        targets.filter(|target| matches!(target.scope, Scope::Object(_)))
    }

    /// Ends a watch and forgets what is known through it alone.
    pub(super) fn close(&mut self, target: &WatchTarget) {
        self.running.remove(target);
        self.store.borrow_mut().close(target);
    }

    /// Begins to watch; begins anew where it is watched already.
    pub(super) fn open(&mut self, target: WatchTarget) {
        let fields = match (&target.scope, target.kind) {
            (Scope::Object(key), _) => Some(format!("metadata.name={}", key.name())),
            (Scope::Cluster | Scope::Namespace(_), Kind::Secret) => Some(NO_SECRETS_OF.to_owned()),
            (Scope::Cluster | Scope::Namespace(_) | Scope::Replicas(_), _) => None,
        };
        let scope = &target.scope;
        let task = match target.kind {
            Kind::Ingress => self.spawn(self.namespaced::<RawIngress>(scope), &target, fields),
            Kind::Service => self.spawn(self.namespaced::<RawService>(scope), &target, fields),
            Kind::EndpointSlice => self.spawn(self.namespaced::<RawEndpointSlice>(scope), &target, fields),
            Kind::Secret => self.spawn(self.namespaced::<RawSecret>(scope), &target, fields),
            Kind::ConfigMap => self.spawn(self.namespaced::<RawConfigMap>(scope), &target, fields),
            Kind::IngressClass => self.spawn(self.global::<RawIngressClass>(), &target, fields),
            Kind::Middleware => self.spawn(self.namespaced::<RawMiddleware>(scope), &target, fields),
            Kind::Namespace | Kind::File | Kind::Cluster | Kind::Variable => return,
        };
        self.store.borrow_mut().open(target.clone());
        self.running.insert(target, task);
    }

    fn namespaced<K>(&self, scope: &Scope) -> Api<ReceivedObject<K>>
    where
        K: WatchedKind<Scope = NamespaceResourceScope>,
    {
        let client = self.connection.client.clone();
        match scope {
            Scope::Cluster => Api::all(client),
            Scope::Namespace(namespace) | Scope::Replicas(namespace) => Api::namespaced(client, namespace),
            Scope::Object(key) => Api::namespaced(client, key.namespace()),
        }
    }

    fn global<K: WatchedKind<Scope = ClusterResourceScope>>(&self) -> Api<ReceivedObject<K>> {
        Api::all(self.connection.client.clone())
    }

    fn spawn<K: WatchedKind>(
        &self,
        api: Api<ReceivedObject<K>>,
        target: &WatchTarget,
        fields: Option<String>,
    ) -> Task {
        let name = format!("the watch of {:?}", target);
        let reflector = Rc::new(Reflector::new(
            api,
            target.clone(),
            fields,
            self.updates.clone(),
            self.connection.contact.clone(),
        ));
        Task(tokio::task::spawn_local(async move {
            survive(&name, || {
                let reflector = Rc::clone(&reflector);
                async move { reflector.run().await }
            })
            .await;
        }))
    }
}
