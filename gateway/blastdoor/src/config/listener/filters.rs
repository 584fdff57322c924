//! `filters` of a door: what filters may use.

use door::FilterPolicy;
use proxy::FilterSettings;

use super::super::diagnostics::Section;
use super::super::raw::RawFilters;
use super::super::size::bounded;

pub(super) fn policy(section: &mut Section<'_, '_>, raw: &RawFilters) -> FilterPolicy {
    let default = FilterPolicy::default();
    let keys = section.bound("filters.keys", raw.keys, default.keys);
    FilterPolicy {
        keys: keys.next_power_of_two(),
        call: section.list("filters.call", raw.call.as_deref(), str::parse),
    }
}

pub(super) fn settings(section: &mut Section<'_, '_>, raw: &RawFilters) -> FilterSettings {
    let default = FilterSettings::default();
    FilterSettings {
        buffer: bounded(
            section,
            "filters.buffer",
            raw.buffer.as_ref(),
            default.buffer,
            ["1MiB", "4GiB"],
        ),
        verifiers: section.bound("filters.verifiers", raw.verifiers, default.verifiers),
    }
}
