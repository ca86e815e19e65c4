//! The system calls for which no safe wrapper serves: batched sends and receives, eventfd, affinity, limits, memory,
//! programs and tables in the kernel; and one hint to the processor.
//!
//! Owns every `unsafe` of the project but that of [`super::uring`]. Must not hold state of its own or decide anything.
//! Bounds: `BATCH_MAX` messages a call. Next: the drivers, and the shell that starts threads.
#![expect(
    unsafe_code,
    reason = "the one place for system calls; each block holds one operation and its proof"
)]

use std::fs::File;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr::{self, NonNull};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::NOT_ECT;
use super::ancillary::{
    CONTROL_BYTES, NAME_BYTES, Notes, SentControl, class_control, read_address, segment_control,
    write_address,
};

/// Messages of one batched call at most; bounds the arrays that such a call builds on its stack.
pub(super) const BATCH_MAX: usize = 64;

/// CPUs that an affinity mask can name: eight times what kernels are commonly built for.
const CPUS_MAX: usize = 8192;

type CpuMask = [u64; CPUS_MAX / 64];

/// Bytes that a processor fetches together: on every one that we know of this or twice as many.
const CACHE_LINE_BYTES: usize = 64;

/// Has the processor fetch memory that is going to be needed, and does not wait for it. An address at which nothing of
/// ours lies, or nothing at all, costs a little time and does nothing else.
#[inline]
pub fn prefetch(address: usize, bytes: usize) {
    let first = address - address % CACHE_LINE_BYTES;
    for line in (first..address.saturating_add(bytes)).step_by(CACHE_LINE_BYTES) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a prefetch is a hint. It reads nothing that a program sees and faults at no address, so the pointer need
        // not be valid; each processor of this architecture has the instruction.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(ptr::without_provenance(line));
        }
        #[cfg(target_arch = "aarch64")]
        // SAFETY: the same; the instruction is part of the base of this architecture (Arm ARM, PRFM), and touches neither
        // memory nor stack nor flags.
        unsafe {
            std::arch::asm!("prfm pldl1keep, [{0}]", in(reg) line, options(nostack, preserves_flags, readonly));
        }
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let _ = line;
    }
}

/// The nice value of threads that give way.
const CONTROL_NICE: libc::c_int = 10;

/// Confines the calling thread to one CPU.
pub fn pin_thread(cpu: usize) -> io::Result<()> {
    let mut mask: CpuMask = [0; CPUS_MAX / 64];
    let word = mask.get_mut(cpu / 64).ok_or(io::ErrorKind::InvalidInput)?;
    *word = 1 << (cpu % 64);
    // SAFETY: the kernel reads `size_of_val(&mask)` bytes from `mask`, which lives on this stack until the call is
    // over; thread 0 means the calling one.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&mask), mask.as_ptr().cast()) };
    check(result).map(drop)
}

/// Has the calling thread give way to threads of media on the same core: they get ten times as much of it when both want all
/// (sched(7), the nice value), and are let in sooner.
pub fn give_way() -> io::Result<()> {
    // SAFETY: takes numbers alone; on Linux the id 0 means the calling thread, not its process (setpriority(2), "C
    // library/kernel differences").
    let result = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, CONTROL_NICE) };
    check(result).map(drop)
}

/// Returns the CPUs on which the calling thread may run, in rising order.
///
/// Where the kernel does not tell, the first ones are assumed.
pub fn cpus() -> Vec<usize> {
    let mut mask: CpuMask = [0; CPUS_MAX / 64];
    // SAFETY: the kernel writes at most `size_of_val(&mask)` bytes into `mask`, which lives on this stack and is
    // borrowed for this call alone; every bit pattern is a valid `u64`.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&mask), mask.as_mut_ptr().cast()) };
    if result < 0 {
        return (0..std::thread::available_parallelism().map_or(1, usize::from)).collect();
    }
    let allowed = |cpu: &usize| mask.get(cpu / 64).is_some_and(|word| word >> (cpu % 64) & 1 == 1);
    (0..CPUS_MAX).filter(allowed).collect()
}

/// Has the kernel give this process small pages only.
///
/// Sessions come and go in pieces of a few KB; the first touch of a huge page clears two megabytes for one of them.
pub fn refuse_huge_pages() -> io::Result<()> {
    // SAFETY: this option takes one flag and zeros, and points to no memory.
    let result = unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
    check(result).map(drop)
}

/// Returns the soft and the hard limit on open files of this process.
pub fn open_file_limit() -> io::Result<(u64, u64)> {
    let limit = resource_limit(libc::RLIMIT_NOFILE)?;
    Ok((limit.rlim_cur, limit.rlim_max))
}

/// Raises the soft limit on open files to the hard one and returns it.
pub fn raise_open_file_limit() -> io::Result<u64> {
    let (soft, hard) = open_file_limit()?;
    if soft < hard {
        let limit = libc::rlimit { rlim_cur: hard, rlim_max: hard };
        // SAFETY: the kernel only reads the structure, which lives on this stack until the call is over.
        let result = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
        check(result)?;
    }
    Ok(hard)
}

/// Returns the soft limit on locked memory of this process, in bytes.
pub(super) fn locked_memory_limit() -> io::Result<u64> {
    Ok(resource_limit(libc::RLIMIT_MEMLOCK)?.rlim_cur)
}

fn resource_limit(which: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one `rlimit` into `limit`, which is borrowed for this call alone.
    let result = unsafe { libc::getrlimit(which, &mut limit) };
    check(result)?;
    Ok(limit)
}

/// Sets an integer option of a socket.
pub(super) fn set_option(socket: &UdpSocket, level: i32, name: i32, value: i32) -> io::Result<()> {
    let (source, len) = (ptr::from_ref(&value).cast(), size_of::<i32>() as libc::socklen_t);
    // SAFETY: `source` points to `len` bytes of `value`, which lives on this stack until the call is over and is only
    // read; the descriptor is open as long as `socket` is borrowed.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, source, len) };
    check(result).map(drop)
}

/// Where the count of what was dropped stands in what `SO_MEMINFO` tells (`SK_MEMINFO_DROPS`), and how much that is.
const MEMORY_DROPS: usize = 8;
const MEMORY_FIGURES: usize = 9;

/// Returns how often the kernel has dropped what came for a socket because its receive buffer was full. It begins anew
/// after four thousand million.
pub(super) fn receive_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut figures = [0_u32; MEMORY_FIGURES];
    let mut len = size_of_val(&figures) as libc::socklen_t;
    let place = figures.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `len` bytes, the size of `figures`, which lives on this stack and is borrowed for
    // this call alone, as is `len`; every bit pattern is a valid `u32`. The descriptor is open while it is borrowed.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_MEMINFO, place, &mut len) };
    check(result)?;
    figures.get(MEMORY_DROPS).copied().ok_or_else(|| io::ErrorKind::Unsupported.into())
}

/// Commands of bpf(2), and what it makes.
const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_MAP_DELETE_ELEM: i32 = 3;
const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_TYPE_SK_REUSEPORT: u32 = 21;

/// What bpf(2) is told, in 64-bit words: enough for each command that is used here.
type BpfRequest = [u64; 16];

/// A table in the kernel that programs and we can reach.
#[derive(Debug)]
pub(super) struct KernelTable {
    descriptor: OwnedFd,
    key_bytes: usize,
    value_bytes: usize,
}

impl KernelTable {
    /// Makes a table of a kind that `enum bpf_map_type` numbers.
    pub(super) fn new(kind: u32, key_bytes: u32, value_bytes: u32, entries: u32) -> io::Result<Self> {
        let request = bpf_request(&[pair(kind, key_bytes), pair(value_bytes, entries)]);
        let descriptor = bpf_descriptor(BPF_MAP_CREATE, &request)?;
        Ok(Self { descriptor, key_bytes: key_bytes as usize, value_bytes: value_bytes as usize })
    }

    /// Sets one entry.
    pub(super) fn set(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if key.len() != self.key_bytes || value.len() != self.value_bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (key, value) = (key.as_ptr().expose_provenance(), value.as_ptr().expose_provenance());
        let request = bpf_request(&[pair(self.number(), 0), key as u64, value as u64]);
        // The lengths that the kernel reads are those of the table, which were compared above.
        bpf(BPF_MAP_UPDATE_ELEM, &request).map(drop)
    }

    /// Removes one entry.
    pub(super) fn remove(&self, key: &[u8]) -> io::Result<()> {
        if key.len() != self.key_bytes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let request = bpf_request(&[pair(self.number(), 0), key.as_ptr().expose_provenance() as u64]);
        bpf(BPF_MAP_DELETE_ELEM, &request).map(drop)
    }

    /// The number by which a program names it.
    pub(super) fn number(&self) -> u32 {
        self.descriptor.as_raw_fd().cast_unsigned()
    }
}

/// Hands the kernel a program that chooses a socket of a reuseport group, and makes the group of `socket` use it.
pub(super) fn choose_sockets_by(program: &[u64], socket: &UdpSocket) -> io::Result<()> {
    // No function that it calls asks for a licence of the kernel's.
    let licence = c"MIT OR Apache-2.0".as_ptr().expose_provenance() as u64;
    let count = u32::try_from(program.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let instructions = program.as_ptr().expose_provenance() as u64;
    let request = bpf_request(&[pair(BPF_PROG_TYPE_SK_REUSEPORT, count), instructions, licence]);
    let program = bpf_descriptor(BPF_PROG_LOAD, &request)?;
    // The group holds the program from here on.
    set_option(socket, libc::SOL_SOCKET, libc::SO_ATTACH_REUSEPORT_EBPF, program.as_raw_fd())
}

/// Two fields of 32 bits, as they lie in memory.
const fn pair(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        (second as u64) << 32 | first as u64
    } else {
        (first as u64) << 32 | second as u64
    }
}

fn bpf_request(words: &[u64]) -> BpfRequest {
    let mut request = [0; 16];
    request.iter_mut().zip(words).for_each(|(field, word)| *field = *word);
    request
}

fn bpf(command: i32, request: &BpfRequest) -> io::Result<i32> {
    // SAFETY: the kernel reads `size_of_val(request)` bytes of `request`, borrowed for this call. What addresses in it
    // point to is only read, too, and during the call alone: keys, values, instructions and a licence, which the
    // callers above borrow for longer than it takes and whose lengths they give or have compared.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(request), size_of_val(request)) };
    check(i32::try_from(result).unwrap_or(-1))
}

fn bpf_descriptor(command: i32, request: &BpfRequest) -> io::Result<OwnedFd> {
    let descriptor = bpf(command, request)?;
    // SAFETY: these commands make a descriptor for us, which nobody else owns or closes.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Watches a socket for incoming datagrams.
pub(super) fn watch_socket(socket: UdpSocket) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: `UdpSocket` owns its descriptor, closes it only when dropped, and always returns the same one; the
    // `AsyncFd` owns the socket, so the descriptor stays open for as long as it is registered.
    let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    watched.map_err(Into::into)
}

/// Watches an owned descriptor for becoming readable.
pub(super) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: `OwnedFd` is by definition open until dropped and never changes; the `AsyncFd` owns it.
    let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    watched.map_err(Into::into)
}

/// A counter in the kernel that can be waited for.
#[derive(Debug)]
pub(super) struct EventFd(File);

impl EventFd {
    /// Makes one with the count zero.
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: the call takes two integers and touches no memory of ours.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        let descriptor = check(descriptor)?;
        // SAFETY: the kernel has just made this descriptor for us, so nobody else owns or closes it.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self(File::from(owned)))
    }

    /// Adds one to the count and so wakes who waits.
    pub(super) fn signal(&self) {
        // The only error is a full counter, and then it is readable anyway.
        let _ = (&self.0).write(&1u64.to_ne_bytes());
    }

    /// Returns the count and sets it to zero; only tests do, for who waits watches edges.
    #[cfg(test)]
    pub(super) fn drain(&self) -> u64 {
        use std::io::Read;
        let mut count = [0; 8];
        (&self.0).read_exact(&mut count).map_or(0, |()| u64::from_ne_bytes(count))
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Zeroed pages of memory with an address that never changes.
#[derive(Debug)]
pub(super) struct Pages {
    start: NonNull<u8>,
    len: usize,
    kept: bool,
}

impl Pages {
    /// Maps `len` bytes; a page costs memory only when it is first touched.
    pub(super) fn new(len: usize) -> io::Result<Self> {
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: an anonymous mapping at an address of the kernel's choice replaces no memory in use.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, access, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len, kept: false })
    }

    /// Returns the address of the first byte, aligned to a page.
    pub(super) fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Returns the length in bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Leaves the memory mapped for the rest of the process, for the case that somebody may still write into it.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if !self.kept {
            // SAFETY: `start` and `len` are those of the mapping made in `new`, which nobody else unmaps; borrows of
            // it end with the owner, and an owner that shares it with the kernel calls `keep` unless the kernel is
            // known to be done.
            unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
        }
    }
}

/// One message to be sent, in the kernel's form.
///
/// The header points into the other fields, so what it says holds only until the message is moved or filled again.
pub(super) struct OutgoingMessage {
    header: libc::msghdr,
    part: libc::iovec,
    name: [u8; NAME_BYTES],
    control: [SentControl; 2],
}

impl OutgoingMessage {
    /// Makes a message that says nothing.
    pub(super) fn new() -> Self {
        Self {
            header: empty_header(),
            part: EMPTY_PART,
            name: [0; NAME_BYTES],
            control: [[0; size_of::<SentControl>()]; 2],
        }
    }

    /// Fills it and returns the header to hand to the kernel.
    pub(super) fn fill(&mut self, outgoing: &Outgoing<'_>) -> *const libc::msghdr {
        let Outgoing { destination, payload, segment, ecn } = *outgoing;
        let name_len = write_address(destination, &mut self.name);
        // The kernel only reads what a sent message points to.
        self.part = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
        let class = (ecn != NOT_ECT).then(|| class_control(&destination, ecn));
        let messages = [segment.map(segment_control), class].into_iter().flatten();
        let filled = self.control.iter_mut().zip(messages).map(|(place, message)| *place = message).count();
        let control = self.control.get_mut(..filled).unwrap_or_default().as_flattened_mut();
        self.header = header(self.name.get_mut(..name_len).unwrap_or_default(), &mut self.part, control);
        &raw const self.header
    }

    /// Makes the message name no destination and no bytes, so that sending it fails and reads nothing.
    pub(super) fn blank(&mut self) {
        self.header = empty_header();
    }
}

/// Where one received datagram, or several that the kernel has joined, is put.
pub(super) struct Slot {
    pub(super) payload: Box<[u8]>,
    pub(super) name: [u8; NAME_BYTES],
    pub(super) control: [u8; CONTROL_BYTES],
    /// What the last receive put there.
    pub(super) filled: Filled,
}

/// How much of a [`Slot`] counts.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Filled {
    pub(super) payload: usize,
    pub(super) name: usize,
    pub(super) control: usize,
    pub(super) cut_short: bool,
}

impl Slot {
    /// Makes an empty slot for payloads up to `payload_bytes`.
    pub(super) fn new(payload_bytes: usize) -> Self {
        Self {
            payload: vec![0; payload_bytes].into_boxed_slice(),
            name: [0; NAME_BYTES],
            control: [0; CONTROL_BYTES],
            filled: Filled::default(),
        }
    }

    /// Where the last receive came from, if that can be read.
    pub(super) fn source(&self) -> Option<SocketAddr> {
        read_address(self.name.get(..self.filled.name)?)
    }

    /// What the control messages of the last receive say.
    pub(super) fn notes(&self) -> Notes {
        Notes::read(self.control.get(..self.filled.control).unwrap_or_default())
    }
}

/// Receives what is waiting into `slots`, without waiting for more, and returns how many were filled.
pub(super) fn receive_batch(socket: &impl AsRawFd, slots: &mut [Slot]) -> io::Result<usize> {
    let count = slots.len().min(BATCH_MAX);
    let mut parts = [EMPTY_PART; BATCH_MAX];
    let mut messages = [empty_message(); BATCH_MAX];
    for ((slot, part), message) in slots.iter_mut().zip(&mut parts).zip(&mut messages) {
        *part = libc::iovec { iov_base: slot.payload.as_mut_ptr().cast(), iov_len: slot.payload.len() };
        message.msg_hdr = header(&mut slot.name, part, &mut slot.control);
    }
    let (first, flags) = (messages.as_mut_ptr(), libc::MSG_DONTWAIT);
    // SAFETY: the first `count` messages point to `parts` on this stack and to buffers of `count` different slots,
    // all borrowed mutably until this function ends, with their true lengths; MSG_DONTWAIT or not, the kernel is done
    // with them when the call returns.
    let received =
        unsafe { libc::recvmmsg(socket.as_raw_fd(), first, count as _, flags as _, ptr::null_mut()) };
    let received = check(received)? as usize;
    for (slot, message) in slots.iter_mut().zip(&messages).take(received) {
        slot.filled = Filled {
            payload: message.msg_len as usize,
            name: message.msg_hdr.msg_namelen as usize,
            control: message.msg_hdr.msg_controllen as _,
            cut_short: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        };
    }
    Ok(received)
}

/// One message to be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outgoing<'a> {
    pub(super) destination: SocketAddr,
    pub(super) payload: &'a [u8],
    /// Where to cut the payload, if it holds several datagrams.
    pub(super) segment: Option<u16>,
    /// The congestion bits, 0 to 3.
    pub(super) ecn: u8,
}

/// Sends one message, without waiting for room, and returns how many bytes the kernel took.
pub(super) fn send_one(socket: &impl AsRawFd, outgoing: &Outgoing<'_>) -> io::Result<usize> {
    let mut message = OutgoingMessage::new();
    let header = message.fill(outgoing);
    // SAFETY: the header points into `message`, which is not moved before the call returns, and to a payload that is
    // borrowed for as long; the kernel only reads those, and is done when the call returns.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), header, libc::MSG_DONTWAIT) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Sends `batch`, without waiting for room, and returns how many of its messages the kernel took.
///
/// Fails only when it takes not even the first. `scratch` is overwritten.
pub(super) fn send_batch<'a>(
    socket: &UdpSocket,
    batch: impl Iterator<Item = Outgoing<'a>>,
    scratch: &mut [OutgoingMessage],
) -> io::Result<usize> {
    let mut messages = [empty_message(); BATCH_MAX];
    let mut count = 0;
    for ((outgoing, slot), message) in batch.zip(scratch).zip(&mut messages) {
        slot.fill(&outgoing);
        message.msg_hdr = slot.header;
        count += 1;
    }
    let (first, flags) = (messages.as_mut_ptr(), libc::MSG_DONTWAIT);
    // SAFETY: the first `count` messages point into `count` different entries of `scratch`, borrowed mutably and not
    // moved until this function ends, and through them to payloads that live for 'a; the kernel only reads those, and
    // is done when the call returns.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), first, count, flags as _) };
    Ok(check(sent)? as usize)
}

const EMPTY_PART: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

fn empty_message() -> libc::mmsghdr {
    libc::mmsghdr { msg_hdr: empty_header(), msg_len: 0 }
}

/// Returns a header without name, parts and control messages.
pub(super) fn empty_header() -> libc::msghdr {
    // SAFETY: all fields are integers and raw pointers, for which zeros are valid; some C libraries add padding fields
    // that cannot be named, so a literal would not compile everywhere.
    unsafe { std::mem::zeroed() }
}

/// Returns a header of one part that points to what it is given.
fn header(name: &mut [u8], part: &mut libc::iovec, control: &mut [u8]) -> libc::msghdr {
    let mut header = empty_header();
    header.msg_name = name.as_mut_ptr().cast();
    header.msg_namelen = name.len() as libc::socklen_t;
    header.msg_iov = part;
    header.msg_iovlen = 1;
    if !control.is_empty() {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = control.len() as _;
    }
    header
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_runs_on_its_cpu_alone() {
        let allowed = cpus();
        assert!(!allowed.is_empty());
        assert!(allowed.is_sorted());
        let last = *allowed.last().unwrap();
        std::thread::spawn(move || {
            pin_thread(last).unwrap();
            assert_eq!(cpus(), [last]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_cpu_beyond_the_mask_is_refused() {
        assert_eq!(pin_thread(CPUS_MAX).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert!(pin_thread(CPUS_MAX - 1).is_err());
    }

    #[test]
    fn the_soft_limit_of_open_files_can_be_raised_to_the_hard_one() {
        let (soft, hard) = open_file_limit().unwrap();
        assert!(soft <= hard);
        assert_eq!(raise_open_file_limit().unwrap(), hard);
        assert_eq!(open_file_limit().unwrap(), (hard, hard));
    }

    #[test]
    fn an_eventfd_counts_its_signals() {
        let event = EventFd::new().unwrap();
        assert_eq!(event.drain(), 0);
        event.signal();
        event.signal();
        assert_eq!(event.drain(), 2);
        assert_eq!(event.drain(), 0);
    }

    #[test]
    fn batches_carry_payload_source_and_segments() {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let destination = b.local_addr().unwrap();
        let batch = [
            Outgoing { destination, payload: b"one", segment: None, ecn: 0 },
            Outgoing { destination, payload: b"twothr33", segment: Some(3), ecn: 1 },
        ];
        let mut scratch: Vec<_> = (0..4).map(|_| OutgoingMessage::new()).collect();
        assert_eq!(send_batch(&a, batch.into_iter(), &mut scratch).unwrap(), 2);
        let mut slots: Vec<_> = (0..8).map(|_| Slot::new(4)).collect();
        assert_eq!(receive_batch(&b, &mut slots).unwrap(), 4);
        let payloads: Vec<_> =
            slots.iter().take(4).map(|slot| &slot.payload[..slot.filled.payload]).collect();
        assert_eq!(payloads, [&b"one"[..], b"two", b"thr", b"33"]);
        for slot in &slots[..4] {
            assert_eq!(slot.source(), Some(a.local_addr().unwrap()));
            assert!(!slot.filled.cut_short);
        }
    }

    #[test]
    fn a_datagram_beyond_its_slot_is_marked() {
        let (a, b) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        a.send_to(b"12345", b.local_addr().unwrap()).unwrap();
        let mut slots = [Slot::new(4)];
        assert_eq!(receive_batch(&b, &mut slots).unwrap(), 1);
        assert!(slots[0].filled.cut_short);
        assert_eq!(receive_batch(&b, &mut slots).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_blank_message_cannot_leave() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut message = OutgoingMessage::new();
        let destination = socket.local_addr().unwrap();
        message.fill(&Outgoing { destination, payload: b"payload", segment: None, ecn: 0 });
        message.blank();
        // SAFETY: a blank header points to nothing.
        let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &message.header, libc::MSG_DONTWAIT) };
        assert_eq!(check(sent as i32).unwrap_err().raw_os_error(), Some(libc::EDESTADDRREQ));
    }

    #[test]
    fn pages_are_zeroed_aligned_and_writable() {
        let pages = Pages::new(3 * 4096).unwrap();
        assert_eq!(pages.as_ptr().addr() % 4096, 0);
        // SAFETY: the mapping is three pages long, nobody else knows it, and this borrow ends before `pages`.
        let bytes = unsafe { std::slice::from_raw_parts_mut(pages.as_ptr(), pages.len()) };
        assert!(bytes.iter().all(|byte| *byte == 0));
        bytes.fill(7);
    }

    #[test]
    fn memory_can_be_fetched_wherever_it_is_said_to_lie() {
        let value = [7_u8; 200];
        prefetch(value.as_ptr().addr(), value.len());
        for address in [0, 1, CACHE_LINE_BYTES, usize::MAX / 2, usize::MAX - 100, usize::MAX] {
            prefetch(address, 200);
            prefetch(address, 0);
        }
        assert_eq!(value, [7; 200]);
    }
}
