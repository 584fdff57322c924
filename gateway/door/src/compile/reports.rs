//! What compiling finds wrong.

use std::collections::BTreeMap;

use resource::{ObjectRef, Problem};

/// Problems by the object whose compilation found them. They may be about objects to which it refers.
pub(crate) type Reports = BTreeMap<ObjectRef, Vec<Problem>>;
