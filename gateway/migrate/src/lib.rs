//! What changes for Ingresses that were written for ingress-nginx or Traefik when this gateway serves them.
//!
//! Objects go in, a [`Report`] comes out. What this gateway does is never decided here: the objects are read by `resource`
//! and compiled by `door`, and this crate reads what they say of them (problems, routes, the tables of annotations and
//! Middlewares). What it knows itself is what the *other* gateway does with what is written, or where nothing is written:
//! one module for each ([`ingress_nginx`], [`traefik`]).
//!
//! # Invariants
//! - Nothing is written and nothing is changed. [`labelled`] makes copies.
//! - Every kind of difference says whether it was seen at the real gateway, and in which case of `tests/differential`, or
//!   why it was not ([`Evidence`]).
//! - Pure: no I/O, no clock. Texts of objects are data; they are escaped where they are shown to people.

mod case;
mod compose;
mod controller;
mod difference;
mod evidence;
mod facts;
mod given;
mod ingress_nginx;
mod kind;
mod labelled;
mod model;
mod neighbours;
mod objects;
mod placing;
mod raw;
pub mod replay;
mod report;
mod schemes;
mod settings;
mod table;
mod traefik;
mod yaml;

pub use compose::report;
pub use controller::Controller;
pub use difference::{Difference, Effect};
pub use evidence::{Evidence, evidence, evident_subjects};
pub use facts::{DoorFacts, RouteFact, RouteState};
pub use given::Given;
pub use kind::DifferenceKind;
pub use labelled::{Copy, copies};
pub use objects::{ForeignKind, foreign_kinds};
pub use placing::{By, Place, Places, Wish, WishError, place};
pub use raw::{RawObject, objects_of};
pub use report::{ControllerDefault, ForeignObject, IngressReport, Report, Setting, Unreadable};
