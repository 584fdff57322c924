//! A row of the annotation table: everything the gateway knows of one annotation.

use std::collections::BTreeMap;

use super::parsed::{Annotations, ServiceAnnotations};
use super::value::{Form, Written};
use crate::reporter::Reporter;

/// Annotations that belong together, in all their spellings.
pub(super) struct Subject {
    /// As a heading of the reference.
    pub(super) title: &'static str,
    /// Annotations of Ingresses.
    pub(super) ingress: &'static [Row<Annotations>],
    /// Annotations of Services.
    pub(super) service: &'static [Row<ServiceAnnotations>],
    /// Looks at the annotations of an Ingress together, once each of them has been read.
    pub(super) review: Option<Review>,
}

/// Gets the annotations parsed and as they are written. It may add what several annotations say together.
pub(super) type Review = fn(&mut Annotations, &BTreeMap<String, String>, &mut Reporter<'_>);

/// One annotation. `T` is what it is parsed into.
pub(super) struct Row<T: 'static> {
    /// The whole key; one that ends in `*` stands for every key that begins so.
    pub(super) key: &'static str,
    /// What the gateway does with it.
    pub(super) effect: Effect<T>,
    /// What to know of it, in the reference; for one that is not honoured, also the reason that problems give.
    pub(super) note: &'static str,
    /// What is different from where the annotation comes from; empty if nothing is.
    pub(super) difference: &'static str,
    /// A value, for the reference; empty: that of its form.
    pub(super) example: &'static str,
}

/// What the gateway does with an annotation.
pub(super) enum Effect<T: 'static> {
    /// It does what it says.
    Honoured(&'static dyn Honoured<T>),
    /// It asks for protection, or for another request than the client's, that this version cannot give: the routes
    /// answer 503. The values of `except` describe what the gateway does anyway, and pass in silence.
    Closes { except: &'static [&'static str] },
    /// Raw configuration of another product: the routes answer 503, unless another annotation has snippets ignored.
    Snippet,
    /// It changes nothing that a client could rely on: a warning says that it is ignored. The values of `except`
    /// describe what the gateway does anyway, and pass in silence.
    Ignored { except: &'static [&'static str] },
}

/// How an honoured annotation is read. `V` is the type of its value.
pub(super) struct Setting<T, V: 'static> {
    /// The form of the value.
    pub(super) value: &'static Form<V>,
    /// What holds where the annotation is absent.
    pub(super) default: &'static str,
    /// What is at stake when it cannot be understood.
    pub(super) stake: Stake,
    /// Puts the value where it belongs.
    pub(super) put: fn(&mut T, V, &mut Written<'_, '_>),
}

/// What is at stake when an annotation cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stake {
    /// Convenience: the value is ignored, with an error.
    Convenience,
    /// What the writer relies on: a value that cannot be read closes the routes.
    Reliance,
    /// Protection: so does a key that may be a misspelling of this one.
    Protection,
}

/// A [`Setting`] of any type of value.
pub(super) trait Honoured<T> {
    /// Parses the value and puts it where it belongs, or says why it cannot be read.
    fn read(&self, into: &mut T, written: &mut Written<'_, '_>) -> Result<(), String>;

    /// The form of the value, in words.
    fn form(&self) -> &'static str;

    fn default(&self) -> &'static str;

    fn stake(&self) -> Stake;
}

impl<T, V> Honoured<T> for Setting<T, V> {
    fn read(&self, into: &mut T, written: &mut Written<'_, '_>) -> Result<(), String> {
        let value = (self.value.parse)(written)?;
        (self.put)(into, value, written);
        Ok(())
    }

    fn form(&self) -> &'static str {
        self.value.name
    }

    fn default(&self) -> &'static str {
        self.default
    }

    fn stake(&self) -> Stake {
        self.stake
    }
}

impl<T> Row<T> {
    /// The same, with a difference from where it comes from.
    pub(super) const fn differs(mut self, difference: &'static str) -> Self {
        self.difference = difference;
        self
    }

    /// The same, with a value that shows how it is written.
    pub(super) const fn example(mut self, example: &'static str) -> Self {
        self.example = example;
        self
    }

    /// Whether some value of it closes routes, so that a key that may be a misspelling of it must close them too.
    pub(super) fn protects(&self) -> bool {
        match self.effect {
            Effect::Closes { .. } | Effect::Snippet => true,
            Effect::Honoured(setting) => setting.stake() == Stake::Protection,
            Effect::Ignored { .. } => false,
        }
    }
}

pub(super) const fn honoured<T, V>(
    key: &'static str,
    note: &'static str,
    setting: &'static Setting<T, V>,
) -> Row<T> {
    Row {
        key,
        effect: Effect::Honoured(setting),
        note,
        difference: "",
        example: "",
    }
}

pub(super) const fn closes<T>(key: &'static str, note: &'static str) -> Row<T> {
    closes_except(&[], key, note)
}

pub(super) const fn closes_except<T>(
    except: &'static [&'static str],
    key: &'static str,
    note: &'static str,
) -> Row<T> {
    Row {
        key,
        effect: Effect::Closes { except },
        note,
        difference: "",
        example: "",
    }
}

pub(super) const fn ignored<T>(key: &'static str, note: &'static str) -> Row<T> {
    ignored_except(&[], key, note)
}

pub(super) const fn ignored_except<T>(
    except: &'static [&'static str],
    key: &'static str,
    note: &'static str,
) -> Row<T> {
    Row {
        key,
        effect: Effect::Ignored { except },
        note,
        difference: "",
        example: "",
    }
}
