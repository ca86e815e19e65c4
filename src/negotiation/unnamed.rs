//! Sections whose packets name neither their section nor a source that was announced.
//!
//! Clients without the header extension for mids (RFC 9143 15) and without `a=ssrc` leave us the payload type to tell
//! packets by, the last resort of RFC 9143 9.2. So it has to be of one such section alone: what two of them offer stays
//! with the first, and one that is left with nothing is refused. Layers need the extension in any case.

use std::collections::BTreeSet;

use super::codecs;
use super::slots::Slot;
use crate::rtp::ExtensionKind;

/// Whether nothing but the payload type tells the packets of a section in which the client sends.
pub(super) fn is_unnamed(slot: &Slot) -> bool {
    let has_mid = || slot.extmap.iter().any(|line| line.uri == ExtensionKind::Mid.uri());
    competes(slot) && !has_mid()
}

/// Whether packets of a section may come under any source.
fn competes(slot: &Slot) -> bool {
    let is_told_by_source = !slot.told.ssrcs.is_empty() && slot.told.rids.is_empty();
    slot.live() && slot.client.sends() && slot.media_kind().is_some() && !is_told_by_source
}

/// Leaves each payload type to one section where nothing else tells packets. Gives the sections that are left with none.
pub(super) fn part(slots: &mut [Slot]) -> Vec<usize> {
    let named = slots.iter().filter(|slot| competes(slot) && !is_unnamed(slot));
    let mut taken: BTreeSet<u8> =
        named.flat_map(|slot| slot.payloads.iter().map(|payload| payload.pt)).collect();
    let mut unnamed: Vec<_> = slots.iter_mut().enumerate().filter(|(_, slot)| is_unnamed(slot)).collect();
    // Who is heard already stays so.
    unnamed.sort_by_key(|(_, slot)| !slot.agreed.receives());
    let mut left_out = Vec::new();
    for (index, slot) in unnamed {
        let Some(kind) = slot.media_kind() else { continue };
        let own = |pt: u8| slot.told.rids.is_empty() && !taken.contains(&pt);
        slot.payloads = codecs::filtered(&slot.payloads, kind, |payload, _| own(payload.pt));
        slot.payloads.retain(|payload| !taken.contains(&payload.pt));
        taken.extend(slot.payloads.iter().map(|payload| payload.pt));
        if slot.payloads.is_empty() {
            left_out.push(index);
        }
    }
    left_out
}
