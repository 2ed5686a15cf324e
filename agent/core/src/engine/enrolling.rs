//! Frames of enrolment and what follows from them: `terminal-enrol.v1`, and renewal over the link of
//! `terminal-ops.v1`.

use serde_json::Value;
use terminal_hal::{ErrorCode, text::bounded, text::line_problem};

use super::{
    Certificate, Effect, Endpoint, Engine, IdentityOrder, IdentityRequest, LinkEnd, RequestKey,
    limits::{
        ACTIVATION_CODE_S_MAX, ENROL_HEARTBEAT_MS, NEW_CODE_MS_MAX, RENEWAL_MS_MAX,
        TERMINAL_ID_CHARS_MAX, WELCOME_MS_MAX,
    },
    membership::Request,
    output::Output,
    session::Then,
};
use crate::protocol::{
    ActivationCode, EnrolCloudFrame, Enrolled, ErrorFrame, EventName, close_code,
    decode_enrol_cloud_frame, error_code,
};

/// Characters of a reason that an `error` frame gives, as they are shown.
const PROBLEM_CHARS_MAX: usize = 160;

impl Engine {
    /// Asks for a certificate; the cloud has to say something within `ms_max`.
    pub(super) fn request_identity(&mut self, key: RequestKey, ms_max: u64, out: &mut Output<'_>) {
        let nonce = out.uuid().simple().to_string();
        let due = out.moment.monotonic.plus_ms(ms_max);
        self.membership.request = Some(Request { nonce: nonce.clone(), is_answered: false, due });
        let battery_level = self.health.battery_level();
        let request = IdentityRequest { nonce, key, battery_level };
        out.push(Effect::Identity(IdentityOrder::Request(request)));
    }

    pub(super) fn on_enrolment_link(&mut self, out: &mut Output<'_>) {
        self.request_identity(self.membership.key(), WELCOME_MS_MAX, out);
    }

    pub(super) fn on_enrolment_frame(&mut self, bytes: &[u8], out: &mut Output<'_>) {
        match decode_enrol_cloud_frame(bytes) {
            Ok(EnrolCloudFrame::ActivationCode(code)) => self.on_activation_code(code, out),
            Ok(EnrolCloudFrame::Enrolled(enrolled)) => {
                self.enrolment_goes_on(out);
                self.on_enrolled(enrolled, out);
            }
            Ok(EnrolCloudFrame::Error(error)) => self.on_enrolment_error(&error, out),
            Err(error) => self.on_undecodable(error, out),
        }
    }

    fn on_activation_code(&mut self, frame: ActivationCode, out: &mut Output<'_>) {
        if !self.is_answer(&frame.nonce) {
            return;
        }
        self.enrolment_goes_on(out);
        let good_ms = u64::from(frame.expires_in_s.min(ACTIVATION_CODE_S_MAX)) * 1000;
        let until = out.moment.monotonic.plus_ms(good_ms);
        if let Some(request) = &mut self.membership.request {
            request.due = until.plus_ms(NEW_CODE_MS_MAX);
        }
        // The code itself opens a door: it is shown and never logged.
        tracing::info!(good_ms, "waiting for somebody to type the activation code in");
        self.membership.show_code(frame.code, until);
    }

    /// The cloud has answered: it is alive and serves this terminal.
    fn enrolment_goes_on(&mut self, out: &Output<'_>) {
        if self.session.is_awaiting_welcome() {
            self.session.welcomed(ENROL_HEARTBEAT_MS, out.moment);
        }
    }

    /// The cloud has sent an identity, over either link.
    pub(super) fn on_enrolled(&mut self, enrolled: Box<Enrolled>, out: &mut Output<'_>) {
        if !self.is_answer(&enrolled.nonce) {
            return;
        }
        if let Some(request) = &mut self.membership.request {
            request.is_answered = true;
        }
        let problem = line_problem(&enrolled.terminal_id, 1, TERMINAL_ID_CHARS_MAX);
        let is_another =
            !self.session.is_enrolling() && enrolled.terminal_id != self.identity.terminal_id;
        if let Some(problem) = problem {
            self.on_identity_refused(&format!("enrolled: terminal_id {problem}"), out);
        } else if is_another {
            self.on_identity_refused("enrolled: terminal_id is another terminal's", out);
        } else {
            out.push(Effect::Identity(IdentityOrder::Adopt(enrolled)));
        }
    }

    /// Whether a frame answers the request that waits; one that answers an earlier one is ignored.
    fn is_answer(&self, nonce: &str) -> bool {
        let waiting = self.membership.request.as_ref().filter(|request| !request.is_answered);
        let is_answer = waiting.is_some_and(|request| request.nonce == nonce);
        if !is_answer {
            tracing::warn!("the cloud answers a request that does not wait");
        }
        is_answer
    }

    /// Each code ends in a chosen state; what is not known is left to the time limit.
    fn on_enrolment_error(&mut self, error: &ErrorFrame, out: &mut Output<'_>) {
        let (code, message) = (error.code.as_str(), error.message.as_str());
        tracing::warn!(code, reason = message, "error from the cloud");
        let problem = bounded(&format!("{code}: {message}"), PROBLEM_CHARS_MAX);
        self.membership.problem = Some(problem);
        match error.code.as_str() {
            // A code takes the place of the secret.
            code if code == ErrorCode::ActivationCodeInvalid.as_str() => {}
            code if code == ErrorCode::ActivationCodeExpired.as_str() => {
                self.membership.drop_code();
                self.give_up_enrolling(Then::Usual, out);
            }
            code if NO_USE_SOON.contains(&code) => self.give_up_enrolling(Then::Slowly, out),
            _ => {}
        }
    }

    fn give_up_enrolling(&mut self, then: Then, out: &mut Output<'_>) {
        let reason = "not enrolled";
        self.session.close_then(close_code::NORMAL, reason, then, &mut out.effects, out.moment);
    }

    /// The same link does for renewal; whatever is wrong, the link stays.
    pub(super) fn on_renewal_error(&mut self, error: &ErrorFrame, out: &mut Output<'_>) {
        let is_about_it = error.reference.is_none() && self.membership.request.is_some();
        if is_about_it && self.session.is_up() {
            let why = bounded(&format!("{}: {}", error.code, error.message), PROBLEM_CHARS_MAX);
            self.renewal_failed(&why, out);
        }
    }

    fn renewal_failed(&mut self, why: &str, out: &mut Output<'_>) {
        self.membership.renewal_failed(why, out.moment);
        self.warn_of_expiry(out);
    }

    fn warn_of_expiry(&mut self, out: &mut Output<'_>) {
        let now = self.cloud_now(out.moment);
        if let Some(certificate) = self.membership.newly_expiring(now) {
            let until = Value::from(certificate.not_after.to_string());
            self.report_event(EventName::CertificateExpiring, [("not_after", until)], out);
        }
    }

    pub(super) fn on_identity_adopted(
        &mut self,
        terminal_id: &str,
        certificate: Certificate,
        out: &mut Output<'_>,
    ) {
        tracing::info!(terminal_id, not_after = %certificate.not_after, "identity stored");
        terminal_id.clone_into(&mut self.identity.terminal_id);
        self.membership.adopted(certificate, out.moment);
        self.note_owner(out);
        let (code, reason) = (close_code::NORMAL, "the terminal has a new identity");
        self.session.close_then(code, reason, Then::Soon, &mut out.effects, out.moment);
    }

    pub(super) fn on_identity_refused(&mut self, reason: &str, out: &mut Output<'_>) {
        self.membership.request = None;
        if self.session.is_enrolling() {
            tracing::error!(reason, "not enrolled");
            self.membership.problem = Some(reason.to_owned());
            self.give_up_enrolling(Then::Slowly, out);
        } else {
            self.renewal_failed(reason, out);
        }
    }

    pub(super) fn on_activation_requested(&mut self, out: &mut Output<'_>) {
        if self.membership.start_anew() {
            tracing::warn!("the identity is given up: a person wants to activate the terminal");
            self.identity.terminal_id.clear();
            out.push(Effect::Identity(IdentityOrder::Forget));
        }
        self.session.hasten(out.moment);
    }

    pub(super) fn on_link_closed(&mut self, end: &LinkEnd, out: &mut Output<'_>) {
        let endpoint = self.session.endpoint();
        // Whoever controls the network can send that alert: a clock that is known knows better.
        let mut end = end;
        let contradicted;
        if let LinkEnd::CertificateExpired { reason } = end {
            if self.membership.is_valid_at(self.cloud_now(out.moment)) {
                contradicted = LinkEnd::Refused { reason: reason.clone() };
                end = &contradicted;
            }
        }
        self.membership.link_ended(end, endpoint, out.moment);
        let is_on_probation = self.membership.is_on_probation() && endpoint != Endpoint::Enrolment;
        // Who asks at the other endpoint need not wait as long as one who cannot.
        match end {
            LinkEnd::CertificateExpired { reason } if self.membership.is_member() => {
                self.session.closed(&LinkEnd::Lost { reason: reason.clone() }, out.moment);
            }
            LinkEnd::Refused { reason } if is_on_probation => {
                self.session.closed(&LinkEnd::Lost { reason: reason.clone() }, out.moment);
            }
            LinkEnd::CertificateExpired { .. }
            | LinkEnd::Lost { .. }
            | LinkEnd::RetryAfter { .. }
            | LinkEnd::Refused { .. }
            | LinkEnd::Unauthorized { .. }
            | LinkEnd::Closed { .. } => self.session.closed(end, out.moment),
        }
    }

    /// What has become due about codes, requests and renewal.
    pub(super) fn settle_membership(&mut self, out: &mut Output<'_>) {
        self.membership.drop_expired_code(out.moment);
        let due = self.membership.request.as_ref().map(|request| request.due);
        let is_overdue = due.is_some_and(|due| due <= out.moment.monotonic);
        if is_overdue && self.session.is_enrolling() {
            self.membership.request = None;
            let (code, reason) = (close_code::HANDSHAKE_TIMEOUT, "no answer to enrol_begin");
            self.session.close(code, reason, &mut out.effects, out.moment);
        } else if is_overdue {
            self.renewal_failed("the cloud does not answer", out);
        }
        if !self.session.is_up() {
            return;
        }
        let is_due = |now| self.membership.renewal_is_due(now, out.moment);
        if self.cloud_time(out.moment).is_some_and(is_due) {
            self.request_identity(RequestKey::New, RENEWAL_MS_MAX, out);
        }
    }

    /// Tells the screen, if there is something to tell.
    pub(super) fn update_screen(&mut self, out: &mut Output<'_>) {
        if let Some(line) = self.membership.news_for_screen() {
            out.push(Effect::Identity(IdentityOrder::Show(line)));
        }
    }

    pub(super) fn membership_deadline(&self) -> Option<super::Monotonic> {
        let request = self.membership.request.as_ref().map(|request| request.due);
        let clock = self.cloud_clock.filter(|_| self.session.is_up());
        let renewal =
            clock.and_then(|clock| self.membership.renewal_deadline((clock.at, clock.time)));
        [request, renewal, self.membership.code_deadline()].into_iter().flatten().min()
    }
}

/// After these trying again soon is of no use.
const NO_USE_SOON: [&str; 6] = [
    ErrorCode::ActivationAttemptsExceeded.as_str(),
    ErrorCode::AlreadyEnrolled.as_str(),
    ErrorCode::Unauthorized.as_str(),
    error_code::OVERLOADED,
    error_code::INVALID_MESSAGE,
    error_code::UNSUPPORTED_MESSAGE,
];
