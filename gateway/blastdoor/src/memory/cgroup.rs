//! The limits on memory that the kernel enforces on this process, in version 1 and 2 of control groups, and how much of
//! each is used.

use std::fs;
use std::path::{Path, PathBuf};

/// A group with a limit to which this process belongs, directly or through a group below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    folder: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// The files of a version.
struct Files {
    /// Where the kernel kills, and where it begins to take back and to slow down.
    limits: &'static [&'static str],
    usage: &'static str,
    /// What the kernel takes back before it kills: files that it has cached, by their names in `memory.stat`.
    cached: [&'static str; 2],
}

impl Version {
    fn files(self) -> Files {
        match self {
            Self::One => Files {
                limits: &["memory.limit_in_bytes"],
                usage: "memory.usage_in_bytes",
                cached: ["total_inactive_file", "total_active_file"],
            },
            Self::Two => Files {
                limits: &["memory.max", "memory.high"],
                usage: "memory.current",
                cached: ["inactive_file", "active_file"],
            },
        }
    }
}

impl Group {
    /// The groups of this process, from its own to the highest that it can see. `root` is `/`, or a copy for tests.
    pub(super) fn of_process(root: &Path) -> Vec<Self> {
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let (groups, mounts) = (read("proc/self/cgroup"), read("proc/self/mountinfo"));
        // With both versions mounted, memory belongs to one of them.
        let found = [Version::One, Version::Two].into_iter().find_map(|version| {
            let path = path_of(&groups, version)?;
            let (mounted, at) = mount_of(&mounts, version)?;
            Some((version, path, mounted, at))
        });
        let Some((version, path, mounted, at)) = found else {
            return Vec::new();
        };
        let at = root.join(at.trim_start_matches('/'));
        // A container may see its own group as the root of the mount.
        let below = Path::new(path).strip_prefix(&mounted).unwrap_or(Path::new(""));
        let own: PathBuf = at.components().chain(below.components()).collect();
        own.ancestors()
            .take_while(|folder| folder.starts_with(&at))
            .map(|folder| Self {
                folder: folder.into(),
                version,
            })
            .collect()
    }

    /// The lowest limit in bytes, if there is one.
    pub(super) fn limit(&self) -> Option<u64> {
        let limits = self.version.files().limits.iter();
        let limit = limits.filter_map(|file| self.number(file)).min()?;
        // Version 1 writes the largest number of whole pages for none.
        (limit < i64::MAX as u64 / 2).then_some(limit)
    }

    /// Bytes in use that the kernel cannot simply take back. Reading what it can costs more, and is left out while usage is
    /// below `look_from`.
    pub(super) fn used(&self, look_from: u64) -> Option<u64> {
        let files = self.version.files();
        let usage = self.number(files.usage)?;
        if usage < look_from {
            return Some(usage);
        }
        let stat = fs::read_to_string(self.folder.join("memory.stat")).unwrap_or_default();
        let cached = stat.lines().filter_map(|line| {
            let (name, number) = line.split_once(' ')?;
            files.cached.contains(&name).then(|| number.parse::<u64>().ok())?
        });
        Some(usage.saturating_sub(cached.sum()))
    }

    /// Whether the buffers of sockets count against the limit. In version 1 they have one of their own, which nobody sets.
    pub(super) fn counts_sockets(&self) -> bool {
        self.version == Version::Two
    }

    /// Where it is, for people.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn number(&self, file: &str) -> Option<u64> {
        // `max` is no number, and no limit.
        fs::read_to_string(self.folder.join(file))
            .ok()?
            .trim()
            .parse()
            .ok()
    }
}

/// The path of the process's group, from `/proc/self/cgroup` (cgroups(7)).
fn path_of(groups: &str, version: Version) -> Option<&str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let fits = match version {
            Version::One => controllers.split(',').any(|name| name == "memory"),
            Version::Two => number == "0" && controllers.is_empty(),
        };
        fits.then_some(path)
    })
}

/// What is mounted of the hierarchy, and where, from `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
fn mount_of(mounts: &str, version: Version) -> Option<(PathBuf, String)> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (mounted, at) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1)?);
        let fits = match version {
            Version::One => kind == "cgroup" && options.split(',').any(|name| name == "memory"),
            Version::Two => kind == "cgroup2",
        };
        fits.then(|| (unescaped(mounted).into(), unescaped(at)))
    })
}

/// White space and backslashes are written as three octal digits.
fn unescaped(text: &str) -> String {
    let mut parts = text.split('\\');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (code, part.get(3..)) {
            (Some(code), Some(rest)) => {
                out.push(char::from(code));
                out.push_str(rest);
            }
            _ => {
                out.push('\\');
                out.push_str(part);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
                      33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
                      35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
    const V2: &str = "30 23 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw,nsdelegate\n";

    /// A root with these files.
    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    /// Folder below the root, limit and usage of each group.
    fn seen(root: &Path) -> Vec<(String, Option<u64>, Option<u64>)> {
        let groups = Group::of_process(root);
        let groups = groups.iter().map(|group| {
            let folder = group.folder().strip_prefix(root).unwrap();
            (folder.to_str().unwrap().to_owned(), group.limit(), group.used(50))
        });
        groups.collect()
    }

    #[test]
    fn version_1_with_a_limit_above() {
        let root = root(&[
            (
                "proc/self/cgroup",
                "9:name=systemd:/\n4:memory:/kube/pod\n1:cpu,cpuacct:/\n0::/\n",
            ),
            ("proc/self/mountinfo", V1),
            (
                "sys/fs/cgroup/memory/kube/pod/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/memory/kube/pod/memory.usage_in_bytes", "40\n"),
            ("sys/fs/cgroup/memory/kube/memory.limit_in_bytes", "1000\n"),
            ("sys/fs/cgroup/memory/kube/memory.usage_in_bytes", "400\n"),
            (
                "sys/fs/cgroup/memory/kube/memory.stat",
                "cache 300\ninactive_file 1\ntotal_inactive_file 100\ntotal_active_file 50\n",
            ),
        ]);
        let expected = [
            ("sys/fs/cgroup/memory/kube/pod", None, Some(40)),
            ("sys/fs/cgroup/memory/kube", Some(1000), Some(250)),
            ("sys/fs/cgroup/memory", None, None),
        ];
        assert_eq!(
            seen(root.path()),
            expected.map(|(path, limit, used)| (path.to_owned(), limit, used))
        );
    }

    #[test]
    fn version_2_in_a_container_of_its_own() {
        let root = root(&[
            ("proc/self/cgroup", "0::/\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/memory.max", "536870912\n"),
            ("sys/fs/cgroup/memory.current", "100\n"),
            (
                "sys/fs/cgroup/memory.stat",
                "anon 60\nfile 40\ninactive_file 30\nactive_file 5\nsock 2\n",
            ),
        ]);
        assert_eq!(
            seen(root.path()),
            [("sys/fs/cgroup".to_owned(), Some(536_870_912), Some(65))]
        );
    }

    /// Above `memory.high` the kernel takes back and slows down, long before it kills.
    #[test]
    fn version_2_with_two_limits() {
        for (max, high, expected) in [
            ("900", "700", Some(700)),
            ("700", "900", Some(700)),
            ("max", "700", Some(700)),
            ("700", "max", Some(700)),
            ("max", "max", None),
        ] {
            let root = root(&[
                ("proc/self/cgroup", "0::/\n"),
                ("proc/self/mountinfo", V2),
                ("sys/fs/cgroup/memory.max", max),
                ("sys/fs/cgroup/memory.high", high),
            ]);
            assert_eq!(seen(root.path())[0].1, expected, "{max} {high}");
        }
    }

    #[test]
    fn version_2_nested_without_a_limit() {
        let root = root(&[
            ("proc/self/cgroup", "0::/user.slice/a b\n"),
            ("proc/self/mountinfo", V2),
            ("sys/fs/cgroup/user.slice/a b/memory.max", "max\n"),
            ("sys/fs/cgroup/user.slice/memory.max", "max\n"),
        ]);
        let limits: Vec<Option<u64>> = seen(root.path()).into_iter().map(|(_, limit, _)| limit).collect();
        assert_eq!(limits, [None, None, None]);
    }

    /// A container that sees only its own group of version 1, at the root of the mount.
    #[test]
    fn a_group_that_is_mounted_alone() {
        let mounts = "99 90 0:32 /docker/a\\040b /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        for path in ["/docker/a b", "/elsewhere"] {
            let root = root(&[
                ("proc/self/cgroup", &format!("4:memory:{path}\n")),
                ("proc/self/mountinfo", mounts),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "7\n"),
            ]);
            assert_eq!(
                seen(root.path()),
                [("sys/fs/cgroup/memory".to_owned(), Some(7), None)]
            );
        }
    }

    #[test]
    fn no_groups_at_all() {
        assert_eq!(Group::of_process(root(&[]).path()), []);
        let root = root(&[
            ("proc/self/cgroup", "0::/\nnonsense\n"),
            ("proc/self/mountinfo", "x - y\n"),
        ]);
        assert_eq!(Group::of_process(root.path()), []);
    }

    #[test]
    fn octal_digits_stand_for_a_byte() {
        assert_eq!(unescaped("a\\040b\\134c\\x\\9"), "a b\\c\\x\\9");
    }
}
