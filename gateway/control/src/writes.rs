//! Who last wrote the objects that have changed, as far as the API server says.
//!
//! Of an object that has not changed nothing is kept: what its metadata says of its writers is most of the object, and of
//! interest only while somebody asks what has changed.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use resource::ObjectRef;

/// How many objects are known. Beyond, those that were written first are forgotten.
const MOST: usize = 1_000;

/// The longest name of a manager. The API server allows no longer one (`metadata.managedFields[].manager`).
const LONGEST_MANAGER: usize = 128;

/// The longest version. It is opaque, and a number of at most 20 digits in practice.
const LONGEST_VERSION: usize = 64;

/// One write of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Write {
    /// `metadata.resourceVersion`; `None` if it is too long.
    pub version: Option<Box<str>>,
    /// The name under which the newest of `metadata.managedFields` was written, cut after 128 characters. Whoever writes an
    /// object chooses it.
    pub manager: Option<Box<str>>,
    /// When that was; RFC 3339.
    pub time: Option<Box<str>>,
}

/// The writes of objects that changed lately: at most 1,000.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    /// With their positions in `order`.
    writes: BTreeMap<ObjectRef, (u64, Write)>,
    order: BTreeMap<u64, ObjectRef>,
    last: u64,
}

impl Write {
    /// The write that the metadata of an object tells of. What only writes the status is left out: the gateway compiles
    /// nothing from it.
    pub(crate) fn of(meta: &ObjectMeta) -> Self {
        let fields = meta.managed_fields.as_deref().unwrap_or_default().iter();
        let of_object = fields.filter(|entry| entry.subresource.as_deref().unwrap_or_default().is_empty());
        // Of several within the same second the last.
        let newest = of_object.max_by_key(|entry| time(entry));
        let version = meta.resource_version.as_deref();
        let is_usable = |version: &&str| !version.is_empty() && version.len() <= LONGEST_VERSION;
        Self {
            version: version.filter(is_usable).map(Into::into),
            manager: newest
                .and_then(|entry| entry.manager.as_deref())
                .map(|manager| manager.chars().take(LONGEST_MANAGER).collect::<String>().into()),
            time: newest.and_then(time).map(|time| time.to_string().into()),
        }
    }
}

fn time(entry: &ManagedFieldsEntry) -> Option<k8s_openapi::jiff::Timestamp> {
    entry.time.as_ref().map(|time| time.0)
}

impl Writes {
    /// Adds the write of an object, in place of an earlier one.
    pub fn put(&mut self, object: ObjectRef, write: Write) {
        self.last += 1;
        self.order.insert(self.last, object.clone());
        if let Some((earlier, _)) = self.writes.insert(object, (self.last, write)) {
            self.order.remove(&earlier);
        }
        if self.order.len() > MOST
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.writes.remove(&oldest);
        }
    }

    /// Adds all of the other, which are newer.
    pub fn append(&mut self, newer: Self) {
        let Self {
            mut writes, order, ..
        } = newer;
        for object in order.into_values() {
            if let Some((_, write)) = writes.remove(&object) {
                self.put(object, write);
            }
        }
    }

    /// The write of an object, which is then forgotten: the object may change again without being told of.
    pub fn take(&mut self, object: &ObjectRef) -> Option<Write> {
        let (position, write) = self.writes.remove(object)?;
        self.order.remove(&position);
        Some(write)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use resource::Kind;
    use route::ObjectKey;

    use super::*;

    fn object(number: usize) -> ObjectRef {
        ObjectRef::namespaced(Kind::Ingress, &ObjectKey::new("shop", number.to_string()))
    }

    fn write(version: &str) -> Write {
        Write::of(&ObjectMeta {
            resource_version: Some(version.to_owned()),
            ..ObjectMeta::default()
        })
    }

    #[test]
    fn the_newest_writer_of_the_object_itself_counts() {
        let entry = |manager: &str, time: Option<&str>, subresource: Option<&str>| ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            time: time.map(|time| Time(time.parse().unwrap())),
            subresource: subresource.map(str::to_owned),
            ..ManagedFieldsEntry::default()
        };
        let meta = |fields: Vec<ManagedFieldsEntry>| ObjectMeta {
            managed_fields: Some(fields),
            resource_version: Some("17".to_owned()),
            ..ObjectMeta::default()
        };
        let (early, late) = ("2026-11-27T10:00:00Z", "2026-11-27T11:00:00Z");
        let table = [
            (vec![], None, None),
            (vec![entry("helm", Some(early), None)], Some("helm"), Some(early)),
            (
                vec![
                    entry("kubectl-edit", Some(late), None),
                    entry("helm", Some(early), Some("")),
                ],
                Some("kubectl-edit"),
                Some(late),
            ),
            (
                vec![
                    entry("helm", Some(early), None),
                    entry("blastdoor", Some(late), Some("status")),
                ],
                Some("helm"),
                Some(early),
            ),
            (vec![entry("old", None, None)], Some("old"), None),
            (vec![entry("blastdoor", Some(late), Some("status"))], None, None),
        ];
        for (fields, manager, time) in table {
            let found = Write::of(&meta(fields));
            assert_eq!((found.manager.as_deref(), found.time.as_deref()), (manager, time));
            assert_eq!(found.version.as_deref(), Some("17"));
        }
        let long = Write::of(&meta(vec![entry(&"ä".repeat(1_000), None, None)]));
        assert_eq!(long.manager.unwrap().chars().count(), LONGEST_MANAGER);
        assert_eq!(write(&"1".repeat(65)), Write::default());
        assert_eq!(write(""), Write::default());
    }

    #[test]
    fn a_later_write_replaces_an_earlier_one_and_the_oldest_go() {
        let mut writes = Writes::default();
        for number in 0..MOST {
            writes.put(object(number), write("1"));
        }
        writes.put(object(0), write("2"));
        let mut newer = Writes::default();
        newer.put(object(MOST), write("3"));
        newer.put(object(2), write("4"));
        newer.put(object(2), write("5"));
        writes.append(newer);
        assert_eq!((writes.writes.len(), writes.order.len()), (MOST, MOST));
        assert_eq!(writes.take(&object(1)), None, "it was the oldest");
        for (number, version) in [(0, "2"), (MOST, "3"), (2, "5"), (3, "1")] {
            assert_eq!(writes.take(&object(number)), Some(write(version)), "{number}");
            assert_eq!(writes.take(&object(number)), None, "{number}");
        }
        assert_eq!(writes.order.len(), MOST - 4);
    }
}
