//! Applications and the check of their secrets. Only digests of secrets are kept.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::{Choice, ConstantTimeEq};

use crate::config::App;

use super::error::ApiError;

type Digest = [u8; SHA256_OUTPUT_LEN];

/// The applications of this node.
#[derive(Default)]
pub struct Apps {
    by_id: BTreeMap<String, Vec<Digest>>,
}

impl Apps {
    /// Takes the applications of the configuration.
    pub fn new(apps: &[App]) -> Self {
        let by_id = apps.iter().map(|app| {
            let secrets = app.secrets.iter().map(|secret| sha256(secret.reveal().as_bytes()));
            (app.id.as_str().to_owned(), secrets.collect())
        });
        Self { by_id: by_id.collect() }
    }

    /// Checks that an application exists.
    pub fn find(&self, app: &str) -> Result<(), ApiError> {
        if self.by_id.contains_key(app) { Ok(()) } else { Err(ApiError::UnknownApp) }
    }

    /// Checks that an application exists, then the token of the `Authorization` header against its secrets.
    pub fn authorize(&self, app: &str, header: Option<&[u8]>) -> Result<(), ApiError> {
        let secrets = self.by_id.get(app).ok_or(ApiError::UnknownApp)?;
        let token = header.and_then(bearer).ok_or(ApiError::Unauthorized)?;
        // Digests have one length and every secret is compared, so time tells nothing of any of them.
        let given = sha256(token);
        let matches = secrets.iter().fold(Choice::from(0), |seen, secret| seen | secret.ct_eq(&given));
        if bool::from(matches) { Ok(()) } else { Err(ApiError::Unauthorized) }
    }
}

/// The token of a bearer header (RFC 6750 2.1; the scheme is case-insensitive by RFC 9110 11.1).
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    let token = token.trim_ascii();
    (!token.is_empty()).then_some(token)
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut output = [0; SHA256_OUTPUT_LEN];
    output.copy_from_slice(digest(&SHA256, bytes).as_ref());
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AppId, Secret};

    fn apps() -> Apps {
        let secret = |text: &str| Secret::try_from(text.to_owned()).unwrap();
        let id = AppId::try_from("app".to_owned()).unwrap();
        Apps::new(&[App { id, secrets: vec![secret("old"), secret("new")] }])
    }

    #[test]
    fn any_secret_of_the_app_is_taken() {
        for header in ["Bearer old", "bearer new", "BEARER  new "] {
            assert_eq!(apps().authorize("app", Some(header.as_bytes())), Ok(()), "{header}");
        }
    }

    #[test]
    fn the_app_is_checked_before_the_secret() {
        assert_eq!(apps().authorize("other", None), Err(ApiError::UnknownApp));
        for header in
            [None, Some("Bearer "), Some("Bearer nope"), Some("Basic old"), Some("old"), Some("Bearer ol")]
        {
            assert_eq!(
                apps().authorize("app", header.map(str::as_bytes)),
                Err(ApiError::Unauthorized),
                "{header:?}"
            );
        }
    }
}
