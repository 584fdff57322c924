//! Which namespaces a report is about.

use clap::Args;

use super::print_error;
use crate::config::{Config, SourceKind};
use crate::world::{OpenDoor, World};

/// Which namespaces a report is about.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Scope {
    /// Report only what concerns this namespace [default: all namespaces]
    #[arg(short, long, value_name = "NAME", value_parser = namespace)]
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

    /// Whether something that was read belongs to the namespace, be it an object with a problem. If not, a report is empty
    /// whatever is exposed: the name may be misspelt.
    pub(super) fn is_read(&self, world: &World<OpenDoor>) -> bool {
        self.namespace().is_none_or(|name| {
            let mut problems = world.problems.all().iter();
            let view = world.view.as_ref();
            view.is_some_and(|view| view.has_objects_of(name))
                || problems.any(|problem| problem.object.namespace.as_deref() == Some(name))
        })
    }

    /// That nothing that was read belongs to the namespace, and the setting that leaves it out.
    pub(super) fn unread(&self, config: &Config) -> String {
        let name = self.namespace().unwrap_or_default();
        let source = &config.source;
        let is_left_out = matches!(source.kind, SourceKind::Kubernetes)
            && !source.namespaces.is_empty()
            && source.namespaces.iter().all(|read| **read != *name);
        let why = match is_left_out {
            true => ": `[source] namespaces` leaves it out",
            false => "",
        };
        format!("no object of namespace `{name}` was read{why}")
    }

    /// Says on standard error that the report is cut.
    pub(super) fn tell_left_out(&self, count: usize, what: &str) {
        let Some(name) = self.namespace().filter(|_| count > 0) else {
            return;
        };
        let (plural, are) = if count == 1 { ("", "is") } else { ("s", "are") };
        print_error(format!(
            "only namespace `{name}`; {count} {what}{plural} of others {are} left out"
        ));
    }
}

/// The name of a namespace, a label in DNS. One that is empty is that of a variable which is not set: it must not cut a
/// report to nothing.
///
/// # Errors
/// When no namespace can have it.
pub(super) fn namespace(text: &str) -> Result<String, String> {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = (1..=63).contains(&text.len())
        && text.bytes().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-');
    if is_name {
        return Ok(text.to_owned());
    }
    Err(
        "no namespace has this name; allowed: lower-case letters, digits and `-`, 1 to 63 of them, with a letter or digit at both \
         ends"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::namespace;

    #[test]
    fn a_namespace_is_a_label_in_dns() {
        for name in ["shop", "a", "0", "team-1", &"a".repeat(63)] {
            assert_eq!(namespace(name).as_deref(), Ok(name));
        }
        for name in [
            "",
            " ",
            "Shop",
            "-a",
            "a-",
            "a.b",
            "a/b",
            "*",
            "ä",
            &"a".repeat(64),
        ] {
            assert!(namespace(name).is_err(), "{name:?}");
        }
    }
}
