//! The screen.

use super::{Checked, Circumstances, Suite, Trouble, holds};
use crate::{
    api::{Health, Screen},
    operation::{OpenMenuParameters, open_menu::Menu},
    status::{ScreenView, Showing},
};

pub(super) async fn checks(
    suite: &mut Suite,
    screen: &dyn Screen,
    health: Option<&dyn Health>,
    at: &Circumstances,
) {
    let name = "a message is shown and taken away";
    suite.check("screen", name, message(screen)).await;
    if let Some(health) = health {
        let name = "what it tells of the screen is what was asked for";
        suite.check("screen", name, agrees(screen, health, at)).await;
    }
    let name = "every menu opens";
    suite.check("screen", name, menus(screen, at)).await;
}

async fn menus(screen: &dyn Screen, at: &Circumstances) -> Checked {
    for menu in [Menu::Settings, Menu::Network, Menu::Reports, Menu::Diagnostics] {
        let (call, _handle) = at.call();
        let parameters = OpenMenuParameters { menu, timeout_s: 10 };
        let opened = screen.open_menu(&call, &parameters).await?;
        holds(opened.opened_at.unix_ms() > 0, || format!("{menu:?}: {opened:?}"))?;
    }
    Ok(())
}

async fn message(screen: &dyn Screen) -> Checked {
    screen.show_message(Some("ACT-7X9K-2M4P")).await?;
    Ok(screen.show_message(None).await?)
}

/// A source that does not speak of the screen may be another program than the screen.
async fn told(health: &dyn Health) -> Result<ScreenView, Trouble> {
    let unknown = || Trouble::Skipped("it does not tell what is on the screen".to_owned());
    health.health().await?.screen.ok_or_else(unknown)
}

async fn agrees(screen: &dyn Screen, health: &dyn Health, at: &Circumstances) -> Checked {
    told(health).await?;
    screen.show_message(Some("Service until 9")).await?;
    let shown = told(health).await;
    screen.show_message(None).await?;
    let wanted = ScreenView { showing: Showing::Message, text: "Service until 9".to_owned() };
    holds(shown.as_ref().is_ok_and(|shown| *shown == wanted), || "not the message".to_owned())?;
    let after = told(health).await?;
    holds(after.showing != Showing::Message, || format!("it was taken away: {after:?}"))?;
    let (call, _handle) = at.call();
    let parameters = OpenMenuParameters { menu: Menu::Reports, timeout_s: 10 };
    let opened = screen.open_menu(&call, &parameters).await?;
    let after = told(health).await?;
    let is_menu = after.showing == Showing::Menu && after.text == "reports";
    holds(is_menu == opened.shown, || format!("menu shown is {}: {after:?}", opened.shown))
}
