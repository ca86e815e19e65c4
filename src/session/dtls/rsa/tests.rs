//! The server beside clients of two implementations, in virtual time.

#![allow(clippy::disallowed_methods, reason = "virtual time has to begin somewhere")]

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use rtc_dtls::crypto::CryptoPrivateKey;

use super::*;

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 2);

/// A client of one implementation or another.
enum Client {
    Rtc(Endpoint),
    Dimpl(Box<dimpl::Dtls>),
}

/// A client, and the server that it speaks to, in virtual time.
struct Pair {
    server: Server,
    client: Client,
    now: Instant,
    /// Datagrams of both sides so far.
    sent: usize,
    /// The one of them that gets lost.
    lost: Option<usize>,
    output: Output,
}

/// What the server has handed on, and what both have received.
#[derive(Default)]
struct Output {
    certificate: Option<Vec<u8>>,
    keys: Option<(Vec<u8>, SrtpProfile)>,
    is_connected: bool,
    data: Vec<Vec<u8>>,
    is_told_of_the_end: bool,
}

fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> KeyPair {
    KeyPair::generate_for(algorithm).unwrap()
}

/// A certificate of `key`, which its holder signs with `signer`.
fn certificate(key: &KeyPair, signer: &KeyPair) -> Certificate {
    let der =
        CertificateParams::new(vec!["peer".to_owned()]).unwrap().self_signed(key).unwrap().der().clone();
    let provider = default_provider().unwrap();
    let private_key = CryptoPrivateKey::from_key_pair(signer, provider.crypto()).unwrap();
    Certificate { certificate: vec![der], private_key }
}

fn server(now: Instant) -> Server {
    let own = dimpl::certificate::generate_self_signed_certificate().unwrap();
    Server::new(&own, now).unwrap()
}

fn rtc(now: Instant, certificates: Vec<Certificate>) -> Client {
    let config = ConfigBuilder::default()
        .with_crypto_provider(default_provider().unwrap())
        .with_certificates(certificates)
        .with_srtp_protection_profiles(PROFILES.to_vec())
        .with_insecure_skip_verify(true)
        .build(true, Some(SERVER))
        .unwrap();
    let mut client = Endpoint::new(CLIENT, Default::default(), None);
    client.connect(now, SERVER, Arc::new(config), None).unwrap();
    Client::Rtc(client)
}

fn dimpl(now: Instant) -> Client {
    let own = dimpl::certificate::generate_self_signed_certificate().unwrap();
    let config = Arc::new(dimpl::Config::builder().build().unwrap());
    let mut client = dimpl::Dtls::new_12(config, own, now);
    client.set_active(true);
    Client::Dimpl(Box::new(client))
}

impl Client {
    /// What it sends now, and when it is to be told the time.
    fn poll(&mut self, data: &mut Vec<Vec<u8>>) -> (Vec<Vec<u8>>, Option<Instant>) {
        let mut packets = Vec::new();
        match self {
            Self::Rtc(endpoint) => {
                while let Some(packet) = endpoint.poll_transmit() {
                    packets.push(packet.message.to_vec());
                }
                (packets, endpoint.poll_timeout(&SERVER))
            }
            Self::Dimpl(dtls) => {
                let mut buf = [0; 2048];
                loop {
                    match dtls.poll_output(&mut buf) {
                        dimpl::Output::Packet(packet) => packets.push(packet.to_vec()),
                        dimpl::Output::ApplicationData(received) => data.push(received.to_vec()),
                        dimpl::Output::Timeout(at) => return (packets, Some(at)),
                        _ => {}
                    }
                }
            }
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        match self {
            // One that has ended knows the server no longer.
            Self::Rtc(endpoint) => endpoint.handle_timeout(SERVER, now).unwrap_or_default(),
            Self::Dimpl(dtls) => dtls.handle_timeout(now).unwrap(),
        }
    }

    /// Takes a packet; what it has against it is its own matter.
    fn handle_packet(&mut self, now: Instant, packet: &[u8], data: &mut Vec<Vec<u8>>) {
        match self {
            Self::Rtc(endpoint) => {
                let events = endpoint.read(now, SERVER, None, BytesMut::from(packet)).unwrap_or_default();
                for event in events {
                    if let EndpointEvent::ApplicationData(received) = event {
                        data.push(received.to_vec());
                    }
                }
            }
            Self::Dimpl(dtls) => {
                let _refused = dtls.handle_packet(packet);
                dtls.handle_timeout(now).unwrap();
            }
        }
    }

    fn send(&mut self, now: Instant, data: &[u8]) {
        match self {
            Self::Rtc(endpoint) => endpoint.write(now, SERVER, data).unwrap(),
            Self::Dimpl(dtls) => {
                dtls.send_application_data(data).unwrap();
            }
        }
    }
}

impl Pair {
    fn new(client: impl FnOnce(Instant) -> Client, lost: Option<usize>) -> Self {
        let now = Instant::now();
        let mut client = client(now);
        client.handle_timeout(now);
        Self { server: server(now), client, now, sent: 0, lost, output: Output::default() }
    }

    fn arrives(&mut self) -> bool {
        self.sent += 1;
        self.lost != Some(self.sent - 1)
    }

    /// Takes everything that the server has, as its engine does. Returns when it is to be told the time.
    fn poll_server(&mut self) -> Instant {
        let mut buf = [0; 2048];
        loop {
            match self.server.poll_output(&mut buf) {
                DtlsOutput::Packet(packet) => {
                    if self.arrives() {
                        self.client.handle_packet(self.now, packet, &mut self.output.data);
                    }
                }
                DtlsOutput::Timeout(at) if at <= self.now => self.server.handle_timeout(self.now).unwrap(),
                DtlsOutput::Timeout(at) => return at,
                DtlsOutput::PeerCert(der) => self.output.certificate = Some(der.to_vec()),
                DtlsOutput::KeyingMaterial(keys, profile) => {
                    self.output.keys = Some((keys.to_vec(), profile))
                }
                DtlsOutput::Connected => self.output.is_connected = true,
                DtlsOutput::ApplicationData(data) => self.output.data.push(data.to_vec()),
                DtlsOutput::CloseNotify => self.output.is_told_of_the_end = true,
                _ => unreachable!(),
            }
        }
    }

    /// Lets both sides speak for `time`.
    fn run(&mut self, time: Duration) -> Result<(), DtlsImplError> {
        let end = self.now + time;
        while self.now < end {
            let server_due = self.poll_server();
            let (packets, client_due) = self.client.poll(&mut self.output.data);
            for packet in &packets {
                if self.arrives() {
                    self.server.handle_packet(packet)?;
                    self.poll_server();
                }
            }
            if packets.is_empty() {
                let next = client_due.map_or(end, |due| due.min(end)).min(server_due);
                self.now = next.max(self.now + Duration::from_millis(1));
                self.server.handle_timeout(self.now)?;
                self.client.handle_timeout(self.now);
            }
        }
        Ok(())
    }
}

#[test]
fn a_client_with_an_rsa_certificate_is_served() {
    let key = key(&PKCS_RSA_SHA256);
    let certificate = certificate(&key, &key);
    let mut pair = Pair::new(|now| rtc(now, vec![certificate.clone()]), None);
    pair.run(Duration::from_millis(50)).unwrap();
    assert!(pair.output.is_connected);
    assert_eq!(pair.output.certificate.as_deref(), certificate.certificate.first().map(|der| der.as_ref()));
    let (keys, profile) = pair.output.keys.take().unwrap();
    let Client::Rtc(client) = &mut pair.client else { unreachable!() };
    let state = client.get_connection_state(SERVER).unwrap();
    let theirs =
        state.export_keying_material("EXTRACTOR-dtls_srtp", &[], profile.keying_material_len()).unwrap();
    assert_eq!(keys, theirs.as_ref());

    pair.client.send(pair.now, b"to the server");
    pair.run(Duration::from_millis(10)).unwrap();
    assert_eq!(pair.server.send_application_data(b"to the client").unwrap(), 13);
    pair.run(Duration::from_millis(10)).unwrap();
    assert_eq!(pair.output.data, [b"to the server", b"to the client"]);

    pair.server.handle_packet(b"\x16\xfe\xfd no record").unwrap();
    let Client::Rtc(client) = &mut pair.client else { unreachable!() };
    client.stop(pair.now, SERVER);
    pair.run(Duration::from_millis(10)).unwrap();
    assert!(pair.output.is_told_of_the_end && pair.server.is_closed());
}

#[test]
fn a_lost_datagram_is_sent_again() {
    let mut undisturbed = Pair::new(dimpl, None);
    undisturbed.run(Duration::from_millis(50)).unwrap();
    assert!(undisturbed.output.is_connected && undisturbed.sent > 4, "{}", undisturbed.sent);
    for lost in 0..undisturbed.sent {
        let mut pair = Pair::new(dimpl, Some(lost));
        pair.run(Duration::from_secs(10)).unwrap();
        assert!(pair.output.is_connected, "datagram {lost} was lost");
        pair.client.send(pair.now, b"to the server");
        pair.run(Duration::from_millis(10)).unwrap();
        pair.server.send_application_data(b"to the client").unwrap();
        pair.run(Duration::from_millis(10)).unwrap();
        assert_eq!(pair.output.data, [b"to the server", b"to the client"], "datagram {lost} was lost");
    }
}

#[test]
fn a_client_must_prove_a_certificate() {
    let (key, other) = (key(&PKCS_ECDSA_P256_SHA256), key(&PKCS_ECDSA_P256_SHA256));
    for certificates in [vec![], vec![certificate(&key, &other)]] {
        let mut pair = Pair::new(|now| rtc(now, certificates), None);
        pair.run(Duration::from_millis(50)).unwrap_err();
        pair.poll_server();
        assert!(!pair.output.is_connected && pair.output.keys.is_none());
    }
}

#[test]
fn broken_records_are_refused_and_their_number_is_bounded() {
    let mut pair = Pair::new(dimpl, None);
    // All that a client sends, in order, up to the end of the handshake.
    let mut packets = Vec::new();
    while !pair.output.is_connected {
        let (sent, _) = pair.client.poll(&mut pair.output.data);
        assert!(!sent.is_empty());
        for packet in sent {
            pair.server.handle_packet(&packet).unwrap();
            pair.poll_server();
            packets.push(packet);
        }
    }
    let refused = |packets: &[Vec<u8>], broken: &[u8]| {
        let mut server = server(pair.now);
        for packet in packets {
            let _ = server.handle_packet(packet);
        }
        let result = server.handle_packet(broken);
        assert!(!server.is_connected());
        result.is_err()
    };
    let mut count = 0;
    for (index, packet) in packets.iter().enumerate() {
        for at in 0..packet.len() {
            let mut broken = packet.clone();
            broken[at] ^= 0xff;
            count += usize::from(refused(&packets[..index], &broken));
            count += usize::from(refused(&packets[..index], &packet[..at]));
        }
    }
    assert!(count > 0);

    let mut server = server(pair.now);
    let first = &packets[0];
    let taken = (0..).take_while(|_| server.handle_packet(first).is_ok()).count();
    assert!(taken * first.len() <= HANDSHAKE_BYTES);
}

/// A ClientHello of DTLS 1.2 in one record.
fn client_hello(suites: &[[u8; 2]], extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![0xfe, 0xfd];
    body.extend([7; 32]);
    body.extend([0, 0]);
    body.extend(u16::try_from(suites.len() * 2).unwrap().to_be_bytes());
    body.extend(suites.concat());
    body.extend([1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut packet = vec![HANDSHAKE_RECORD, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, 0];
    packet.extend(u16::try_from(body.len() + 12).unwrap().to_be_bytes());
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    packet.push(CLIENT_HELLO);
    packet.extend(&length[1..]);
    packet.extend([0, 0, 0, 0, 0]);
    packet.extend(&length[1..]);
    packet.extend(body);
    packet
}

#[test]
fn a_client_hello_shows_whether_the_certificate_may_be_one_of_rsa() {
    // As OpenSSL offers by default, and as browsers do.
    let general = [[0xc0, 0x2c], [0xc0, 0x30], [0x00, 0x9f], [0xc0, 0x2b], [0x00, 0x9e], [0x00, 0xff]];
    let browser = [[0xc0, 0x2b], [0xc0, 0x2f], [0xcc, 0xa9], [0xc0, 0x09], [0xc0, 0x13], [0x00, 0x9c]];
    let renegotiation = [0xff, 0x01, 0, 1, 0];
    let speaks_1_3 = [0xff, 0x01, 0, 1, 0, 0, 43, 0, 5, 4, 0xfe, 0xfc, 0xfe, 0xfd];
    let speaks_1_2 = [0, 43, 0, 3, 2, 0xfe, 0xfd];

    let packet = client_hello(&general, &renegotiation);
    assert!(may_have_rsa(&packet));
    assert!(may_have_rsa(&client_hello(&general, &speaks_1_2)));
    assert!(!may_have_rsa(&client_hello(&general, &speaks_1_3)));
    assert!(!may_have_rsa(&client_hello(&browser, &renegotiation)));
    assert!(
        !may_have_rsa(&client_hello(&[[0x00, 0x9f], [0xc0, 0x2f]], &[])),
        "our certificate is no use to it"
    );

    // A first fragment need not hold the extensions; without the suites nothing is known.
    let suites_end = RECORD_HEADER + 12 + 34 + 2 + 2 + general.len() * 2;
    for length in 0..packet.len() {
        assert_eq!(may_have_rsa(&packet[..length]), length >= suites_end + 2, "{length} bytes");
    }
    let mut second_fragment = packet.clone();
    second_fragment[RECORD_HEADER + 8] = 1;
    assert!(!may_have_rsa(&second_fragment));
    let mut server_hello = packet;
    server_hello[RECORD_HEADER] = 2;
    assert!(!may_have_rsa(&server_hello));
}

#[test]
fn records_fill_a_packet() {
    let packet = client_hello(&DHE_RSA, &[]);
    assert!(is_records(&packet) && is_records(&[&packet[..], &packet[..]].concat()));
    for length in 0..packet.len() {
        assert!(!is_records(&packet[..length]));
        assert!(length == 0 || !is_records(&[&packet[..], &packet[..length]].concat()));
    }
}
