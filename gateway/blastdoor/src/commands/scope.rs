//! Which namespaces a report is about.

use clap::Args;

/// Which namespaces a report is about.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Scope {
    /// Report only what concerns this namespace [default: all namespaces]
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Report on all namespaces, as without -n
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

impl Scope {
    /// The namespace; `None`: all of them.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Whether the report is about this namespace. What belongs to none concerns all.
    pub(crate) fn includes(&self, namespace: Option<&str>) -> bool {
        match (&self.namespace, namespace) {
            (None, _) | (_, None) => true,
            (Some(asked), Some(namespace)) => asked == namespace,
        }
    }

    /// Whether the report is about this object, `namespace/name`. What is not known concerns all.
    pub(crate) fn includes_object(&self, object: Option<&str>) -> bool {
        self.includes(object.and_then(|object| Some(object.split_once('/')?.0)))
    }
}
