//! Accepts connections of the API and carries requests to a service. HTTP/1.1, and HTTP/2 by prior knowledge.
//!
//! Bounded: a fixed number of connections, a time for the head of a request, streams per connection.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::{Service, ServiceExt};

/// Streams of one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// How often an idle HTTP/2 connection is asked whether it still lives, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long open requests may go on when the server stops.
const FAREWELL: Duration = Duration::from_secs(5);
/// Pause after a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The other end of the connection that a request came by.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Connections at the same time.
    pub connections: usize,
    /// Time for the head of a request.
    pub header_timeout: Duration,
}

/// Serves until `stop` is over, then lets open requests end for a short while.
pub async fn serve<S>(listener: TcpListener, service: S, bounds: Bounds, stop: impl Future<Output = ()>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let room = Arc::new(Semaphore::new(bounds.connections));
    let graceful = GracefulShutdown::new();
    let builder = builder(bounds);
    tokio::pin!(stop);
    loop {
        let accepted = async {
            // No permit, no accept: what is too much waits in the kernel's queue.
            let permit = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, permit)
        };
        let (stream, permit) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match stream {
            Ok((stream, peer)) => (stream, Peer(peer)),
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let begun = Arc::new(AtomicBool::new(false));
        let connection = connection(&builder, (stream, peer), service.clone(), Arc::clone(&begun));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = run(connection, &begun, bounds.header_timeout).await {
                tracing::debug!(%error, "a connection of the API ended with an error");
            }
            drop(permit);
        });
    }
    drop(listener);
    if tokio::time::timeout(FAREWELL, graceful.shutdown()).await.is_err() {
        tracing::debug!("open requests did not end in time");
    }
}

/// Runs a connection, but ends it when no request has begun in time.
///
/// The library's own limit starts only once it knows the version of HTTP, so a client that stays silent, or
/// stops within the first bytes, would keep its place for ever.
async fn run<E>(
    connection: impl Future<Output = Result<(), E>>,
    begun: &AtomicBool,
    patience: Duration,
) -> Result<(), E> {
    tokio::pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        () = tokio::time::sleep(patience) => {}
    }
    if begun.load(Ordering::Relaxed) { connection.await } else { Ok(()) }
}

fn builder(bounds: Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(bounds.header_timeout);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}

fn connection<S>(
    builder: &Builder<TokioExecutor>,
    (stream, peer): (TcpStream, Peer),
    service: S,
    begun: Arc<AtomicBool>,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>>
+ Send
+ 'static
+ use<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    // Small answers leave at once; a failure costs time only.
    let _ = stream.set_nodelay(true);
    let handler = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        begun.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(peer);
        service.clone().oneshot(request.map(Body::new))
    });
    builder.serve_connection(TokioIo::new(stream), handler).into_owned()
}
