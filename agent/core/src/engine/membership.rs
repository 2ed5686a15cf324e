//! Whether the cloud knows this terminal: its identity, the activation code, when to renew, and
//! that it has been deactivated.
//!
//! What is decided here is carried out by `enrolling`.

use terminal_hal::Timestamp;

use super::{
    Backoff, BackoffSettings, Endpoint, LinkEnd, Moment, Monotonic, RequestKey,
    credentials::{Certificate, Certificates, Credentials, MembershipState, MembershipView},
    limits::{PROBATION_LINKS_MAX, RENEWAL_RETRY_MS_MAX, RENEWAL_RETRY_MS_MIN},
};
use crate::protocol::close_code;

#[derive(Debug)]
pub(super) struct Membership {
    standing: Standing,
    /// The cloud did not accept the credentials the last time.
    deactivated: bool,
    /// An `enrol_begin` that nothing has come of yet.
    pub(super) request: Option<Request>,
    code: Option<Code>,
    pub(super) problem: Option<String>,
    /// What the screen was told last; `None` when nobody knows.
    shown: Option<Option<String>>,
}

#[derive(Debug)]
enum Standing {
    Configured,
    Applicant,
    Member(Member),
}

#[derive(Debug)]
struct Member {
    certificates: Certificates,
    /// The newest certificate was not accepted and the one before is tried.
    uses_before: bool,
    /// The next link asks for another identity with the key of this one: the cloud has said that
    /// the certificate has expired, or no link comes about with what a first enrolment gave.
    lapsed: bool,
    /// Since the last link for operations enrolment has been asked. Whatever came of it, operations
    /// come next: the clock that says that the certificate has expired may be wrong.
    has_asked: bool,
    /// Links in a row that did not come about while on probation.
    failed_links: u32,
    renew_at: Timestamp,
    /// Waits between attempts to renew.
    renewal: Backoff,
    /// No attempt to renew before.
    retry_at: Monotonic,
    /// That renewal keeps failing has been reported.
    is_warned: bool,
}

#[derive(Debug)]
pub(super) struct Request {
    pub(super) nonce: String,
    /// `enrolled` has come and is being stored.
    pub(super) is_answered: bool,
    /// Something has to have happened until then.
    pub(super) due: Monotonic,
}

#[derive(Debug)]
struct Code {
    code: String,
    until: Monotonic,
}

impl Membership {
    pub(super) fn new(credentials: &Credentials, moment: &Moment) -> Self {
        let standing = match credentials {
            Credentials::Configured => Standing::Configured,
            Credentials::Enrolled(None) => Standing::Applicant,
            Credentials::Enrolled(Some(known)) => Standing::Member(Member::new(*known, moment)),
        };
        Self { standing, deactivated: false, request: None, code: None, problem: None, shown: None }
    }

    /// Where the next link goes; `now` is the cloud's time where it is known.
    pub(super) fn endpoint(&self, now: Option<Timestamp>) -> Endpoint {
        match &self.standing {
            Standing::Configured => Endpoint::Operations,
            Standing::Applicant => Endpoint::Enrolment,
            Standing::Member(member) if member.has_lapsed(now) => Endpoint::Enrolment,
            Standing::Member(member) if member.uses_before => Endpoint::OperationsAsBefore,
            Standing::Member(_) => Endpoint::Operations,
        }
    }

    /// Which key to ask a certificate for at the enrolment endpoint.
    pub(super) const fn key(&self) -> RequestKey {
        match self.standing {
            // The key proves who asks.
            Standing::Member(_) => RequestKey::Current,
            Standing::Applicant | Standing::Configured => RequestKey::New,
        }
    }

    /// Whether expired certificates are renewed at the enrolment endpoint.
    pub(super) const fn is_member(&self) -> bool {
        matches!(self.standing, Standing::Member(_))
    }

    /// Whether enrolment's certificate has not expired, by a time that is known.
    pub(super) fn is_valid_at(&self, now: Option<Timestamp>) -> bool {
        let Standing::Member(member) = &self.standing else { return false };
        now.is_some_and(|now| now <= member.certificates.newest.not_after)
    }

    /// A link to that end has ended.
    pub(super) fn link_ended(&mut self, end: &LinkEnd, endpoint: Endpoint, moment: &Moment) {
        let had_asked = self.request.take().is_some();
        if endpoint == Endpoint::Enrolment {
            self.note_refusal(end);
            if let Standing::Member(member) = &mut self.standing {
                member.has_asked = true;
                member.lapsed = false;
                member.failed_links = 0;
            }
            return;
        }
        if had_asked {
            self.renewal_failed("the link ended before the cloud had answered", moment);
        }
        if let Standing::Member(member) = &mut self.standing {
            member.has_asked = false;
        }
        match end {
            LinkEnd::CertificateExpired { .. } => {
                if let Standing::Member(member) = &mut self.standing {
                    member.lapsed = true;
                }
                self.note_refusal(end);
            }
            LinkEnd::Unauthorized { .. }
            | LinkEnd::Closed { code: close_code::UNAUTHENTICATED, .. } => self.not_accepted(end),
            LinkEnd::Refused { .. } => {
                // Perhaps the new authorities are not those of the server.
                self.try_the_other();
                self.note_refusal(end);
                self.probation_link_failed();
            }
            LinkEnd::Lost { .. } => self.probation_link_failed(),
            LinkEnd::Closed { .. } | LinkEnd::RetryAfter { .. } => {}
        }
    }

    /// What enrolment gave may be wrong, such as the authorities of the server. Only while nothing
    /// of it has ever been good: who controls the network must not get a terminal that is in
    /// service to go back to the trust that it began with.
    fn probation_link_failed(&mut self) {
        let Standing::Member(member) = &mut self.standing else { return };
        if !member.certificates.on_probation {
            return;
        }
        member.failed_links += 1;
        if member.failed_links >= PROBATION_LINKS_MAX {
            tracing::warn!("no link comes about with what enrolment gave: asking for it again");
            member.lapsed = true;
        }
    }

    /// Whether the cloud has not welcomed what enrolment gave yet.
    pub(super) const fn is_on_probation(&self) -> bool {
        matches!(&self.standing, Standing::Member(member) if member.certificates.on_probation)
    }

    fn note_refusal(&mut self, end: &LinkEnd) {
        match end {
            LinkEnd::Refused { .. }
            | LinkEnd::Unauthorized { .. }
            | LinkEnd::CertificateExpired { .. } => self.problem = Some(end.to_string()),
            LinkEnd::Closed { .. } | LinkEnd::Lost { .. } | LinkEnd::RetryAfter { .. } => {}
        }
    }

    /// Credentials that do not do give way to those before, and these to the newest. True when the
    /// next link uses those before.
    fn try_the_other(&mut self) -> bool {
        let Standing::Member(member) = &mut self.standing else { return false };
        member.uses_before = member.certificates.before.is_some() && !member.uses_before;
        member.uses_before
    }

    fn not_accepted(&mut self, end: &LinkEnd) {
        self.problem = Some(end.to_string());
        if self.try_the_other() {
            return;
        }
        if !self.deactivated {
            tracing::warn!(why = %end, "the cloud does not accept this terminal any more");
        }
        self.deactivated = true;
    }

    /// The cloud has welcomed the terminal. True when that is news for the credentials: others are
    /// to be forgotten, or these have proved good.
    pub(super) fn welcomed(&mut self, moment: &Moment) -> bool {
        self.deactivated = false;
        self.problem = None;
        let Standing::Member(member) = &mut self.standing else { return false };
        let was_on_probation = std::mem::take(&mut member.certificates.on_probation);
        let Some(before) = member.certificates.before.take() else { return was_on_probation };
        if member.uses_before {
            let kept = Certificates { newest: before, before: None, on_probation: false };
            *member = Member::fresh(kept, moment);
        }
        true
    }

    /// An identity is on the medium.
    pub(super) fn adopted(&mut self, newest: Certificate, moment: &Moment) {
        let (before, on_probation) = match &self.standing {
            Standing::Member(Member { certificates, .. }) => {
                (Some(certificates.newest), certificates.on_probation)
            }
            Standing::Applicant | Standing::Configured => (None, true),
        };
        let certificates = Certificates { newest, before, on_probation };
        self.standing = Standing::Member(Member::fresh(certificates, moment));
        self.request = None;
        self.deactivated = false;
        self.code = None;
        self.problem = None;
    }

    /// A person wants the terminal to be activated anew. True when the cloud had given it up: its
    /// identities are then to be forgotten.
    pub(super) fn start_anew(&mut self) -> bool {
        let given_up = self.deactivated && self.is_member();
        if given_up {
            self.standing = Standing::Applicant;
            self.deactivated = false;
            self.problem = None;
        }
        given_up
    }

    /// Whether it is time to renew the certificate; `now` is the cloud's time.
    pub(super) fn renewal_is_due(&self, now: Timestamp, moment: &Moment) -> bool {
        let Standing::Member(member) = &self.standing else { return false };
        self.request.is_none() && now >= member.renew_at && moment.monotonic >= member.retry_at
    }

    /// When renewal is due; `clock` is a moment and the cloud's time at it.
    pub(super) fn renewal_deadline(&self, clock: (Monotonic, Timestamp)) -> Option<Monotonic> {
        let Standing::Member(member) = &self.standing else { return None };
        let at = clock.0.plus_ms(member.renew_at.ms_since(clock.1));
        self.request.is_none().then(|| at.max(member.retry_at))
    }

    /// The next attempt to renew comes later.
    pub(super) fn renewal_failed(&mut self, why: &str, moment: &Moment) {
        tracing::warn!(why, "the certificate was not renewed");
        self.problem = Some(format!("the certificate was not renewed: {why}"));
        self.request = None;
        if let Standing::Member(member) = &mut self.standing {
            let wait = member.renewal.after(&LinkEnd::Lost { reason: String::new() }, moment);
            member.retry_at = moment.monotonic.plus_ms(wait.ms.max(RENEWAL_RETRY_MS_MIN));
        }
    }

    /// The certificate, when most of its life is over at `now`.
    pub(super) fn expiring(&self, now: Option<Timestamp>) -> Option<Certificate> {
        let Standing::Member(member) = &self.standing else { return None };
        let newest = member.certificates.newest;
        now.is_some_and(|now| now >= newest.warn_at()).then_some(newest)
    }

    /// The same, once for each certificate.
    pub(super) fn newly_expiring(&mut self, now: Option<Timestamp>) -> Option<Certificate> {
        let certificate = self.expiring(now)?;
        let Standing::Member(member) = &mut self.standing else { return None };
        (!std::mem::replace(&mut member.is_warned, true)).then_some(certificate)
    }

    /// The cloud has sent a code for the screen.
    pub(super) fn show_code(&mut self, code: String, until: Monotonic) {
        self.code = Some(Code { code, until });
    }

    /// The code is not good any more.
    pub(super) fn drop_code(&mut self) {
        self.code = None;
    }

    pub(super) fn drop_expired_code(&mut self, moment: &Moment) {
        if self.code.as_ref().is_some_and(|code| code.until <= moment.monotonic) {
            self.code = None;
        }
    }

    pub(super) fn code_deadline(&self) -> Option<Monotonic> {
        self.code.as_ref().map(|code| code.until)
    }

    /// The line that the screen has to show, when it shows another one.
    pub(super) fn news_for_screen(&mut self) -> Option<Option<String>> {
        if matches!(self.standing, Standing::Configured) {
            return None;
        }
        let line = match &self.code {
            Some(code) => Some(format!("Activation code {}", code.code)),
            None if self.deactivated => Some("This terminal has been deactivated".to_owned()),
            None => None,
        };
        let is_news = self.shown.as_ref() != Some(&line);
        is_news.then(|| self.shown.insert(line).clone())
    }

    /// The screen may have forgotten what it was told.
    pub(super) fn forget_screen(&mut self) {
        self.shown = None;
    }

    pub(super) fn view(&self, now: Monotonic) -> MembershipView {
        let (state, certificate) = match &self.standing {
            Standing::Configured => (MembershipState::Configured, None),
            Standing::Applicant => (MembershipState::NotEnrolled, None),
            Standing::Member(member) => {
                let Certificates { newest, before, .. } = member.certificates;
                let in_use = before.filter(|_| member.uses_before).unwrap_or(newest);
                (MembershipState::Enrolled, Some(in_use))
            }
        };
        let code = self.code.as_ref();
        MembershipView {
            state: if self.deactivated { MembershipState::Deactivated } else { state },
            activation_code: code.map(|code| (code.code.clone(), code.until.ms_since(now))),
            certificate,
            problem: self.problem.clone(),
        }
    }
}

impl Member {
    fn new(certificates: Certificates, moment: &Moment) -> Self {
        let windows =
            BackoffSettings { base_ms: RENEWAL_RETRY_MS_MIN, cap_ms: RENEWAL_RETRY_MS_MAX };
        Self {
            certificates,
            uses_before: false,
            lapsed: false,
            has_asked: false,
            failed_links: 0,
            renew_at: certificates.newest.renew_at(moment),
            renewal: Backoff::new(windows),
            retry_at: moment.monotonic,
            is_warned: false,
        }
    }

    /// After a renewal: the next one is not at once, even if half of the life was over before this
    /// certificate came.
    fn fresh(certificates: Certificates, moment: &Moment) -> Self {
        let retry_at = moment.monotonic.plus_ms(RENEWAL_RETRY_MS_MIN);
        Self { retry_at, ..Self::new(certificates, moment) }
    }

    fn has_lapsed(&self, now: Option<Timestamp>) -> bool {
        let by_clock = now.is_some_and(|now| now > self.certificates.newest.not_after);
        !self.has_asked && (self.lapsed || by_clock)
    }
}
