//! The engine's configuration: what it is told of codecs, ICE and DTLS when it is made.

use std::time::Duration;

use str0m::config::DtlsCert;
use str0m::format::{Codec, FormatParams};
use str0m::media::Frequency;
use str0m::{IceCreds, RtcConfig};

use super::dialect::VIDEO_DISGUISES;
use super::dtls;
use crate::ids::IceCredentials;
use crate::plan::{IceAgent, TransportPlan};

/// Payload type slots under which client video codecs are shown to the engine, and their retransmissions.
const FIRST_SLOT: u8 = 96;
const FIRST_RESEND_SLOT: u8 = 112;

/// How often a full agent tells which pair of addresses it has settled on.
const PAIR_INTERVAL: Duration = Duration::from_secs(1);

/// Bytes that the engine buffers for all data channels: room for a message of the largest size beside another.
const SEND_BUFFER_BYTES: usize = 2 * super::channels::MESSAGE_BYTES_MAX;

pub(super) fn creds(credentials: &IceCredentials) -> IceCreds {
    IceCreds { ufrag: credentials.ufrag.clone(), pass: credentials.pwd.clone() }
}

/// The engine's configuration.
///
/// It drops packets whose payload type it did not match, and matches by format parameters; it needs no more of
/// a video codec than its clock rate and its retransmission link. So each video payload type of a client is
/// shown to it as one of [`VIDEO_DISGUISES`] profiles of a single codec, and the true names stay with negotiation.
pub(super) fn config(certificate: &DtlsCert, plan: &TransportPlan) -> RtcConfig {
    let is_lite = plan.agent == IceAgent::Lite;
    let mut config = RtcConfig::new()
        .set_crypto_provider(dtls::provider())
        .set_dtls_cert(certificate.clone())
        // That is done before it learns of the certificate: it knows two of the hash functions.
        .set_fingerprint_verification(false)
        .set_ice_lite(is_lite)
        .set_stats_interval((!is_lite).then_some(PAIR_INTERVAL))
        .set_rtp_mode(true)
        .set_local_ice_credentials(creds(&plan.local))
        .set_sctp_max_buffered_amount(SEND_BUFFER_BYTES)
        .set_rtcp_report_interval_audio(Duration::from_secs(1))
        .clear_codecs()
        .enable_opus(true, true)
        .enable_pcmu(true, false)
        .enable_pcma(true, false);
    for slot in 0..VIDEO_DISGUISES {
        config.codec_config().add_config(
            (FIRST_SLOT + slot).into(),
            Some((FIRST_RESEND_SLOT + slot).into()),
            Codec::Vp9,
            Frequency::NINETY_KHZ,
            None,
            FormatParams { profile_id: Some(u32::from(slot)), ..FormatParams::default() },
        );
    }
    config
}
