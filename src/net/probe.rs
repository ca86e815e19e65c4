//! Finding out at start whether io_uring can be used here, and saying in one sentence why not.
//!
//! Owns the choice [`IoKind`] and the probe. Must not keep anything that it opens. Next: [`super::Driver::new`].

use std::fmt;
use std::io;
use std::str::FromStr;

use super::{sys, uring};

/// The first kernel whose io_uring the driver is used with: multishot receive is of 6.0, and its faults were mended
/// in 6.1, the first long-term kernel that has it.
const KERNEL_MIN: (u32, u32) = (6, 1);

/// The way in which sockets are driven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IoKind {
    /// A ring of the kernel's io_uring.
    Uring,
    /// Readiness and batched system calls.
    Mmsg,
}

impl IoKind {
    /// Both ways, the preferred one first.
    pub const ALL: [Self; 2] = [Self::Uring, Self::Mmsg];
}

impl fmt::Display for IoKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Uring => "uring",
            Self::Mmsg => "mmsg",
        })
    }
}

/// A word that names no [`IoKind`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no way of doing I/O: use `uring` or `mmsg`")]
pub struct UnknownIoKind(String);

impl FromStr for IoKind {
    type Err = UnknownIoKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.to_string() == text)
            .ok_or_else(|| UnknownIoKind(text.to_owned()))
    }
}

/// Tries everything that the ring driver needs; the error is a sentence with cause and remedy.
pub fn probe_uring() -> Result<(), String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // An unreadable version is no reason to refuse: the ring itself is tried next.
    if let Some(version) = parse_release(&release).filter(|version| *version < KERNEL_MIN) {
        let ((major, minor), (wanted_major, wanted_minor)) = (version, KERNEL_MIN);
        return Err(format!(
            "io_uring is not used because this kernel is {major}.{minor} and {wanted_major}.{wanted_minor} is the \
             first that serves; update it or run with `--io mmsg`"
        ));
    }
    uring::try_ring().map_err(|error| explain(&error, disabled_sysctl(), sys::locked_memory_limit().ok()))
}

/// Reads `major.minor` from a kernel release such as `6.1.0-13-amd64`.
fn parse_release(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Reads `kernel.io_uring_disabled`, which kernels before 6.6 do not have.
fn disabled_sysctl() -> Option<u8> {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled").ok()?.trim().parse().ok()
}

fn explain(error: &io::Error, disabled: Option<u8>, locked_memory: Option<u64>) -> String {
    let (cause, remedy) = match (error.raw_os_error(), disabled) {
        (Some(libc::EPERM), Some(2)) => (
            "the sysctl kernel.io_uring_disabled is 2, which forbids it to all".to_owned(),
            "set it to 0 (`sysctl -w kernel.io_uring_disabled=0`)",
        ),
        (Some(libc::EPERM), Some(1)) => (
            "the sysctl kernel.io_uring_disabled is 1, which allows it to a group only".to_owned(),
            "set it to 0, or put this user into the group named by kernel.io_uring_group",
        ),
        (Some(libc::EPERM | libc::EACCES), _) => (
            "it is forbidden to this process, most likely by the container's seccomp profile".to_owned(),
            "allow io_uring_setup, io_uring_enter and io_uring_register in that profile",
        ),
        (Some(libc::ENOSYS), _) => (
            "the kernel was built without it, or a seccomp profile hides it".to_owned(),
            "use a kernel with CONFIG_IO_URING, or allow the io_uring calls in the container's seccomp profile",
        ),
        (Some(libc::ENOMEM), _) => (
            match locked_memory {
                Some(bytes) => format!("memory ran out; the limit on locked memory is {bytes} bytes"),
                None => "memory ran out, perhaps at the limit on locked memory".to_owned(),
            },
            "raise it (`ulimit -l`, LimitMEMLOCK=), or give the process more memory",
        ),
        (Some(libc::EMFILE | libc::ENFILE), _) => {
            ("too many files are open".to_owned(), "raise the limit (`ulimit -n`, LimitNOFILE=)")
        }
        _ => (format!("setting up a ring failed: {error}"), "use a newer kernel"),
    };
    format!("io_uring cannot be used: {cause}; {remedy}, or run with `--io mmsg`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_printed() {
        for kind in IoKind::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let error = "epoll".parse::<IoKind>().unwrap_err().to_string();
        assert!(error.contains("epoll") && error.contains("mmsg"), "{error}");
    }

    #[test]
    fn kernel_releases_of_all_sorts_are_read() {
        let table = [
            ("6.1.0-13-amd64\n", Some((6, 1))),
            ("6.18.44", Some((6, 18))),
            ("5.10.0-28-cloud", Some((5, 10))),
            ("6.6-rc1", Some((6, 6))),
            ("10.0", Some((10, 0))),
            ("", None),
            ("6", None),
            ("linux", None),
        ];
        for (text, version) in table {
            assert_eq!(parse_release(text), version, "{text}");
        }
    }

    #[test]
    fn every_refusal_names_cause_and_remedy() {
        let table = [
            (libc::EPERM, Some(2), "io_uring_disabled is 2"),
            (libc::EPERM, Some(1), "io_uring_group"),
            (libc::EPERM, Some(0), "seccomp"),
            (libc::EPERM, None, "seccomp"),
            (libc::ENOSYS, None, "CONFIG_IO_URING"),
            (libc::ENOMEM, Some(0), "8192"),
            (libc::EMFILE, Some(0), "LimitNOFILE"),
            (libc::EINVAL, Some(0), "newer kernel"),
        ];
        for (error, disabled, word) in table {
            let text = explain(&io::Error::from_raw_os_error(error), disabled, Some(8192));
            assert!(text.contains(word) && text.ends_with("or run with `--io mmsg`"), "{text}");
        }
    }

    #[test]
    fn the_probe_agrees_with_the_driver() {
        assert_eq!(probe_uring().is_ok(), uring::try_ring().is_ok());
    }
}
