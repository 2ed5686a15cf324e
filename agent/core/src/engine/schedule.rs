//! The daily end of day that the terminal begins by itself.
//!
//! The shell knows the time zone and says in [`Moment::calendar`](super::Moment::calendar) when the
//! schedule was due last and will be next; here is decided what follows. It begins only while
//! somebody vouches for the wall clock, and only within its window: a terminal that is switched on
//! in the morning does not close the evening's batch in trading hours.

use std::fmt;

use serde_json::Map;
use terminal_hal::{OperationKind, Timestamp};

use super::{
    Engine, LocalRequest, Monotonic,
    limits::{SCHEDULE_LOOK_MS_MAX, SCHEDULE_LOOK_MS_MIN},
    local::LocalTerms,
    output::Output,
};

/// What the schedule says at a moment, by the wall clock: `last.at` has come, `next` has not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calendar {
    /// The newest time that has come.
    pub last: Due,
    /// The one after it.
    pub next: Timestamp,
}

/// One time of the schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The day, as the terminal's time zone has it: there is one end of day for each.
    pub date: LocalDate,
    /// From then on it is to begin.
    pub at: Timestamp,
    /// From then on it is too late.
    pub until: Timestamp,
}

/// A day of a time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LocalDate {
    /// Of the common era.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

impl fmt::Display for LocalDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// What the engine remembers of the schedule; lost with the process.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// When it is looked at again; none without a schedule.
    pub(super) look_at: Option<Monotonic>,
    /// The day whose trouble has been logged.
    told: Option<LocalDate>,
}

impl Engine {
    /// Begins the end of day that is due, once for each local date.
    pub(super) fn begin_scheduled(&mut self, out: &mut Output<'_>) {
        let moment = out.moment;
        self.schedule.look_at = moment.calendar.map(|calendar| {
            // The wall clock may be set meanwhile, and the operation may have been refused.
            let ms = calendar.next.ms_since(moment.wall);
            moment.monotonic.plus_ms(ms.clamp(SCHEDULE_LOOK_MS_MIN, SCHEDULE_LOOK_MS_MAX))
        });
        let Some(due) = moment.calendar.map(|calendar| calendar.last) else { return };
        if !moment.wall_trusted || moment.wall < due.at {
            return;
        }
        let trigger = format!("schedule/{}/{}", OperationKind::EndOfDay, due.date);
        if self.is_known(self.local_id(&trigger)) {
            return;
        }
        if moment.wall >= due.until {
            let reason = "the terminal was off, its clock was not synchronised, or it was refused";
            return self.tell_of_trouble(due, reason);
        }
        let request = LocalRequest {
            trigger,
            kind: OperationKind::EndOfDay,
            parameters: Map::new(),
            created_by: "schedule".to_owned(),
        };
        // A memory that is lost may have known of it: the payment application is asked first.
        let ttl_ms = due.until.ms_since(moment.wall);
        let terms = LocalTerms { ttl_ms, may_have_run: true };
        if let Err(refusal) = self.take_local(&request, &terms, out) {
            self.tell_of_trouble(due, &refusal.reason);
        }
    }

    /// Once for each day: it is looked at again and again.
    fn tell_of_trouble(&mut self, due: Due, reason: &str) {
        if self.schedule.told != Some(due.date) {
            self.schedule.told = Some(due.date);
            tracing::warn!(date = %due.date, due = %due.at, reason, "no end of day as scheduled");
        }
    }
}
