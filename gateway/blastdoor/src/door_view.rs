//! The configured doors as the source of objects sees them.

use std::sync::Arc;

use control::cluster::{DoorView, Publish};
use door::{Policy, concerns_needs, needs, objects_of};
use resource::{ClusterView, Ingress, Object, ObjectRef};
use route::ListenerName;

use crate::config::DoorConfig;

/// These doors, for the source.
pub(crate) fn door_view(doors: &[Arc<DoorConfig>]) -> Arc<dyn DoorView> {
    Arc::new(ConfiguredDoors(doors.to_vec()))
}

#[derive(Debug)]
struct ConfiguredDoors(Vec<Arc<DoorConfig>>);

impl ConfiguredDoors {
    fn policies(&self) -> impl Iterator<Item = &Policy> {
        self.0.iter().map(|door| &door.policy)
    }
}

impl DoorView for ConfiguredDoors {
    fn needs_of_doors(&self, view: &ClusterView) -> Vec<ObjectRef> {
        needs(self.policies(), view).of_doors()
    }

    fn needs_of_ingresses(&self, view: &ClusterView) -> Vec<ObjectRef> {
        needs(self.policies(), view).of_ingresses()
    }

    fn objects_of(&self, object: &Object) -> Vec<ObjectRef> {
        objects_of(object)
    }

    fn concerns_needs(&self, before: Option<&Object>, after: Option<&Object>) -> bool {
        concerns_needs(before, after)
    }

    fn published(&self) -> Vec<(&ListenerName, &Publish)> {
        self.0.iter().map(|door| (&door.name, &door.publish)).collect()
    }

    fn published_for(&self, ingress: &Ingress, view: &ClusterView) -> Vec<&Publish> {
        let admitting = self.0.iter().filter(|door| door.policy.admits(ingress, view));
        admitting.map(|door| &door.publish).collect()
    }

    fn choose(&self, ingress: &Ingress, view: &ClusterView) -> bool {
        self.policies().any(|policy| policy.chooses(ingress, view))
    }

    fn serve_class_of(&self, ingress: &Ingress, view: &ClusterView) -> bool {
        self.policies().any(|policy| policy.class_admits(ingress, view))
    }
}
