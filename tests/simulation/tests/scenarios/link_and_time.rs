//! Rules 15 to 18: one link, when to come again, whose time counts, and the configuration.

use terminal_hal::{ErrorCode, OperationKind};
use terminal_simulation::{
    plan::{PowerLoss, Setting, What},
    world::World,
};

use crate::support::{
    HOUR_MS, MINUTE_MS, begin_with, begin_with_seed, code, connect, connected, crash_after,
    effects, end, is_completed, order, plain, planned, power_cut, starts, until_started, verdict,
};

/// How long the terminal stays away from now on.
fn away_ms(world: &mut World) -> u64 {
    let begin = world.now;
    let opened = world.counters.of("link", "opened");
    let back = world.run_until_that(3 * HOUR_MS, |w| w.counters.of("link", "opened") > opened);
    assert!(back, "{:?}", world.violation);
    world.now - begin
}

// Rule 15
#[test]
fn cloned_images_do_not_fight_and_get_epochs_of_their_own() {
    let mut world = connected();
    let first = plain(&mut world, 1, OperationKind::EndOfDay);
    assert!(is_completed(&verdict(&mut world, first)));
    world.run_for(MINUTE_MS);
    world.apply(&What::Twin);
    let begin = world.now;
    let replaced =
        world.run_until_that(HOUR_MS, |world| world.counters.of("closed by the cloud", "4409") > 0);
    assert!(replaced);
    let links = world.counters.of("link", "opened");
    world.run_for(290_000);
    assert_eq!(world.counters.of("link", "opened"), links, "came back before 300 s");
    world.run_for(2 * HOUR_MS);
    let replacements = world.counters.of("closed by the cloud", "4409");
    let most = 2 + (world.now - begin) / 300_000;
    assert!(replacements >= 2 && replacements <= most, "{replacements}");
    let epochs: Vec<_> =
        world.devices.iter().map(|d| d.store.meta.clone().unwrap().store_epoch).collect();
    assert_ne!(epochs[0], epochs[1]);
    assert_eq!(effects(&world, first), 1);
    let second = plain(&mut world, 2, OperationKind::OpenMenu);
    verdict(&mut world, second);
    assert!(world.devices.iter().map(|d| d.hardware.effects(second)).sum::<u32>() <= 1);
    end(world);
}

// Rule 15
#[test]
fn a_refusal_that_coming_back_does_not_cure_is_not_met_with_coming_back_soon() {
    for code in [1008, 4401, 4403] {
        let mut world = connected();
        world.apply(&What::CloudClose { code });
        assert!(away_ms(&mut world) >= 60_000, "{code}");
        end(world);
    }
    for code in [1000, 1001, 1011, 4408] {
        let mut world = connected();
        world.apply(&What::CloudClose { code });
        assert!(away_ms(&mut world) < 3_000, "{code}");
        end(world);
    }
}

// Rule 16
#[test]
fn a_cloud_that_says_nothing_is_left_after_15_s_and_one_that_acks_nothing_after_60() {
    let mut world = begin_with(Setting::default());
    world.apply(&What::CloudMute { ms: 60_000 });
    world.run_for(MINUTE_MS);
    assert!(world.counters.of("closed by the terminal", "4408") >= 1);
    connect(&mut world);

    let id = plain(&mut world, 1, OperationKind::CheckUpdate);
    until_started(&mut world, id);
    world.apply(&What::CloudMute { ms: 10 * MINUTE_MS });
    world.run_for(50_000);
    assert_eq!(world.counters.of("closed by the terminal", "1001"), 0);
    world.run_for(20_000);
    assert_eq!(world.counters.of("closed by the terminal", "1001"), 1);
    assert!(is_completed(&verdict(&mut world, id)));
    end(world);
}

// Rule 16
#[test]
fn a_peer_that_is_silent_is_noticed_within_one_and_a_half_heartbeats() {
    let mut world = begin_with(Setting { heartbeat_s: 60, ..Setting::default() });
    connect(&mut world);
    world.apply(&What::LinkDrop { lost: true, late_ms: 0, silent: true });
    let begin = world.now;
    let id = plain(&mut world, 1, OperationKind::EndOfDay);
    assert!(is_completed(&verdict(&mut world, id)));
    assert!(world.now - begin < 120_000, "{} ms", world.now - begin);
    end(world);
}

// Rule 16
#[test]
fn the_cloud_says_when_to_come_again() {
    let mut world = connected();
    world.apply(&What::CloudReconnect { after_s: 600, spread_s: 60 });
    let away = away_ms(&mut world);
    assert!((600_000..662_000).contains(&away), "{away}");
    end(world);

    let mut world = connected();
    world.apply(&What::CloudRefuses { ms: 10_000, retry_after_s: Some(900) });
    world.drop_link();
    assert!(away_ms(&mut world) >= 900_000);
    end(world);

    let mut world = connected();
    world.apply(&What::CloudRefuses { ms: 10_000, retry_after_s: None });
    world.drop_link();
    assert!(away_ms(&mut world) >= 60_000);
    end(world);
}

// Rule 17
#[test]
fn the_clouds_time_counts_after_a_boot_however_wrong_the_clock_is() {
    for clock_lost_ms in [None, Some(HOUR_MS)] {
        let mut world = connected();
        let first = order(
            &mut world,
            planned(1, OperationKind::OpenMenu, |planned| planned.hardware.latency_ms = 20_000),
        );
        let second = order(
            &mut world,
            planned(2, OperationKind::CheckUpdate, |planned| planned.ttl_s = 600),
        );
        until_started(&mut world, first);
        world.apply(&What::PowerCut(PowerLoss { off_ms: MINUTE_MS, clock_lost_ms }));
        assert!(is_completed(&verdict(&mut world, second)));
        world.apply(&What::NetworkDown { ms: 5_000, hangs: false });
        let third = order(
            &mut world,
            planned(3, OperationKind::CheckUpdate, |planned| planned.not_after_s = 1),
        );
        assert_eq!(code(&verdict(&mut world, third)), Some(ErrorCode::Expired));
        end(world);
    }
}

// Rule 17
#[test]
fn a_suspend_counts_as_time() {
    let mut world = connected();
    let first = order(
        &mut world,
        planned(1, OperationKind::CheckUpdate, |planned| planned.hardware.latency_ms = 5_000),
    );
    let second =
        order(&mut world, planned(2, OperationKind::CheckUpdate, |planned| planned.ttl_s = 120));
    until_started(&mut world, first);
    world.apply(&What::Suspend { ms: 10 * MINUTE_MS });
    assert_eq!(code(&verdict(&mut world, second)), Some(ErrorCode::Expired));
    assert_eq!(starts(&world, second), 0);
    end(world);
}

// Rule 18
#[test]
fn a_configuration_is_applied_once_it_is_durable_and_reported_once_it_is_in_force() {
    for effects_before in 0..4 {
        for rounds in 0..3 {
            let mut world = connected();
            world.apply(&What::Crash { rounds, effects: effects_before, power: None });
            world.apply(&What::Configuration);
            world.run_for(10 * MINUTE_MS);
            assert_eq!(world.devices[0].hardware.settings, 1, "{rounds}, {effects_before}");
            end(world);
        }
    }
}

// Rule 18
#[test]
fn a_power_cut_in_the_middle_leaves_the_configuration_to_the_next_boot() {
    for cut_after_ms in [5, 20, 500, 1_500, 3_000] {
        let mut world = connected();
        world.apply(&What::Configuration);
        world.run_for(cut_after_ms);
        world.apply(&power_cut(5_000));
        world.run_for(10 * MINUTE_MS);
        assert_eq!(world.devices[0].hardware.settings, 1);
        assert!(world.counters.of("configuration", "applied") >= 1);
        end(world);
    }
}

// Rule 18
#[test]
fn a_payment_application_that_restarts_gets_its_configuration_again() {
    let mut world = connected();
    world.apply(&What::Configuration);
    world.run_for(10 * MINUTE_MS);
    world.apply(&What::ApplicationDown { ms: 10_000 });
    assert_eq!(world.devices[0].hardware.settings, 0, "it forgets");
    world.run_for(10 * MINUTE_MS);
    assert_eq!(world.devices[0].hardware.settings, 1);
    end(world);
}

// Rule 18
#[test]
fn a_newer_revision_supersedes_and_a_rejected_one_leaves_the_one_before_in_force() {
    let setting = Setting { rejects_every: 3, application_ms: 0, ..Setting::default() };
    let mut world = begin_with(setting);
    connect(&mut world);
    world.apply(&What::Configuration);
    world.apply(&What::Configuration);
    world.run_for(10 * MINUTE_MS);
    assert_eq!(world.devices[0].hardware.settings, 2);
    world.apply(&crash_after(2));
    world.apply(&What::Configuration);
    world.run_for(10 * MINUTE_MS);
    assert_eq!(world.devices[0].hardware.settings, 2);
    assert!(world.counters.of("configuration", "rejected") >= 1);
    end(world);
}

// Rule 18
#[test]
fn what_came_into_force_without_an_answer_is_replaced_by_what_is_on_record() {
    let mut unanswered = 0;
    for seed in 0..60 {
        // Revision 3 is rejected.
        let setting = Setting { application_ms: 0, rejects_every: 3, ..Setting::default() };
        let mut world = begin_with_seed(seed, Setting { forgets_settings: false, ..setting });
        connect(&mut world);
        world.apply(&What::Configuration);
        world.run_for(3 * MINUTE_MS);
        let before = world.counters.of("configuration", "in force without an answer");
        world.apply(&What::Configuration);
        world.run_for(10_000);
        world.apply(&What::Configuration);
        world.run_for(10 * MINUTE_MS);
        unanswered += world.counters.of("configuration", "in force without an answer") - before;
        let rejected = world.cloud.stored.rejected.contains(&3);
        assert!(rejected, "seed {seed}: {:?}", world.cloud.stored.rejected);
        end(world);
    }
    assert!(unanswered > 0, "every call was answered");
}
