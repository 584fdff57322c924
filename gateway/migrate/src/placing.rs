//! The door that each Ingress lands on.

use std::collections::BTreeMap;
use std::sync::Arc;

use door::Policy;
use resource::{ClusterView, Ingress, Labels, Object};
use route::{ListenerName, ObjectKey};
use serde::Serialize;

use crate::controller::class_of;

/// Where Ingresses land.
pub type Places = BTreeMap<ObjectKey, Place>;

/// Where an Ingress lands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The doors that admit it, with the labels that are to be added.
    pub doors: Vec<ListenerName>,
    /// What says so.
    pub by: By,
    /// Why, or why not.
    pub reason: String,
    /// The labels to add; empty: it has them, or its class decides.
    pub labels: Vec<(String, String)>,
}

/// What says at which door an Ingress is to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The labels that it has.
    Labels,
    /// Its class: the door names it in `classes`.
    Class,
    /// A wish of the command line.
    Asked,
    /// Words in its class, or the only door there is. It is a guess, and nobody has said it.
    Guess,
    /// Nothing.
    Nothing,
}

/// A door for the Ingresses of a class, of an entry point of Traefik, or for all others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// `CLASS`, `entrypoint:NAME`, or `*`.
    pub of: String,
    /// The door.
    pub door: ListenerName,
}

/// Why a wish cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WishError(String);

impl std::fmt::Display for WishError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for WishError {}

impl std::str::FromStr for Wish {
    type Err = WishError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || {
            WishError(format!(
                "`{text}` is none; allowed: `CLASS=DOOR`, `entrypoint:NAME=DOOR`, and `*=DOOR` for all others"
            ))
        };
        let (of, door) = text.split_once('=').ok_or_else(wrong)?;
        let door: ListenerName = door.trim().parse().map_err(|_invalid| wrong())?;
        let of = of.trim();
        if of.is_empty() || of == "entrypoint:" {
            return Err(wrong());
        }
        Ok(Self {
            of: of.to_owned(),
            door,
        })
    }
}

/// Labels to add.
type AddedLabels = Vec<(String, String)>;

/// Words in a class that say for whom it is.
const WORDS: &[(&str, &[&str])] = &[
    ("internal", &["internal", "private", "intranet", "intern"]),
    ("external", &["external", "public", "internet", "extern"]),
];

/// Finds the door of each Ingress, and gives Ingresses the labels that they lack. Where a door is guessed, the view has
/// them too, so that the report says what would happen.
#[must_use]
pub fn place(view: &ClusterView, doors: &[(ListenerName, Policy)], wishes: &[Wish]) -> (Places, ClusterView) {
    let mut labelled = view.clone();
    let mut places = Places::new();
    for ingress in view.ingresses() {
        let place = Placing { view, doors, wishes }.of(ingress);
        if !place.labels.is_empty() {
            labelled.insert(Object::Ingress(Arc::new(with_labels(ingress, &place.labels))));
        }
        places.insert(ingress.key.clone(), place);
    }
    (places, labelled)
}

struct Placing<'a> {
    view: &'a ClusterView,
    doors: &'a [(ListenerName, Policy)],
    wishes: &'a [Wish],
}

impl Placing<'_> {
    fn of(&self, ingress: &Ingress) -> Place {
        let doors = self.admitting(ingress);
        if !doors.is_empty() {
            let by_labels = self
                .doors
                .iter()
                .any(|(name, policy)| doors.contains(name) && !policy.selectors.is_empty());
            let by = if by_labels { By::Labels } else { By::Class };
            let reason = self.membership(&doors);
            return Place {
                doors,
                by,
                reason,
                labels: Vec::new(),
            };
        }
        let asked = self.asked(ingress);
        let guess = || self.guess(ingress).map(|(door, why)| (door, By::Guess, why));
        let chosen = asked.map(|(door, why)| (door, By::Asked, why)).or_else(guess);
        let Some((door, by, why)) = chosen else {
            return Place {
                doors,
                by: By::Nothing,
                reason: self.how_to(),
                labels: Vec::new(),
            };
        };
        match self.join(ingress, door) {
            Ok((doors, labels)) => Place {
                doors,
                by,
                reason: why,
                labels,
            },
            Err(obstacle) => Place {
                doors,
                by: By::Nothing,
                reason: format!("{why}, but {obstacle}"),
                labels: Vec::new(),
            },
        }
    }

    fn admitting(&self, ingress: &Ingress) -> Vec<ListenerName> {
        let admitting = self
            .doors
            .iter()
            .filter(|(_, policy)| policy.admits(ingress, self.view));
        admitting.map(|(name, _)| name.clone()).collect()
    }

    fn policy(&self, door: &ListenerName) -> Option<&Policy> {
        let found = self.doors.iter().find(|(name, _)| name == door);
        found.map(|(_, policy)| policy)
    }

    fn membership(&self, doors: &[ListenerName]) -> String {
        let said = doors.iter().filter_map(|door| {
            let policy = self.policy(door)?;
            Some(format!("door {door} admits {}", policy.membership()))
        });
        said.collect::<Vec<_>>().join("; ")
    }

    /// The door that the command line asks for.
    fn asked(&self, ingress: &Ingress) -> Option<(&ListenerName, String)> {
        let wish = |of: &str| self.wishes.iter().find(|wish| wish.of == of);
        let entrypoints = ingress.annotations.entrypoints.iter();
        let by_entrypoint = entrypoints
            .filter_map(|name| wish(&format!("entrypoint:{name}")))
            .next();
        let class = class_of(ingress, self.view);
        let found = by_entrypoint
            .or_else(|| wish(class.as_deref()?))
            .or_else(|| wish("*"))?;
        Some((&found.door, format!("--door {}={}", found.of, found.door)))
    }

    /// The door that is most likely meant.
    fn guess(&self, ingress: &Ingress) -> Option<(&ListenerName, String)> {
        let takes = |policy: &Policy| policy.redirect.is_none();
        let mut open = self.doors.iter().filter(|(_, policy)| takes(policy));
        if let (Some((only, _)), None) = (open.next(), open.next()) {
            return Some((only, "it is the only door that does not just redirect".to_owned()));
        }
        let class = class_of(ingress, self.view)?.to_ascii_lowercase();
        let (side, _) = WORDS
            .iter()
            .find(|(_, words)| words.iter().any(|word| class.contains(word)))?;
        let wants_tls = !ingress.tls.is_empty();
        let mut fitting = self.doors.iter().filter(|(name, policy)| {
            let is_https = policy.scheme == door::Scheme::Https;
            name.as_str().contains(side) && takes(policy) && is_https == wants_tls
        });
        match (fitting.next(), fitting.next()) {
            (Some((only, _)), None) => {
                let tls = if wants_tls { "has" } else { "has no" };
                Some((only, format!("its class says `{side}`, and it {tls} `spec.tls`")))
            }
            (_, _) => None,
        }
    }

    /// The labels that make a door admit the Ingress, and the doors that admit it then.
    fn join(
        &self,
        ingress: &Ingress,
        door: &ListenerName,
    ) -> Result<(Vec<ListenerName>, AddedLabels), String> {
        let policy = self
            .policy(door)
            .ok_or_else(|| format!("there is no door `{door}`"))?;
        if policy.selectors.is_empty() {
            return Err(format!(
                "door `{door}` goes by class: set `spec.ingressClassName` to {}",
                policy.classes.join(" or ")
            ));
        }
        let labels = policy
            .selectors
            .example(door.as_str())
            .ok_or_else(|| format!("no label is easily found that `{}` selects", policy.selectors))?;
        for (key, value) in labels.iter() {
            match ingress.labels.get(key) {
                Some(own) if own != value => {
                    return Err(format!("it has the label {key}={own} already"));
                }
                Some(_) | None => {}
            }
        }
        let missing = labels.iter().filter(|(key, _)| ingress.labels.get(key).is_none());
        let missing: Vec<(String, String)> = missing
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        let doors = self.admitting(&with_labels(ingress, &missing));
        if doors.contains(door) {
            Ok((doors, missing))
        } else {
            Err(format!(
                "door `{door}` does not admit it with that label either ({}; `namespaces` and `ingress_class` count too)",
                policy.membership()
            ))
        }
    }

    /// What to write where nothing says the door.
    fn how_to(&self) -> String {
        let labels = self.doors.iter().filter_map(|(name, policy)| {
            let labels = policy.selectors.example(name.as_str())?;
            let pairs: Vec<String> = labels
                .iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect();
            Some(pairs.join(","))
        });
        let labels: Vec<String> = labels.collect();
        if labels.is_empty() {
            let classes = self.doors.iter().flat_map(|(_, policy)| &policy.classes);
            let classes: Vec<&str> = classes.map(AsRef::as_ref).collect();
            return format!("none: set the class to {}", classes.join(" or "));
        }
        format!("none: add label {}", labels.join(" or "))
    }
}

fn with_labels(ingress: &Ingress, added: &[(String, String)]) -> Ingress {
    let own = ingress.labels.iter();
    let added = added.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let labels: Labels = own.chain(added).collect();
    Ingress {
        labels,
        ..ingress.clone()
    }
}
