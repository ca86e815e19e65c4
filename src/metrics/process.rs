//! What the kernel says of this process: CPU, memory, descriptors, threads, begin; and how much memory there is for it.
//!
//! Read when it is asked for, from `/proc` and `/sys/fs/cgroup`. What cannot be read there is left out.

use std::fs;
use std::path::Path;

/// Parts of a second in which the kernel tells times to programs (`USER_HZ`): the same on every machine that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of this process.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Process {
    /// Seconds on a CPU, in user space and in the kernel.
    pub cpu_seconds: Option<f64>,
    /// Bytes of memory in use.
    pub resident_bytes: Option<f64>,
    /// Bytes of address space.
    pub virtual_bytes: Option<f64>,
    /// Threads.
    pub threads: Option<f64>,
    /// When it began, seconds since 1970.
    pub start_seconds: Option<f64>,
    /// Descriptors that are open.
    pub open_fds: Option<f64>,
    /// Descriptors that may be open.
    pub max_fds: Option<f64>,
    /// Bytes of memory that it may use: the least of what its control groups allow and what the machine has.
    pub memory_limit_bytes: Option<f64>,
}

impl Process {
    /// Asks the kernel.
    pub fn read() -> Self {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (stat, status) = (text("/proc/self/stat"), text("/proc/self/status"));
        let times = times(&stat);
        let booted = field(&text("/proc/stat"), "btime");
        // The directory itself is open while it is read.
        let open = fs::read_dir("/proc/self/fd").map(|entries| entries.count().saturating_sub(1) as f64);
        let limits = text("/proc/self/limits");
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        Self {
            cpu_seconds: times.map(|(cpu, _)| cpu),
            resident_bytes: kilobytes(&status, "VmRSS:"),
            virtual_bytes: kilobytes(&status, "VmSize:"),
            threads: field(&status, "Threads:"),
            start_seconds: times.zip(booted).map(|((_, begun), booted)| booted + begun),
            open_fds: open.ok(),
            max_fds: files.and_then(|rest| rest.split_whitespace().next()?.parse().ok()),
            memory_limit_bytes: memory_limit(
                &text("/proc/self/cgroup"),
                &text("/proc/meminfo"),
                Path::new("/sys/fs/cgroup"),
            ),
        }
    }
}

/// Seconds on a CPU, and seconds from the start of the machine to that of the process. The name of the program, in
/// brackets, may hold anything.
fn times(stat: &str) -> Option<(f64, f64)> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    // proc(5) counts from 1 and the first two are in front of the bracket: utime 14, stime 15, starttime 22.
    let cpu = ticks(11)? + ticks(12)?;
    Some((cpu / TICKS_PER_SECOND, ticks(19)? / TICKS_PER_SECOND))
}

/// The first number of the line that begins with `name`.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

fn kilobytes(text: &str, name: &str) -> Option<f64> {
    Some(field(text, name)? * 1024.0)
}

/// A group is bound by all groups above it as well. In a container the topmost that can be seen is its own.
fn memory_limit(cgroup: &str, meminfo: &str, root: &Path) -> Option<f64> {
    let group = cgroup.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let folder = root.join(group);
    let groups = folder.ancestors().take_while(|folder| folder.starts_with(root));
    let allowed = groups.filter_map(|folder| {
        let text = fs::read_to_string(folder.join("memory.max")).ok()?;
        text.trim().parse::<f64>().ok()
    });
    allowed.chain(kilobytes(meminfo, "MemTotal:")).reduce(f64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what the kernel says is compared with the clock itself")]
    fn this_process_is_seen_as_it_is() {
        let before = Process::read();
        let _open = fs::File::open("/proc/self/stat").unwrap();
        let mut burnt = 0_u64;
        while Process::read().cpu_seconds.unwrap() < before.cpu_seconds.unwrap() + 0.02 {
            burnt = std::hint::black_box(burnt.wrapping_add(1));
        }
        let now = Process::read();
        // Other tests run in this process, or none does: only what holds either way.
        let page = 4096.0;
        assert!(now.resident_bytes.unwrap() > page && now.resident_bytes < now.virtual_bytes, "{now:?}");
        assert!(now.open_fds.unwrap() >= 4.0 && now.open_fds < now.max_fds, "{now:?}");
        assert!(now.threads.unwrap() >= 1.0 && now.memory_limit_bytes > now.resident_bytes, "{now:?}");
        assert_eq!(now.start_seconds, before.start_seconds);
        let since_1970 =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let age = since_1970 - now.start_seconds.unwrap();
        assert!((-1.0..86_400.0).contains(&age), "{age}");
    }

    #[test]
    fn the_name_of_the_program_does_not_shift_the_fields() {
        let rest = "S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 9 0 1234 0 0";
        assert_eq!(times(&format!("7 (a) b (c) {rest}")), Some((3.0, 12.34)));
        assert_eq!(times("7 (a"), None);
        assert_eq!(times("7 (a) S 1"), None);
    }

    #[test]
    fn the_tightest_group_above_bounds_the_memory() {
        let root = std::env::temp_dir().join(format!("ringcast-groups-{}", std::process::id()));
        let leaf = root.join("system.slice/ringcast.service");
        fs::create_dir_all(&leaf).unwrap();
        fs::write(leaf.join("memory.max"), "max\n").unwrap();
        fs::write(root.join("system.slice/memory.max"), "1000000\n").unwrap();
        let limit = |group: &str| memory_limit(group, "MemTotal: 4096 kB\n", &root);
        let found = [limit("0::/system.slice/ringcast.service\n"), limit("0::/\n"), limit("")];
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(found, [Some(1e6), Some(4096.0 * 1024.0), Some(4096.0 * 1024.0)]);
    }
}
