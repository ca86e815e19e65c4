//! CPU time and memory of a process.
//!
//! The total is exact, from `schedstat` of every thread; `stat` counts ticks of 10 ms and only says how it divides
//! into user and system time.

use std::collections::BTreeMap;

use anyhow::Context;

/// CPU time of a process so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct CpuTime {
    user_ticks: u64,
    system_ticks: u64,
    /// How long its threads were ready to run and did not.
    pub(crate) waited_ns: u64,
    /// Nanoseconds by name of the thread.
    pub(crate) threads: BTreeMap<String, u64>,
}

impl CpuTime {
    /// Reads the CPU time that a process has used so far.
    pub(crate) fn of(process: &str) -> anyhow::Result<Self> {
        let path = format!("/proc/{process}/stat");
        let text = std::fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        let (user_ticks, system_ticks) =
            ticks(&text).with_context(|| format!("{path} cannot be understood"))?;
        let path = format!("/proc/{process}/task");
        let mut threads = BTreeMap::new();
        let mut waited_ns = 0;
        for thread in std::fs::read_dir(&path).with_context(|| format!("{path} cannot be read"))? {
            let path = thread?.path();
            // A thread may end meanwhile.
            let Ok(name) = std::fs::read_to_string(path.join("comm")) else { continue };
            let Ok(times) = std::fs::read_to_string(path.join("schedstat")) else { continue };
            let mut times = times.split(' ').map(|time| time.parse::<u64>().unwrap_or_default());
            *threads.entry(name.trim().to_owned()).or_insert(0) += times.next().unwrap_or_default();
            waited_ns += times.next().unwrap_or_default();
        }
        Ok(Self { user_ticks, system_ticks, waited_ns, threads })
    }

    /// What was used since an earlier reading.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let before = |name: &String| earlier.threads.get(name).copied().unwrap_or_default();
        Self {
            user_ticks: self.user_ticks.saturating_sub(earlier.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(earlier.system_ticks),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
            threads: self
                .threads
                .iter()
                .map(|(name, nanos)| (name.clone(), nanos.saturating_sub(before(name))))
                .filter(|(_, nanos)| *nanos > 0)
                .collect(),
        }
    }

    pub(crate) fn total_ns(&self) -> u64 {
        self.threads.values().sum()
    }

    /// Of the threads whose name begins so.
    pub(crate) fn threads_ns(&self, prefix: &str) -> u64 {
        self.threads.iter().filter(|(name, _)| name.starts_with(prefix)).map(|(_, nanos)| nanos).sum()
    }

    /// The part of the total that was spent outside the kernel.
    pub(crate) fn user_ns(&self) -> u64 {
        let share = self.user_ticks as f64 / (self.user_ticks + self.system_ticks).max(1) as f64;
        (self.total_ns() as f64 * share) as u64
    }

    pub(crate) fn system_ns(&self) -> u64 {
        self.total_ns() - self.user_ns()
    }
}

/// Fields 14 and 15 (proc(5)). The name in field 2 may hold blanks and brackets, so counting begins behind it.
fn ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11).map(|field| field.parse().ok());
    Some((fields.next()??, fields.next()??))
}

/// Memory of a process in bytes: its share of what it has mapped, or all of it where the kernel does not tell.
pub(crate) fn memory_bytes(process: u32) -> Option<u64> {
    let field = |path: String, name: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.split_ascii_whitespace().next()?.parse::<u64>().ok()? * 1024)
    };
    field(format!("/proc/{process}/smaps_rollup"), "Pss:")
        .or_else(|| field(format!("/proc/{process}/status"), "VmRSS:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_blanks_and_brackets_does_not_shift_the_fields() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 250 70 0 0 20 0 1 0 100 1 1";
        assert_eq!(ticks(stat), Some((250, 70)));
        assert_eq!(ticks("nothing"), None);
    }

    #[test]
    fn the_exact_total_is_divided_as_the_ticks_are() {
        let threads = |nanos: u64| BTreeMap::from([("shard-0".to_owned(), nanos), ("http".to_owned(), 10)]);
        let before = CpuTime { user_ticks: 100, system_ticks: 100, waited_ns: 4, threads: threads(1000) };
        let after = CpuTime { user_ticks: 101, system_ticks: 103, waited_ns: 9, threads: threads(5000) };
        let spent = after.since(&before);
        assert_eq!((spent.total_ns(), spent.user_ns(), spent.system_ns()), (4000, 1000, 3000));
        assert_eq!(spent.waited_ns, 5);
        assert_eq!((spent.threads_ns("shard-"), spent.threads_ns("http")), (4000, 0));
    }
}
