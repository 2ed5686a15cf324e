//! Where credentials come from, how long certificates are good for, and how people see both.

use terminal_hal::Timestamp;

use super::Moment;

/// Where the terminal's credentials come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Its configuration.
    #[default]
    Configured,
    /// Enrolment, and what it has given so far.
    Enrolled(Option<Certificates>),
}

/// The certificates of a terminal that has been enrolled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificates {
    /// The newest one.
    pub newest: Certificate,
    /// The one before, until the cloud has accepted the newest.
    pub before: Option<Certificate>,
    /// The cloud has never welcomed any: what came with the newest may be wrong.
    pub on_probation: bool,
}

/// How long a certificate is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// From this moment.
    pub not_before: Timestamp,
    /// Up to this moment.
    pub not_after: Timestamp,
}

/// Who this terminal is to the cloud, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MembershipView {
    /// Where it stands.
    pub state: MembershipState,
    /// The code that somebody has to type in, and for how many milliseconds it is good.
    pub activation_code: Option<(String, u64)>,
    /// Of the identity in use.
    pub certificate: Option<Certificate>,
    /// What stood in the way the last time.
    pub problem: Option<String>,
}

/// Where a terminal stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MembershipState {
    /// Its credentials are in its configuration.
    Configured,
    /// It has no identity yet.
    NotEnrolled,
    /// It has an identity.
    Enrolled,
    /// The cloud does not accept its credentials any more.
    Deactivated,
}

impl Certificate {
    /// Before two thirds of its life, and not when a fleet that was enrolled together renews.
    pub(super) fn renew_at(&self, moment: &Moment) -> Timestamp {
        let life = self.life_ms();
        self.not_before.plus_ms(life / 2 + moment.jitter(life / 6))
    }

    /// Renewal has failed for long enough to tell somebody.
    pub(super) fn warn_at(&self) -> Timestamp {
        self.not_before.plus_ms(self.life_ms() / 6 * 5)
    }

    fn life_ms(&self) -> u64 {
        self.not_after.ms_since(self.not_before)
    }
}
