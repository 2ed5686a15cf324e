//! The section `[schedule]`: what the terminal begins by itself every day.

use serde::Deserialize;
use terminal_hal::firmware::second_of_day;

use super::Problems;
use crate::schedule::Schedule;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct RawSchedule {
    end_of_day: String,
    #[serde(default = "that_of_the_system")]
    time_zone: String,
    #[serde(default = "half_an_hour")]
    start_within_min: u64,
}

fn that_of_the_system() -> String {
    "localtime".to_owned()
}

const fn half_an_hour() -> u64 {
    30
}

pub(super) fn checked(raw: &RawSchedule, problems: &mut Problems<'_>) -> Option<Schedule> {
    let at_s = second_of_day(&raw.end_of_day);
    if at_s.is_none() {
        let problem = format!("got {:?}, want a time of the day such as \"23:30\"", raw.end_of_day);
        problems.add("schedule.end-of-day", &problem);
    }
    problems.range("schedule.start-within-min", raw.start_within_min, 5, 240);
    let window_ms = raw.start_within_min.saturating_mul(60_000);
    Schedule::new(&raw.time_zone, at_s.unwrap_or(0), window_ms)
        .inspect_err(|error| {
            let zone = &raw.time_zone;
            let wanted = "want a name such as \"Europe/Oslo\", which has to be in \
                          /usr/share/zoneinfo, or a rule such as \"CET-1CEST,M3.5.0,M10.5.0/3\"";
            problems.add("schedule.time-zone", &format!("got {zone:?}, {wanted} ({error})"));
        })
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn problems(text: &str) -> Vec<String> {
        let raw: RawSchedule = toml::from_str(text).unwrap();
        let mut problems = Problems { path: Path::new("agent.toml"), lines: Vec::new() };
        let schedule = checked(&raw, &mut problems);
        assert!(schedule.is_some() || !problems.is_empty());
        problems.lines
    }

    #[test]
    fn the_shipped_file_shows_every_key_with_a_value_that_works() {
        let shipped = include_str!("../../../packaging/agent.toml");
        let (_, section) = shipped.split_once("# [schedule]\n").unwrap();
        let (section, _) = section.split_once("\n\n").unwrap();
        let keys = section.lines().filter_map(|line| line.strip_prefix("# "));
        let keys = keys.filter(|line| line.contains(" = ")).collect::<Vec<_>>();
        assert_eq!(keys.len(), 3, "{keys:?}");
        // Not every machine that builds this has a table of time zones.
        let text = keys.join("\n").replace("Europe/Oslo", "CET-1CEST,M3.5.0,M10.5.0/3");
        assert_eq!(problems(&text), Vec::<String>::new());
    }

    #[test]
    fn every_problem_names_its_key_and_what_would_be_right() {
        assert_eq!(problems("end-of-day = \"23:30\"\ntime-zone = \"UTC0\""), Vec::<String>::new());
        let wrong =
            problems("end-of-day = \"24:00\"\ntime-zone = \"Europe/Olso\"\nstart-within-min = 4");
        let wants = [
            "schedule.end-of-day: got \"24:00\", want a time of the day",
            "schedule.start-within-min: got 4, want 5 to 240",
            "schedule.time-zone: got \"Europe/Olso\", want a name",
        ];
        assert_eq!(wrong.len(), wants.len(), "{wrong:?}");
        for (problem, want) in wrong.iter().zip(wants) {
            assert!(problem.contains(want), "{problem}");
        }
    }
}
