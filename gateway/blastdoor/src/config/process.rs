//! `[process]`: what the whole process may use of its host.

use super::diagnostics::Section;
use super::model::Process;
use super::raw::{Count, RawProcess, Size};
use super::units::{SIZE, size};

/// Fewer descriptors do not even suffice to start.
const FEWEST_DESCRIPTORS: u64 = 64;

/// Less memory does not even suffice for the program.
const LEAST_MEMORY: u64 = 32 << 20;

pub(super) fn process(section: &mut Section<'_, '_>, raw: &RawProcess) -> Process {
    Process {
        descriptors: descriptors(section, raw.descriptors.as_ref()),
        memory: memory(section, raw.memory.as_ref()),
    }
}

fn descriptors(section: &mut Section<'_, '_>, written: Option<&Count>) -> Option<u64> {
    const ALLOWED: &str = "allowed: `auto`, or a number from 64";
    match written? {
        Count::Word(word) if word == "auto" => None,
        Count::Word(word) => {
            section.error("descriptors", format!("`{word}` is not known; {ALLOWED}"));
            None
        }
        Count::Number(number) if *number < FEWEST_DESCRIPTORS => {
            section.error(
                "descriptors",
                format!("{number} is too few to start with; {ALLOWED}"),
            );
            None
        }
        Count::Number(number) => Some(*number),
    }
}

fn memory(section: &mut Section<'_, '_>, written: Option<&Size>) -> Option<u64> {
    let bytes = match written? {
        Size::Text(text) if text == "auto" => return None,
        Size::Text(text) => size(text).ok_or_else(|| format!("`{text}` is not a size")),
        Size::Bytes(bytes) => Ok(*bytes),
    };
    let told = match bytes {
        Ok(bytes) if bytes >= LEAST_MEMORY => return Some(bytes),
        Ok(bytes) => format!("{bytes} bytes is too little to start with"),
        Err(told) => told,
    };
    section.error(
        "memory",
        format!("{told}; allowed: `auto`, or from 32MiB: {SIZE}"),
    );
    None
}
