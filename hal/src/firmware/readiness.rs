//! Whether now is a time to download and install.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use super::{Time, window::Window};
use crate::{
    ErrorCode, Failure,
    operation::{UpdateParameters, update::Apply},
    status::{PowerSource, TerminalHealth},
};

/// Charge below which an installation is blocked, as `check_update` sees it.
const BATTERY_PERCENT_MIN: u8 = 50;
/// A fleet spreads over this part of its window.
const WINDOW_SPREAD: u32 = 4;

/// Refuses a download that should not begin now.
pub(super) fn check_download(
    health: &TerminalHealth,
    parameters: &UpdateParameters,
    is_remote: bool,
) -> Result<(), Failure> {
    check_battery(health, parameters.min_battery_percent)?;
    if is_remote && !parameters.allow_metered && health.network.is_some_and(|n| n.metered) {
        let reason = "the network is metered and allow_metered is false";
        return Err(Failure::new(ErrorCode::NetworkUnavailable, reason));
    }
    Ok(())
}

/// Refuses an installation that should not begin now.
pub(super) fn check_install(
    health: &TerminalHealth,
    parameters: &UpdateParameters,
    window: Window,
    time: Time,
) -> Result<(), Failure> {
    check_battery(health, parameters.min_battery_percent)?;
    match parameters.apply {
        Apply::Now => Ok(()),
        Apply::Window => check_window(window, time),
        Apply::OnIdle if health.payment_active => {
            Err(Failure::new(ErrorCode::BusyPayment, "a payment is in progress"))
        }
        Apply::OnIdle => Ok(()),
    }
}

/// Why an installation would be refused now.
pub(super) fn blocked_by(health: &TerminalHealth, window: Window, time: Time) -> Vec<ErrorCode> {
    let blocks = [
        (check_battery(health, BATTERY_PERCENT_MIN).is_err(), ErrorCode::LowBattery),
        (!time.is_trusted, ErrorCode::ClockUntrusted),
        (check_window(window, time).is_err(), ErrorCode::OutsideWindow),
        (health.payment_active, ErrorCode::BusyPayment),
    ];
    blocks.into_iter().filter_map(|(blocked, code)| blocked.then_some(code)).collect()
}

fn check_battery(health: &TerminalHealth, percent_min: u8) -> Result<(), Failure> {
    let mains = matches!(health.power, Some(PowerSource::Mains | PowerSource::Charging));
    match health.battery_level {
        Some(level) if level < percent_min && !mains => {
            let reason = format!("battery at {level} percent without mains, want {percent_min}");
            Err(Failure::new(ErrorCode::LowBattery, reason))
        }
        Some(_) | None => Ok(()),
    }
}

/// That nobody may vouch for the time is the agent's concern: it does not ask then.
fn check_window(window: Window, time: Time) -> Result<(), Failure> {
    match window.opens_in_s(time.now) {
        0 => Ok(()),
        wait_s => Err(Failure::new(ErrorCode::OutsideWindow, "the maintenance window is closed")
            .with_retry_after_s(wait_s + spread(window))),
    }
}

fn spread(window: Window) -> u32 {
    let most = u64::from(window.length_s() / WINDOW_SPREAD).max(1);
    let random = RandomState::new().build_hasher().finish();
    u32::try_from(random % most).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Timestamp,
        status::{Network, NetworkKind},
    };

    fn time(is_trusted: bool) -> Time {
        Time { now: Timestamp::parse("2026-06-29T09:00:00Z").unwrap(), is_trusted }
    }

    fn parameters(apply: Apply) -> UpdateParameters {
        UpdateParameters { apply, ..UpdateParameters::default() }
    }

    fn all_day() -> Window {
        Window::parse("00:00-23:59").unwrap()
    }

    #[test]
    fn a_low_battery_is_refused_at_the_limit_unless_there_is_mains() {
        let code = |battery_level, power| {
            let health = TerminalHealth { battery_level, power, ..TerminalHealth::default() };
            let parameters = parameters(Apply::Now);
            check_download(&health, &parameters, true).err().map(|failure| failure.code)
        };
        assert_eq!(code(Some(49), Some(PowerSource::Battery)), Some(ErrorCode::LowBattery));
        assert_eq!(code(Some(49), Some(PowerSource::Insufficient)), Some(ErrorCode::LowBattery));
        assert_eq!(code(Some(50), Some(PowerSource::Battery)), None);
        assert_eq!(code(Some(1), Some(PowerSource::Mains)), None);
        assert_eq!(code(None, None), None);
    }

    #[test]
    fn a_metered_network_is_not_used_unless_that_is_allowed() {
        let network = Some(Network { kind: NetworkKind::Cellular, rssi_dbm: None, metered: true });
        let health = TerminalHealth { network, ..TerminalHealth::default() };
        let mut parameters = parameters(Apply::Now);
        let failure = check_download(&health, &parameters, true).unwrap_err();
        assert_eq!(failure.code, ErrorCode::NetworkUnavailable);
        assert_eq!(check_download(&health, &parameters, false), Ok(()), "a stick is not metered");
        parameters.allow_metered = true;
        assert_eq!(check_download(&health, &parameters, true), Ok(()));
    }

    #[test]
    fn outside_the_window_the_wait_ends_within_the_next_one() {
        let second_of_day =
            |time: Time| 24 * 3600 - Window::parse("00:00-00:01").unwrap().opens_in_s(time.now);
        let begun = second_of_day(time(true)) / 60;
        let at = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        let window = Window::parse(&format!("{}-{}", at(begun + 120), at(begun + 180))).unwrap();
        let health = TerminalHealth::default();
        let failure =
            check_install(&health, &parameters(Apply::Window), window, time(true)).unwrap_err();
        assert_eq!(failure.code, ErrorCode::OutsideWindow);
        let wait_s = failure.retry_after_s.unwrap();
        assert!((7_200 - 60..7_200 + 900).contains(&wait_s), "{wait_s}");
        assert_eq!(check_install(&health, &parameters(Apply::Now), window, time(true)), Ok(()));
        assert_eq!(blocked_by(&health, window, time(true)), [ErrorCode::OutsideWindow]);
        let blocked = blocked_by(&health, window, time(false));
        assert_eq!(blocked, [ErrorCode::ClockUntrusted, ErrorCode::OutsideWindow]);
    }

    #[test]
    fn an_installation_on_idle_does_not_begin_during_a_payment() {
        let health = TerminalHealth { payment_active: true, ..TerminalHealth::default() };
        let failure =
            check_install(&health, &parameters(Apply::OnIdle), all_day(), time(true)).unwrap_err();
        assert_eq!(failure.code, ErrorCode::BusyPayment);
    }
}
