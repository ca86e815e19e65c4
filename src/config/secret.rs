//! Secrets: text that is never shown, given as it is or as the place of a file that holds it.
//!
//! Everywhere in the configuration where a secret stands, `@PATH` may stand instead. Command lines are seen by every
//! user of a machine and variables by every child, so a file is the better place. A name without a slash is looked for
//! among the credentials of the service first (systemd's `LoadCredential=`).

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{BadValue, Config, ConfigError};

/// The variable in which systemd names the folder of a service's credentials.
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// What a path may begin with to mean that folder.
const CREDENTIALS_PREFIX: &str = "${CREDENTIALS_DIRECTORY}/";
/// Characters that a secret needs before it signs or checks anything: who holds what it has signed can try out shorter
/// ones in peace (RFC 7518 3.2 asks for 256 bits).
pub const SIGNING_CHARS: usize = 32;
/// Longest secret.
const CHARS_MAX: usize = 256;
/// Most of a file that is read; more than a secret with its line end cannot be one.
const FILE_BYTES_MAX: u64 = 4_096;
/// The right of everybody to read a file.
const READABLE_BY_ALL: u32 = 0o004;

/// Text that is never shown: neither by `Debug` nor when the configuration is printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Secret(String);

impl Secret {
    /// What stands in place of a secret.
    pub const HIDDEN: &'static str = "<hidden>";

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it is long enough to sign tokens and to check them.
    pub fn can_sign(&self) -> bool {
        self.0.len() >= SIGNING_CHARS
    }

    /// The file that holds it, as it was written, while it has not been read.
    fn reference(&self) -> Option<&str> {
        self.0.strip_prefix('@')
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(Self::HIDDEN)
    }
}

impl TryFrom<String> for Secret {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        if text == Self::HIDDEN {
            return Err(BadValue(
                "a secret reads <hidden>, as check-config prints it: write the real one".into(),
            ));
        }
        if text.strip_prefix('@').is_some_and(|path| !path.is_empty() && !path.contains(char::is_control)) {
            return Ok(Self(text));
        }
        plain(text)
    }
}

fn plain(text: String) -> Result<Secret, BadValue> {
    if (1..=CHARS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(Secret(text))
    } else {
        // The text itself stays out of the message.
        Err(BadValue("a secret must be 1 to 256 visible ASCII characters: choose another".into()))
    }
}

/// A secret that may be missing: an empty text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OptionalSecret(Option<Secret>);

impl OptionalSecret {
    /// The secret, if there is one.
    pub fn get(&self) -> Option<&Secret> {
        self.0.as_ref()
    }
}

impl Serialize for OptionalSecret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_some() { Secret::HIDDEN } else { "" })
    }
}

impl TryFrom<String> for OptionalSecret {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        if text.is_empty() { Ok(Self(None)) } else { Secret::try_from(text).map(|secret| Self(Some(secret))) }
    }
}

/// Every secret of the configuration, with the words that name it in a message.
fn all(config: &mut Config) -> Vec<(String, &mut Secret)> {
    let mut found = Vec::new();
    for app in &mut config.apps {
        let id = app.id.clone();
        found.extend(app.secrets.iter_mut().map(|secret| (format!("a secret of the app {id}"), secret)));
    }
    for stream in &mut config.streams {
        let name = stream.stream.clone();
        let tokens = [("publish_token", &mut stream.publish_token), ("play_token", &mut stream.play_token)];
        for (key, token) in tokens {
            found.extend(token.as_mut().map(|token| (format!("{key} of the stream {name}"), token)));
        }
    }
    for server in &mut config.ice_servers {
        let credential = server.credential.as_mut();
        found.extend(credential.map(|credential| ("a credential of ice_servers".to_owned(), credential)));
    }
    found.extend(config.turn.secret.0.as_mut().map(|secret| ("turn.secret".to_owned(), secret)));
    for key in &mut config.turn.keys {
        let id = key.id.clone();
        let secrets = key.secrets.iter_mut();
        found.extend(secrets.map(|secret| (format!("a secret of {id} in turn.keys"), secret)));
    }
    found
}

/// Whether a configuration has a secret that does not stand in a file of its own.
pub(super) fn any_inline(config: &Config) -> bool {
    all(&mut config.clone()).iter().any(|(_, secret)| secret.reference().is_none())
}

/// Puts what the files hold in place of their paths. What an operator should mend is added to the warnings.
pub(super) fn read_files(config: &mut Config, credentials: Option<&Path>) -> Result<(), ConfigError> {
    let mut warnings = Vec::new();
    for (whose, secret) in all(config) {
        let Some(reference) = secret.reference() else { continue };
        let path = place(reference, credentials);
        *secret = read_file(&whose, &path)?;
        warnings.extend(warn_of_readers(&path));
    }
    config.warnings.extend(warnings);
    Ok(())
}

/// Says when a file with a secret can be read by everybody on the machine.
pub(super) fn warn_of_readers(path: &Path) -> Option<String> {
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let open = metadata.permissions().mode() & READABLE_BY_ALL != 0;
    open.then(|| {
        let shown = path.display();
        format!("every user of this machine can read {shown}, which holds a secret: chmod o-r {shown}")
    })
}

/// Says which secrets are too short to sign.
pub(super) fn warn_of_short(config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    for app in &config.apps {
        let (id, short) = (&app.id, app.secrets.iter().filter(|secret| !secret.can_sign()).count());
        if short == app.secrets.len() {
            warnings.push(format!(
                "the app {id} has no secret of {SIGNING_CHARS} characters or more: it takes its secrets, but no \
                 tokens; add one that ringcast generate-secret makes"
            ));
        } else if short > 0 {
            warnings.push(format!(
                "{short} of {} secrets of the app {id} are shorter than {SIGNING_CHARS} characters: they neither sign \
                 tokens nor check them",
                app.secrets.len()
            ));
        }
    }
    if config.turn.secret.get().is_some_and(|secret| !secret.can_sign()) {
        warnings.push(format!(
            "turn.secret is shorter than {SIGNING_CHARS} characters: whoever is given credentials can try it out; let \
             ringcast generate-secret make a longer one for both servers"
        ));
    }
    warnings
}

fn place(reference: &str, credentials: Option<&Path>) -> PathBuf {
    if let (Some(name), Some(folder)) = (reference.strip_prefix(CREDENTIALS_PREFIX), credentials) {
        return folder.join(name);
    }
    let credential = credentials.filter(|_| !reference.contains('/')).map(|folder| folder.join(reference));
    credential.filter(|path| path.exists()).unwrap_or_else(|| reference.into())
}

fn read_file(whose: &str, path: &Path) -> Result<Secret, ConfigError> {
    let shown = path.display();
    let error = |cause: &str| ConfigError::new(format!("{whose} cannot be read from {shown}: {cause}"));
    if path.starts_with(CREDENTIALS_PREFIX) {
        return Err(error(
            "the service has no credentials; add LoadCredential= to its unit, or write a path",
        ));
    }
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|cause| error(&format!("{cause}; correct the path or the rights of the file")))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(error("the file is empty; write a secret into it (ringcast generate-secret)"));
    }
    if text.contains(['\r', '\n']) {
        return Err(error("the file has several lines; write one secret into each file"));
    }
    plain(text.to_owned()).map_err(|cause| error(&cause.to_string()))
}
