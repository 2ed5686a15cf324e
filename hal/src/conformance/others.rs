//! Screen, power and health.

use super::{Checked, Circumstances, Suite, holds};
use crate::{
    api::{Health, Power, Screen},
    operation::{OpenMenuParameters, open_menu::Menu},
};

pub(super) async fn screen(suite: &mut Suite, screen: &dyn Screen, at: &Circumstances) {
    let name = "every menu opens";
    suite.check("screen", name, menus(screen, at)).await;
    let name = "a message is shown and taken away";
    suite.check("screen", name, message(screen)).await;
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

pub(super) async fn power(suite: &mut Suite, power: &dyn Power) {
    let name = "the boot has one identity and a reason";
    suite.check("power", name, boot(power)).await;
}

async fn boot(power: &dyn Power) -> Checked {
    let (first, second) = (power.boot_id().await?, power.boot_id().await?);
    holds(first == second && !first.0.is_nil(), || format!("{first}, then {second}"))?;
    let (first, second) = (power.reset_cause().await?, power.reset_cause().await?);
    holds(first == second, || format!("{first:?}, then {second:?}"))
}

pub(super) async fn health(suite: &mut Suite, health: &dyn Health) {
    let name = "the state of the terminal is within its limits";
    suite.check("health", name, state(health)).await;
}

async fn state(health: &dyn Health) -> Checked {
    let state = health.health().await?;
    holds(state == state.clone().bounded(), || format!("{state:?}"))?;
    holds(!state.locked, || "still locked".to_owned())
}
