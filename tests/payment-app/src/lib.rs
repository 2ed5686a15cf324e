//! A simulated payment application as a process of its own, behind the vendor socket.
//!
//! The terminal itself is [`terminal_hal::mock`], with all its faults; here is only what stands
//! between it and the socket that `hal/VENDOR.md` describes, and a supervisor that starts it again
//! as a device would. It must never do what the specification does not allow.

mod dispatch;
mod process;
mod screen;
mod server;
mod session;

pub use process::{AppLaunch, PaymentApp, payment_app_binary, through_bridge};
pub use screen::draw;
pub use server::{ServerOptions, bind, serve};

/// Exit code of the process when the simulated device restarts.
pub const EXIT_REBOOT: u8 = 75;
