//! A row of the table of Middlewares: everything the gateway knows of one kind and its fields.

use serde_json::Value;

use super::kind::{InvalidMiddleware, MiddlewareKind};
use super::reading::Reading;

/// A kind of Middleware: the one key below `spec`.
pub(super) struct KindRow {
    /// The key below `spec`, as in `rateLimit`.
    pub(super) name: &'static str,
    /// What it does, in the reference.
    pub(super) meaning: &'static str,
    /// Its fields; empty where they are not read (`plugin`).
    pub(super) fields: &'static [FieldRow],
    /// What lies below `spec`, as YAML.
    pub(super) example: &'static str,
    /// What becomes of it once its fields fit.
    pub(super) effect: KindEffect,
}

/// What becomes of a kind.
pub(super) enum KindEffect {
    /// It does what it says: its content, of which every field fits its row, is converted.
    Honoured(Convert),
    /// This version cannot honour it: Ingresses that name it answer 503. Says what is missing and what to do.
    Closes(&'static str),
}

/// Gets what is written below the kind, without nulls.
pub(super) type Convert = fn(Value, &mut Reading<'_, '_>) -> Result<MiddlewareKind, InvalidMiddleware>;

/// One field.
pub(super) struct FieldRow {
    pub(super) name: &'static str,
    pub(super) form: Form,
    /// What holds where it is absent.
    pub(super) default: &'static str,
    /// What it means.
    pub(super) meaning: &'static str,
    /// What is different from Traefik; empty if nothing is.
    pub(super) difference: &'static str,
    pub(super) effect: FieldEffect,
}

/// What becomes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldEffect {
    /// It does what it says.
    Honoured,
    /// It cannot be honoured: where it says anything but `false`, 0 or nothing, the Middleware is closed, for this
    /// reason.
    Closes(&'static str),
    /// It changes nothing that anybody relies on; where it says anything, this warning says so.
    Told(&'static str),
}

/// The form of a field.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// Text.
    Text,
    /// `true` or `false`.
    Truth,
    /// A whole number from 0.
    Natural,
    /// A whole number.
    Integer,
    /// A duration as Go writes it (`1m30s`), or a number of seconds.
    Duration,
    /// A number, or a name.
    Port,
    /// A list of texts.
    Texts,
    /// A map from texts to texts.
    TextMap,
    /// A map from texts to whole numbers.
    NumberMap,
    /// An object with these fields.
    Object(&'static [FieldRow]),
    /// A list of such objects.
    Objects(&'static [FieldRow]),
    /// Anything: it closes the Middleware anyway.
    Any,
}

impl Form {
    /// In words.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Truth => "`true` or `false`",
            Self::Natural => "a whole number from 0",
            Self::Integer => "a whole number",
            Self::Duration => "a duration such as `1m30s`, or seconds",
            Self::Port => "a number, or a name",
            Self::Texts => "a list of texts",
            Self::TextMap => "a map of texts",
            Self::NumberMap => "a map of whole numbers",
            Self::Object(_) => "an object",
            Self::Objects(_) => "a list of objects",
            Self::Any => "",
        }
    }
}

pub(super) const fn field(
    name: &'static str,
    form: Form,
    default: &'static str,
    meaning: &'static str,
) -> FieldRow {
    FieldRow {
        name,
        form,
        default,
        meaning,
        difference: "",
        effect: FieldEffect::Honoured,
    }
}

impl FieldRow {
    /// The same, with a difference from Traefik.
    pub(super) const fn differs(mut self, difference: &'static str) -> Self {
        self.difference = difference;
        self
    }

    /// The same, but it closes the Middleware.
    pub(super) const fn closes(mut self, reason: &'static str) -> Self {
        self.effect = FieldEffect::Closes(reason);
        self
    }

    /// The same, but it is without effect, and that is told.
    pub(super) const fn told(mut self, reason: &'static str) -> Self {
        self.effect = FieldEffect::Told(reason);
        self
    }
}
