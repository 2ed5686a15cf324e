//! The screen of the payment application.

use super::{
    Vendor, failure,
    request::{Effect, Ended, deadline, operation, read},
    wire::{Empty, ShowMessage, method},
};
use crate::{
    api::{Call, HalFuture, SCREEN_MESSAGE_CHARS_MAX, Screen},
    operation::{OpenMenuParameters, OpenMenuResult},
    text::bounded,
};

impl Screen for Vendor {
    fn open_menu<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a OpenMenuParameters,
    ) -> HalFuture<'a, OpenMenuResult> {
        Box::pin(async move {
            let params = operation(call, parameters.clone());
            let until = deadline(call);
            // Never sent twice: the person in front of the screen may have closed it.
            match self.send(method::OPEN_MENU, &params, Some(call), until).await {
                Ended::Answered(answer) => read(method::OPEN_MENU, answer, Effect::Possible),
                Ended::Refused(error) => {
                    Err(failure::refused(method::OPEN_MENU, &error, Effect::Possible))
                }
                Ended::NotSent(failure) => Err(failure),
                Ended::Lost(lost) => Err(lost.failure(method::OPEN_MENU, Effect::Possible)),
            }
        })
    }

    fn show_message<'a>(&'a self, message: Option<&'a str>) -> HalFuture<'a, ()> {
        Box::pin(async move {
            let message = message.map(|text| bounded(text, SCREEN_MESSAGE_CHARS_MAX));
            let Empty {} = self.ask(method::SHOW_MESSAGE, &ShowMessage { message }).await?;
            Ok(())
        })
    }
}
