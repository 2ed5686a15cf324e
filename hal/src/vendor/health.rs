//! State of the terminal, as far as the payment application knows it.

use serde_json::Value;

use super::{
    Vendor,
    lenient::forget_unreadable,
    request::{Effect, read},
    wire::{Empty, method},
};
use crate::{
    api::{HalFuture, Health},
    status::{Batch, Network, OfflineQueue, PowerSource, Printer, TerminalHealth},
};

impl Health for Vendor {
    fn health(&self) -> HalFuture<'_, TerminalHealth> {
        Box::pin(async {
            let mut answer: Value = self.ask(method::HEALTH, &Empty {}).await?;
            forget_unreadable::<Option<u8>>(&mut answer, "battery_level");
            forget_unreadable::<Option<PowerSource>>(&mut answer, "power");
            forget_unreadable::<Option<Network>>(&mut answer, "network");
            forget_unreadable::<Option<Printer>>(&mut answer, "printer");
            forget_unreadable::<Option<OfflineQueue>>(&mut answer, "offline_queue");
            forget_unreadable::<Option<Batch>>(&mut answer, "batch");
            let health: TerminalHealth = read(method::HEALTH, answer, Effect::None)?;
            Ok(health.bounded())
        })
    }
}
