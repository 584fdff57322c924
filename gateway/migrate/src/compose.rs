//! From what is given to a report.

use std::collections::{BTreeMap, BTreeSet};

use route::ObjectKey;

use crate::case::Case;
use crate::controller::{Controller, class_of};
use crate::difference::Difference;
use crate::facts::RouteFact;
use crate::given::Given;
use crate::kind::DifferenceKind;
use crate::neighbours::Neighbours;
use crate::raw::RawObject;
use crate::report::{ControllerDefault, IngressReport, Report};
use crate::{ingress_nginx, model, objects, schemes, settings, traefik};

/// Says what changes for the Ingresses that have a place. Differences of `accepted` kinds are told as notes.
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
    let mut routes: BTreeMap<&str, Vec<&RouteFact>> = BTreeMap::new();
    for route in given.routes {
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
            routes: routes
                .get(&*ingress.key.to_string())
                .map(Vec::as_slice)
                .unwrap_or_default(),
            neighbours: &neighbours,
            settings: &known,
            middlewares: &middlewares,
        };
        ingresses.push(of_ingress(&case, accepted));
    }
    let count = |controller: &Controller| ingresses.iter().filter(|it| it.controller == *controller).count();
    let mut defaults = Vec::new();
    for (controller, of) in [
        (Controller::IngressNginx, ingress_nginx::defaults(given, &known)),
        (Controller::Traefik, traefik::defaults()),
    ] {
        let count = count(&controller);
        if count > 0 {
            defaults.extend(of.into_iter().map(|(kind, message)| ControllerDefault {
                controller: controller.clone(),
                kind,
                message,
                ingresses: count,
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
