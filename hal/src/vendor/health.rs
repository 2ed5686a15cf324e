//! State of the terminal, as far as the payment application knows it.

use serde_json::Value;

use super::{
    Vendor,
    request::{Effect, unreadable},
    wire::{Empty, method},
};
use crate::{
    answer,
    api::{HalFuture, Health},
    status::TerminalHealth,
};

impl Health for Vendor {
    fn health(&self) -> HalFuture<'_, TerminalHealth> {
        Box::pin(async {
            let said: Value = self.ask(method::HEALTH, &Empty {}).await?;
            answer::health(said).map_err(|error| unreadable(method::HEALTH, &error, Effect::None))
        })
    }
}
