//! What holds for every call: how it is found, described and refused, and the connections that it comes by.

mod command;
mod description;
mod errors;
mod extensions;
mod golden;
mod places;
mod serving;
