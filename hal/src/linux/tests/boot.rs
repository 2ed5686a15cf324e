//! Why the device booted: what is told apart, and that nothing is made up.

use super::*;
use crate::operation::reboot::BootReason;

async fn cause(system: &System) -> BootReason {
    system.hal().power.unwrap().reset_cause().await.unwrap()
}

fn with_marks() -> System {
    let mut system = System::new();
    system.config.boot.cause_file = Some(system.path("cause"));
    system.config.boot.daily_mark = Some(system.path("daily"));
    system
}

#[tokio::test]
async fn a_watchdog_remembers_that_it_has_fired() {
    for (bits, want) in [
        ("32", BootReason::Watchdog),
        ("0", BootReason::Unknown),
        ("16", BootReason::Power),
        ("1", BootReason::Unknown),
        ("0x20", BootReason::Unknown),
        ("", BootReason::Unknown),
    ] {
        let system = System::new().with(&[
            ("sys/class/watchdog/watchdog0/bootstatus", "0"),
            ("sys/class/watchdog/watchdog1/bootstatus", bits),
        ]);
        assert_eq!(cause(&system).await, want, "{bits}");
    }
    assert_eq!(cause(&System::new()).await, BootReason::Unknown);
}

#[tokio::test]
async fn what_the_firmware_says_comes_before_the_watchdog() {
    let watchdog = ("sys/class/watchdog/watchdog0/bootstatus", "32");
    for (word, want) in [
        ("power", BootReason::Power),
        ("daily", BootReason::Daily),
        ("watchdog", BootReason::Watchdog),
        ("requested", BootReason::Requested),
        ("unknown", BootReason::Watchdog),
        ("lightning", BootReason::Watchdog),
        ("", BootReason::Watchdog),
    ] {
        let system = with_marks().with(&[watchdog, ("cause", word)]);
        assert_eq!(cause(&system).await, want, "{word}");
    }
}

#[tokio::test]
async fn a_daily_restart_is_one_for_the_whole_boot_that_follows_it_and_no_longer() {
    let system = with_marks();
    assert_eq!(cause(&system).await, BootReason::Unknown);
    // It is about to come: this boot is still the one that it was.
    system.write("daily", BOOT_1);
    assert_eq!(cause(&system).await, BootReason::Unknown);
    system.boots_as(BOOT_2);
    for _ in 0..3 {
        assert_eq!(cause(&system).await, BootReason::Daily);
    }
    // Nobody removes the mark.
    system.boots_as(BOOT_3);
    assert_eq!(cause(&system).await, BootReason::Unknown);
    system.write("daily", BOOT_3);
    system.boots_as(BOOT_1);
    assert_eq!(cause(&system).await, BootReason::Daily);
}

#[tokio::test]
async fn a_mark_that_is_written_before_the_agent_starts_is_seen_by_the_next_boot() {
    let system = with_marks();
    assert_eq!(cause(&system).await, BootReason::Unknown);
    system.boots_as(BOOT_2);
    system.write("daily", BOOT_2);
    assert_eq!(cause(&system).await, BootReason::Unknown);
    system.boots_as(BOOT_3);
    assert_eq!(cause(&system).await, BootReason::Daily);
}

#[tokio::test]
async fn a_mark_of_unknown_age_or_without_sense_proves_nothing() {
    let system = with_marks().with(&[("daily", BOOT_2)]);
    assert_eq!(cause(&system).await, BootReason::Unknown);
    let system = with_marks();
    cause(&system).await;
    system.write("daily", "tomorrow");
    system.boots_as(BOOT_2);
    assert_eq!(cause(&system).await, BootReason::Unknown);
    // A memory that was cut off is none.
    system.write("memory", "{\"boot");
    system.write("daily", BOOT_2);
    system.boots_as(BOOT_3);
    assert_eq!(cause(&system).await, BootReason::Unknown);
}
