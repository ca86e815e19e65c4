//! What an offer of a client may contain (RFC 9725 4.4): at most one audio and one video section of one stream, all in
//! the right direction, on one transport. Anything else is refused as a whole, never answered in part.

use super::super::super::access::Right;
use super::problem::Problem;
use crate::rtp::MediaKind;
use crate::sdp::{SdpError, Section, SectionKind, SessionDescription};

/// Mid and kind of the audio and video sections of an offer.
pub(super) type OfferedSections = Vec<(String, MediaKind)>;

/// Reads an offer.
pub(super) fn check(sdp: &str, access: Right) -> Result<OfferedSections, Problem> {
    let offer = SessionDescription::parse(sdp)
        .map_err(|error: SdpError| Problem::bad_request(format!("the offer cannot be used: {error}")))?;
    let mut offered = OfferedSections::new();
    for section in offer.sections.iter().filter(|section| !section.rejected) {
        let kind = match section.kind {
            SectionKind::Audio => MediaKind::Audio,
            SectionKind::Video => MediaKind::Video,
            // A data channel is answered like any other; it is no medium of the stream.
            SectionKind::Application => continue,
            SectionKind::Other => {
                return Err(Problem::unprocessable(format!(
                    "sections of kind {} are not served",
                    section.media
                )));
            }
        };
        if offered.iter().any(|(_, other)| *other == kind) {
            return Err(Problem::unprocessable(format!(
                "the offer has more than one {} section: a stream has one at most",
                section.media
            )));
        }
        check_section(section, access)?;
        offered.push((section.mid.clone(), kind));
    }
    if offered.is_empty() {
        return Err(Problem::unprocessable("the offer has neither an audio nor a video section"));
    }
    if access == Right::Whip {
        check_streams(&offer)?;
    }
    Ok(offered)
}

fn check_section(section: &Section, access: Right) -> Result<(), Problem> {
    let (right, wanted) = match access {
        Right::Whip => (section.direction.sends(), "sendonly"),
        _ => (section.direction.receives(), "recvonly"),
    };
    if !right {
        return Err(Problem::unprocessable(format!(
            "section {:?} has the wrong direction: it has to be {wanted}",
            section.mid
        )));
    }
    if !section.rtcp_mux {
        return Err(Problem::unprocessable(format!(
            "section {:?} has no a=rtcp-mux: RTP and RTCP have to share the transport",
            section.mid
        )));
    }
    Ok(())
}

/// All that is published belongs to one stream (RFC 9725 4.4.2).
fn check_streams(offer: &SessionDescription) -> Result<(), Problem> {
    let live = offer.sections.iter().filter(|section| !section.rejected);
    let named = live.filter_map(|section| section.msid.as_ref()).map(|msid| msid.stream.as_str());
    let mut named = named.filter(|stream| *stream != "-" && !stream.is_empty());
    let first = named.next();
    if named.any(|other| Some(other) != first) {
        return Err(Problem::unprocessable(
            "the sections belong to different streams (a=msid): one is served",
        ));
    }
    Ok(())
}
