//! Forms of values that several annotations share.

use std::time::Duration;

use route::ObjectKey;

use crate::filter_kind::{FilterKind, NoFilter};
use crate::filter_spec::{Dialect, FilterSpec, WrittenFilter};
use crate::metadata::is_label;
use crate::problem::{Severity, Topic};
use crate::reporter::Reporter;

/// An annotation as it is written on an object.
pub(super) struct Written<'a, 'r> {
    pub(super) key: &'a str,
    /// Without the white space around it.
    pub(super) value: &'a str,
    /// The namespace of the object.
    pub(super) namespace: &'a str,
    reporter: &'a mut Reporter<'r>,
}

/// The form of a value: how it is described, and how it is parsed.
pub(super) struct Form<V: 'static> {
    /// As the reference has it.
    pub(super) name: &'static str,
    /// The value, or what is wrong with it.
    pub(super) parse: fn(&Written<'_, '_>) -> Result<V, String>,
}

/// Values of switches that are off, as `except` of a row has them.
pub(super) const OFF: &[&str] = &["false", "off"];
/// Values of switches that are on.
pub(super) const ON: &[&str] = &["true", "on"];

/// Truth values as ingress-nginx reads them (Go, `strconv.ParseBool`).
pub(super) const TRUTH: Form<bool> = Form {
    name: "`true` or `false`",
    parse: |written| {
        truth(written.value).ok_or_else(|| format!("`{}` is neither `true` nor `false`", written.value))
    },
};

/// `on` or `off`; truth values are understood too.
pub(super) const SWITCH: Form<bool> = Form {
    name: "`on` or `off`",
    parse: |written| match written.value {
        "on" => Ok(true),
        "off" => Ok(false),
        other => truth(other).ok_or_else(|| format!("`{other}` is neither `on` nor `off`")),
    },
};

/// Whole seconds.
pub(super) const SECONDS: Form<Duration> = Form {
    name: "seconds",
    parse: |written| match digits::<u32>(written.value) {
        Some(0) | None => Err(format!("`{}` is not a number of seconds from 1", written.value)),
        Some(seconds) => Ok(Duration::from_secs(seconds.into())),
    },
};

/// Sizes as nginx writes them: bytes, or with `k`, `m` or `g`, powers of 1024.
pub(super) const SIZE: Form<u64> = Form {
    name: "bytes, or a number with `k`, `m` or `g`",
    parse: |written| {
        size(written.value).ok_or_else(|| format!("`{}` is not a size such as `8m`", written.value))
    },
};

/// Words with commas between them; empty ones do not count.
pub(super) const NAMES: Form<Vec<Box<str>>> = Form {
    name: "names, separated by commas",
    parse: |written| {
        let names = written.value.split(',').map(str::trim);
        Ok(names.filter(|name| !name.is_empty()).map(Box::from).collect())
    },
};

/// In the namespace of the Ingress.
pub(super) const SECRET: Form<ObjectKey> = Form {
    name: "the name of a Secret",
    parse: |written| {
        local(written.value, written.namespace).ok_or_else(|| {
            format!(
                "`{}` is not the name of a Secret in the namespace of the Ingress",
                written.value
            )
        })
    },
};

/// The namespace must be the Ingress's own: a Secret of someone else's is not lent.
pub(super) const QUALIFIED_SECRET: Form<ObjectKey> = Form {
    name: "`namespace/name` of a Secret",
    parse: |written| {
        let (value, namespace) = (written.value, written.namespace);
        let name = match value.split_once('/') {
            None => value,
            Some((own, name)) if own == namespace => name,
            Some((foreign, _)) => {
                return Err(format!(
                    "the Secret is in namespace `{foreign}`; only Secrets of the Ingress's own namespace \
                     `{namespace}` are read"
                ));
            }
        };
        local(name, namespace).ok_or_else(|| format!("`{value}` is not `namespace/name` of a Secret"))
    },
};

impl<'a, 'r> Written<'a, 'r> {
    pub(super) fn new(
        key: &'a str,
        value: &'a str,
        namespace: &'a str,
        reporter: &'a mut Reporter<'r>,
    ) -> Self {
        Self {
            key,
            value: value.trim(),
            namespace,
            reporter,
        }
    }

    /// A filter whose main annotation this is.
    pub(super) fn filter(&self, spec: FilterSpec) -> WrittenFilter {
        written_filter(self.key, spec)
    }

    /// It asks for no filter of a kind. `None` if it is not the gateway's own, which says nothing about other spellings.
    pub(super) fn no_filter(&self, kind: FilterKind) -> Option<NoFilter> {
        (dialect_of(self.key) == Dialect::Own).then(|| NoFilter {
            kind,
            annotation: self.key.into(),
        })
    }

    /// The spelling of the annotation, and where it is written.
    pub(super) fn place(&self) -> (Dialect, Box<str>) {
        (dialect_of(self.key), field(self.key).into())
    }

    /// Where it is written, as problems name it.
    pub(super) fn field(&self) -> String {
        field(self.key)
    }

    /// Reports something about it that its key does not say.
    pub(super) fn report_about(&mut self, topic: Topic, severity: Severity, message: impl Into<String>) {
        self.reporter
            .report_about(topic, severity, &field(self.key), message);
    }

    /// Reports something about the annotation.
    pub(super) fn report(&mut self, severity: Severity, message: impl Into<String>) {
        self.reporter.report(severity, &field(self.key), message);
    }
}

/// The spelling of an annotation.
pub(super) fn dialect_of(key: &str) -> Dialect {
    match key.split_once('/') {
        Some(("nginx.ingress.kubernetes.io", _)) => Dialect::Nginx,
        Some(("traefik.ingress.kubernetes.io", _)) => Dialect::Traefik,
        _ => Dialect::Own,
    }
}

/// A filter whose main annotation has this key.
pub(super) fn written_filter(key: &str, spec: FilterSpec) -> WrittenFilter {
    WrittenFilter {
        spec,
        dialect: dialect_of(key),
        field: field(key).into(),
    }
}

/// Where an annotation is written, as problems name it.
pub(super) fn field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

/// A number of digits alone: no sign.
pub(super) fn digits<N: std::str::FromStr>(text: &str) -> Option<N> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| plain)
}

pub(super) fn truth(value: &str) -> Option<bool> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// The key of an object in this namespace.
pub(super) fn local(name: &str, namespace: &str) -> Option<ObjectKey> {
    let is_name = name.len() <= 253 && name.split('.').all(is_label);
    is_name.then(|| ObjectKey::new(namespace, name))
}

fn size(value: &str) -> Option<u64> {
    let text = value.to_ascii_lowercase();
    let (digits, shift) = match text.strip_suffix(['b', 'k', 'm', 'g']) {
        Some(digits) if text.ends_with('k') => (digits, 10),
        Some(digits) if text.ends_with('m') => (digits, 20),
        Some(digits) if text.ends_with('g') => (digits, 30),
        Some(digits) => (digits, 0),
        None => (text.as_str(), 0),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .parse::<u64>()
        .ok()
        .filter(|_| plain)
        .and_then(|number| number.checked_mul(1 << shift))
}
