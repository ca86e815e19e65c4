//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::bail;
use clap::{Parser, ValueEnum};
use ringcast_bench::source::Media;
use serde::Serialize;

/// Measures a server, or the bare loop, by sending media through it.
#[derive(Debug, Parser, Serialize)]
#[command(name = "loadgen", version)]
pub(crate) struct Args {
    /// Address of the server's API.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) api: String,
    /// Address of the bare loop, in place of a server.
    #[arg(long)]
    pub(crate) limit: Option<SocketAddr>,
    /// Application id.
    #[arg(long, default_value = "")]
    pub(crate) app: String,
    /// Secret of the application.
    #[arg(long, default_value = "")]
    #[serde(skip)]
    pub(crate) secret: String,
    /// Sessions of each room that send.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) publishers: u32,
    /// Sessions of each room that receive every track of its publishers.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub(crate) subscribers: u32,
    /// Rooms, which share nothing.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rooms: u32,
    /// One room of so many sessions instead, each of which sends and receives the tracks of the others.
    #[arg(long, value_parser = clap::value_parser!(u32).range(2..=200))]
    pub(crate) mesh: Option<u32>,
    /// Sections of each subscriber besides those of its publishers count up to this: their tracks are silent.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) lines: u32,
    /// Measures connecting instead: so many clients, each of which pulls one track.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) connects: Option<u32>,
    /// Clients that are being set up at a time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(crate) concurrency: u32,
    /// Bits per second of each video, in thousands; 0 for none.
    #[arg(long, default_value_t = 2200)]
    pub(crate) video_kbps: u32,
    /// Video frames per second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=240))]
    pub(crate) fps: u32,
    /// Payload bytes of a video packet.
    #[arg(long, default_value_t = 1100, value_parser = clap::value_parser!(u32).range(64..=1200))]
    pub(crate) payload: u32,
    /// Sends audio as well: 50 packets each second.
    #[arg(long)]
    pub(crate) audio: bool,
    /// Sends audio and no video.
    #[arg(long)]
    pub(crate) audio_only: bool,
    /// Payload bytes of an audio packet.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u32).range(32..=1200))]
    pub(crate) audio_bytes: u32,
    /// Whether clients take every packet through their engine, or read headers and open samples.
    #[arg(long, value_enum, default_value = "lean")]
    pub(crate) receivers: Receivers,
    /// Lean receivers open one packet in so many.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) sample: u32,
    /// How long to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Threads that run the clients.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) threads: u32,
    /// Our own address.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) address: IpAddr,
    /// Process id of the server, to measure its CPU and memory.
    #[arg(long)]
    pub(crate) server_pid: Option<u32>,
    /// Where the server tells its metrics, such as `http://127.0.0.1:9464`, to count its drops.
    #[arg(long)]
    pub(crate) admin: Option<String>,
    /// File for the result as JSON.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
    /// Name of the run in the result.
    #[arg(long, default_value = "")]
    pub(crate) label: String,
}

/// How clients receive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Receivers {
    /// Every datagram goes through the engine.
    Full,
    /// Headers are counted, samples opened.
    Lean,
}

impl Args {
    /// Refuses what cannot be measured together.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.media().is_empty() {
            bail!("neither audio nor video is to be sent");
        }
        let special = self.mesh.is_some() || self.connects.is_some() || self.rooms > 1 || self.lines > 1;
        if self.limit.is_some() && special {
            bail!(
                "the bare loop knows one room and no signalling: leave out --rooms, --mesh, --lines and --connects"
            );
        }
        if self.limit.is_some() && self.receivers == Receivers::Full {
            bail!("the bare loop has no engine to receive with: leave out --receivers full");
        }
        if self.mesh.is_some() && (self.rooms > 1 || self.lines > 1) {
            bail!("--mesh is one room without silent sections");
        }
        Ok(())
    }

    /// What each publisher sends.
    pub(crate) fn media(&self) -> Vec<Media> {
        let audio = (self.audio || self.audio_only)
            .then_some(Media::Audio { payload_bytes: self.audio_bytes as usize });
        let rate = self.video_kbps * 1000 / 8 / self.payload;
        let video = (self.video_kbps > 0 && !self.audio_only)
            .then(|| Media::video(self.fps, rate, self.payload as usize));
        audio.into_iter().chain(video).collect()
    }

    /// The name of the run.
    pub(crate) fn label(&self) -> String {
        if !self.label.is_empty() {
            return self.label.clone();
        }
        let to = if self.limit.is_some() { " by the bare loop" } else { "" };
        match (self.connects, self.mesh) {
            (Some(count), _) => format!("{count} connects"),
            (_, Some(count)) => format!("mesh of {count}"),
            _ if self.rooms > 1 => {
                format!("{} rooms, {} -> {} each", self.rooms, self.publishers, self.subscribers)
            }
            _ => format!("{} -> {}{to}", self.publishers, self.subscribers),
        }
    }
}
