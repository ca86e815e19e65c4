//! All ways in and out of one shard, as one value.
//!
//! Owns the sockets of all sessions ([`Driver`]), the TCP connections ([`Connections`]) and the sockets of sessions that call
//! out ([`Dialled`]), and asks the two latter only where there are any. Must not know what a datagram means. Bounds: those
//! of the three. Next: what comes in goes to the shard's demultiplexer, and the [`Outbox`] that the shard has written comes
//! back to [`Door::send`].

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use super::dialled::Dialled;
use super::tcp::{Arrival, Connections, Figures};
use super::{Datagram, Driver, IoKind, Moment, NetError, Outbox, SendReport, SocketIndex, Waker};

/// The sockets and connections of one shard.
///
/// Lives on the thread that made it. One turn is: [`wait`](Self::wait), [`receive`](Self::receive) once, work,
/// [`send`](Self::send), [`poll_ended`](Self::poll_ended).
pub struct Door {
    driver: Driver,
    connections: Connections,
    dialled: Dialled,
}

impl Door {
    /// Takes over the sockets of all sessions and the receiving end of `waker`.
    ///
    /// Must be called inside [`super::host::run`] of the same kind.
    ///
    /// # Errors
    /// When a socket or what watches it cannot be set up.
    pub fn new(io: IoKind, sockets: Vec<UdpSocket>, waker: &Waker) -> Result<Self, NetError> {
        Ok(Self {
            driver: Driver::new(io, sockets, waker)?,
            connections: Connections::new()?,
            dialled: Dialled::new()?,
        })
    }

    /// The sockets of all sessions.
    pub fn driver(&mut self) -> &mut Driver {
        &mut self.driver
    }

    /// Tells without sleeping whether a wait would end at once.
    pub fn poll(&mut self) -> bool {
        self.driver.poll() || self.connections.poll() || self.dialled.poll()
    }

    /// Sleeps until something comes, the waker was used, or `deadline` has passed. May end early without a cause.
    pub async fn wait(&mut self, deadline: Instant) {
        let (connected, dialled) = (!self.connections.is_empty(), !self.dialled.is_empty());
        if !connected && !dialled {
            return self.driver.wait_alone(Some(deadline)).await;
        }
        // Each may be dropped half-way: none loses anything by it.
        tokio::select! {
            biased;
            () = self.connections.ready(), if connected => {}
            () = self.dialled.ready(), if dialled => {}
            () = self.driver.wait(Some(deadline)) => {}
        }
    }

    /// Hands what has come to `take`: `budget` datagrams of the driver at most, and of the others within their bounds.
    pub fn receive(&mut self, budget: usize, moment: &Moment, take: &mut dyn FnMut(Datagram<'_>)) {
        self.driver.receive(budget, moment, take);
        if !self.connections.is_empty() {
            self.connections.receive(moment.now(), take);
        }
        if !self.dialled.is_empty() {
            self.dialled.receive(moment, take);
        }
    }

    /// Sends everything in `outbox` and clears it. A datagram that is not taken is lost and counted.
    pub fn send(&mut self, outbox: &mut Outbox, now: Instant) -> SendReport {
        let mut report = SendReport::default();
        if outbox.has_aside() {
            report.add(&self.connections.send(outbox, now));
            report.add(&self.dialled.send(outbox));
        }
        report.add(&self.driver.send(outbox));
        report
    }

    /// Takes a TCP connection over, and hands its first datagram to `take`.
    pub fn admit(&mut self, arrival: Arrival, now: Instant, take: &mut dyn FnMut(Datagram<'_>)) {
        self.connections.add(arrival, now, take);
    }

    /// Takes the socket of a session that calls out over, in place of the one that had its name.
    ///
    /// # Errors
    /// When the kernel does not watch it; the socket is then gone.
    pub fn open(&mut self, index: SocketIndex, socket: UdpSocket) -> io::Result<()> {
        self.dialled.add(index, socket)
    }

    /// Closes the socket of a session that called out.
    pub fn close(&mut self, index: SocketIndex) {
        self.dialled.remove(index);
    }

    /// Ends the connections whose time is over: those whose address no session holds, and readers that stand still.
    pub fn sweep(&mut self, now: Instant, is_held: &mut dyn FnMut(SocketIndex, SocketAddr) -> bool) {
        if !self.connections.is_empty() {
            self.connections.sweep(now, is_held);
        }
    }

    /// Takes the listener and the far end of a connection that has ended.
    pub fn poll_ended(&mut self) -> Option<(SocketIndex, SocketAddr)> {
        self.connections.poll_ended()
    }

    /// Totals of the TCP connections.
    pub fn connections(&self) -> Figures {
        self.connections.figures()
    }

    /// How often the kernel has dropped what came because the receive buffer of a socket was full.
    pub fn kernel_drops(&self) -> u64 {
        self.driver.kernel_drops() + self.dialled.kernel_drops()
    }
}
