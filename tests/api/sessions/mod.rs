//! Sessions and what they carry, call by call.

mod change;
mod channels;
mod codecs;
mod order;
mod pull;
mod push;
mod stages;
mod state;
mod thirdparty;
