//! The HTTP API as a client program uses it.

use std::time::Duration;

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long one call may take: a pull may be held until its publisher sends.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// One application of a server.
pub(crate) struct Api {
    agent: ureq::Agent,
    base: String,
    secret: String,
}

/// A track to pull.
#[derive(Debug, Clone)]
pub(crate) struct RemoteTrack {
    pub(crate) session: String,
    pub(crate) name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewSession {
    session_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TracksReply {
    session_description: Option<Description>,
    tracks: Vec<TrackReply>,
    requires_immediate_renegotiation: bool,
}

#[derive(Debug, Deserialize)]
struct Description {
    sdp: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct TrackReply {
    track_name: Option<String>,
    error_code: Option<String>,
    error_description: Option<String>,
}

impl Api {
    /// `connections` are kept open, so that a call costs no new one.
    pub(crate) fn new(server: &str, app: &str, secret: &str, connections: usize) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(CALL_TIMEOUT))
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .build();
        Self {
            agent: config.into(),
            base: format!("{}/v1/apps/{app}", server.trim_end_matches('/')),
            secret: secret.to_owned(),
        }
    }

    /// Makes a session.
    pub(crate) fn new_session(&self) -> anyhow::Result<String> {
        let reply: NewSession = read(self.post("/sessions/new").send_empty()?)?;
        Ok(reply.session_id)
    }

    /// Publishes the sections of an offer; returns the answer.
    pub(crate) fn push(
        &self,
        session: &str,
        offer: &str,
        tracks: &[(String, String)],
    ) -> anyhow::Result<String> {
        let tracks: Vec<Value> = tracks
            .iter()
            .map(|(mid, name)| json!({ "location": "local", "mid": mid, "trackName": name }))
            .collect();
        let body = json!({ "sessionDescription": { "type": "offer", "sdp": offer }, "tracks": tracks });
        let reply: TracksReply =
            read(self.post(&format!("/sessions/{session}/tracks/new")).send(body.to_string())?)?;
        check(&reply)?;
        Ok(reply.session_description.context("the push was not answered")?.sdp)
    }

    /// Pulls tracks; returns the server's offer.
    pub(crate) fn pull(&self, session: &str, tracks: &[RemoteTrack]) -> anyhow::Result<String> {
        let tracks: Vec<Value> = tracks
            .iter()
            .map(|track| json!({ "location": "remote", "sessionId": track.session, "trackName": track.name }))
            .collect();
        let body = json!({ "tracks": tracks });
        let reply: TracksReply =
            read(self.post(&format!("/sessions/{session}/tracks/new")).send(body.to_string())?)?;
        check(&reply)?;
        if !reply.requires_immediate_renegotiation {
            bail!("the pull of a new session asks for no renegotiation");
        }
        Ok(reply.session_description.context("the pull brought no offer")?.sdp)
    }

    /// Answers the server's offer.
    pub(crate) fn renegotiate(&self, session: &str, answer: &str) -> anyhow::Result<()> {
        let body = json!({ "sessionDescription": { "type": "answer", "sdp": answer } });
        let url = format!("{}/sessions/{session}/renegotiate", self.base);
        let request = self.agent.put(&url).header("Authorization", format!("Bearer {}", self.secret));
        let _empty: Value = read(request.send(body.to_string())?)?;
        Ok(())
    }

    fn post(&self, path: &str) -> ureq::RequestBuilder<ureq::typestate::WithBody> {
        let url = format!("{}{path}", self.base);
        self.agent.post(&url).header("Authorization", format!("Bearer {}", self.secret))
    }
}

fn check(reply: &TracksReply) -> anyhow::Result<()> {
    for track in &reply.tracks {
        if let Some(code) = &track.error_code {
            let name = track.track_name.as_deref().unwrap_or_default();
            bail!("track {name}: {code} {}", track.error_description.as_deref().unwrap_or_default());
        }
    }
    Ok(())
}

fn read<T: for<'a> Deserialize<'a>>(mut reply: ureq::http::Response<ureq::Body>) -> anyhow::Result<T> {
    let status = reply.status();
    let text = reply.body_mut().read_to_string()?;
    if !status.is_success() {
        bail!("the server said {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("not the expected reply: {text}"))
}
