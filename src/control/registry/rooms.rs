//! The presence board of the demo page: who is in which room, told by the members themselves.
//!
//! Nothing of a call depends on it. Rooms and members are bounded; a member that is not repeated disappears.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::config::Limits;

use super::super::error::ApiError;
use super::super::locked;
use super::super::model::objects;

/// Longest name of a room or member.
const NAME_BYTES_MAX: usize = 64;
/// Tracks that one member may show.
const TRACKS_MAX: usize = 64;
/// Largest presence of one member, as JSON.
const MEMBER_BYTES_MAX: usize = 16 * 1_024;

/// What a member says of itself.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Presence {
    /// Name to show.
    #[serde(default)]
    pub name: String,
    /// Session that publishes its tracks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Its tracks; each needs a `trackName`, and may carry whatever else the page wants to know.
    #[serde(default, deserialize_with = "objects")]
    #[schema(max_items = 64)]
    pub tracks: Vec<RoomTrack>,
}

/// One track that a member shows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomTrack {
    /// Name of the track.
    pub track_name: String,
    /// Audio, video or whatever the page tells apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Anything else.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub more: serde_json::Map<String, serde_json::Value>,
}

/// One member of a room.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RoomMember {
    /// Its id in the room.
    pub id: String,
    /// What it says of itself.
    #[serde(flatten)]
    pub presence: Presence,
}

/// The members of a room.
#[derive(Debug, Serialize, ToSchema)]
pub struct Room {
    /// In the order of their ids.
    pub members: Vec<RoomMember>,
}

struct Entry {
    presence: Presence,
    until: Instant,
}

/// All rooms, by application and name.
pub struct Rooms {
    rooms: Mutex<BTreeMap<(String, String), BTreeMap<String, Entry>>>,
    bounds: Mutex<Bounds>,
}

#[derive(Clone, Copy)]
struct Bounds {
    rooms: usize,
    members: usize,
    life: Duration,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self { rooms: limits.rooms.size(), members: limits.room_members.size(), life: limits.room_member() }
    }
}

impl Rooms {
    /// Makes an empty board.
    pub fn new(limits: &Limits) -> Self {
        Self { rooms: Mutex::default(), bounds: Mutex::new(limits.into()) }
    }

    /// Has other limits hold for what comes.
    pub fn set_bounds(&self, limits: &Limits) {
        *locked(&self.bounds) = limits.into();
    }

    /// Notes a member until its time is over, and returns the room with it.
    pub fn put(&self, app: &str, room: &str, member: &str, presence: Presence) -> Result<Room, ApiError> {
        check_name(room)?;
        check_name(member)?;
        let bytes = serde_json::to_vec(&presence).map_err(|_| ApiError::Internal)?.len();
        if presence.tracks.len() > TRACKS_MAX || bytes > MEMBER_BYTES_MAX {
            let text = format!("a member may show {TRACKS_MAX} tracks and {MEMBER_BYTES_MAX} bytes at most");
            return Err(ApiError::params(text));
        }
        let (now, key) = (Instant::now(), (app.to_owned(), room.to_owned()));
        let bounds = *locked(&self.bounds);
        let mut rooms = locked(&self.rooms);
        if !rooms.contains_key(&key) && rooms.len() >= bounds.rooms {
            rooms.retain(|_, members| prune(members, now));
            if rooms.len() >= bounds.rooms {
                return Err(ApiError::Overloaded);
            }
        }
        let members = rooms.entry(key).or_default();
        prune(members, now);
        if !members.contains_key(member) && members.len() >= bounds.members {
            return Err(ApiError::Overloaded);
        }
        members.insert(member.to_owned(), Entry { presence, until: now + bounds.life });
        Ok(shown(members))
    }

    /// Rooms at present.
    pub fn count(&self) -> usize {
        locked(&self.rooms).len()
    }

    /// The members of a room; none for an unknown one.
    pub fn get(&self, app: &str, room: &str) -> Result<Room, ApiError> {
        check_name(room)?;
        let (now, key) = (Instant::now(), (app.to_owned(), room.to_owned()));
        let mut rooms = locked(&self.rooms);
        let Some(members) = rooms.get_mut(&key) else { return Ok(Room { members: Vec::new() }) };
        let any = prune(members, now);
        let room = shown(members);
        if !any {
            rooms.remove(&key);
        }
        Ok(room)
    }

    /// Takes a member off; one that is not there is no error.
    pub fn remove(&self, app: &str, room: &str, member: &str) -> Result<(), ApiError> {
        check_name(room)?;
        check_name(member)?;
        let key = (app.to_owned(), room.to_owned());
        let mut rooms = locked(&self.rooms);
        if let Some(members) = rooms.get_mut(&key) {
            members.remove(member);
            if members.is_empty() {
                rooms.remove(&key);
            }
        }
        Ok(())
    }
}

fn prune(members: &mut BTreeMap<String, Entry>, now: Instant) -> bool {
    members.retain(|_, entry| entry.until > now);
    !members.is_empty()
}

fn shown(members: &BTreeMap<String, Entry>) -> Room {
    let member =
        |(id, entry): (&String, &Entry)| RoomMember { id: id.clone(), presence: entry.presence.clone() };
    Room { members: members.iter().map(member).collect() }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        Err(ApiError::params(format!(
            "rooms and members are named by 1 to {NAME_BYTES_MAX} letters, digits, _ or -"
        )))
    }
}
