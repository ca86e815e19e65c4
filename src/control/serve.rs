//! Accepts connections of the API and carries requests to a service. HTTP/1.1, and HTTP/2 by prior knowledge.
//!
//! Bounded: the places of a [`Room`], a time for the head of a request and for idling, streams per connection.

mod room;
mod usage;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulConnection;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use crate::metrics::names::ConnectionEnd;
use room::Place;
pub use room::{Bounds, Room};
use usage::{Idle, Usage};

/// Streams of one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// How often a silent HTTP/2 connection is asked whether it still lives, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// How long open requests may go on when the server stops, and a connection that is told to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// Pause after a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The other end of the connection that a request came by.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// Serves until `stop` is over, then lets open requests end for a short while.
pub async fn serve<S>(listener: TcpListener, service: S, room: Arc<Room>, stop: impl Future<Output = ()>)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    let builder = builder(room.patience());
    let (stopping, stopped) = watch::channel(false);
    let mut stop = pin!(stop);
    loop {
        let admitted = async {
            let (stream, peer) = listener.accept().await?;
            let Some(place) = room.enter(peer.ip()) else { return Ok(Err(stream)) };
            // Whoever waits here waits alone: the others are still in the kernel's queue.
            Ok::<_, std::io::Error>(Ok((stream, Peer(peer), room.admit(place).await)))
        };
        let admitted = tokio::select! {
            admitted = admitted => admitted,
            () = &mut stop => break,
        };
        let (stream, peer, place) = match admitted {
            Ok(Ok(admitted)) => admitted,
            Ok(Err(stream)) => {
                refuse(&stream, &room);
                continue;
            }
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // By itself: inside the task it would stand three times, once for each step of its way into the loop.
        let connection =
            Box::pin(connection(&builder, (stream, peer), service.clone(), Arc::clone(place.usage())));
        let (room, stopped) = (Arc::clone(&room), stopped.clone());
        tokio::spawn(async move {
            if let Err(error) = run(connection, &place, &room, stopped).await {
                tracing::debug!(%error, "a connection of the API ended with an error");
            }
        });
    }
    drop((listener, stopped));
    stopping.send_replace(true);
    // Each connection holds a receiver as long as it lives.
    if tokio::time::timeout(FAREWELL, stopping.closed()).await.is_err() {
        tracing::debug!("open requests did not end in time");
    }
}

/// Answers a connection for which its address has no place, as far as that goes without waiting for it.
fn refuse(stream: &TcpStream, room: &Room) {
    let body = format!(
        "{{\"errorCode\":\"too_many_connections\",\"errorDescription\":\"your address has as many connections to this API as \
         it may have: use those that are open, or have the operator raise http.connections_per_address ({}) or name your \
         proxy in http.trusted_proxies\"}}",
        room.per_address()
    );
    let head = format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: {}\r\nRetry-After: 5\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    // The kernel has room for it, since nothing was sent before; whoever does not read it finds the connection closed.
    let _unread = stream.try_write(format!("{head}{body}").as_bytes());
    room.count(ConnectionEnd::Crowded);
    if room.refuses_first() {
        tracing::warn!(
            "an address has as many connections to the API as it may have (http.connections_per_address): if it is a proxy of \
             yours, name it in http.trusted_proxies; further ones are counted as ringcast_api_connections_ended_total"
        );
    }
}

/// Runs a connection until it ends by itself, has been idle for too long, gives way to another or the server stops.
///
/// The library's own limits know nothing of a client that stays silent before its first bytes, nor of an idle HTTP/2
/// connection that answers pings: both would keep their place for ever.
async fn run<C: GracefulConnection>(
    mut connection: Pin<Box<C>>,
    place: &Place,
    room: &Room,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), C::Error> {
    let mut until = None;
    loop {
        let idle = place.usage().idle(room.patience());
        if let (Idle::Over(end), None) = (&idle, until) {
            room.count(*end);
            connection.as_mut().graceful_shutdown();
            until = Some(Instant::now() + FAREWELL);
        }
        let look = match idle {
            _ if until.is_some() => until,
            Idle::Until(until) => Some(until),
            Idle::Over(_) => None,
        };
        tokio::select! {
            ended = &mut connection => return ended,
            stopping = stopped.wait_for(|stopped| *stopped), if until.is_none() => {
                drop(stopping);
                connection.as_mut().graceful_shutdown();
                // The listener has a limit of its own for all of them.
                until = Some(Instant::now() + 2 * FAREWELL);
            }
            () = place.usage().told(), if until.is_none() => {}
            () = tokio::time::sleep_until(look.unwrap_or_else(Instant::now)) => {
                if until.is_some() {
                    return Ok(());
                }
            }
        }
    }
}

fn builder(patience: Duration) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(patience);
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
    usage: Arc<Usage>,
) -> impl GracefulConnection<Error = Box<dyn std::error::Error + Send + Sync>> + Send + 'static + use<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    // Small answers leave at once; a failure costs time only.
    let _ = stream.set_nodelay(true);
    let handler = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        // Counts until the last byte of the answer: an event stream is one answer of many hours.
        let open = usage.request();
        request.extensions_mut().insert(peer);
        let answer = service.clone().oneshot(request.map(Body::new));
        async move { answer.await.map(|response| response.map(|body| open.until_sent(body))) }
    });
    builder.serve_connection(TokioIo::new(stream), handler).into_owned()
}
