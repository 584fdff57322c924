//! The doctor: how load balancers reach the doors of a gateway, judged by the objects of the cluster alone.
//!
//! An [`Inventory`] holds the objects, [`Gateways`] are found among them, [`examine()`] looks for everything that the
//! [`catalogue`] knows, and yields a [`Report`].
//!
//! # Invariants
//! - Nothing here does I/O or reads a clock: objects and the time are arguments.
//! - What the gateway is configured to do is read by the program's own code, which is passed in.
//! - What could not be looked at is in the report, never left out in silence: a rule whose objects are not known does not
//!   run.
//! - Nothing of a Secret's content is printed.

#![cfg_attr(
    test,
    expect(
        clippy::needless_pass_by_value,
        reason = "tests write `json!` where it is needed"
    )
)]

mod beyond;
mod compiled;
mod examine;
mod finding;
#[cfg(test)]
mod fixture;
mod gateway;
mod inventory;
mod kind;
mod placement;
mod reference;
mod report;
mod rule;
mod rules;
mod scene;
mod selector;
mod target_group_binding;
mod traffic;
mod view;
mod words;

pub use compiled::needed_secrets;
pub use examine::examine;
pub use finding::{Evidence, Finding, Fix, Id, NotChecked, ObjectName, Severity};
pub use gateway::{
    ClientIp, Configuration, Controller, Door, Front, Gateways, Process, ProxyProtocol, Request, Unreadable,
    Workload, needed_config_maps,
};
pub use inventory::{Availability, Inventory, Missing};
pub use k8s_openapi::jiff::Timestamp;
pub use kind::Kind;
pub use reference::reference;
pub use report::{DoorSummary, GatewaySummary, Report};
pub use rule::Rule;
pub use rules::catalogue;
