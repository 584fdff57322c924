//! The budget of memory: from what the kernel allows the process, and what it counts, to what traffic may hold.

mod cgroup;
mod estimate;
mod system;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use proxy::MemoryBudget;

use self::estimate::Estimate;
use self::system::{Look, System};

/// How often the kernel is asked, and how often when little is left or much is taken.
const PERIOD: Duration = Duration::from_millis(100);
const SHORT_PERIOD: Duration = Duration::from_millis(20);

/// Much is taken when this part of the limit is used beyond what was at the last look, as a divisor.
const GROWTH: u64 = 64;

/// The budget and what it is made of, for the doors and the admin port.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    budget: MemoryBudget,
    figures: Arc<Figures>,
}

#[derive(Debug, Default)]
struct Figures {
    limit: AtomicU64,
    used: AtomicU64,
}

impl Memory {
    /// Finds the limit and keeps the budget up to date, in a thread of its own, so that nothing else delays it.
    /// `configured`: the limit, if it is not left to the kernel. `promised`: what others than traffic may still take.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(
        configured: Option<u64>,
        promised: impl Fn() -> u64 + Send + 'static,
    ) -> std::io::Result<Self> {
        let mut system = System::new(Path::new("/"), configured);
        let mut estimate = Estimate::default();
        let look = system.look();
        let memory = Self {
            budget: MemoryBudget::new(estimate.budget(look, 0, promised())),
            figures: Arc::default(),
        };
        memory.budget.set_counts_sockets(look.sockets);
        memory.figures.take_over(look);
        tracing::info!(
            limit_mib = look.limit / MIB,
            used_mib = look.used / MIB,
            traffic_mib = memory.budget.bytes() as u64 / MIB,
            "memory is limited by {}",
            system.limited_by()
        );
        let kept = memory.clone();
        std::thread::Builder::new()
            .name("memory".to_owned())
            .spawn(move || {
                let mut before = look;
                loop {
                    let look = system.look();
                    let bytes = estimate.budget(look, kept.budget.used() as u64, promised());
                    kept.budget.set(bytes);
                    kept.budget.set_counts_sockets(look.sockets);
                    kept.figures.take_over(look);
                    let is_calm =
                        look.used < look.limit / 2 && look.used <= before.used + look.limit / GROWTH;
                    before = look;
                    std::thread::sleep(if is_calm { PERIOD } else { SHORT_PERIOD });
                }
            })?;
        Ok(memory)
    }

    /// What all doors share.
    pub(crate) fn budget(&self) -> &MemoryBudget {
        &self.budget
    }
}

const MIB: u64 = 1024 * 1024;

impl Figures {
    fn take_over(&self, look: Look) {
        self.limit.store(look.limit, Ordering::Relaxed);
        self.used.store(look.used, Ordering::Relaxed);
    }
}

impl Collector for Memory {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let figures = [
            (
                "blastdoor_memory_limit_bytes",
                "Memory that the process may use",
                self.figures.limit.load(Ordering::Relaxed),
            ),
            (
                "blastdoor_memory_used_bytes",
                "Memory that the process uses, as the kernel counts it, without files that it has cached",
                self.figures.used.load(Ordering::Relaxed),
            ),
            (
                "blastdoor_memory_budget_bytes",
                "Memory that the traffic of all doors may hold at the moment",
                self.budget.bytes() as u64,
            ),
        ];
        for (name, help, value) in figures {
            let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(family)?;
        }
        Ok(())
    }
}
