//! The power is cut between any two changes of the medium, in every life of an update. Whatever
//! the moment, a whole system boots, and the update ends with one verdict that is true.

use super::*;

/// More boots than any update needs.
const BOOTS_MAX: usize = 8;

/// How a life of the process ended.
enum End {
    PowerCut,
    Restart,
    Verdict(UpdateState),
}

/// What the agent does with an update in one life of its process.
fn live(bench: &Bench, line: &PowerLine) -> End {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let disk = Disk { power: line.clone() };
        let Ok(firmware) = SlotFirmware::open_on(disk, bench.config(), bench.around()) else {
            return End::PowerCut;
        };
        loop {
            let state = firmware.query_update(ID).await;
            let end = match state {
                Ok(UpdateState::NotStarted) => match install(&firmware, &now()).await {
                    Ok(InstallOutcome::RestartRequired) => End::Restart,
                    Ok(InstallOutcome::AlreadyRunning(result)) => {
                        End::Verdict(UpdateState::Committed(result))
                    }
                    Err(failure) => End::Verdict(UpdateState::Failed(failure)),
                },
                Ok(UpdateState::RestartRequired) => End::Restart,
                Ok(UpdateState::Running) | Err(_) if !line.is_cut() => {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    continue;
                }
                Ok(state) => End::Verdict(state),
                Err(_) => End::PowerCut,
            };
            return if line.is_cut() { End::PowerCut } else { end };
        }
    })
}

/// Lives until there is a verdict; the power is cut after `steps` changes of the life `cut_life`.
/// Whether it was, and the verdict.
fn story(bench: &Bench, cut_life: usize, steps: usize) -> (bool, UpdateState) {
    let mut was_cut = false;
    for life in 0..BOOTS_MAX {
        let line =
            if life == cut_life { PowerLine::cut_after(steps) } else { PowerLine::default() };
        let end = live(bench, &line);
        was_cut |= matches!(end, End::PowerCut);
        if let End::Verdict(verdict) = end {
            return (was_cut, verdict);
        }
        bench.boot();
        bench.running();
    }
    panic!("no verdict within {BOOTS_MAX} boots");
}

fn every_cut(health_check: &'static str, cut_life: usize) -> usize {
    for steps in 0.. {
        let bench = Bench { health_check, ..Bench::new() };
        let (was_cut, verdict) = story(&bench, cut_life, steps);
        // One more boot changes nothing, and neither does asking again.
        bench.boot();
        let (_, again) = story(&bench, usize::MAX, 0);
        assert_eq!(again, verdict, "life {cut_life}, cut after {steps}");
        let (slot, version) = bench.running();
        match &verdict {
            UpdateState::Committed(result) => {
                assert_eq!((slot.as_str(), version.as_str()), ("slot-b", NEW));
                assert_eq!((result.from.as_str(), result.to.as_str()), (OLD, NEW));
                assert!(result.installed && health_check == "/bin/true");
                let active = fs::read_link(bench.path("slots/active")).unwrap();
                assert_eq!(active, Path::new("slot-b"), "committed, and not kept");
            }
            UpdateState::Failed(failure) => {
                assert_eq!((slot.as_str(), version.as_str()), ("slot-a", OLD), "{failure}");
                assert_eq!(failure.code, ErrorCode::RolledBack, "{failure}");
            }
            UpdateState::NotStarted
            | UpdateState::Running
            | UpdateState::RestartRequired
            | UpdateState::Unknown => panic!("{verdict:?}"),
        }
        if !was_cut {
            return steps;
        }
    }
    unreachable!()
}

#[test]
fn a_power_cut_at_any_step_of_an_installation_leaves_a_whole_system_and_one_verdict() {
    let cuts = every_cut("/bin/true", 0);
    assert!(cuts > 20, "{cuts}");
}

#[test]
fn a_power_cut_at_any_step_of_a_trial_that_passes_leaves_a_whole_system_and_one_verdict() {
    let cuts = every_cut("/bin/true", 1);
    assert!(cuts > 10, "{cuts}");
}

#[test]
fn a_power_cut_at_any_step_of_a_trial_that_fails_leaves_the_old_system_and_one_verdict() {
    let cuts = every_cut("/bin/false", 1);
    assert!(cuts > 4, "{cuts}");
    let cuts = every_cut("/bin/false", 2);
    assert!(cuts > 2, "{cuts}");
}
