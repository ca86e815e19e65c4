//! The whole service with scripted shards, and a client that talks to it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use ringcast::config::{App, AppId, Config, Secret};
use ringcast::control::access::apps::Apps;
use ringcast::control::admin;
use ringcast::control::http::{ApiService, service};
use ringcast::control::turn::IceServers;
use ringcast::control::{Control, Dialler, Settings, ShardLink, ShardPort};
use ringcast::ids::{NodeKeys, PublicationId, SessionId};
use ringcast::metrics::export::Metrics;
use ringcast::negotiation::LocalTransport;
use ringcast::plan::SessionPlan;
use ringcast::shard::command::{
    Command, ConfigureError, DialledSocket, EndReason, Event, PathStatistics, SessionStatistics, Whereabouts,
};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tower::ServiceExt;

use super::browser::{Browser, Direction};

pub(crate) const APP: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const SECRET: &str = "secret-of-the-app-which-is-long-enough";
pub(crate) const OLDER_SECRET: &str = "an-older-secret-of-the-app-that-still-signs";
pub(crate) const OTHER_APP: &str = "other-app";
pub(crate) const OTHER_SECRET: &str = "secret-of-the-other-which-is-long-enough";

/// How a scripted shard answers `Configure`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Accept,
    Refuse,
    Gone,
    /// The reply waits for [`FakeShard::release`].
    Hold,
    /// The shard panics away with the reply.
    Drop,
    /// The command queue is full.
    Full,
}

type Reply = oneshot::Sender<Result<(), ConfigureError>>;

#[derive(Default)]
struct Script {
    log: Vec<String>,
    plans: BTreeMap<SessionId, SessionPlan>,
    /// Publications whose levels are wanted.
    listened: BTreeSet<PublicationId>,
    held: Vec<Reply>,
    answer: Option<Answer>,
    silent: bool,
}

/// One scripted shard.
pub(crate) struct FakeShard {
    script: Mutex<Script>,
    events: mpsc::UnboundedSender<Event>,
}

impl FakeShard {
    pub(crate) fn answer_with(&self, answer: Answer) {
        self.script.lock().unwrap().answer = Some(answer);
    }

    /// From here on no RTP arrives for new publications.
    pub(crate) fn keep_silent(&self) {
        self.script.lock().unwrap().silent = true;
    }

    /// Answers what is held, and all that follows.
    pub(crate) fn release(&self) {
        let mut script = self.script.lock().unwrap();
        script.answer = None;
        script.held.drain(..).for_each(|reply| drop(reply.send(Ok(()))));
    }

    /// Names of the commands so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.script.lock().unwrap().log.clone()
    }

    pub(crate) fn plan(&self, session: &str) -> SessionPlan {
        self.script.lock().unwrap().plans[&SessionId::parse(session).unwrap()].clone()
    }

    /// What a section feeds.
    pub(crate) fn fed(&self, session: &str, mid: &str) -> Option<PublicationId> {
        self.plan(session).ingress.iter().find(|section| section.mid == mid)?.publication
    }

    /// What a section receives.
    pub(crate) fn received(&self, session: &str, mid: &str) -> Option<PublicationId> {
        Some(self.plan(session).egress.iter().find(|section| section.mid == mid)?.publication)
    }

    /// Publications whose levels are wanted.
    pub(crate) fn listened(&self) -> BTreeSet<PublicationId> {
        self.script.lock().unwrap().listened.clone()
    }

    pub(crate) fn tell(&self, event: Event) {
        self.events.send(event).unwrap();
    }
}

/// Sockets of loopback, which the other side sees elsewhere.
struct Loopback;

impl Dialler for Loopback {
    fn dial(&self) -> anyhow::Result<Vec<(DialledSocket, SocketAddr)>> {
        let socket = DialledSocket::bind([127, 0, 0, 1].into())?;
        let port = socket.address.port();
        Ok(vec![(socket, ([192, 0, 2, 7], port).into())])
    }
}

impl ShardPort for FakeShard {
    fn send(&self, command: Command) -> Result<(), Command> {
        let mut script = self.script.lock().unwrap();
        let answer = script.answer.unwrap_or(Answer::Accept);
        if answer == Answer::Full {
            return Err(command);
        }
        match command {
            Command::Open { .. } => script.log.push("open".into()),
            Command::Close { session } => {
                script.log.push("close".into());
                script.plans.remove(&session);
            }
            Command::Configure { session, plan, reply, .. } => {
                script.log.push("configure".into());
                if answer != Answer::Refuse && !script.silent {
                    for id in plan.ingress.iter().filter_map(|section| section.publication) {
                        self.tell(Event::PublicationLive(id));
                    }
                }
                if matches!(answer, Answer::Accept | Answer::Hold) {
                    script.plans.insert(session, *plan);
                }
                match answer {
                    Answer::Hold => script.held.push(reply),
                    Answer::Refuse => drop(reply.send(Err(ConfigureError::Refused("no".into())))),
                    Answer::Gone => drop(reply.send(Err(ConfigureError::SessionGone))),
                    Answer::Drop => drop(reply),
                    Answer::Accept | Answer::Full => drop(reply.send(Ok(()))),
                }
            }
            Command::Listen { publication, listens } => {
                if listens {
                    script.listened.insert(publication);
                } else {
                    script.listened.remove(&publication);
                }
            }
            Command::Limits(_) => script.log.push("limits".into()),
            Command::Goodbye { reply } => {
                script.log.push("goodbye".into());
                // Whoever asked may have gone.
                let _gone = reply.send(script.plans.len());
            }
            Command::Locate { sessions, reply } => {
                let known = sessions.into_iter().filter(|id| script.plans.contains_key(id));
                let place = Whereabouts { address: ([192, 0, 2, 7], 50_000).into(), carrier: "udp" };
                drop(reply.send(known.map(|id| (id, place)).collect()));
            }
            Command::Statistics { session, reply } => {
                let known = script.plans.contains_key(&session);
                drop(reply.send(known.then(statistics)));
            }
        }
        Ok(())
    }
}

fn statistics() -> SessionStatistics {
    SessionStatistics {
        shard: 0,
        connected: true,
        remote_address: Some(([192, 0, 2, 7], 50_000).into()),
        refusal: None,
        local_address: None,
        srtp_profile: None,
        age_ms: 5,
        path: Some(PathStatistics::default()),
        transports: 1,
        local: Vec::new(),
        remote: Vec::new(),
    }
}

/// The service under test.
pub(crate) struct Api {
    pub(crate) control: Arc<Control>,
    pub(crate) shards: Vec<Arc<FakeShard>>,
    pub(crate) service: ApiService,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// Status and code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, String) {
        let body = self.json();
        assert!(body["errorDescription"].is_string(), "{body}");
        (self.status, body["errorCode"].as_str().unwrap_or_default().to_owned())
    }

    /// The body of a success.
    pub(crate) fn ok(&self) -> Value {
        let body = self.json();
        assert!(self.status < 300 && body.get("errorCode").is_none(), "{} {body}", self.status);
        body
    }
}

impl Api {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// What the listener for operators says of all metrics.
    pub(crate) async fn exposed(&self) -> String {
        let request = Request::get("/metrics").body(Body::empty()).unwrap();
        let response = admin::router(&self.control).oneshot(request).await.unwrap();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    /// A service whose configuration was changed.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        let app = |id: &str, secrets: &[&str]| App {
            id: AppId::try_from(id.to_owned()).unwrap(),
            secrets: secrets.iter().map(|text| Secret::try_from((*text).to_owned()).unwrap()).collect(),
        };
        config.apps = vec![app(APP, &[OLDER_SECRET, SECRET]), app(OTHER_APP, &[OTHER_SECRET])];
        change(&mut config);
        let (events, reports) = mpsc::unbounded_channel();
        let shards: Vec<_> = (0..2)
            .map(|_| Arc::new(FakeShard { script: Mutex::default(), events: events.clone() }))
            .collect();
        let links = shards.iter().zip(40_000..).map(|(shard, port)| ShardLink {
            port: Arc::clone(shard) as Arc<dyn ShardPort>,
            local: Arc::new(LocalTransport::new(
                format!("sha-256 {}", ["AB"; 32].join(":")),
                &[([192, 0, 2, 1], port).into(), ([192, 0, 2, 9], port).into()],
            )),
        });
        let control = Control::new(Settings {
            http: config.http,
            limits: config.limits,
            ice: IceServers::new(&config.ice_servers, &config.turn),
            whip: config.whip,
            whep: config.whep,
            apps: Apps::new(&config.apps, &config.tokens).with_streams(&config.streams, config.whep.public),
            shards: links.collect(),
            dialler: Box::new(Loopback),
            keys: Arc::new(NodeKeys::generate()),
            metrics: Metrics::new(2, "mmsg", Default::default()).unwrap(),
        });
        tokio::spawn(Arc::clone(&control).follow(reports));
        let service = service(&control);
        Self { control, shards, service }
    }

    /// Any request.
    pub(crate) async fn request(&self, request: Request<Body>) -> Response {
        let response = self.service.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        if let Ok(json) = serde_json::from_slice::<Value>(&body) {
            super::strict::check(parts.status, &json);
        }
        Response { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// A request with the secret, on a path below the application. Without a `Content-Type`, as clients do.
    pub(crate) async fn call(&self, method: Method, path: &str, body: impl Into<Body>) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(format!("/v1/apps/{APP}{path}"))
            .header("authorization", format!("Bearer {SECRET}"))
            .header("origin", "https://page.example")
            .body(body.into())
            .unwrap();
        self.request(request).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Response {
        self.call(Method::POST, path, body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Response {
        self.call(Method::PUT, path, body.to_string()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.call(Method::GET, path, Body::empty()).await
    }

    /// A new session.
    pub(crate) async fn open(&self) -> String {
        let response = self.call(Method::POST, "/sessions/new?", Body::empty()).await;
        assert_eq!(response.status, StatusCode::CREATED);
        response.ok()["sessionId"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn tracks_new(&self, session: &str, body: &Value) -> Response {
        self.post(&format!("/sessions/{session}/tracks/new?"), body).await
    }

    pub(crate) async fn renegotiate(&self, session: &str, kind: &str, sdp: &str) -> Response {
        let body = json!({"sessionDescription": {"type": kind, "sdp": sdp}});
        self.put(&format!("/sessions/{session}/renegotiate"), &body).await
    }

    pub(crate) async fn update(&self, session: &str, body: &Value) -> Response {
        self.put(&format!("/sessions/{session}/tracks/update"), body).await
    }

    pub(crate) async fn close(&self, session: &str, body: &Value) -> Response {
        self.put(&format!("/sessions/{session}/tracks/close"), body).await
    }

    /// The shard that owns a session.
    pub(crate) fn shard(&self, session: &str) -> &FakeShard {
        let id = SessionId::parse(session).unwrap();
        let owner = self.shards.iter().find(|shard| shard.script.lock().unwrap().plans.contains_key(&id));
        owner.unwrap()
    }

    /// Tells that a session has ended by itself.
    pub(crate) async fn end(&self, session: &str) {
        self.shards[0].tell(Event::Ended(SessionId::parse(session).unwrap(), EndReason::TimedOut));
        settle().await;
    }

    /// A session that publishes video and audio tracks, one section each, under the given names.
    pub(crate) async fn publisher(&self, tracks: &[(&'static str, &str)]) -> Publisher {
        let (session, mut browser) = (self.open().await, Browser::default());
        let named: Vec<Value> = tracks
            .iter()
            .map(|(kind, name)| json!({"location": "local", "mid": browser.add(kind, Direction::Send), "trackName": name}))
            .collect();
        let body = json!({"sessionDescription": {"type": "offer", "sdp": browser.offer()}, "tracks": named});
        self.tracks_new(&session, &body).await.ok();
        settle().await;
        Publisher { session, browser }
    }

    /// A session that publishes one simulcast track.
    pub(crate) async fn simulcaster(&self, name: &str) -> Publisher {
        let (session, mut browser) = (self.open().await, Browser::default());
        let mid = browser.add_simulcast(&["f", "h", "q"]);
        let track = json!({"location": "local", "mid": mid, "trackName": name});
        let body =
            json!({"sessionDescription": {"type": "offer", "sdp": browser.offer()}, "tracks": [track]});
        self.tracks_new(&session, &body).await.ok();
        settle().await;
        Publisher { session, browser }
    }

    /// A session that pulls the given tracks of a publisher by our offer; their mids are returned in order.
    pub(crate) async fn subscriber(&self, publisher: &str, names: &[&str]) -> (Publisher, Vec<String>) {
        let mut subscriber = Publisher { session: self.open().await, browser: Browser::default() };
        let mids = subscriber.pull(self, publisher, names).await;
        (subscriber, mids)
    }
}

/// A session and its client.
pub(crate) struct Publisher {
    pub(crate) session: String,
    pub(crate) browser: Browser,
}

impl Publisher {
    /// Pulls tracks by our offer and answers it.
    pub(crate) async fn pull(&mut self, api: &Api, publisher: &str, names: &[&str]) -> Vec<String> {
        let tracks: Vec<Value> = names.iter().map(|name| remote(publisher, name)).collect();
        let body = api.tracks_new(&self.session, &json!({"tracks": tracks})).await.ok();
        assert_eq!(body["requiresImmediateRenegotiation"], true, "{body}");
        assert_eq!(body["sessionDescription"]["type"], "offer");
        let answer = self.browser.answer(body["sessionDescription"]["sdp"].as_str().unwrap());
        assert_eq!(api.renegotiate(&self.session, "answer", &answer).await.ok(), json!({}));
        body["tracks"].as_array().unwrap().iter().map(|track| text(&track["mid"])).collect()
    }

    /// The next offer of this client as a description.
    pub(crate) fn offer(&mut self) -> Value {
        json!({"type": "offer", "sdp": self.browser.offer()})
    }
}

/// A remote track of a request, as partytracks writes it.
pub(crate) fn remote(publisher: &str, name: &str) -> Value {
    json!({"location": "remote", "sessionId": publisher, "trackName": name})
}

pub(crate) fn local(mid: &str, name: &str) -> Value {
    json!({"location": "local", "mid": mid, "trackName": name})
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Lets events and tasks that are ready run, without any time passing.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}
