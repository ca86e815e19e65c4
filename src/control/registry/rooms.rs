//! The presence board of the demo page: who is in which room, told by the members themselves.
//!
//! Nothing of a call depends on it. Rooms, members and the bytes that they show are bounded, of a room and of the node, and
//! every application finds a quarter of its even share free; a member that is not repeated disappears.

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

/// A presence as the text that it takes: values in memory are many times as large, by what is in them.
struct Entry {
    presence: Box<str>,
    until: Instant,
}

/// What a member takes besides its text.
const MEMBER_BYTES: usize = 256;
/// The part of its even share that stays free for an application: one of so many.
const QUARTER: usize = 4;

#[derive(Default)]
struct Members {
    by_id: BTreeMap<String, Entry>,
    /// Of all of them.
    bytes: usize,
}

impl Members {
    fn insert(&mut self, id: &str, entry: Entry) {
        self.bytes += size(id, &entry);
        if let Some(before) = self.by_id.insert(id.to_owned(), entry) {
            self.bytes -= size(id, &before);
        }
    }

    fn remove(&mut self, id: &str) {
        if let Some(before) = self.by_id.remove(id) {
            self.bytes -= size(id, &before);
        }
    }

    fn size_of(&self, id: &str) -> usize {
        self.by_id.get(id).map_or(0, |entry| size(id, entry))
    }

    /// Forgets those whose time is over; false when nobody is left.
    fn prune(&mut self, now: Instant) -> bool {
        self.by_id.retain(|_, entry| entry.until > now);
        self.bytes = self.by_id.iter().map(|(id, entry)| size(id, entry)).sum();
        !self.by_id.is_empty()
    }

    fn shown(&self) -> Room {
        let member = |(id, entry): (&String, &Entry)| {
            Some(RoomMember { id: id.clone(), presence: serde_json::from_str(&entry.presence).ok()? })
        };
        Room { members: self.by_id.iter().filter_map(member).collect() }
    }
}

fn size(id: &str, entry: &Entry) -> usize {
    MEMBER_BYTES + id.len() + entry.presence.len()
}

type Table = BTreeMap<(String, String), Members>;

/// All rooms, by application and name.
pub struct Rooms {
    rooms: Mutex<Table>,
    bounds: Mutex<Bounds>,
}

/// Rooms and bytes, of an application or of all.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    rooms: usize,
    bytes: usize,
}

impl Share {
    fn of<'a>(rooms: impl Iterator<Item = &'a Members>) -> Self {
        rooms.fold(Self::default(), |share, members| Self {
            rooms: share.rooms + 1,
            bytes: share.bytes + members.bytes,
        })
    }
}

#[derive(Clone, Copy)]
struct Bounds {
    all: Share,
    members: usize,
    room_bytes: usize,
    life: Duration,
}

impl Bounds {
    /// What is left for an application beside what the others of these have and may still take for certain.
    fn left_for(&self, app: &str, apps: &[&str], rooms: &Table) -> Share {
        let part = QUARTER * apps.len().max(1);
        let due = Share { rooms: self.all.rooms / part, bytes: self.all.bytes / part };
        let mut left = self.all;
        for other in apps.iter().filter(|other| **other != app) {
            let of_other = rooms.range(((*other).to_owned(), String::new())..);
            let taken = Share::of(of_other.take_while(|((of, _), _)| of == other).map(|(_, room)| room));
            left.rooms = left.rooms.saturating_sub(due.rooms.saturating_sub(taken.rooms));
            left.bytes = left.bytes.saturating_sub(due.bytes.saturating_sub(taken.bytes));
        }
        left
    }
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self {
            all: Share { rooms: limits.rooms.size(), bytes: limits.rooms_bytes.size() },
            members: limits.room_members.size(),
            room_bytes: limits.room_bytes.size(),
            life: limits.room_member(),
        }
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

    /// Notes a member until its time is over, and returns the room with it. The application is one of these.
    pub fn put(
        &self,
        (app, apps): (&str, &[&str]),
        room: &str,
        member: &str,
        presence: &Presence,
    ) -> Result<Room, ApiError> {
        check_name(room)?;
        check_name(member)?;
        let text = serde_json::to_string(presence).map_err(|_| ApiError::Internal)?;
        if presence.tracks.len() > TRACKS_MAX || text.len() > MEMBER_BYTES_MAX {
            let text = format!("a member may show {TRACKS_MAX} tracks and {MEMBER_BYTES_MAX} bytes at most");
            return Err(ApiError::params(text));
        }
        let (now, key) = (Instant::now(), (app.to_owned(), room.to_owned()));
        let bounds = *locked(&self.bounds);
        let entry = Entry { presence: text.into(), until: now + bounds.life };
        let mut rooms = locked(&self.rooms);
        if let Some(members) = rooms.get_mut(&key) {
            members.prune(now);
        }
        if !has_room(&rooms, &key, (member, size(member, &entry)), apps, bounds) {
            rooms.retain(|_, members| members.prune(now));
            if !has_room(&rooms, &key, (member, size(member, &entry)), apps, bounds) {
                return Err(ApiError::Overloaded);
            }
        }
        let members = rooms.entry(key).or_default();
        members.insert(member, entry);
        Ok(members.shown())
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
        let any = members.prune(now);
        let room = members.shown();
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
            if members.by_id.is_empty() {
                rooms.remove(&key);
            }
        }
        Ok(())
    }
}

/// Whether a member of this size fits in beside all others, or in its own place.
fn has_room(
    rooms: &Table,
    key: &(String, String),
    (member, bytes): (&str, usize),
    apps: &[&str],
    bounds: Bounds,
) -> bool {
    let present = rooms.get(key);
    let (count, room_bytes) = present.map_or((0, 0), |room| (room.by_id.len(), room.bytes));
    let before = present.map_or(0, |room| room.size_of(member));
    let (taken, left) = (Share::of(rooms.values()), bounds.left_for(&key.0, apps, rooms));
    let more = bytes.saturating_sub(before);
    (present.is_some() || taken.rooms < left.rooms)
        && (before > 0 || count < bounds.members)
        && room_bytes + more <= bounds.room_bytes
        // Who takes no more than before takes nothing of anybody.
        && (more == 0 || taken.bytes + more <= left.bytes)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Within;

    fn board() -> Rooms {
        let limits = Limits {
            rooms: Within::new(8),
            room_bytes: Within::new(4_096),
            rooms_bytes: Within::new(16_384),
            ..Limits::default()
        };
        Rooms::new(&limits)
    }

    fn put(board: &Rooms, app: &str, room: &str, member: &str, bytes: usize) -> bool {
        let presence = Presence { name: "x".repeat(bytes), session_id: None, tracks: Vec::new() };
        board.put((app, &["a", "b"]), room, member, &presence).is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_room_shows_is_bounded_in_bytes_and_its_members_may_change_what_they_show() {
        let board = board();
        let taken = (0..100).filter(|member| put(&board, "a", "room", &member.to_string(), 700)).count();
        assert_eq!(taken, 4);
        assert!(put(&board, "a", "room", "0", 600) && put(&board, "a", "room", "0", 700));
        assert!(!put(&board, "a", "room", "0", 1_700));
        assert_eq!(board.get("a", "room").unwrap().members.len(), 4);
        assert!(put(&board, "a", "other", "0", 700), "another room has its own bound");
        tokio::time::advance(Duration::from_secs(16)).await;
        assert!(put(&board, "a", "room", "new", 1_700), "whoever is gone takes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn an_app_finds_its_share_of_rooms_and_bytes_free() {
        let board = board();
        let rooms = |app: &str, bytes| {
            (0..100).filter(|room| put(&board, app, &room.to_string(), "m", bytes)).count()
        };
        assert_eq!(rooms("a", 10), 7, "one of eight is for the other");
        assert_eq!(rooms("b", 10), 1);
        tokio::time::advance(Duration::from_secs(16)).await;
        assert_eq!(rooms("a", 3_000), 4, "two of sixteen KiB are for the other");
        assert_eq!(rooms("b", 1_500), 1);
    }
}
