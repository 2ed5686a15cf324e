//! The capabilities that a program can serve.

use std::time::Duration;

use serde_json::json;

use super::ask::{Ask, ExecProgram};
use crate::{
    answer,
    api::{Call, HalFuture, Health, SCREEN_MESSAGE_CHARS_MAX, Screen},
    error::Effect,
    operation::{OpenMenuParameters, OpenMenuResult},
    status::TerminalHealth,
    text::bounded,
};

/// A message may take this long to be shown.
const MESSAGE_TIME_MAX: Duration = Duration::from_secs(5);
/// The state of the terminal may take this long to be told: less than the agent waits for one of
/// several sources, so that what it says about a slow program names it.
const HEALTH_TIME_MAX: Duration = Duration::from_millis(1_500);

impl Screen for ExecProgram {
    fn open_menu<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a OpenMenuParameters,
    ) -> HalFuture<'a, OpenMenuResult> {
        Box::pin(async move {
            let time_left_ms = u64::try_from(call.time_left.as_millis()).unwrap_or(u64::MAX);
            let ask = Ask {
                method: "screen.open_menu",
                params: json!({
                    "operation_id": call.id, "attempt": call.attempt,
                    "time_left_ms": time_left_ms, "parameters": parameters,
                }),
                effect: Effect::Possible,
                time: call.time_left,
                cancellation: Some(&call.cancellation),
            };
            let result = self.ask(&ask).await?;
            serde_json::from_value(result).map_err(|error| self.unreadable(&ask, &error))
        })
    }

    fn show_message<'a>(&'a self, message: Option<&'a str>) -> HalFuture<'a, ()> {
        Box::pin(async move {
            let message = message.map(|text| bounded(text, SCREEN_MESSAGE_CHARS_MAX));
            let ask = Ask {
                method: "screen.show_message",
                params: json!({ "message": message }),
                effect: Effect::Possible,
                time: MESSAGE_TIME_MAX,
                cancellation: None,
            };
            self.ask(&ask).await.map(drop)
        })
    }
}

impl Health for ExecProgram {
    fn health(&self) -> HalFuture<'_, TerminalHealth> {
        Box::pin(async {
            let ask = Ask {
                method: "health.read",
                params: json!({}),
                effect: Effect::None,
                time: HEALTH_TIME_MAX,
                cancellation: None,
            };
            let result = self.ask(&ask).await?;
            answer::health(result).map_err(|error| self.unreadable(&ask, &error))
        })
    }
}
