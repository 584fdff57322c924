//! How often the objects that a namespace names are watched anew.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// Between two new watches of one namespace, once it has begun so many that all places would be taken.
const GAP: Duration = Duration::from_millis(200);

/// The new watches of each namespace. Each costs the API server a list and a watch.
#[derive(Debug, Default)]
pub(super) struct Openings {
    /// When each namespace would have begun all that it has begun, at the steady pace. Only for as long as that is to come.
    paid_until: HashMap<Box<str>, Instant>,
}

impl Openings {
    /// Whether the namespace may begin another one; if not, when it may. `burst` is how many it may begin at once.
    pub(super) fn take(&mut self, namespace: &str, burst: usize) -> Result<(), Instant> {
        let now = Instant::now();
        let burst = GAP.saturating_mul(u32::try_from(burst.saturating_sub(1)).unwrap_or(u32::MAX));
        let paid_until = self.paid_until.get(namespace).copied().unwrap_or(now).max(now);
        if paid_until > now + burst {
            return Err(paid_until - burst);
        }
        self.paid_until.insert(namespace.into(), paid_until + GAP);
        Ok(())
    }

    /// The same if a watch is a new one.
    pub(super) fn take_if(&mut self, is_new: bool, namespace: &str, burst: usize) -> Result<(), Instant> {
        if is_new {
            self.take(namespace, burst)
        } else {
            Ok(())
        }
    }

    /// Forgets namespaces that are at rest.
    pub(super) fn tidy(&mut self) {
        let now = Instant::now();
        self.paid_until.retain(|_, paid_until| *paid_until > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_namespace_begins_a_burst_and_then_five_a_second() {
        let mut openings = Openings::default();
        let mut begun = 0;
        // A hundred a second for ten seconds.
        for _ in 0..1_000 {
            begun += usize::from(openings.take("greedy", 20).is_ok());
            assert!(openings.take(&format!("other{begun}"), 20).is_ok());
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert!((69..=70).contains(&begun), "{begun}");
        let next = (0..2).find_map(|_| openings.take("greedy", 20).err()).unwrap();
        assert!(next > Instant::now() && next - Instant::now() <= GAP);
        tokio::time::advance(Duration::from_secs(60)).await;
        openings.tidy();
        assert!(openings.paid_until.is_empty());
    }
}
