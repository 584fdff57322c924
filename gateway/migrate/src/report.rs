//! The report: everything that changes, by Ingress.

use std::collections::BTreeMap;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::controller::Controller;
use crate::difference::{Difference, Effect};
use crate::evidence::Evidence;
use crate::facts::RouteFact;
use crate::kind::DifferenceKind;
use crate::placing::By;

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
