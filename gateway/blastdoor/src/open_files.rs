//! What the system says about open files.

use std::sync::LazyLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many the process could be allowed to open when it was first asked, before [`set_limit`] may raise it. `u64::MAX`: no
/// limit is known.
static HARD_LIMIT: LazyLock<u64> = LazyLock::new(|| getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX));

/// The most workers that a door has unless it is configured: each costs descriptors. Always the same for the same
/// `process.descriptors`, because another number needs other sockets.
pub(crate) fn most_workers(configured: Option<u64>) -> usize {
    let limit = configured.unwrap_or(u64::MAX).min(*HARD_LIMIT);
    usize::try_from(limit / 64).unwrap_or(usize::MAX).max(1)
}

/// Has the process allowed to open `wanted`, or as many as the system allows. Returns how many that are.
pub(crate) fn set_limit(wanted: Option<u64>) -> u64 {
    let before = getrlimit(Resource::Nofile);
    let hard = before.maximum;
    let current = match (wanted, hard) {
        (Some(wanted), Some(hard)) => Some(wanted.min(hard)),
        (wanted, hard) => wanted.or(hard),
    };
    let within = Rlimit {
        current,
        maximum: hard,
    };
    // With the privilege for it, the hard limit can be raised as well.
    let raised = wanted.map(|wanted| Rlimit {
        current: Some(wanted),
        maximum: Some(wanted.max(hard.unwrap_or(wanted))),
    });
    let raised = raised.filter(|_| current != wanted);
    let set = |limit| setrlimit(Resource::Nofile, limit);
    if raised.is_none_or(|raised| set(raised).is_err())
        && let Err(error) = set(within)
    {
        tracing::warn!(%error, "the limit of open files cannot be set and stays at {:?}", before.current);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// How many are open. `None`: the system does not say.
pub(crate) fn open_now() -> Option<usize> {
    // One of them is the folder itself.
    let files = std::fs::read_dir("/proc/self/fd").ok()?;
    Some(files.count().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_counted() {
        let Some(before) = open_now() else {
            eprintln!("SKIPPED: this system does not say which files are open");
            return;
        };
        let files: Vec<_> = (0..100).map(|_| std::fs::File::open("/").unwrap()).collect();
        // Other tests open and close files too.
        assert!(open_now().unwrap() > before + files.len() / 2);
    }
}
