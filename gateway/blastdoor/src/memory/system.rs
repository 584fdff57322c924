//! How much memory the process may use, and how much of it is used: the tightest of the limits that apply to it.

use std::fs;
use std::path::{Path, PathBuf};

use super::cgroup::Group;

/// The part of the host's memory that a process without a limit may use, as a divisor.
const OF_HOST: u64 = 2;

/// What is assumed of a host that does not say how much memory it has.
const UNKNOWN_HOST: u64 = 1 << 30;

/// What is known of the process's memory at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// The tightest limit.
    pub(super) limit: u64,
    /// What counts against it.
    pub(super) used: u64,
    /// Whether buffers of sockets count against it.
    pub(super) sockets: bool,
}

impl Look {
    /// What is left below the limit and its reserve; negative when the reserve is being used.
    pub(super) fn left(self) -> i64 {
        self.limit.saturating_sub(reserve(self.limit)) as i64 - self.used as i64
    }
}

/// The part of a limit that is never planned with, as a divisor: the kernel kills where usage meets the limit.
const RESERVE: u64 = 10;

/// What a burst adds before it is counted, and what the allocator cannot use again: that does not shrink with the limit, as
/// long as it is at most a quarter of it.
const LEAST_RESERVE: u64 = 24 << 20;
const MOST_OF_LIMIT: u64 = 4;

fn reserve(limit: u64) -> u64 {
    (limit / RESERVE).max(LEAST_RESERVE.min(limit / MOST_OF_LIMIT))
}

/// Where the kernel says what it allows and counts.
#[derive(Debug)]
pub(super) struct System {
    root: PathBuf,
    /// The groups of the process, and the file that says so.
    groups: Vec<Group>,
    membership: String,
    configured: Option<u64>,
    host: u64,
    last: Option<Look>,
}

impl System {
    /// `root` is `/`, or a copy for tests.
    pub(super) fn new(root: &Path, configured: Option<u64>) -> Self {
        Self {
            root: root.to_owned(),
            groups: Group::of_process(root),
            membership: membership(root),
            configured,
            host: field(&root.join("proc/meminfo"), "MemTotal:").unwrap_or(UNKNOWN_HOST),
            last: None,
        }
    }

    /// The limit that is nearest.
    pub(super) fn look(&mut self) -> Look {
        let membership = membership(&self.root);
        if membership != self.membership {
            self.groups = Group::of_process(&self.root);
            self.membership = membership;
        }
        let of_groups = self.groups.iter().filter_map(|group| {
            // A limit can be changed while the process runs.
            let limit = group.limit()?;
            let used = group.used(limit / 2)?;
            let sockets = group.counts_sockets();
            Some(Look { limit, used, sockets })
        });
        let own = self.configured.map(|limit| self.own(limit));
        let nearest = of_groups.chain(own).min_by_key(|look| look.left());
        let look = nearest.unwrap_or_else(|| self.own(self.host / OF_HOST));
        self.last = Some(look);
        look
    }

    /// A limit that the kernel does not enforce.
    fn own(&self, limit: u64) -> Look {
        let resident = field(&self.root.join("proc/self/status"), "VmRSS:");
        let before = self.last.map(|look| look.used);
        Look {
            limit,
            used: resident.or(before).unwrap_or_default(),
            // They are the host's memory all the same.
            sockets: true,
        }
    }

    /// What limits the process, for people.
    pub(super) fn limited_by(&self) -> String {
        let limited = self.groups.iter().find(|group| group.limit().is_some());
        match (self.configured, limited) {
            (Some(_), None) => "`process.memory`".to_owned(),
            (Some(_), Some(group)) => format!("`process.memory` and {}", group.folder().display()),
            (None, Some(group)) => group.folder().display().to_string(),
            (None, None) => "half of the host's memory, because no control group limits it; set `process.memory` to choose".to_owned(),
        }
    }
}

fn membership(root: &Path) -> String {
    fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default()
}

/// A number of KiB in a file of lines such as `VmRSS:   12 kB`, in bytes.
fn field(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;

    /// A process of 100 KiB on a host of 4000 KiB, in a group with this limit.
    fn system(limit: Option<&str>, configured: Option<u64>) -> (tempfile::TempDir, System) {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("proc/meminfo", "MemTotal:        4000 kB\nMemFree: 1 kB\n");
        write("proc/self/status", "Name:\tblastdoor\nVmRSS:\t     100 kB\n");
        if let Some(limit) = limit {
            write("proc/self/cgroup", "0::/\n");
            write("proc/self/mountinfo", "30 23 0:26 / /cg rw - cgroup2 cgroup rw\n");
            write("cg/memory.max", limit);
            write("cg/memory.current", "300000");
            write("cg/memory.stat", "inactive_file 100000\n");
        }
        let system = System::new(root.path(), configured);
        (root, system)
    }

    #[test]
    fn the_nearest_limit_counts() {
        let looked = |limit, configured| system(limit, configured).1.look();
        let own = |limit| Look {
            limit,
            used: 100 * KIB,
            sockets: true,
        };
        let of_group = |limit, used| Look {
            limit,
            used,
            sockets: true,
        };
        assert_eq!(looked(None, None), own(2000 * KIB));
        assert_eq!(looked(None, Some(5_000_000)), own(5_000_000));
        assert_eq!(looked(Some("max"), None), own(2000 * KIB));
        assert_eq!(looked(Some("400000"), None), of_group(400_000, 200_000));
        assert_eq!(
            looked(Some("700000"), None),
            of_group(700_000, 300_000),
            "far from it, caches do not matter"
        );
        assert_eq!(looked(Some("400000"), Some(900_000)), of_group(400_000, 200_000));
        assert_eq!(looked(Some("900000"), Some(200_000)), own(200_000));
    }

    #[test]
    fn a_limit_may_change_and_a_file_may_go() {
        let (root, mut system) = system(Some("400000"), None);
        assert_eq!(system.look().limit, 400_000);
        fs::write(root.path().join("cg/memory.max"), "350000").unwrap();
        assert_eq!(system.look().limit, 350_000);
        // The process is moved.
        fs::create_dir(root.path().join("cg/other")).unwrap();
        fs::write(root.path().join("cg/other/memory.max"), "340000").unwrap();
        fs::write(root.path().join("cg/other/memory.current"), "330000").unwrap();
        fs::write(root.path().join("proc/self/cgroup"), "0::/other\n").unwrap();
        assert_eq!(
            system.look(),
            Look {
                limit: 340_000,
                used: 330_000,
                sockets: true,
            }
        );
        fs::write(root.path().join("proc/self/cgroup"), "0::/\n").unwrap();
        assert_eq!(system.look().limit, 350_000);
        fs::remove_dir_all(root.path().join("cg")).unwrap();
        fs::remove_file(root.path().join("proc/self/status")).unwrap();
        let look = system.look();
        assert_eq!(
            (look.limit, look.used),
            (2000 * KIB, 200_000),
            "as far as is known"
        );
    }

    #[test]
    fn it_says_what_limits_it() {
        let said = |limit, configured| {
            let (root, system) = system(limit, configured);
            system.limited_by().replace(root.path().to_str().unwrap(), "")
        };
        assert_eq!(said(Some("5"), None), "/cg");
        assert_eq!(said(Some("max"), Some(1)), "`process.memory`");
        assert_eq!(said(Some("5"), Some(1)), "`process.memory` and /cg");
        assert!(said(None, None).starts_with("half of the host's memory"));
    }
}
