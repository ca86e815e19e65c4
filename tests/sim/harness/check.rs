//! Connectivity checks of clients, changed on their way as only who knows the password can.

use std::sync::LazyLock;

use str0m::config::CryptoProvider;
use str0m::ice::StunMessage;

/// The same check without its nomination; `None` when it has none, or is no check.
pub(crate) fn without_nomination(datagram: &[u8], password: &str) -> Option<Vec<u8>> {
    static PROVIDER: LazyLock<CryptoProvider> = LazyLock::new(str0m::crypto::from_feature_flags);
    let is_check = datagram.starts_with(&[0, 1]);
    let message =
        is_check.then(|| StunMessage::parse(datagram).unwrap()).filter(StunMessage::use_candidate)?;
    let plain = StunMessage::binding_request(
        message.username().unwrap(),
        message.trans_id(),
        true,
        message.ice_controlling().unwrap(),
        message.prio().unwrap(),
        false,
    );
    let mut bytes = vec![0; datagram.len()];
    let hmac = PROVIDER.sha1_hmac_provider;
    let len = plain
        .to_bytes(Some(password.as_bytes()), &mut bytes, |key, parts| hmac.sha1_hmac(key, parts))
        .unwrap();
    bytes.truncate(len);
    Some(bytes)
}
