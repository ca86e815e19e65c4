//! Ending another thread's wait, at the price of a system call only when it really sleeps.
//!
//! Owns the agreement between those who put something into a shard's queues and the driver that sleeps. Must not
//! know the queues. Next: [`super::Driver::wait`] returns and its shard looks into its queues.
//!
//! ```text
//!            wake()                  wake(): write to the eventfd
//!   AWAKE ----------> WOKEN <------------------------------------- ASLEEP
//!     ^  ^              |                                            ^
//!     |  +--------------+ fall_asleep() = false, rise() = true       |
//!     +------------------- rise() = false ---------------------------+
//!     +------------------- fall_asleep() = true ---------------------+
//! ```
//!
//! # Why no wake is lost
//!
//! Every step is one read-modify-write of one atomic, and those of one atomic stand in one order. The waking side puts
//! its item into a queue and then swaps in WOKEN (release). Take the next swap of the sleeping side in that order. If
//! it comes *after* the waking swap it reads WOKEN (acquire), does not sleep, and the item is visible to the look into
//! the queues that follows. If it came *before*, the waking swap finds either AWAKE, and the next `fall_asleep` falls
//! under the first case, or ASLEEP, and writes to the eventfd, which the sleeper watches without a gap. Two wakes in a
//! row are no loss either: the second finds WOKEN, hence nobody has looked yet since the first.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crossbeam_utils::CachePadded;

use super::NetError;
use super::sys::EventFd;

const AWAKE: u8 = 0;
const WOKEN: u8 = 1;
const ASLEEP: u8 = 2;

/// Ends the wait of one driver from any thread.
///
/// What is shared fills cache lines of its own: the owner writes to it at each wait, and the wakers of other shards are
/// made at the same time and would else lie beside it.
#[derive(Debug, Clone)]
pub struct Waker {
    shared: Arc<CachePadded<Shared>>,
}

#[derive(Debug)]
struct Shared {
    state: AtomicU8,
    event: EventFd,
}

impl Waker {
    /// Makes a waker; the driver that is made with it is the one that it wakes.
    pub fn new() -> Result<Self, NetError> {
        let event = EventFd::new().map_err(NetError::setup("make an eventfd"))?;
        let shared = Shared { state: AtomicU8::new(AWAKE), event };
        Ok(Self { shared: Arc::new(CachePadded::new(shared)) })
    }

    /// Ends the present or the next wait of the driver.
    ///
    /// Call it once after a whole burst was put into the driver's queues.
    pub fn wake(&self) {
        if self.shared.state.swap(WOKEN, Ordering::AcqRel) == ASLEEP {
            self.shared.event.signal();
        }
    }

    /// Tells whether a wake waits to be taken.
    pub(super) fn is_woken(&self) -> bool {
        self.shared.state.load(Ordering::Acquire) == WOKEN
    }

    /// Announces sleep; `false` means that a wake came first and has been taken.
    pub(super) fn fall_asleep(&self) -> bool {
        if self.shared.state.swap(ASLEEP, Ordering::AcqRel) != WOKEN {
            return true;
        }
        // A wake that comes between the two swaps finds ASLEEP and writes once for nothing.
        self.shared.state.swap(AWAKE, Ordering::AcqRel);
        false
    }

    /// Ends sleep; `true` means that a wake came and has been taken.
    pub(super) fn rise(&self) -> bool {
        self.shared.state.swap(AWAKE, Ordering::AcqRel) == WOKEN
    }
}

/// The descriptor that becomes readable, and stays so, with the first wake of a sleeper.
///
/// Whoever watches it must watch for edges: each write is one, and nobody reads the counter down, which saves a call
/// (it would be full after 2^64 wakes).
impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.event.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writes(waker: &Waker) -> u64 {
        waker.shared.event.drain()
    }

    #[test]
    fn wakers_of_two_shards_share_no_cache_line() {
        let (first, second) = (Waker::new().unwrap(), Waker::new().unwrap());
        let line = |waker: &Waker| (&raw const waker.shared.state).addr() / 64;
        // Adjacent lines are fetched in pairs, so a pair is kept apart.
        assert!(line(&first).abs_diff(line(&second)) >= 2);
    }

    #[test]
    fn a_wake_of_one_who_is_awake_costs_no_write_and_is_kept() {
        let waker = Waker::new().unwrap();
        waker.wake();
        waker.wake();
        assert_eq!(writes(&waker), 0);
        assert!(!waker.fall_asleep());
        assert!(waker.fall_asleep());
    }

    #[test]
    fn a_sleeper_is_written_to_once() {
        let waker = Waker::new().unwrap();
        let other = waker.clone();
        assert!(waker.fall_asleep());
        waker.wake();
        other.wake();
        assert_eq!(writes(&waker), 1);
        assert!(waker.rise());
        assert!(!waker.rise());
    }

    #[test]
    fn a_sleep_that_was_cut_off_still_hears_the_wake() {
        let waker = Waker::new().unwrap();
        assert!(waker.fall_asleep());
        assert!(waker.fall_asleep());
        waker.wake();
        assert_eq!(writes(&waker), 1);
        assert!(!waker.fall_asleep());
    }

    #[test]
    fn rising_for_another_reason_takes_no_wake() {
        let waker = Waker::new().unwrap();
        assert!(waker.fall_asleep());
        assert!(!waker.rise());
        waker.wake();
        assert_eq!(writes(&waker), 0);
        assert!(!waker.fall_asleep());
    }
}
