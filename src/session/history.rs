//! What was sent under which transport-wide number, until the client has told what became of it.
//!
//! A ring by number of eight bytes each. It begins with [`RECORDS_MIN`] and doubles while a client that reports at all has
//! not reported a packet that is younger than [`AGE_MAX`], up to [`RECORDS_MAX`]: two seconds at 20 Mbit/s.

use crate::congestion::Purpose;

/// Records of a new history.
const RECORDS_MIN: usize = 128;

/// Most records.
const RECORDS_MAX: usize = 4096;

/// Microseconds of a tick: 32 bits of them last for five hours.
pub(super) const TICK: u64 = 4;

/// Ticks of a second.
pub(super) const TICKS_PER_SECOND: u32 = 250_000;

/// Age up to which a packet is worth room.
const AGE_MAX: u32 = 2 * TICKS_PER_SECOND;

/// By which of a client's ways a packet left: each has another, until they come round after 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct WayNumber(u8);

impl WayNumber {
    /// That of the way after this one.
    pub(super) fn next(self) -> Self {
        Self(self.0.wrapping_add(1) & 0x3f)
    }
}

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Sort {
    /// What it is sent for.
    pub(super) purpose: Purpose,
    pub(super) is_audio: bool,
    /// The probe that it belongs to, below 32; 0 for none.
    pub(super) cluster: u8,
}

/// What is known of what became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Nothing was sent under this number yet.
    Unused,
    Unknown,
    Lost,
    Arrived,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Unused, Self::Unknown, Self::Lost, Self::Arrived];
}

/// One packet that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// When, in ticks of the session.
    at: u32,
    /// Bytes with the headers of IP and UDP.
    bytes: u16,
    /// `| way 6 | purpose 2 |`
    way_and_purpose: u8,
    /// `| cluster 5 | audio 1 | fate 2 |`
    sort_and_fate: u8,
}

const _: () = assert!(size_of::<Record>() == 8, "eight records share a cache line");

/// The bits of the fate.
const FATE: u8 = 3;

/// The bit of audio, and where the cluster begins.
const AUDIO: u8 = 4;
const CLUSTER_SHIFT: u8 = 3;

impl Record {
    const UNUSED: Self = Self { at: 0, bytes: 0, way_and_purpose: 0, sort_and_fate: Fate::Unused as u8 };

    #[inline]
    pub(super) fn new(at: u32, bytes: usize, way: WayNumber, sort: Sort) -> Self {
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        let audio = if sort.is_audio { AUDIO } else { 0 };
        Self {
            at,
            bytes,
            way_and_purpose: way.0 << 2 | sort.purpose as u8,
            sort_and_fate: sort.cluster << CLUSTER_SHIFT | audio | Fate::Unknown as u8,
        }
    }

    fn way(&self) -> WayNumber {
        WayNumber(self.way_and_purpose >> 2)
    }

    fn sort(&self) -> Sort {
        let purpose = match self.way_and_purpose & 3 {
            0 => Purpose::Media,
            1 => Purpose::Repair,
            _ => Purpose::Probe,
        };
        let is_audio = self.sort_and_fate & AUDIO != 0;
        Sort { purpose, is_audio, cluster: self.sort_and_fate >> CLUSTER_SHIFT }
    }

    fn fate(&self) -> Fate {
        Fate::ALL.get(usize::from(self.sort_and_fate & FATE)).copied().unwrap_or(Fate::Unused)
    }

    fn set_fate(&mut self, fate: Fate) {
        self.sort_and_fate = self.sort_and_fate & !FATE | fate as u8;
    }
}

const _: () = assert!(
    Purpose::Media as u8 == 0 && Purpose::Repair as u8 == 1 && Purpose::Probe as u8 == 2,
    "as records have it"
);

/// What is new of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct News {
    /// When it was sent, in ticks of the session.
    pub(super) at: u32,
    /// Bytes with the headers of IP and UDP.
    pub(super) bytes: u16,
    pub(super) sort: Sort,
    /// Whether it was called lost before.
    pub(super) was_lost: bool,
}

/// What one report of a client has told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Packets that have come.
    pub arrived: u32,
    /// Bytes of these.
    pub arrived_bytes: u32,
    /// Of these, packets that were sent once more.
    pub repairs: u32,
    /// Of these, packets that a report before has called lost.
    pub late: u32,
    /// Packets that have not come.
    pub lost: u32,
    /// Of all these, packets that had left by another way than the present one, of which they tell nothing.
    pub by_former_ways: u32,
    /// Numbers that are forgotten, or under which nothing was sent.
    pub unknown: u32,
}

/// The records of one session.
#[derive(Debug)]
pub(super) struct History {
    records: Vec<Record>,
    /// The next number; those before it have records as far as they reach.
    next: u64,
    /// Behind the newest number that was reported; `u64::MAX` while none was.
    told_to: u64,
}

impl History {
    pub(super) fn new(next: u64) -> Self {
        Self { records: vec![Record::UNUSED; RECORDS_MIN], next, told_to: u64::MAX }
    }

    /// Takes note of the next packet. The record in its place is not looked at, which would be to wait for memory, unless
    /// the client is behind by as many as there are.
    #[inline]
    pub(super) fn push(&mut self, record: Record) {
        if self.next.saturating_sub(self.told_to) >= self.records.len() as u64 {
            self.make_room(record.at);
        }
        let place = (self.next as usize) & (self.records.len() - 1);
        if let Some(place) = self.records.get_mut(place) {
            *place = record;
        }
        self.next += 1;
    }

    /// Grows while the oldest record may still be reported.
    #[cold]
    fn make_room(&mut self, at: u32) {
        let place = (self.next as usize) & (self.records.len() - 1);
        let oldest = self.records.get(place);
        let is_young = oldest
            .is_some_and(|oldest| oldest.fate() == Fate::Unknown && at.wrapping_sub(oldest.at) < AGE_MAX);
        if is_young && self.records.len() < RECORDS_MAX {
            self.double();
        }
    }

    fn double(&mut self) {
        let len = self.records.len();
        let mut records = vec![Record::UNUSED; 2 * len];
        for number in self.next.saturating_sub(len as u64)..self.next {
            let (from, to) = ((number as usize) & (len - 1), (number as usize) & (2 * len - 1));
            if let (Some(record), Some(place)) = (self.records.get(from), records.get_mut(to)) {
                *place = *record;
            }
        }
        self.records = records;
    }

    /// Takes what the client says of one packet, and adds to `told` what is new of it. Returns that too, where the packet left
    /// by the present way.
    pub(super) fn reported(
        &mut self,
        number: u16,
        has_come: bool,
        present: WayNumber,
        told: &mut Told,
    ) -> Option<News> {
        let behind = low16(self.next).wrapping_sub(1).wrapping_sub(number);
        let number = (self.next.checked_sub(1)).and_then(|newest| newest.checked_sub(u64::from(behind)));
        if let Some(number) = number.filter(|number| self.told_to == u64::MAX || *number >= self.told_to) {
            self.told_to = number + 1;
        }
        let mask = self.records.len() - 1;
        let known = number.filter(|_| usize::from(behind) < self.records.len());
        let record = known.and_then(|number| self.records.get_mut((number as usize) & mask));
        let Some(record) = record.filter(|record| record.fate() != Fate::Unused) else {
            told.unknown += 1;
            return None;
        };
        let was_lost = match (record.fate(), has_come) {
            (Fate::Unknown, _) => false,
            (Fate::Lost, true) => true,
            _ => return None,
        };
        record.set_fate(if has_come { Fate::Arrived } else { Fate::Lost });
        let (bytes, sort) = (record.bytes, record.sort());
        if has_come {
            told.late += u32::from(was_lost);
            told.arrived += 1;
            told.arrived_bytes += u32::from(bytes);
            told.repairs += u32::from(sort.purpose == Purpose::Repair);
        } else {
            told.lost += 1;
        }
        if record.way() != present {
            told.by_former_ways += 1;
            return None;
        }
        Some(News { at: record.at, bytes, sort, was_lost })
    }

    /// The most that a report can tell of.
    pub(super) fn reach(&self) -> usize {
        self.records.len()
    }
}

/// The 16 bits of a number that travel.
pub(super) fn low16(number: u64) -> u16 {
    (number & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends packets one millisecond apart, from this number on.
    fn send(history: &mut History, count: u32) {
        for _ in 0..count {
            let at = (history.next as u32).wrapping_mul(250);
            history.push(Record::new(at, 100, WayNumber::default(), Sort::default()));
        }
    }

    #[test]
    fn a_record_keeps_all_that_a_packet_is() {
        let sort = Sort { purpose: Purpose::Probe, is_audio: true, cluster: 31 };
        let (mut history, mut told) = (History::new(7), Told::default());
        history.push(Record::new(123, 100_000, WayNumber(63), sort));
        assert_eq!(history.reported(7, true, WayNumber(0), &mut told), None, "by another way");
        history.push(Record::new(124, 100, WayNumber(63), sort));
        let news = News { at: 124, bytes: 100, sort, was_lost: false };
        assert_eq!(history.reported(8, false, WayNumber(63), &mut told), Some(news));
        assert_eq!(history.reported(8, false, WayNumber(63), &mut told), None);
        let late = Some(News { was_lost: true, ..news });
        assert_eq!(history.reported(8, true, WayNumber(63), &mut told), late);
    }

    #[test]
    fn what_comes_late_was_lost_before_and_nothing_counts_twice() {
        let (mut history, mut told) = (History::new(65_530), Told::default());
        send(&mut history, 10);
        for (number, has_come) in [
            (65_530, true),
            (65_530, true),
            (65_531, false),
            (65_531, true),
            (1, false),
            (1, false),
            (3, true),
        ] {
            history.reported(number, has_come, WayNumber::default(), &mut told);
        }
        let expected = Told { arrived: 3, arrived_bytes: 300, late: 1, lost: 2, ..Told::default() };
        assert_eq!(told, expected);
        history.reported(4, true, WayNumber::default(), &mut told);
        history.reported(65_529, true, WayNumber::default(), &mut told);
        assert_eq!(told, Told { unknown: 2, ..expected }, "never sent");
    }

    #[test]
    fn what_left_by_a_former_way_is_told_apart() {
        let (mut history, mut told) = (History::new(0), Told::default());
        let (former, present) = (WayNumber(63), WayNumber(63).next());
        for (way, purpose) in
            [(former, Purpose::Repair), (former, Purpose::Media), (present, Purpose::Repair)]
        {
            history.push(Record::new(0, 100, way, Sort { purpose, ..Sort::default() }));
        }
        for number in 0..3 {
            history.reported(number, number != 1, present, &mut told);
        }
        let expected = Told { arrived: 2, arrived_bytes: 200, repairs: 2, lost: 1, ..Told::default() };
        assert_eq!(told, Told { by_former_ways: 2, ..expected });
    }

    #[test]
    fn it_grows_with_what_is_not_reported_yet_and_no_further() {
        let (mut history, mut told) = (History::new(0), Told::default());
        send(&mut history, 5_000);
        assert_eq!(history.reach(), RECORDS_MIN, "nobody reports");
        // Reports come a hundred packets late, then five hundred.
        for late in [100, 500] {
            history = History::new(0);
            for number in 0..3_000_u64 {
                send(&mut history, 1);
                let number = low16(number.wrapping_sub(late));
                history.reported(number, true, WayNumber::default(), &mut told);
            }
            assert_eq!(history.reach() as u64, (late + 1).next_power_of_two());
        }
        assert!(told.arrived > 4_900, "all but those of the beginning: {told:?}");
        send(&mut history, 200_000);
        assert_eq!(history.reach(), 2048, "two seconds of them");
        let repair = Sort { purpose: Purpose::Repair, ..Sort::default() };
        for _ in 0..100_000 {
            history.push(Record::new(0, 100, WayNumber::default(), repair));
        }
        assert_eq!(history.reach(), RECORDS_MAX);
        let newest = low16(history.next - 1);
        history.reported(newest, true, WayNumber::default(), &mut told);
        assert_eq!(told.repairs, 1);
    }
}
