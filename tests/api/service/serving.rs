//! Connections: how many there may be, and how long they may stay without a request.

use std::time::Duration;

use ringcast::control::http::service;
use ringcast::control::serve::{Bounds, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::harness::{APP, Api};

/// Serves on a port of its own; returns its address, what stops it, and what ends with it.
async fn start(
    api: &Api,
    connections: usize,
) -> (std::net::SocketAddr, oneshot::Sender<()>, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let bounds = Bounds { connections, header_timeout: Duration::from_secs(30) };
    let stopped = async { drop(stopped.await) };
    (address, stop, tokio::spawn(serve(listener, service(&api.control), bounds, stopped)))
}

async fn ask(stream: &mut TcpStream) -> String {
    let request = format!("GET /v1/apps/{APP}/generate-ice-servers HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with("{\"iceServers\":[]}") {
        let mut bytes = [0; 1_024];
        let length = stream.read(&mut bytes).await.unwrap();
        assert_ne!(length, 0, "the connection ended after {answer:?}");
        answer.push_str(std::str::from_utf8(&bytes[..length]).unwrap());
    }
    answer
}

/// "PRI" is how HTTP/2 begins: nothing is decided before more comes.
#[tokio::test(start_paused = true)]
async fn a_connection_without_a_request_is_ended() {
    let api = Api::new();
    let (address, _stop, _serving) = start(&api, 8).await;
    for begin in ["", "P", "PRI * HTTP/2.0", "GET / HTTP/1.1\r\nHost:", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        // Ends only because the server ends it; that may also look like a reset.
        drop(stream.read_to_end(&mut rest).await);
    }
}

#[tokio::test]
async fn one_connection_too_many_waits_for_its_turn() {
    let api = Api::new();
    let (address, stop, serving) = start(&api, 1).await;
    let mut first = TcpStream::connect(address).await.unwrap();
    assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
    let mut second = TcpStream::connect(address).await.unwrap();
    let waits = ask(&mut second);
    tokio::pin!(waits);
    tokio::select! {
        biased;
        answer = &mut waits => panic!("served beyond the bound: {answer}"),
        answer = ask(&mut first) => assert!(answer.starts_with("HTTP/1.1 200")),
    }
    drop(first);
    assert!(waits.await.starts_with("HTTP/1.1 200"));
    stop.send(()).unwrap();
    serving.await.unwrap();
}
