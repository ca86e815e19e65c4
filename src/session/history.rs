//! What was sent under which transport-wide number, until the client has told what became of it.
//!
//! A ring by number of eight bytes each. It begins with [`RECORDS_MIN`] and doubles while a client that reports at all has
//! not reported a packet that is younger than [`AGE_MAX`], up to [`RECORDS_MAX`]: two seconds at 20 Mbit/s.

/// Records of a new history.
const RECORDS_MIN: usize = 128;

/// Most records.
const RECORDS_MAX: usize = 4096;

/// Ticks of a second: four microseconds each, so that 32 bits last for five hours.
pub(super) const TICKS_PER_SECOND: u32 = 250_000;

/// Age up to which a packet is worth room.
const AGE_MAX: u32 = 2 * TICKS_PER_SECOND;

/// What a packet was sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Media.
    Media,
    /// Sent once more.
    Repair,
}

/// By which of a client's ways a packet left: each has another, until they come round after 128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct WayNumber(u8);

impl WayNumber {
    /// That of the way after this one.
    pub(super) fn next(self) -> Self {
        Self(self.0.wrapping_add(1) & 0x7f)
    }
}

/// What is known of what became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Fate {
    /// Nothing was sent under this number yet.
    Unused,
    Unknown,
    Lost,
    Arrived,
}

/// One packet that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    /// When, in ticks of the session.
    at: u32,
    /// Bytes with the headers of IP and UDP.
    bytes: u16,
    /// Its way, and in the lowest bit whether it was sent once more.
    way_and_purpose: u8,
    fate: Fate,
}

const _: () = assert!(size_of::<Record>() == 8, "eight records share a cache line");

impl Record {
    const UNUSED: Self = Self { at: 0, bytes: 0, way_and_purpose: 0, fate: Fate::Unused };

    #[inline]
    pub(super) fn new(at: u32, bytes: usize, way: WayNumber, purpose: Purpose) -> Self {
        let bytes = u16::try_from(bytes).unwrap_or(u16::MAX);
        let way_and_purpose = way.0 << 1 | u8::from(purpose == Purpose::Repair);
        Self { at, bytes, way_and_purpose, fate: Fate::Unknown }
    }

    fn way(&self) -> WayNumber {
        WayNumber(self.way_and_purpose >> 1)
    }

    fn is_repair(&self) -> bool {
        self.way_and_purpose & 1 != 0
    }
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
        let is_young =
            oldest.is_some_and(|oldest| oldest.fate == Fate::Unknown && at.wrapping_sub(oldest.at) < AGE_MAX);
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

    /// Takes what the client says of one packet, and adds to `told` what is new of it.
    pub(super) fn reported(&mut self, number: u16, has_come: bool, present: WayNumber, told: &mut Told) {
        let behind = low16(self.next).wrapping_sub(1).wrapping_sub(number);
        let number = (self.next.checked_sub(1)).and_then(|newest| newest.checked_sub(u64::from(behind)));
        if let Some(number) = number.filter(|number| self.told_to == u64::MAX || *number >= self.told_to) {
            self.told_to = number + 1;
        }
        let mask = self.records.len() - 1;
        let known = number.filter(|_| usize::from(behind) < self.records.len());
        let record = known.and_then(|number| self.records.get_mut((number as usize) & mask));
        let Some(record) = record.filter(|record| record.fate != Fate::Unused) else {
            told.unknown += 1;
            return;
        };
        let is_former = u32::from(record.way() != present);
        match (record.fate, has_come) {
            (Fate::Unknown, false) => {
                record.fate = Fate::Lost;
                told.lost += 1;
                told.by_former_ways += is_former;
            }
            (Fate::Unknown | Fate::Lost, true) => {
                told.late += u32::from(record.fate == Fate::Lost);
                record.fate = Fate::Arrived;
                told.arrived += 1;
                told.arrived_bytes += u32::from(record.bytes);
                told.repairs += u32::from(record.is_repair());
                told.by_former_ways += is_former;
            }
            _ => {}
        }
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
            history.push(Record::new(at, 100, WayNumber::default(), Purpose::Media));
        }
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
        let (former, present) = (WayNumber(127), WayNumber(127).next());
        for (way, purpose) in
            [(former, Purpose::Repair), (former, Purpose::Media), (present, Purpose::Repair)]
        {
            history.push(Record::new(0, 100, way, purpose));
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
        for _ in 0..100_000 {
            history.push(Record::new(0, 100, WayNumber::default(), Purpose::Repair));
        }
        assert_eq!(history.reach(), RECORDS_MAX);
        let newest = low16(history.next - 1);
        history.reported(newest, true, WayNumber::default(), &mut told);
        assert_eq!(told.repairs, 1);
    }
}
