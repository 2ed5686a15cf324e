//! The screen, and how tests look at it.

use super::{MockTerminal, script::Method, shared::Shared, state::OpenMenu};
use crate::{
    api::{Call, HalFuture, SCREEN_MESSAGE_CHARS_MAX, Screen},
    operation::{OpenMenuParameters, OpenMenuResult, open_menu::Menu},
    status::{ScreenView, Showing},
    text::bounded,
};

impl Screen for MockTerminal {
    fn open_menu<'a>(
        &'a self,
        call: &'a Call,
        parameters: &'a OpenMenuParameters,
    ) -> HalFuture<'a, OpenMenuResult> {
        Box::pin(self.perform(Method::OpenMenu, Some(call), |shared| {
            let opened_at = shared.now;
            let closes_at = opened_at.plus_ms(u64::from(parameters.timeout_s) * 1000);
            // A customer who is paying is not interrupted.
            let shown = shared.live.payment.is_none();
            shared.commit(|state| {
                let menu = OpenMenu { menu: parameters.menu, opened_at, closes_at };
                state.screen.menu = Some(menu);
                state.count_effect(call.id, Method::OpenMenu);
                Ok(OpenMenuResult { opened_at, shown })
            })
        }))
    }

    fn show_message<'a>(&'a self, message: Option<&'a str>) -> HalFuture<'a, ()> {
        Box::pin(self.perform(Method::ShowMessage, None, move |shared| {
            shared.commit(|state| {
                state.screen.message = message.map(|text| bounded(text, SCREEN_MESSAGE_CHARS_MAX));
                Ok(())
            })
        }))
    }
}

impl MockTerminal {
    /// What is on the screen.
    pub fn screen(&self) -> ScreenView {
        view(&self.shared())
    }
}

pub(super) fn view(shared: &Shared) -> ScreenView {
    let (screen, live) = (&shared.state.screen, &shared.live);
    let menu = screen.menu.as_ref().filter(|menu| menu.closes_at > shared.now);
    // First what a customer or a shopkeeper must not miss.
    let (showing, text) = if live.payment.is_some() {
        (Showing::Payment, "")
    } else if live.closing.is_some() {
        (Showing::Busy, "Closing the batch")
    } else if let Some(menu) = menu {
        (Showing::Menu, menu_name(menu.menu))
    } else if let Some(message) = &screen.message {
        (Showing::Message, message.as_str())
    } else if let Some(message) = &screen.lock_message {
        (Showing::Locked, message.as_str())
    } else if live.hold.is_some() {
        (Showing::Busy, "One moment, please")
    } else {
        (Showing::Idle, screen.idle_message.as_str())
    };
    ScreenView { showing, text: text.to_owned() }
}

const fn menu_name(menu: Menu) -> &'static str {
    match menu {
        Menu::Settings => "settings",
        Menu::Network => "network",
        Menu::Reports => "reports",
        Menu::Diagnostics => "diagnostics",
    }
}
