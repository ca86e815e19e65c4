//! The types of single values: each can be made from text or a number only within its bounds.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::spelling::{Addresses, TextOrNumber, WholeNumber};

/// Why a single value cannot be used: cause and remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadValue(pub String);

/// A number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "WholeNumber", into = "u64")]
pub struct Within<const MIN: u64, const MAX: u64>(u64);

impl<const MIN: u64, const MAX: u64> Within<MIN, MAX> {
    /// The number, moved to the nearest bound when it lies outside.
    pub const fn new(value: u64) -> Self {
        if value < MIN {
            Self(MIN)
        } else if value > MAX {
            Self(MAX)
        } else {
            Self(value)
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number as a size; every bound used here fits.
    pub fn size(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl<const MAX: u64> Default for Within<0, MAX> {
    fn default() -> Self {
        Self(0)
    }
}

impl<const MIN: u64, const MAX: u64> TryFrom<WholeNumber> for Within<MIN, MAX> {
    type Error = BadValue;

    fn try_from(WholeNumber(value): WholeNumber) -> Result<Self, BadValue> {
        value.try_into()
    }
}

impl<const MIN: u64, const MAX: u64> TryFrom<u64> for Within<MIN, MAX> {
    type Error = BadValue;

    fn try_from(value: u64) -> Result<Self, BadValue> {
        if (MIN..=MAX).contains(&value) {
            Ok(Self(value))
        } else {
            Err(BadValue(format!("{value} is out of bounds: give a number from {MIN} to {MAX}")))
        }
    }
}

impl<const MIN: u64, const MAX: u64> From<Within<MIN, MAX>> for u64 {
    fn from(value: Within<MIN, MAX>) -> Self {
        value.0
    }
}

/// A UDP port that needs no privilege, with a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WholeNumber", into = "u64")]
pub struct Port<const DEFAULT: u16>(u16);

impl<const DEFAULT: u16> Port<DEFAULT> {
    /// The port.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl<const DEFAULT: u16> Default for Port<DEFAULT> {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl<const DEFAULT: u16> TryFrom<WholeNumber> for Port<DEFAULT> {
    type Error = BadValue;

    fn try_from(WholeNumber(value): WholeNumber) -> Result<Self, BadValue> {
        match u16::try_from(value) {
            Ok(port) if port >= 1_024 => Ok(Self(port)),
            _ => Err(BadValue(format!("{value} is no usable port: give one from 1024 to 65535"))),
        }
    }
}

impl<const DEFAULT: u16> From<Port<DEFAULT>> for u64 {
    fn from(value: Port<DEFAULT>) -> Self {
        u64::from(value.0)
    }
}

/// At least one listening address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Addresses", into = "Vec<SocketAddr>")]
pub struct Listen(Vec<SocketAddr>);

impl Listen {
    /// The addresses; never empty.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.0
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self(vec![SocketAddr::from(([127, 0, 0, 1], 8_080))])
    }
}

impl TryFrom<Addresses> for Listen {
    type Error = BadValue;

    fn try_from(Addresses(addresses): Addresses) -> Result<Self, BadValue> {
        if addresses.is_empty() {
            return Err(BadValue("no address to listen on: give at least one as ADDRESS:PORT".into()));
        }
        Ok(Self(addresses))
    }
}

impl From<Listen> for Vec<SocketAddr> {
    fn from(value: Listen) -> Self {
        value.0
    }
}

/// How many shards run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TextOrNumber", into = "TextOrNumber")]
pub enum ShardChoice {
    /// One for each CPU that this process may use.
    #[default]
    Auto,
    /// This many.
    Fixed(u8),
}

impl ShardChoice {
    /// Shards that there may be at most; a candidate address names the shard by one of 64 characters.
    pub const MOST: u8 = 64;

    /// The largest number of shards that this choice can lead to. `Auto` takes what fits.
    pub const fn most(self) -> u64 {
        match self {
            Self::Auto => 1,
            Self::Fixed(count) => count as u64,
        }
    }
}

impl TryFrom<TextOrNumber> for ShardChoice {
    type Error = BadValue;

    fn try_from(value: TextOrNumber) -> Result<Self, BadValue> {
        match value {
            TextOrNumber::Word(word) if word == "auto" => Ok(Self::Auto),
            TextOrNumber::Count(count) if (1..=u64::from(Self::MOST)).contains(&count) => {
                Ok(Self::Fixed(u8::try_from(count).unwrap_or(Self::MOST)))
            }
            TextOrNumber::Count(count) => {
                Err(BadValue(format!("{count} shards cannot be: give a number from 1 to {}", Self::MOST)))
            }
            TextOrNumber::Word(word) => Err(BadValue(format!(
                "{word:?} is no number of shards: give one from 1 to {}, or auto",
                Self::MOST
            ))),
        }
    }
}

impl From<ShardChoice> for TextOrNumber {
    fn from(value: ShardChoice) -> Self {
        match value {
            ShardChoice::Auto => Self::Word("auto".into()),
            ShardChoice::Fixed(count) => Self::Count(u64::from(count)),
        }
    }
}

/// Which TCP port serves clients whose network lets no UDP through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TextOrNumber", into = "TextOrNumber")]
pub enum TcpPort {
    /// The number of the first shard's UDP port; none if it is taken.
    #[default]
    Auto,
    /// None.
    Off,
    /// This one.
    Fixed(u16),
}

impl TryFrom<TextOrNumber> for TcpPort {
    type Error = BadValue;

    fn try_from(value: TextOrNumber) -> Result<Self, BadValue> {
        match value {
            TextOrNumber::Word(word) if word == "auto" => Ok(Self::Auto),
            TextOrNumber::Word(word) if word == "off" => Ok(Self::Off),
            TextOrNumber::Count(port) => match u16::try_from(port) {
                Ok(port) if port > 0 => Ok(Self::Fixed(port)),
                _ => Err(BadValue(format!("{port} is no TCP port: give one from 1 to 65535"))),
            },
            TextOrNumber::Word(word) => {
                Err(BadValue(format!("{word:?} is no TCP port: give a number from 1 to 65535, auto or off")))
            }
        }
    }
}

impl From<TcpPort> for TextOrNumber {
    fn from(value: TcpPort) -> Self {
        match value {
            TcpPort::Auto => Self::Word("auto".into()),
            TcpPort::Off => Self::Word("off".into()),
            TcpPort::Fixed(port) => Self::Count(u64::from(port)),
        }
    }
}

/// How datagrams reach the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IoChoice {
    /// io_uring where the kernel has it, else mmsg.
    #[default]
    Auto,
    /// io_uring.
    Uring,
    /// recvmmsg and sendmmsg.
    Mmsg,
}

/// How datagrams of a single port reach their shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SteeringChoice {
    /// By the kernel where it permits that, else handed over.
    #[default]
    Auto,
    /// By a program in the kernel, which takes CAP_BPF.
    Kernel,
    /// Handed over from shard to shard.
    Handover,
}

/// Who begins the DTLS handshake where a client leaves that to us.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DtlsRole {
    /// We do with current browsers, whose media then starts a round trip earlier.
    #[default]
    Auto,
    /// The client.
    Passive,
}

/// An address under which others reach us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Advertise {
    /// The local address that it stands for; `None` for every one of its family except loopback.
    pub local: Option<IpAddr>,
    /// The address to tell clients.
    pub public: IpAddr,
}

impl Advertise {
    /// Whether it stands for the given local address.
    pub fn covers(&self, address: IpAddr) -> bool {
        match self.local {
            Some(local) => local == address,
            None => !address.is_loopback() && address.is_ipv4() == self.public.is_ipv4(),
        }
    }
}

impl FromStr for Advertise {
    type Err = BadValue;

    fn from_str(text: &str) -> Result<Self, BadValue> {
        let (local, public) = match text.split_once('=') {
            Some((local, public)) => (Some(address(local)?), address(public)?),
            None => (None, address(text)?),
        };
        if local.is_some_and(|local| local.is_ipv4() != public.is_ipv4()) {
            return Err(BadValue(format!("{text:?} mixes IPv4 and IPv6: give both of one family")));
        }
        Ok(Self { local, public })
    }
}

/// Reads an address that a machine can have.
pub(super) fn address(text: &str) -> Result<IpAddr, BadValue> {
    match text.trim().parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() && !address.is_multicast() => Ok(address),
        Ok(address) if address.is_unspecified() => Err(BadValue(format!(
            "{text:?} stands for all addresses: leave the list empty for that, or name one of this machine"
        ))),
        Err(_) if text.trim().parse::<SocketAddr>().is_ok() => {
            Err(BadValue(format!("{text:?} has a port: give the address alone, the port is media.port")))
        }
        _ => Err(BadValue(format!("{text:?} is no address of a machine: give an IPv4 or IPv6 address"))),
    }
}

impl TryFrom<String> for Advertise {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        text.parse()
    }
}

impl From<Advertise> for String {
    fn from(value: Advertise) -> Self {
        match value.local {
            Some(local) => format!("{local}={}", value.public),
            None => value.public.to_string(),
        }
    }
}

/// An application's id: 1 to 64 letters, digits, `_` or `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(String);

impl AppId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for AppId {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(BadValue(format!("{text:?} is no app id: use 1 to 64 letters, digits, _ or -")))
        }
    }
}

impl From<AppId> for String {
    fn from(value: AppId) -> Self {
        value.0
    }
}

/// Name of a stream: 1 to 128 letters, digits, `_`, `-`, `.` or `~`, which URLs hold as they are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamName(String);

impl StreamName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for StreamName {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.~".contains(&byte);
        if (1..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text))
        } else {
            Err(BadValue(format!(
                "{text:?} is no name of a stream: use 1 to 128 letters, digits, _, -, . or ~"
            )))
        }
    }
}

impl From<StreamName> for String {
    fn from(value: StreamName) -> Self {
        value.0
    }
}

/// A web origin, such as `https://example.com`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Origin(String);

impl Origin {
    /// The origin as browsers write it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Origin {
    type Error = BadValue;

    fn try_from(text: String) -> Result<Self, BadValue> {
        let host = text.split_once("://").map(|(_, host)| host);
        let plain = |host: &str| !host.is_empty() && !host.contains('/') && host.is_ascii();
        if host.is_some_and(plain) {
            Ok(Self(text))
        } else {
            Err(BadValue(format!("{text:?} is no origin: write it as https://example.com, without a path")))
        }
    }
}

impl From<Origin> for String {
    fn from(value: Origin) -> Self {
        value.0
    }
}
