//! How others talk to a supervisor: frames over the Unix socket `control.sock` in the container's directory.
//!
//! A frame is a byte that says its kind, the number of bytes that follow (32 bits, little endian), and these. Requests and
//! responses are frames of JSON; one response follows each request, in order. After the response to an attach request the
//! connection carries the container's output to the client and its input from it, and requests on it (resize, signal) are
//! not answered any more. Who may open the socket may do everything: it lies in a directory of mode 0700.
//!
//! The supervisor never waits for a client ([`Connection`]); clients wait for it ([`Control`], [`AttachStream`]).

mod client;
mod connection;
pub mod frame;
mod message;

pub use client::{AttachEvent, AttachStream, Control};
pub(crate) use connection::{Connection, Received};
pub use message::{AttachRequest, Refusal, Request, Response, Update};

/// The socket's name in the container's directory.
pub(crate) const SOCKET: &str = "control.sock";
