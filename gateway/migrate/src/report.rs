//! The report: everything that changes, by Ingress.

use std::collections::{BTreeMap, BTreeSet};

use resource::{Ingress, Kind, ObjectRef};
use route::ObjectKey;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::controller::{Controller, class_of};
use crate::difference::{Difference, Effect};
use crate::evidence::Evidence;
use crate::facts::{DoorFacts, RouteFact};
use crate::given::{Given, RawObject};
use crate::kind::DifferenceKind;
use crate::neighbours::Neighbours;
use crate::placing::{By, Place};
use crate::{ingress_nginx, model, objects, schemes, settings, traefik};

/// Everything that changes. Its JSON is stable: fields may be added.
#[derive(Debug)]
pub struct Report {
    /// By namespace and name.
    pub ingresses: Vec<IngressReport>,
    /// What holds for every Ingress of a controller, whatever is written.
    pub defaults: Vec<ControllerDefault>,
    /// Settings of controllers as a whole.
    pub settings: Vec<Setting>,
    /// Objects of kinds that have no counterpart here.
    pub objects: Vec<ForeignObject>,
    /// What could not be read.
    pub unreadable: Vec<Unreadable>,
}

/// What changes for one Ingress.
#[derive(Debug, Serialize)]
pub struct IngressReport {
    /// `namespace/name`
    pub ingress: String,
    /// The file that it is written in.
    pub file: Option<String>,
    /// And its line there.
    pub line: Option<u32>,
    /// Whose it is.
    pub controller: Controller,
    /// Its class, its own or the default one.
    pub class: Option<String>,
    /// The doors that it lands on.
    pub doors: Vec<String>,
    /// What says so.
    pub by: By,
    /// Why, or what to write.
    pub reason: String,
    /// The labels to add.
    pub add_labels: BTreeMap<String, String>,
    /// What its doors serve of it.
    pub routes: Vec<RouteFact>,
    /// What changes.
    pub differences: Vec<Difference>,
    /// What is worth knowing, and what could not be judged.
    pub notes: Vec<Difference>,
}

/// What is different for every Ingress of a controller.
#[derive(Debug, Serialize)]
pub struct ControllerDefault {
    /// Whose Ingresses.
    pub controller: Controller,
    /// What it is about.
    pub kind: DifferenceKind,
    /// What is different.
    pub message: String,
    /// How many Ingresses it concerns.
    pub ingresses: usize,
    /// Whether it was seen at the real gateway.
    pub checked: Evidence,
}

/// A setting of a controller as a whole.
#[derive(Debug, Serialize)]
pub struct Setting {
    /// The object that it is written in, as in `ConfigMap ingress-nginx/controller`.
    pub object: String,
    /// Its key.
    pub key: String,
    /// What becomes of it.
    pub effect: Effect,
    /// Where it is set here, or what is missing.
    pub message: String,
    /// Whether it was seen at the real gateway.
    pub checked: Evidence,
}

/// An object that has no counterpart here.
#[derive(Debug, Serialize)]
pub struct ForeignObject {
    /// Its kind, with its group, as in `traefik.io/IngressRoute`.
    pub kind: String,
    /// Its namespace, if it is written.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The file that it is written in.
    pub file: Option<String>,
    /// What to write instead.
    pub message: String,
}

/// A file, a part of one, or a kind of objects that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unreadable {
    /// The file, or the kind.
    pub what: String,
    /// The line.
    pub line: Option<u32>,
    /// Why.
    pub message: String,
}

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
    pub(crate) settings: &'a settings::Settings<'a>,
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

/// Says what changes. Differences of `accepted` kinds are told as notes.
#[must_use]
pub fn report(given: &Given<'_>, accepted: &BTreeSet<DifferenceKind>) -> Report {
    let written: BTreeMap<ObjectKey, &RawObject> = given
        .raw
        .iter()
        .rev()
        .filter(|raw| raw.is_ingress())
        .map(|raw| (raw.key(), raw))
        .collect();
    let middlewares: BTreeMap<ObjectKey, &RawObject> = given
        .raw
        .iter()
        .rev()
        .filter(|raw| raw.is_middleware())
        .map(|raw| (raw.key(), raw))
        .collect();
    let controllers: BTreeMap<&ObjectKey, Controller> = given
        .view
        .ingresses()
        .map(|ingress| {
            let raw = written.get(&ingress.key).copied();
            let found = Controller::of(ingress, raw, given.view);
            let controller = match (&found, &given.from) {
                (Controller::Unknown | Controller::Other(_), Some(from)) => from.clone(),
                (_, _) => found,
            };
            (&ingress.key, controller)
        })
        .collect();
    let mut routes: BTreeMap<&ObjectKey, Vec<&RouteFact>> = BTreeMap::new();
    for route in given.doors.iter().flat_map(|door| &door.routes) {
        routes.entry(&route.ingress).or_default().push(route);
    }
    let neighbours = Neighbours::of(given.view, &controllers, &written);
    let known = settings::Settings::of(given.raw);
    let mut ingresses = Vec::new();
    for ingress in given.view.ingresses() {
        let (Some(controller), Some(place)) = (controllers.get(&ingress.key), given.places.get(&ingress.key))
        else {
            continue;
        };
        let case = Case {
            given,
            ingress,
            raw: written.get(&ingress.key).copied(),
            controller,
            place,
            doors: given
                .doors
                .iter()
                .filter(|door| place.doors.contains(&door.name))
                .collect(),
            routes: routes.get(&ingress.key).map(Vec::as_slice).unwrap_or_default(),
            neighbours: &neighbours,
            settings: &known,
            middlewares: &middlewares,
        };
        ingresses.push(of_ingress(&case, accepted));
    }
    let count = |controller: &Controller| controllers.values().filter(|it| *it == controller).count();
    let mut defaults = Vec::new();
    for (controller, of) in [
        (Controller::IngressNginx, ingress_nginx::defaults(given, &known)),
        (Controller::Traefik, traefik::defaults()),
    ] {
        let ingresses = count(&controller);
        if ingresses > 0 {
            defaults.extend(of.into_iter().map(|(kind, message)| ControllerDefault {
                controller: controller.clone(),
                kind,
                message,
                ingresses,
                checked: crate::evidence::evidence(kind, controller.as_str()),
            }));
        }
    }
    Report {
        ingresses,
        defaults,
        settings: known.report(accepted),
        objects: objects::foreign(given.raw),
        unreadable: given.unreadable.to_vec(),
    }
}

fn of_ingress(case: &Case<'_>, accepted: &BTreeSet<DifferenceKind>) -> IngressReport {
    let mut found = model::differences(case);
    found.extend(schemes::differences(case));
    match case.controller {
        Controller::IngressNginx => found.extend(ingress_nginx::differences(case)),
        Controller::Traefik => found.extend(traefik::differences(case)),
        Controller::Other(name) => found.push(model::other_controller(name)),
        Controller::Blastdoor | Controller::Unknown => {}
    }
    found.sort_by(|left, right| {
        let order = |it: &Difference| (it.effect, it.kind, it.object.clone(), it.field.clone());
        order(left).cmp(&order(right))
    });
    found.dedup_by(|later, first| {
        (later.kind, &later.object, &later.field, &later.message)
            == (first.kind, &first.object, &first.field, &first.message)
    });
    let (differences, notes) = found
        .into_iter()
        .partition(|it| it.effect.counts() && !accepted.contains(&it.kind));
    let source = case.ingress.source.as_ref();
    IngressReport {
        ingress: case.ingress.key.to_string(),
        // Objects of an API server have been read as if they came from a file.
        file: case.raw.and_then(|raw| raw.file.as_deref()).map(str::to_owned),
        line: source
            .filter(|_| case.raw.is_some_and(|raw| raw.file.is_some()))
            .map(|source| source.line),
        controller: case.controller.clone(),
        class: class_of(case.ingress, case.given.view).map(Into::into),
        doors: case.place.doors.iter().map(ToString::to_string).collect(),
        by: case.place.by,
        reason: case.place.reason.clone(),
        add_labels: case.place.labels.iter().cloned().collect(),
        routes: case.routes.iter().map(|route| (*route).clone()).collect(),
        differences,
        notes,
    }
}

impl Report {
    /// Whether something is different, or could not be read. `strictly`: also what holds for every Ingress of a controller.
    #[must_use]
    pub fn differs(&self, strictly: bool) -> bool {
        self.ingresses
            .iter()
            .any(|ingress| !ingress.differences.is_empty())
            || self.settings.iter().any(|setting| setting.effect.counts())
            || !self.objects.is_empty()
            || !self.unreadable.is_empty()
            || strictly && !self.defaults.is_empty()
    }

    /// How often each kind of difference occurs.
    #[must_use]
    pub fn by_kind(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for difference in self.ingresses.iter().flat_map(|ingress| &ingress.differences) {
            *counts.entry(difference.kind.as_str()).or_default() += 1;
        }
        counts
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Report", 6)?;
        out.serialize_field("ingresses", &self.ingresses)?;
        out.serialize_field("defaults", &self.defaults)?;
        out.serialize_field("settings", &self.settings)?;
        out.serialize_field("objects", &self.objects)?;
        out.serialize_field("unreadable", &self.unreadable)?;
        out.serialize_field("summary", &Summary::of(self))?;
        out.end()
    }
}

#[derive(Serialize)]
struct Summary {
    ingresses: usize,
    without_door: usize,
    to_label: usize,
    with_differences: usize,
    differences: BTreeMap<&'static str, usize>,
}

impl Summary {
    fn of(report: &Report) -> Self {
        let count = |fits: fn(&IngressReport) -> bool| report.ingresses.iter().filter(|it| fits(it)).count();
        Self {
            ingresses: report.ingresses.len(),
            without_door: count(|ingress| ingress.doors.is_empty()),
            to_label: count(|ingress| !ingress.add_labels.is_empty()),
            with_differences: count(|ingress| !ingress.differences.is_empty()),
            differences: report.by_kind(),
        }
    }
}

/// The object of an Ingress, as problems name it.
pub(crate) fn reference(key: &ObjectKey) -> ObjectRef {
    ObjectRef::namespaced(Kind::Ingress, key)
}
