//! The screen.

use super::{Checked, Circumstances, Suite, holds};
use crate::{
    api::Screen,
    operation::{OpenMenuParameters, open_menu::Menu},
};

pub(super) async fn checks(suite: &mut Suite, screen: &dyn Screen, at: &Circumstances) {
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
