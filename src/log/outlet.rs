//! One channel to the outside, and the thread that alone waits for it.
//!
//! Bounded by lines and by bytes. A library for this (tracing-appender) was looked at: it does not tell what could not
//! be written, and at its end it prints in a way that panics where standard output is gone.

use std::io::{ErrorKind, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use crate::config::LogFormat;

/// Lines that wait to be written.
const LINES_MAX: usize = 8_192;
/// Bytes of such lines.
const BYTES_MAX: usize = 4 << 20;
/// When a channel that does not block is tried again, if it is full.
const RETRY: Duration = Duration::from_millis(10);

enum Item {
    Line(Vec<u8>),
    /// Answered when all that came before is written.
    Flush(SyncSender<()>),
}

#[derive(Default)]
struct Shared {
    /// Bytes that wait.
    waiting: AtomicUsize,
    /// Lines lost on this channel.
    lost: AtomicU64,
}

/// The near end of a channel.
#[derive(Clone)]
pub(super) struct Outlet {
    items: SyncSender<Item>,
    shared: Arc<Shared>,
    /// Lines lost on all channels.
    lost: Arc<AtomicU64>,
}

impl Outlet {
    /// Starts the thread that writes to `file`.
    pub(super) fn open(
        name: &str,
        file: impl Write + Send + 'static,
        format: LogFormat,
        lost: Arc<AtomicU64>,
    ) -> std::io::Result<Self> {
        let (items, waiting) = sync_channel(LINES_MAX);
        let outlet = Self { items, shared: Arc::default(), lost };
        let writer = Scribe {
            file,
            format,
            shared: Arc::clone(&outlet.shared),
            lost: Arc::clone(&outlet.lost),
            told: 0,
            cause: None,
            is_cut: false,
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(move || writer.run(&waiting))?;
        Ok(outlet)
    }

    /// Takes a line, or loses it. Never waits.
    pub(super) fn put(&self, line: Vec<u8>) {
        let bytes = line.len();
        let has_room = self.shared.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= BYTES_MAX;
        if !has_room || self.items.try_send(Item::Line(line)).is_err() {
            self.shared.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// What takes one line of the log.
    pub(super) fn line(&self) -> Line {
        Line(self.clone())
    }

    /// Waits until all is written that was put, for so long at most.
    pub(super) fn flush(&self, patience: Duration) {
        let (done, is_done) = sync_channel(1);
        let mut item = Item::Flush(done);
        for _ in 0..(patience.as_millis() / RETRY.as_millis()) {
            match self.items.try_send(item) {
                Ok(()) => {
                    let _nobody_reads = is_done.recv_timeout(patience);
                    return;
                }
                Err(TrySendError::Full(returned)) => item = returned,
                Err(TrySendError::Disconnected(_)) => return,
            }
            std::thread::park_timeout(RETRY);
        }
    }
}

/// One line of the log, which comes in one piece.
pub(super) struct Line(Outlet);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.put(line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The far end: writes, and tells of what was lost as soon as it can write again.
struct Scribe<F> {
    file: F,
    format: LogFormat,
    shared: Arc<Shared>,
    lost: Arc<AtomicU64>,
    /// Lost lines of which the reader was told.
    told: u64,
    /// Why the last line could not be written.
    cause: Option<std::io::Error>,
    /// Whether the last line was written in part.
    is_cut: bool,
}

impl<F: Write> Scribe<F> {
    fn run(mut self, items: &Receiver<Item>) {
        while let Ok(item) = items.recv() {
            match item {
                // Whoever asked may have lost patience.
                Item::Flush(done) => drop(done.try_send(())),
                Item::Line(line) => {
                    self.shared.waiting.fetch_sub(line.len(), Ordering::Relaxed);
                    if !(self.tell_lost() && self.write(&line)) {
                        self.shared.lost.fetch_add(1, Ordering::Relaxed);
                        self.lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// Tells how many lines were lost since that was last told; false when that cannot be written either.
    fn tell_lost(&mut self) -> bool {
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost == self.told {
            return true;
        }
        let cause = self.cause.as_ref().map_or_else(|| "they came too fast".to_owned(), ToString::to_string);
        let count = lost - self.told;
        let notice = format!("{count} lines of the log were lost here: {cause}");
        let notice = self.format.line("WARN", &notice);
        if !self.write(&notice) {
            return false;
        }
        self.told = lost;
        self.cause = None;
        true
    }

    fn write(&mut self, line: &[u8]) -> bool {
        let mut rest = line;
        if self.is_cut && !self.write_all(&mut &b"\n"[..]) {
            return false;
        }
        self.is_cut = false;
        let is_whole = self.write_all(&mut rest);
        self.is_cut = !is_whole && rest.len() < line.len();
        is_whole
    }

    fn write_all(&mut self, rest: &mut &[u8]) -> bool {
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(0) => {
                    self.cause = Some(ErrorKind::WriteZero.into());
                    return false;
                }
                Ok(written) => *rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Somebody who shares the channel has set it so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::park_timeout(RETRY),
                Err(error) => {
                    self.cause = Some(error);
                    return false;
                }
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, Result};
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// Takes `room` bytes at most, then fails until it is given more by `more`; passes on what it took.
    struct Disk {
        room: usize,
        more: Receiver<usize>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.room += self.more.try_iter().sum::<usize>();
            if self.room == 0 {
                return Err(Error::from(ErrorKind::StorageFull));
            }
            let taken = bytes.len().min(self.room);
            self.room -= taken;
            self.written.send(bytes[..taken].to_vec()).unwrap();
            Ok(taken)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_lost_to_a_full_disk_are_counted_and_told_when_there_is_room_again() {
        let ((grow, more), (written, text)) = (channel(), channel());
        let lost = Arc::<AtomicU64>::default();
        let disk = Disk { room: 8, more, written };
        let outlet = Outlet::open("test", disk, LogFormat::Text, Arc::clone(&lost)).unwrap();
        for line in ["one\n", "two two\n", "three\n"] {
            outlet.put(line.into());
        }
        outlet.flush(PATIENCE);
        assert_eq!(lost.load(Ordering::Relaxed), 2);
        grow.send(1_000).unwrap();
        outlet.put("four\n".into());
        outlet.flush(PATIENCE);
        let text: Vec<u8> = text.try_iter().flatten().collect();
        let text = String::from_utf8(text).unwrap();
        let notice = "2 lines of the log were lost here: ";
        assert!(text.starts_with(&format!("one\ntwo \n{notice}")) && text.ends_with("\nfour\n"), "{text}");
    }

    /// Stands still until it is let go.
    struct Stalled(Receiver<()>);

    impl Write for Stalled {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            // An error is the end of the test.
            let _let_go = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stands_still_makes_nobody_wait_and_keeps_a_bounded_number_of_lines() {
        let (go, stalled) = channel();
        let lost = Arc::<AtomicU64>::default();
        let outlet = Outlet::open("test", Stalled(stalled), LogFormat::Json, Arc::clone(&lost)).unwrap();
        for _ in 0..3 * LINES_MAX {
            outlet.put(b"{}\n".to_vec());
        }
        assert!(lost.load(Ordering::Relaxed) >= (2 * LINES_MAX - 1) as u64);
        outlet.flush(Duration::ZERO);
        drop(go);
        // A line may be as long as it likes, but not all of them together.
        outlet.flush(PATIENCE);
        let before = lost.load(Ordering::Relaxed);
        outlet.put(vec![b'x'; BYTES_MAX + 1]);
        assert_eq!(lost.load(Ordering::Relaxed), before + 1);
    }
}
