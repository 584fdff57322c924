//! The objects that doors are compiled from, read as the gateway reads them.

use std::sync::Arc;

use resource::{ClusterView, Ingress, IngressClass, Middleware, Object, Secret};

use crate::inventory::Inventory;

/// Ingresses, classes, Middlewares, and the Secrets that are known. Problems of reading them are for `blastdoor check`.
pub(crate) fn view(inventory: &Inventory) -> ClusterView {
    let mut view = ClusterView::default();
    let mut problems = Vec::new();
    for object in &inventory.ingresses {
        if let Some(object) = Ingress::from_api(object.clone(), &mut problems) {
            view.insert(Object::Ingress(Arc::new(object)));
        }
    }
    for object in &inventory.ingress_classes {
        if let Some(object) = IngressClass::from_api(object.clone(), &mut problems) {
            view.insert(Object::IngressClass(Arc::new(object)));
        }
    }
    for object in &inventory.middlewares {
        if let Some(object) = Middleware::from_api(object.clone(), &mut problems) {
            view.insert(Object::Middleware(Arc::new(object)));
        }
    }
    for object in &inventory.secrets {
        if let Some(object) = Secret::from_api(object.clone(), &mut problems) {
            view.insert(Object::Secret(Arc::new(object)));
        }
    }
    view
}
