//! Connections: how many there may be, in all and from one address, and how long they may stay without a request.

use std::net::SocketAddr;
use std::time::Duration;

use ringcast::control::http::service;
use ringcast::control::serve::{Bounds, Room, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::harness::{APP, Api, SECRET};

const BOUNDS: Bounds =
    Bounds { connections: 64, per_address: 64, unbounded: Vec::new(), patience: Duration::from_secs(30) };

/// Serves on a port of its own; returns its address, what stops it, and what ends with it.
async fn start(api: &Api, bounds: Bounds) -> (SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let room = Room::new(bounds, api.control.metrics());
    let stopped = async { drop(stopped.await) };
    (address, stop, tokio::spawn(serve(listener, service(&api.control), room, stopped)))
}

/// Connects from one of the many addresses that loopback has.
async fn connect_from(source: [u8; 4], server: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(server).await.unwrap()
}

const ALICE: [u8; 4] = [127, 0, 0, 2];
const BOB: [u8; 4] = [127, 0, 0, 3];

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = String::new();
    while !answer.ends_with(end) {
        let mut bytes = [0; 1_024];
        let length = stream.read(&mut bytes).await.unwrap();
        assert_ne!(length, 0, "the connection ended after {answer:?}");
        answer.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    answer
}

async fn ask(stream: &mut TcpStream) -> String {
    let request = format!("GET /v1/apps/{APP}/generate-ice-servers HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    read_until(stream, "{\"iceServers\":[]}").await
}

/// Begins a request that stays open until its body of two bytes comes.
async fn begin(stream: &mut TcpStream) {
    let head = format!(
        "POST /v1/apps/{APP}/sessions/new HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\r\n\
         Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body, so it has taken the request.
    read_until(stream, "\r\n\r\n").await;
}

async fn ended(api: &Api, reason: &str) -> bool {
    let line = format!("ringcast_api_connections_ended_total{{reason=\"{reason}\"}} 1\n");
    api.exposed().await.contains(&line)
}

/// "PRI" is how HTTP/2 begins: nothing is decided before more comes.
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_ended() {
    let api = Api::new();
    let (address, _stop, _serving) = start(&api, BOUNDS).await;
    for begin in ["", "P", "PRI * HTTP/2.0", "GET / HTTP/1.1\r\nHost:", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Ends only because the server ends it; that may also look like a reset.
        drop(stream.read_to_end(&mut rest).await);
    }
}

/// What a client of HTTP/2 sends: its beginning, one request, and answers to what it is asked.
struct Http2(TcpStream);

impl Http2 {
    async fn begin(mut stream: TcpStream) -> Self {
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let mut client = Self(stream);
        client.frame(4, 0, 0, &[]).await;
        let path = format!("/v1/apps/{APP}/generate-ice-servers");
        // RFC 7541 B: GET, http, then a path and an authority as they are.
        let mut head = vec![0x82, 0x86, 0x04, u8::try_from(path.len()).unwrap()];
        head.extend(path.as_bytes());
        head.extend([0x01, 1, b'x']);
        client.frame(1, 0x5, 1, &head).await;
        client
    }

    async fn frame(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
        let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream];
        frame.extend(payload);
        self.0.write_all(&frame).await.unwrap();
    }

    /// Takes frames until the server closes, and answers pings and settings; tells the kinds that came.
    async fn live(mut self) -> Vec<u8> {
        let mut kinds = Vec::new();
        loop {
            let mut head = [0; 9];
            if self.0.read_exact(&mut head).await.is_err() {
                return kinds;
            }
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            self.0.read_exact(&mut payload).await.unwrap();
            kinds.push(head[3]);
            match (head[3], head[4] & 1) {
                (4, 0) => self.frame(4, 1, 0, &[]).await,
                (6, 0) => self.frame(6, 1, 0, &payload).await,
                _ => {}
            }
        }
    }
}

/// It answers whatever HTTP/2 asks to see whether it lives, and would else keep its place for ever.
#[tokio::test]
async fn an_idle_http2_connection_is_ended_after_its_answer() {
    let api = Api::new();
    let bounds = Bounds { patience: Duration::from_millis(50), ..BOUNDS };
    let (address, _stop, _serving) = start(&api, bounds).await;
    let kinds = Http2::begin(TcpStream::connect(address).await.unwrap()).await.live().await;
    let (headers, go_away) = (1, 7);
    assert!(kinds.contains(&headers) && kinds.contains(&go_away), "{kinds:?}");
    assert!(ended(&api, "idle").await);
}

#[tokio::test]
async fn one_address_cannot_take_the_places_of_another() {
    let api = Api::new();
    let (address, _stop, _serving) = start(&api, Bounds { per_address: 2, ..BOUNDS }).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = connect_from(ALICE, address).await;
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        held.push(stream);
    }
    let mut refused = String::new();
    connect_from(ALICE, address).await.read_to_string(&mut refused).await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 429 ") && refused.contains("Retry-After: 5\r\n"), "{refused}");
    let (_, body) = refused.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["errorCode"], "too_many_connections");
    assert!(body["errorDescription"].as_str().unwrap().contains("http.connections_per_address (2)"));
    assert!(ended(&api, "crowded").await);
    let mut bystander = connect_from(BOB, address).await;
    assert!(ask(&mut bystander).await.starts_with("HTTP/1.1 200"));
    // What the first has is not touched, and a place that is given back can be taken again.
    assert!(ask(&mut held[0]).await.starts_with("HTTP/1.1 200"));
    drop(held);
    loop {
        let mut next = connect_from(ALICE, address).await;
        let request = format!(
            "GET /v1/apps/{APP}/generate-ice-servers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        next.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        if next.read_to_string(&mut answer).await.is_ok() && answer.starts_with("HTTP/1.1 200") {
            break;
        }
    }
}

/// A proxy brings the connections of all its clients from one address.
#[tokio::test]
async fn a_trusted_proxy_may_have_more_connections_than_an_address() {
    let api = Api::new();
    let proxy = vec!["127.0.0.2".to_owned().try_into().unwrap()];
    let (address, _stop, _serving) = start(&api, Bounds { per_address: 1, unbounded: proxy, ..BOUNDS }).await;
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = connect_from(ALICE, address).await;
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
        held.push(stream);
    }
}

#[tokio::test]
async fn idle_connections_give_way_to_one_that_waits() {
    let api = Api::new();
    let (address, _stop, _serving) = start(&api, Bounds { connections: 2, ..BOUNDS }).await;
    let (mut idle, mut busy) = (connect_from(ALICE, address).await, connect_from(ALICE, address).await);
    assert!(ask(&mut idle).await.starts_with("HTTP/1.1 200"));
    begin(&mut busy).await;
    let mut bystander = connect_from(BOB, address).await;
    assert!(ask(&mut bystander).await.starts_with("HTTP/1.1 200"));
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0, "it had no request");
    busy.write_all(b"{}").await.unwrap();
    assert!(read_until(&mut busy, "}").await.starts_with("HTTP/1.1 201"));
    assert!(ended(&api, "gave_way").await);
}

#[tokio::test]
async fn one_connection_too_many_waits_for_its_turn() {
    let api = Api::new();
    let (address, stop, serving) = start(&api, Bounds { connections: 1, ..BOUNDS }).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    begin(&mut first).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    let waits = ask(&mut second);
    tokio::pin!(waits);
    let finish = async {
        first.write_all(b"{}").await.unwrap();
        read_until(&mut first, "}").await
    };
    tokio::select! {
        biased;
        answer = &mut waits => panic!("served beyond the bound: {answer}"),
        answer = finish => assert!(answer.starts_with("HTTP/1.1 201")),
    }
    assert!(waits.await.starts_with("HTTP/1.1 200"));
    stop.send(()).unwrap();
    serving.await.unwrap();
}
