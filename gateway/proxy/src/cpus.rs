//! The CPUs of a door's workers.

use std::fmt;
use std::str::FromStr;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// CPUs by number, in the kernel's notation: `0-3,8`. At least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus {
    numbers: Vec<usize>,
}

/// What is not a list of CPUs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a list of CPUs; allowed: numbers from 0 to 1023 and ranges, such as `0-3,8`")]
pub struct InvalidCpus(Box<str>);

impl FromStr for Cpus {
    type Err = InvalidCpus;

    fn from_str(written: &str) -> Result<Self, InvalidCpus> {
        let number = |text: &str| {
            text.trim()
                .parse()
                .ok()
                .filter(|number| *number < CpuSet::MAX_CPU)
        };
        let range = |part: &str| match part.split_once('-') {
            Some((first, last)) => Some(number(first)?..=number(last)?).filter(|range| !range.is_empty()),
            None => number(part).map(|number| number..=number),
        };
        let ranges: Option<Vec<_>> = written.split(',').map(range).collect();
        let ranges = ranges.ok_or_else(|| InvalidCpus(written.into()))?;
        let mut numbers: Vec<usize> = ranges.into_iter().flatten().collect();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(Self { numbers })
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_ranges(self.numbers.iter().copied(), out)
    }
}

impl Cpus {
    /// How many they are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.numbers.len()
    }

    /// Those of them that the calling thread may run on.
    ///
    /// # Errors
    /// The CPUs that it may run on, if none of these is among them.
    pub(crate) fn available(&self) -> Result<CpuSet, String> {
        let Ok(allowed) = sched_getaffinity(None) else {
            // It will be noticed when they are asked for.
            return Ok(self.numbers.iter().copied().fold(CpuSet::new(), with));
        };
        let numbers = self.numbers.iter().copied();
        let set = numbers
            .filter(|number| allowed.is_set(*number))
            .fold(CpuSet::new(), with);
        if set.count() > 0 {
            return Ok(set);
        }
        let allowed = (0..CpuSet::MAX_CPU).filter(|number| allowed.is_set(*number));
        Err(Cpus {
            numbers: allowed.collect(),
        }
        .to_string())
    }
}

fn with(mut set: CpuSet, number: usize) -> CpuSet {
    set.set(number);
    set
}

fn write_ranges(numbers: impl Iterator<Item = usize>, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    for (index, (first, last)) in ranges.into_iter().enumerate() {
        if index > 0 {
            out.write_str(",")?;
        }
        write!(out, "{first}")?;
        if last > first {
            write!(out, "-{last}")?;
        }
    }
    Ok(())
}

/// Keeps the calling thread on these CPUs.
pub(crate) fn stay_on(set: &CpuSet) -> std::io::Result<()> {
    Ok(sched_setaffinity(None, set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_written_as_the_kernel_writes_them() {
        for (written, meant) in [
            ("0", Some("0")),
            ("0-3,8", Some("0-3,8")),
            ("8, 2-3,3", Some("2-3,8")),
            ("1,0", Some("0-1")),
            ("1023", Some("1023")),
            ("1024", None),
            ("3-2", None),
            ("", None),
            ("0,", None),
            ("-1", None),
            ("0-", None),
            ("all", None),
        ] {
            let cpus = written.parse::<Cpus>().ok();
            assert_eq!(cpus.map(|cpus| cpus.to_string()).as_deref(), meant, "{written}");
        }
    }

    #[test]
    fn a_thread_stays_where_it_is_put() {
        let before = sched_getaffinity(None).unwrap();
        let first = (0..CpuSet::MAX_CPU).find(|cpu| before.is_set(*cpu)).unwrap();
        let absent = (0..CpuSet::MAX_CPU).find(|cpu| !before.is_set(*cpu)).unwrap();
        let cpus: Cpus = format!("{first},{absent}").parse().unwrap();
        let only_absent: Cpus = absent.to_string().parse().unwrap();
        let allowed = only_absent.available().unwrap_err().parse::<Cpus>().unwrap();
        assert_eq!(allowed.count(), usize::try_from(before.count()).unwrap());
        // A thread of its own, because tests of others run on this one afterwards.
        std::thread::spawn(move || {
            stay_on(&cpus.available().unwrap()).unwrap();
            let now = sched_getaffinity(None).unwrap();
            assert_eq!((now.count(), now.is_set(first)), (1, true));
        })
        .join()
        .unwrap();
    }
}
