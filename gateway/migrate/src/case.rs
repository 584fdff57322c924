//! One Ingress, and what is known of it.

use std::collections::BTreeMap;

use resource::{Ingress, Kind, ObjectRef};
use route::ObjectKey;

use crate::controller::Controller;
use crate::facts::{DoorFacts, RouteFact};
use crate::given::Given;
use crate::neighbours::Neighbours;
use crate::placing::Place;
use crate::raw::RawObject;
use crate::settings::Settings;

/// One Ingress, and what is known of it.
pub(crate) struct Case<'a> {
    pub(crate) given: &'a Given<'a>,
    pub(crate) ingress: &'a Ingress,
    pub(crate) raw: Option<&'a RawObject>,
    pub(crate) controller: &'a Controller,
    pub(crate) place: &'a Place,
    pub(crate) doors: Vec<&'a DoorFacts<'a>>,
    pub(crate) routes: &'a [&'a RouteFact],
    pub(crate) neighbours: &'a Neighbours<'a>,
    pub(crate) settings: &'a Settings<'a>,
    pub(crate) middlewares: &'a BTreeMap<ObjectKey, &'a RawObject>,
}

impl Case<'_> {
    /// The value of an annotation as it is written.
    pub(crate) fn annotation(&self, key: &str) -> Option<&str> {
        self.raw?.annotation(key)
    }

    /// Whether an annotation says `true`.
    pub(crate) fn says(&self, key: &str) -> bool {
        self.annotation(key).is_some_and(|value| value.trim() == "true")
    }
}

/// The object of an Ingress, as problems name it.
pub(crate) fn reference(key: &ObjectKey) -> ObjectRef {
    ObjectRef::namespaced(Kind::Ingress, key)
}
