//! The shell of a shard: a pinned thread that brings it time, datagrams and commands, and sends what it writes.
//!
//! One turn: wait; read the clock once; datagrams, commands, mail of other shards, timers; flush; one submit;
//! then wake the shards that have mail. Every step has a budget, so that none starves another.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use crossbeam_queue::ArrayQueue;
use crossbeam_utils::CachePadded;
use tokio::sync::mpsc::UnboundedSender;

use super::command::{Command, Event, ShardLimits};
use super::timers::Grid;
use super::{Certificate, Dial, Mailbox, Shard, ShardSetup, Steer, WallClock};
use crate::ids::{NodeKeys, ShardId};
use crate::metrics::shard::{Direction, IoFault, TcpEnd};
use crate::net::steering::Steering;
use crate::net::tcp::{Arrival, CloseReason};
use crate::net::{Datagram, Door, Faults, IoKind, Moment, Outbox, SendReport, Waker, host, sys};
use crate::random::Random;

/// Commands that wait for one shard at most.
const COMMANDS_MAX: usize = 16_384;
/// TCP connections that wait to be taken over by one shard at most.
const ARRIVALS_MAX: usize = 256;
/// Of these, taken over in one turn.
const ARRIVAL_BUDGET: usize = 16;
/// Datagrams, commands and messages of other shards taken in one turn. A command may build a connection, which takes as long as
/// forwarding some hundred packets.
const DATAGRAM_BUDGET: usize = 256;
const COMMAND_BUDGET: usize = 4;
const MAIL_BUDGET: usize = 1024;
/// Bytes that one turn can write before anything is sent.
const ARENA_BYTES: usize = 4 << 20;
/// Bytes of media after which they are sent: less than the cache of a core.
const SEND_BYTES: usize = 256 << 10;
/// When a full lane is tried again.
const HELD_BACK_RETRY: Duration = Duration::from_millis(1);
/// A sleeping shard takes the deadlines of so long a span in one wake, and one span later: idle sessions have many, and a
/// wake costs more than what it is for. Within that time media mostly come, which carry the deadlines of a call along.
/// Below what a retransmission notices.
const TIMER_SPAN: Duration = Duration::from_millis(20);
/// Two clocks are read so close to each other, or again, so often.
const READINGS_APART: Duration = Duration::from_micros(20);
const READINGS: usize = 4;
/// How often counters are reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// A bound socket and the address under which clients reach it.
#[derive(Debug)]
pub struct BoundSocket {
    /// The socket.
    pub socket: UdpSocket,
    /// Its address as advertised: its own, or the public one that is mapped to it.
    pub candidate: SocketAddr,
}

/// What one worker is made from.
#[derive(Debug)]
pub struct WorkerConfig {
    /// Its shard.
    pub shard: ShardId,
    /// The core to stay on.
    pub cpu: Option<usize>,
    /// Which system calls carry datagrams.
    pub io: IoKind,
    /// Sockets of this shard alone.
    pub sockets: Vec<BoundSocket>,
    /// Addresses, as advertised, of the TCP listeners, which all shards share.
    pub tcp_candidates: Vec<SocketAddr>,
    /// Life-cycle times and bounds.
    pub limits: ShardLimits,
    /// The wall clock: the same for all shards of a node.
    pub clock: WallClock,
    /// The node's keys.
    pub keys: Arc<NodeKeys>,
    /// The node's certificate.
    pub certificate: Certificate,
    /// Whether segmentation offload may be used.
    pub gso: bool,
    /// How long to look for work before sleeping.
    pub busy_poll: Duration,
    /// Whether all shards receive on the same ports, and how datagrams reach their owners then.
    pub shared_port: Option<SharedPort>,
}

/// How datagrams of a port that all shards share reach their owners.
#[derive(Debug, Clone)]
pub enum SharedPort {
    /// The kernel brings them there; what it does not know is handed over.
    Steered(Arc<Steering>),
    /// They are handed over, unless the kernel has hit on the owner.
    HandedOver,
}

/// Control's end of a shard.
#[derive(Debug, Clone)]
pub struct ShardHandle {
    id: ShardId,
    commands: Arc<ArrayQueue<Command>>,
    arrivals: Arc<ArrayQueue<Arrival>>,
    waker: Waker,
}

impl ShardHandle {
    /// The shard's number.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// Hands a command over.
    ///
    /// # Errors
    /// Gives the command back when the shard has too many waiting.
    pub fn try_send(&self, command: Command) -> Result<(), Command> {
        self.commands.push(command)?;
        self.waker.wake();
        Ok(())
    }

    /// Hands a TCP connection over.
    ///
    /// # Errors
    /// Gives it back when too many wait.
    pub fn take_over(&self, arrival: Arrival) -> Result<(), Arrival> {
        self.arrivals.push(arrival)?;
        self.waker.wake();
        Ok(())
    }
}

/// Set once, read at each turn by every shard: in a cache line that nobody else writes to.
type Stop = Arc<CachePadded<AtomicBool>>;

/// All worker threads of a node.
#[derive(Debug)]
pub struct Workers {
    stop: Stop,
    wakers: Vec<Waker>,
    threads: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Workers {
    /// Whether a worker has ended although nobody stopped it.
    pub fn any_ended(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Stops all workers and waits for them.
    ///
    /// # Errors
    /// The first failure of a worker.
    pub fn stop(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Release);
        self.wakers.iter().for_each(Waker::wake);
        for thread in self.threads {
            thread.join().map_err(|_panic| anyhow::anyhow!("a shard's thread has panicked"))??;
        }
        Ok(())
    }
}

/// Starts one thread for each shard. Returns once every one of them serves.
///
/// # Errors
/// When a thread or its driver cannot start, with the cause.
pub fn spawn_all(
    configs: Vec<WorkerConfig>,
    events: UnboundedSender<Event>,
) -> anyhow::Result<(Vec<ShardHandle>, Workers)> {
    let stop = Stop::default();
    let wakers = configs.iter().map(|_| Waker::new()).collect::<Result<Vec<_>, _>>()?;
    let mut handles = Vec::new();
    let mut threads = Vec::new();
    let mailboxes = if configs.iter().any(|config| config.shared_port.is_some()) {
        Mailbox::join_on_one_port(wakers.len())
    } else {
        Mailbox::join(wakers.len())
    };
    for (config, mailbox) in configs.into_iter().zip(mailboxes) {
        let waker = wakers.get(usize::from(config.shard.0)).context("shards are numbered from 0")?.clone();
        let commands = Arc::new(ArrayQueue::new(COMMANDS_MAX));
        let arrivals = Arc::new(ArrayQueue::new(ARRIVALS_MAX));
        handles.push(ShardHandle {
            id: config.shard,
            commands: Arc::clone(&commands),
            arrivals: Arc::clone(&arrivals),
            waker: waker.clone(),
        });
        let worker = Worker {
            config,
            mailbox,
            commands,
            arrivals,
            events: events.clone(),
            waker,
            wakers: wakers.clone(),
            stop: Arc::clone(&stop),
        };
        threads.push(worker.spawn()?);
    }
    Ok((handles, Workers { stop, wakers, threads }))
}

struct Worker {
    config: WorkerConfig,
    mailbox: Mailbox,
    commands: Arc<ArrayQueue<Command>>,
    arrivals: Arc<ArrayQueue<Arrival>>,
    events: UnboundedSender<Event>,
    waker: Waker,
    wakers: Vec<Waker>,
    stop: Stop,
}

impl Worker {
    fn spawn(self) -> anyhow::Result<JoinHandle<anyhow::Result<()>>> {
        let (started, ready) = std::sync::mpsc::channel();
        let name = format!("shard-{}", self.config.shard.0);
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            if let Some(cpu) = self.config.cpu
                && let Err(error) = sys::pin_thread(cpu)
            {
                tracing::warn!(cpu, %error, "the shard is not pinned to its core");
            }
            host::run(self.config.io, self.run(started))?
        })?;
        if ready.recv().is_err() {
            // It ended before it served: its own error says why.
            return Err(match thread.join() {
                Ok(Err(error)) => error,
                _ => anyhow::anyhow!("a shard's thread ended before it served"),
            });
        }
        Ok(thread)
    }

    async fn run(self, started: std::sync::mpsc::Sender<()>) -> anyhow::Result<()> {
        let sockets: Vec<UdpSocket> = self.config.sockets.into_iter().map(|bound| bound.socket).collect();
        let candidates = sockets.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()?;
        let mut door = Door::new(self.config.io, sockets, &self.waker)?;
        door.driver().set_gso(self.config.gso);
        let setup = ShardSetup {
            id: self.config.shard,
            candidates,
            tcp_candidates: self.config.tcp_candidates,
            certificate: self.config.certificate,
            keys: self.config.keys,
            limits: self.config.limits,
            clock: self.config.clock,
            random: Random::from_system(),
        };
        let mut turn = Turn {
            shard: Shard::new(setup, self.mailbox),
            door,
            outbox: Outbox::new(ARENA_BYTES).full_at(SEND_BYTES),
            commands: self.commands,
            arrivals: self.arrivals,
            events: self.events,
            wakers: self.wakers,
            next_report: now(),
            grid: Grid::since(now()),
            busy_poll: self.config.busy_poll,
            shared_port: self.config.shared_port,
        };
        started.send(()).context("nobody waits for the shard to start")?;
        while !self.stop.load(Ordering::Acquire) {
            turn.run().await;
        }
        Ok(())
    }
}

struct Turn {
    shard: Shard,
    door: Door,
    outbox: Outbox,
    commands: Arc<ArrayQueue<Command>>,
    arrivals: Arc<ArrayQueue<Arrival>>,
    events: UnboundedSender<Event>,
    wakers: Vec<Waker>,
    next_report: Instant,
    grid: Grid,
    busy_poll: Duration,
    shared_port: Option<SharedPort>,
}

impl Turn {
    async fn run(&mut self) {
        let due = self.shard.poll_timeout().map(|at| self.grid.end_of_span(at, TIMER_SPAN) + TIMER_SPAN);
        let deadline = due.map_or(self.next_report, |at| at.min(self.next_report));
        let deadline = self.shard.poll_release().map_or(deadline, |at| at.min(deadline));
        // What a budget left over is taken up at once; the wait still lets other tasks of the thread run.
        let is_left_over = !self.commands.is_empty() || !self.arrivals.is_empty();
        let deadline = if is_left_over || self.shard.has_mail() {
            now()
        } else if self.shard.is_held_back() {
            deadline.min(now() + HELD_BACK_RETRY)
        } else {
            deadline
        };
        self.look_for_work(deadline);
        self.door.wait(deadline).await;
        let moment = moment();
        let begun = moment.now();
        self.take_in(&moment);
        self.dial();
        let door = &mut self.door;
        let mut sent = SendReport::default();
        let mut send = |outbox: &mut Outbox| sent.add(&door.send(outbox, begun));
        self.shard.flush(begun, &mut self.outbox, &mut send);
        send(&mut self.outbox);
        for to in self.shard.take_touched() {
            if let Some(waker) = self.wakers.get(usize::from(to.0)) {
                waker.wake();
            }
        }
        while let Some(event) = self.shard.poll_event() {
            // Control ends last; if it is gone, nobody needs the event.
            let _gone = self.events.send(event);
        }
        self.end_connections(begun);
        self.steer();
        self.count(begun, &sent);
    }

    /// Tells the kernel whose the sources of a shared port are. If it does not take that in, they are handed over.
    fn steer(&mut self) {
        let owner = u32::from(self.shard.id().0);
        while let Some(steer) = self.shard.poll_steer() {
            let Some(SharedPort::Steered(steering)) = &self.shared_port else { continue };
            let done = match steer {
                Steer::Here(socket, source) => steering.steer(socket, source, owner),
                Steer::Nowhere(socket, source) => steering.forget(socket, source),
            };
            if let Err(error) = done {
                tracing::debug!(%error, ?steer, "a source is not steered");
            }
        }
    }

    /// Opens and closes the sockets of sessions that call out.
    fn dial(&mut self) {
        while let Some(dial) = self.shard.poll_dial() {
            match dial {
                Dial::Open(index, socket) => {
                    if let Err(error) = self.door.open(index, socket) {
                        tracing::warn!(%error, "a socket of a session that calls out is not served");
                    }
                }
                Dial::Close(index) => self.door.close(index),
            }
        }
    }

    /// Ends the connections whose time is over, once a second, and tells the shard of all that have ended.
    fn end_connections(&mut self, now: Instant) {
        let shard = &mut self.shard;
        if now >= self.next_report {
            self.door.sweep(now, &mut |listener, peer| shard.holds_address(listener, peer));
        }
        while let Some((listener, peer)) = self.door.poll_ended() {
            shard.handle_disconnect(listener, peer);
        }
    }

    /// Spins for a while before the sleep, if asked to: a wake costs more than some rounds.
    fn look_for_work(&mut self, deadline: Instant) {
        if self.busy_poll.is_zero() {
            return;
        }
        let until = deadline.min(now() + self.busy_poll);
        while !self.door.poll() && now() < until {
            std::hint::spin_loop();
        }
    }

    fn take_in(&mut self, moment: &Moment) {
        let now = moment.now();
        let (shard, outbox) = (&mut self.shard, &mut self.outbox);
        let mut take = |datagram: Datagram<'_>| shard.handle_datagram(now, datagram, outbox);
        for _ in 0..ARRIVAL_BUDGET {
            let Some(arrival) = self.arrivals.pop() else { break };
            self.door.admit(arrival, now, &mut take);
        }
        self.door.receive(DATAGRAM_BUDGET, moment, &mut take);
        shard.handle_handed_over(now, DATAGRAM_BUDGET, outbox);
        for _ in 0..COMMAND_BUDGET {
            let Some(command) = self.commands.pop() else { break };
            shard.handle_command(now, command, outbox);
        }
        shard.handle_mail(now, MAIL_BUDGET);
        shard.handle_timeout(now, outbox);
    }

    fn count(&mut self, begun: Instant, sent: &SendReport) {
        let gso = self.door.driver().gso();
        let ended = now();
        let shard = self.shard.id();
        let counters = self.shard.counters();
        counters.datagrams_out += sent.datagrams;
        counters.bytes_out += sent.bytes;
        counters.sends += sent.calls;
        counters.together.iter_mut().zip(sent.together).for_each(|(total, more)| *total += more);
        counters.together_sum += sent.together_sum;
        if let Some(failed) = counters.dropped.get_mut(crate::drop::DropReason::SendFailed as usize) {
            *failed += sent.failed;
        }
        let tcp = self.door.connections();
        counters.tcp_connections = tcp.open;
        let [read, written] = tcp.bytes;
        counters.tcp_bytes.set(Direction::Ingress, read);
        counters.tcp_bytes.set(Direction::Egress, written);
        for (reason, count) in CloseReason::ALL.into_iter().zip(tcp.closed) {
            counters.tcp_closed.set(tcp_end(reason), count);
        }
        if let Some(dropped) = counters.dropped.get_mut(crate::drop::DropReason::SlowReader as usize) {
            *dropped = tcp.dropped;
        }
        counters.busy_ns += u64::try_from(ended.duration_since(begun).as_nanos()).unwrap_or(u64::MAX);
        counters.gso = gso;
        counters.steering = matches!(self.shared_port, Some(SharedPort::Steered(_)));
        if ended >= self.next_report {
            self.next_report = ended + REPORT_INTERVAL;
            counters.kernel_drops = self.door.kernel_drops();
            let Faults { unreadable, starved, receive_errors, unsegmented } = self.door.driver().faults();
            counters.io_faults.set(IoFault::Unreadable, unreadable);
            counters.io_faults.set(IoFault::NoReceiveBuffer, starved);
            counters.io_faults.set(IoFault::ReceiveError, receive_errors);
            counters.io_faults.set(IoFault::Unsegmented, unsegmented);
            let report = Event::Report(shard, Box::new(counters.clone()));
            let _gone = self.events.send(report);
        }
    }
}

fn tcp_end(reason: CloseReason) -> TcpEnd {
    match reason {
        CloseReason::ByClient => TcpEnd::ByClient,
        CloseReason::Oversize => TcpEnd::Oversize,
        CloseReason::Unproven => TcpEnd::Unproven,
        CloseReason::SlowReader => TcpEnd::SlowReader,
        CloseReason::Failed => TcpEnd::Failed,
    }
}

#[expect(clippy::disallowed_methods, reason = "the worker is the shell that reads the clock for its shard")]
fn now() -> Instant {
    Instant::now()
}

/// What both clocks say now. A thread that is taken off its core between the two readings would make all datagrams of the
/// turn seem late, so the pair is read again then.
#[expect(clippy::disallowed_methods, reason = "the worker is the shell that reads the clocks for its shard")]
fn moment() -> Moment {
    let mut before = Instant::now();
    for _ in 0..READINGS {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let after = Instant::now();
        if after.duration_since(before) <= READINGS_APART {
            return Moment::new(after, since_1970);
        }
        before = after;
    }
    Moment::new(before, Duration::ZERO)
}
