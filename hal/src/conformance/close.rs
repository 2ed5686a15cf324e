//! Closing a batch: once per operation, and never forgotten.

use super::{Checked, Circumstances, Suite, Trouble, holds, holds::policy, refused};
use crate::{
    ErrorCode, Failure, OperationId,
    api::{CloseState, IfPaymentActive, Payments},
    operation::{
        EndOfDayParameters, EndOfDayResult,
        end_of_day::{CloseMode, CloseOutcome},
    },
};

const PAYMENTS: &str = "payments";

pub(super) async fn checks(suite: &mut Suite, payments: &dyn Payments, at: &Circumstances) {
    let name = "a close that was never asked for has not started";
    suite.check(PAYMENTS, name, never_asked_for(payments, at)).await;
    let name = "a report changes nothing and is well formed";
    suite.check(PAYMENTS, name, report(payments, at)).await;
    let name = "a close is refused while another operation holds payments";
    suite.check(PAYMENTS, name, beside_a_hold(payments, at)).await;
    let name = "the same operation closes once and answers the same again, also when asked";
    suite.check(PAYMENTS, name, once(payments, at)).await;
    let name = "the totals of the last batch can be read again";
    suite.check(PAYMENTS, name, previous(payments, at)).await;
    let name = "a batch that is closed already is not closed again";
    suite.check(PAYMENTS, name, guarded(payments, at)).await;
    let name = "a batch that nobody knows is not found";
    suite.check(PAYMENTS, name, unknown_batch(payments, at)).await;
}

async fn close(
    payments: &dyn Payments,
    at: &Circumstances,
    id: OperationId,
    mode: CloseMode,
    batch_id: Option<&str>,
) -> Result<EndOfDayResult, Failure> {
    let (call, _handle) = at.call_of(id);
    let batch_id = batch_id.map(str::to_owned);
    let parameters = EndOfDayParameters { mode, batch_id, ..EndOfDayParameters::default() };
    payments.close_batch(&call, &parameters).await
}

async fn never_asked_for(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let state = payments.query_close(at.operation()).await?;
    holds(state == CloseState::NotStarted, || format!("{state:?}"))
}

fn well_formed(result: &EndOfDayResult) -> Checked {
    let currency = result.currency.as_bytes();
    let is_code = currency.len() == 3 && currency.iter().all(u8::is_ascii_uppercase);
    holds(is_code, || format!("currency {:?}, want three capitals", result.currency))?;
    holds(!result.batch_id.is_empty(), || "no batch id".to_owned())?;
    let sum = result.sale_amount.checked_add(result.tip_amount);
    holds(sum == Some(result.purchases_amount), || {
        let (sale, tip) = (result.sale_amount, result.tip_amount);
        format!("sale {sale} and tip {tip} do not make {}", result.purchases_amount)
    })?;
    let ends = result.end_of_day_at.is_none_or(|end| end >= result.start_of_day_at);
    holds(ends, || "the day ends before it begins".to_owned())
}

async fn report(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let first = close(payments, at, at.operation(), CloseMode::Report, None).await?;
    well_formed(&first)?;
    holds(first.outcome == CloseOutcome::Report, || format!("{:?}", first.outcome))?;
    let second = close(payments, at, at.operation(), CloseMode::Report, None).await?;
    holds(first.batch_id == second.batch_id, || "another batch is open".to_owned())
}

async fn beside_a_hold(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let (call, _handle) = at.call();
    let reject = policy(IfPaymentActive::Reject, std::time::Duration::ZERO);
    payments.hold_payments(&call, &reject).await?;
    let closed = close(payments, at, at.operation(), CloseMode::Close, None).await;
    payments.release_payments(call.id).await?;
    refused(closed, &[ErrorCode::BusyOperation, ErrorCode::BusyPayment])
}

async fn once(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let (call, _handle) = at.call();
    let reject = policy(IfPaymentActive::Reject, std::time::Duration::ZERO);
    payments.hold_payments(&call, &reject).await?;
    let first = close(payments, at, call.id, CloseMode::Close, None).await;
    let again = close(payments, at, call.id, CloseMode::Close, None).await;
    payments.release_payments(call.id).await?;
    let (first, again) = (first?, again?);
    well_formed(&first)?;
    let is_end = matches!(first.outcome, CloseOutcome::Closed | CloseOutcome::Empty);
    holds(is_end, || format!("outcome {:?}, want closed or empty", first.outcome))?;
    holds(first == again, || format!("first {first:?}, then {again:?}"))?;
    let state = payments.query_close(call.id).await?;
    holds(state == CloseState::Finished(Box::new(first.clone())), || format!("{state:?}"))?;
    let report = close(payments, at, at.operation(), CloseMode::Report, None).await?;
    if first.outcome == CloseOutcome::Empty {
        return holds(report.batch_id == first.batch_id, || "a batch was opened".to_owned());
    }
    let next = Some(&report.batch_id);
    holds(first.next_batch_id.as_ref() == next, || format!("{next:?} is open"))?;
    holds(report.batch_id != first.batch_id, || "the batch is still open".to_owned())
}

/// The last batch, if any has been closed ever.
async fn last(payments: &dyn Payments, at: &Circumstances) -> Result<EndOfDayResult, Trouble> {
    match close(payments, at, at.operation(), CloseMode::Previous, None).await {
        Ok(last) => Ok(last),
        Err(failure) if failure.code == ErrorCode::BatchNotFound => {
            Err(Trouble::Skipped("no batch has been closed yet".to_owned()))
        }
        Err(failure) => Err(failure.into()),
    }
}

async fn previous(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let last = last(payments, at).await?;
    well_formed(&last)?;
    let is_closed = last.outcome == CloseOutcome::AlreadyClosed;
    holds(is_closed, || format!("outcome {:?}, want already_closed", last.outcome))?;
    let named = Some(last.batch_id.as_str());
    let again = close(payments, at, at.operation(), CloseMode::Previous, named).await?;
    holds(again == last, || format!("{last:?}, by its name {again:?}"))
}

async fn guarded(payments: &dyn Payments, at: &Circumstances) -> Checked {
    let last = last(payments, at).await?;
    let before = close(payments, at, at.operation(), CloseMode::Report, None).await?;
    let named = Some(last.batch_id.as_str());
    let closed = close(payments, at, at.operation(), CloseMode::Close, named).await?;
    holds(closed == last, || format!("{last:?}, now {closed:?}"))?;
    let after = close(payments, at, at.operation(), CloseMode::Report, None).await?;
    holds(before.batch_id == after.batch_id, || "the open batch was closed".to_owned())
}

async fn unknown_batch(payments: &dyn Payments, at: &Circumstances) -> Checked {
    for mode in [CloseMode::Previous, CloseMode::Close] {
        let result = close(payments, at, at.operation(), mode, Some("no such batch")).await;
        refused(result, &[ErrorCode::BatchNotFound])?;
    }
    Ok(())
}
