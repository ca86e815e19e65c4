//! Stages: of many who take part, the few who spoke last have a seat, and a client receives the seats.
//!
//! Owns who takes part in a stage, who sits where, and who is listened to for it. A seat changes hands only when somebody
//! takes the floor who has none; the one who has spoken least lately gives way. So nobody moves from seat to seat.
//!
//! Bounds: [`STAGES_MAX`] stages, of which every application finds a quarter of its even share free; [`SEATS_MAX`] seats
//! and [`MEMBERS_MAX`] members of each. A stage that nobody takes part in or watches is forgotten after [`EMPTY_MAX`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::ids::{PublicationId, SessionId};
use crate::rtp::MediaKind;
use crate::shard::command::Heard;
use crate::speakers::{Activity, Floor};

use super::super::error::ApiError;
use super::super::locked;
use super::super::session::publication::{Phase, Publication};

/// Stages of a node.
const STAGES_MAX: usize = 1_000;
/// Seats of a stage.
const SEATS_MAX: usize = 25;
/// Members of a stage.
const MEMBERS_MAX: usize = 500;
/// How long a stage stays that nobody takes part in or watches.
const EMPTY_MAX: Duration = Duration::from_secs(60);
/// Stages that one session may take part in.
const STAGES_OF_SESSION_MAX: usize = 8;
/// The part of its even share that stays free for an application: one of so many.
const QUARTER: usize = 4;
/// Longest name of a stage.
const NAME_BYTES_MAX: usize = 64;

/// What a seat's `sessionId` begins with.
const PREFIX: &str = "stage:";

/// A virtual track: what is heard or seen of whoever sits there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Seat {
    pub(in super::super) stage: Arc<str>,
    /// From 0.
    pub(in super::super) number: usize,
    pub(in super::super) kind: MediaKind,
}

impl Seat {
    /// The stage that a `sessionId` names, if it names one.
    pub(in super::super) fn stage_of(session_id: &str) -> Option<&str> {
        session_id.strip_prefix(PREFIX)
    }

    /// Reads the name of a seat's track, such as `speaker-1/video`.
    pub(in super::super) fn parse(stage: &str, track_name: &str) -> Option<Self> {
        let (number, kind) = track_name.strip_prefix("speaker-")?.split_once('/')?;
        let kind = [MediaKind::Audio, MediaKind::Video].into_iter().find(|known| known.label() == kind)?;
        let is_plain = !number.starts_with(['0', '+']);
        let number: usize = number.parse().ok().filter(|_| is_plain)?;
        Some(Self { stage: stage.into(), number: number.checked_sub(1)?, kind })
    }

    /// The `sessionId` of its track.
    pub(in super::super) fn session_id(&self) -> String {
        format!("{PREFIX}{}", self.stage)
    }

    /// The name of its track.
    pub(in super::super) fn track_name(&self) -> String {
        format!("speaker-{}/{}", self.number + 1, self.kind.label())
    }

    /// What a description calls its stream: sound and picture of one seat belong together.
    pub(in super::super) fn stream_label(&self) -> String {
        format!("speaker-{}-{}", self.number + 1, self.stage)
    }
}

/// What is to be listened to from now on, and what no more, after somebody has come to take part.
#[derive(Debug)]
pub(in super::super) struct Listening {
    pub(in super::super) heard: Option<Arc<Publication>>,
    pub(in super::super) gone: Option<Arc<Publication>>,
}

/// Somebody who takes part.
#[derive(Debug, Clone)]
pub(in super::super) struct Member {
    pub(in super::super) session: SessionId,
    pub(in super::super) audio: Option<Arc<Publication>>,
    pub(in super::super) video: Option<Arc<Publication>>,
}

impl Member {
    /// What is heard or seen of it, while it is published.
    pub(in super::super) fn publication(&self, kind: MediaKind) -> Option<&Arc<Publication>> {
        let named = match kind {
            MediaKind::Audio => &self.audio,
            MediaKind::Video => &self.video,
        };
        named.as_ref().filter(|publication| publication.phase() != Phase::Closed)
    }
}

/// Who sits where at a moment.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct View {
    pub(in super::super) seats: Vec<Option<Member>>,
    /// Who would get the next seat: whom a member sees in its own.
    pub(in super::super) next: Option<Member>,
    /// Who has the floor.
    pub(in super::super) speaker: Option<SessionId>,
    /// Whether the stage was ended; one of the same name is another.
    pub(in super::super) is_over: bool,
}

impl View {
    /// Who sits in a seat for the eyes of a session: nobody sees itself.
    pub(in super::super) fn seat(&self, number: usize, viewer: SessionId) -> Option<&Member> {
        let member = self.seats.get(number)?.as_ref()?;
        if member.session == viewer { self.next.as_ref() } else { Some(member) }
    }
}

/// One stage.
pub(in super::super) struct Stage {
    pub(in super::super) name: Arc<str>,
    state: Mutex<State>,
    view: watch::Sender<Arc<View>>,
    /// Changes when levels were heard.
    heard: watch::Sender<()>,
    /// Sessions for which a task follows the seats.
    followers: Mutex<BTreeSet<SessionId>>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {:?}", self.name)
    }
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Member>,
    floor: Floor<SessionId>,
    /// All members, who spoke last first.
    order: Vec<SessionId>,
    seated: Vec<Option<SessionId>>,
    is_over: bool,
    empty_since: Option<Instant>,
}

impl State {
    fn member(&self, session: SessionId) -> Option<&Member> {
        self.members.iter().find(|member| member.session == session)
    }

    fn is_seated(&self, session: SessionId) -> bool {
        self.seated.contains(&Some(session))
    }

    /// Gives free seats to those who spoke last.
    fn fill(&mut self) {
        for seat in 0..self.seated.len() {
            if self.seated.get(seat) != Some(&None) {
                continue;
            }
            let next = self.order.iter().copied().find(|session| !self.is_seated(*session));
            if let Some(place) = self.seated.get_mut(seat) {
                *place = next;
            }
        }
    }

    /// Somebody has taken the floor, and gets the seat of who has spoken least lately.
    fn take_floor(&mut self, session: SessionId) {
        self.order.retain(|known| *known != session);
        self.order.insert(0, session);
        if self.is_seated(session) {
            return;
        }
        let rank = |seated: &Option<SessionId>| match seated {
            Some(seated) => self.order.iter().position(|known| known == seated).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let last = (0..).zip(&self.seated).max_by_key(|(_, seated)| rank(seated)).map(|(seat, _)| seat);
        if let Some(place) = last.and_then(|seat: usize| self.seated.get_mut(seat)) {
            *place = Some(session);
        }
    }

    fn view(&self) -> View {
        let seat = |session: &Option<SessionId>| self.member((*session)?).cloned();
        let next = self.order.iter().find(|session| !self.is_seated(**session));
        View {
            seats: self.seated.iter().map(seat).collect(),
            next: next.and_then(|session| self.member(*session)).cloned(),
            speaker: self.floor.holder(),
            is_over: self.is_over,
        }
    }
}

impl Stage {
    fn new(name: &str, seats: usize) -> Arc<Self> {
        let state =
            State { seated: vec![None; seats], empty_since: Some(Instant::now()), ..State::default() };
        let view = watch::channel(Arc::new(state.view())).0;
        Arc::new(Self {
            name: name.into(),
            state: Mutex::new(state),
            view,
            heard: watch::channel(()).0,
            followers: Mutex::default(),
        })
    }

    /// Who sits where, now and from now on.
    pub(in super::super) fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// Who sits where.
    pub(in super::super) fn view(&self) -> Arc<View> {
        Arc::clone(&self.view.borrow())
    }

    /// Told whenever levels were heard.
    pub(in super::super) fn watch_levels(&self) -> watch::Receiver<()> {
        self.heard.subscribe()
    }

    /// The members, each with what was heard of it last.
    pub(in super::super) fn members(&self) -> Vec<(Member, Activity)> {
        let state = locked(&self.state);
        state.members.iter().map(|member| (member.clone(), state.floor.activity(member.session))).collect()
    }

    /// Notes that a task follows the seats for a session; false when one does already.
    pub(in super::super) fn begin_following(&self, session: SessionId) -> bool {
        locked(&self.followers).insert(session)
    }

    pub(in super::super) fn end_following(&self, session: SessionId) {
        locked(&self.followers).remove(&session);
    }

    /// Tells all who follow of what has changed.
    fn show(&self, state: &State) {
        self.view.send_replace(Arc::new(state.view()));
    }

    fn is_over(&self, now: Instant) -> bool {
        let empty_since = locked(&self.state).empty_since;
        empty_since.is_some_and(|since| now.duration_since(since) >= EMPTY_MAX)
            && self.view.receiver_count() == 0
    }
}

/// A stage by application and name.
type Key = (Box<str>, Box<str>);

#[derive(Default)]
struct Tables {
    stages: BTreeMap<Key, Arc<Stage>>,
    of_session: HashMap<SessionId, Vec<Arc<Stage>>>,
    /// Who is heard by which publication, and by which stages.
    listened: HashMap<PublicationId, (SessionId, Vec<Arc<Stage>>)>,
}

impl Tables {
    /// Ends a stage's interest in a publication; true when nobody listens to it any more.
    fn unlisten(&mut self, id: PublicationId, stage: &Arc<Stage>) -> bool {
        let Some((_, stages)) = self.listened.get_mut(&id) else { return false };
        stages.retain(|listening| !Arc::ptr_eq(listening, stage));
        let is_last = stages.is_empty();
        if is_last {
            self.listened.remove(&id);
        }
        is_last
    }

    /// Takes a member off a stage; returns its sound if nobody listens to that any more.
    fn dismiss(&mut self, stage: &Arc<Stage>, session: SessionId) -> Option<Arc<Publication>> {
        let mut state = locked(&stage.state);
        let place = state.members.iter().position(|member| member.session == session)?;
        let member = state.members.remove(place);
        state.floor.dismiss(session);
        state.order.retain(|known| *known != session);
        state.seated.iter_mut().for_each(|seated| {
            seated.take_if(|seated| *seated == session);
        });
        state.fill();
        state.empty_since = state.members.is_empty().then(Instant::now);
        stage.show(&state);
        drop(state);
        if let Some(stages) = self.of_session.get_mut(&session) {
            stages.retain(|of| !Arc::ptr_eq(of, stage));
            if stages.is_empty() {
                self.of_session.remove(&session);
            }
        }
        member.audio.filter(|audio| self.unlisten(audio.id, stage))
    }

    /// Stages that an application may have, beside what the others of these have and may still take for certain.
    fn left_for(&self, app: &str, apps: &[&str]) -> usize {
        let due = STAGES_MAX / (QUARTER * apps.len().max(1));
        let others = apps.iter().filter(|other| **other != app);
        let taken = |app: &str| self.stages.keys().filter(|(of, _)| &**of == app).count();
        others.fold(STAGES_MAX, |left, other| left.saturating_sub(due.saturating_sub(taken(other))))
    }
}

/// All stages of this node.
#[derive(Default)]
pub(in super::super) struct Stages(Mutex<Tables>);

impl Stages {
    pub(in super::super) fn find(&self, app: &str, name: &str) -> Option<Arc<Stage>> {
        locked(&self.0).stages.get(&(app.into(), name.into())).cloned()
    }

    /// The stage of that name, made with so many seats when there is none; one of these applications has it.
    pub(in super::super) fn open(
        &self,
        (app, apps): (&str, &[&str]),
        name: &str,
        seats: usize,
    ) -> Result<Arc<Stage>, ApiError> {
        check_name(name)?;
        if !(1..=SEATS_MAX).contains(&seats) {
            return Err(ApiError::params(format!("seats must be from 1 to {SEATS_MAX}, and is {seats}")));
        }
        let mut tables = locked(&self.0);
        let key = (app.into(), name.into());
        if let Some(stage) = tables.stages.get(&key) {
            return Ok(Arc::clone(stage));
        }
        if tables.stages.len() >= tables.left_for(app, apps) {
            let now = Instant::now();
            tables.stages.retain(|_, stage| !stage.is_over(now));
            if tables.stages.len() >= tables.left_for(app, apps) {
                return Err(ApiError::Overloaded);
            }
        }
        let stage = Stage::new(name, seats);
        tables.stages.insert(key, Arc::clone(&stage));
        Ok(stage)
    }

    /// Ends a stage; returns what nobody listens to any more, or nothing if there is no such stage.
    pub(in super::super) fn close(&self, app: &str, name: &str) -> Option<Vec<Arc<Publication>>> {
        let mut tables = locked(&self.0);
        let stage = tables.stages.remove(&(app.into(), name.into()))?;
        let members: Vec<SessionId> =
            locked(&stage.state).members.iter().map(|member| member.session).collect();
        let unheard = members.into_iter().filter_map(|session| tables.dismiss(&stage, session)).collect();
        let mut state = locked(&stage.state);
        state.is_over = true;
        stage.show(&state);
        Some(unheard)
    }

    /// Ends all stages.
    pub(in super::super) fn close_all(&self) {
        let keys: Vec<Key> = locked(&self.0).stages.keys().cloned().collect();
        for (app, name) in keys {
            self.close(&app, &name);
        }
    }

    /// Has somebody take part, or take part with other tracks.
    pub(in super::super) fn admit(&self, stage: &Arc<Stage>, member: Member) -> Result<Listening, ApiError> {
        let mut tables = locked(&self.0);
        let session = member.session;
        let mut state = locked(&stage.state);
        let before = state.members.iter().position(|known| known.session == session);
        if before.is_none() {
            if state.members.len() >= MEMBERS_MAX {
                return Err(ApiError::params(format!("a stage has {MEMBERS_MAX} members at most")));
            }
            let of_session = tables.of_session.entry(session).or_default();
            if of_session.len() >= STAGES_OF_SESSION_MAX {
                return Err(ApiError::params(format!(
                    "a session takes part in {STAGES_OF_SESSION_MAX} stages at most: leave one first"
                )));
            }
            of_session.push(Arc::clone(stage));
        }
        let (heard, gone) = match before.and_then(|place| state.members.get_mut(place)) {
            Some(known) => {
                let before = std::mem::replace(known, member.clone()).audio;
                (member.audio, before)
            }
            None => {
                state.members.push(member.clone());
                state.floor.admit(session);
                state.order.push(session);
                (member.audio, None)
            }
        };
        state.empty_since = None;
        state.fill();
        stage.show(&state);
        drop(state);
        if heard.as_ref().map(|one| one.id) == gone.as_ref().map(|one| one.id) {
            // Said again: in case that the shard was not told the first time.
            return Ok(Listening { heard, gone: None });
        }
        let gone = gone.filter(|gone| tables.unlisten(gone.id, stage));
        if let Some(heard) = &heard {
            let (_, stages) = tables.listened.entry(heard.id).or_insert_with(|| (session, Vec::new()));
            stages.push(Arc::clone(stage));
        }
        Ok(Listening { heard, gone })
    }

    /// Takes somebody off a stage; returns what nobody listens to any more.
    pub(in super::super) fn dismiss(
        &self,
        stage: &Arc<Stage>,
        session: SessionId,
    ) -> Option<Arc<Publication>> {
        locked(&self.0).dismiss(stage, session)
    }

    /// Takes a session that has ended off all stages. Its shard knows of the end, and listens no more.
    pub(in super::super) fn ended(&self, session: SessionId) {
        let mut tables = locked(&self.0);
        for stage in tables.of_session.get(&session).cloned().unwrap_or_default() {
            tables.dismiss(&stage, session);
        }
    }

    /// Tells the stages of a session that its tracks have changed.
    pub(in super::super) fn changed(&self, session: SessionId) {
        let tables = locked(&self.0);
        for stage in tables.of_session.get(&session).into_iter().flatten() {
            stage.show(&locked(&stage.state));
        }
    }

    /// Takes what a shard has heard; returns publications that nobody listens to.
    pub(in super::super) fn heard(&self, heard: &[Heard], now: Instant) -> Vec<PublicationId> {
        let tables = locked(&self.0);
        let mut told: Vec<&Arc<Stage>> = Vec::new();
        let mut strangers = Vec::new();
        for Heard { publication, activity } in heard {
            let Some((session, stages)) = tables.listened.get(publication) else {
                strangers.push(*publication);
                continue;
            };
            for stage in stages {
                locked(&stage.state).floor.hear(*session, *activity);
                if !told.iter().any(|known| Arc::ptr_eq(known, stage)) {
                    told.push(stage);
                }
            }
        }
        for stage in told {
            let mut state = locked(&stage.state);
            if let Some(session) = state.floor.decide(now.into_std()) {
                state.take_floor(session);
                stage.show(&state);
            }
            drop(state);
            stage.heard.send_replace(());
        }
        strangers
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(())
    } else {
        let text = format!("a stage is named by 1 to {NAME_BYTES_MAX} letters, digits, _ or -");
        Err(ApiError::params(text))
    }
}
