//! Card numbers among decimal digits: in a row or in groups, with what follows on a stripe.

use std::ops::Range;

use crate::{
    finding::{Finding, Findings, Kind},
    line::Line,
    pan::{Digits, PAN_DIGITS_MAX, PAN_DIGITS_MIN},
    track,
};

/// So many digits in a row are masked whatever they are: a card number may be glued to more.
const DIGITS_IN_A_ROW_MAX: usize = 20;
/// Digits of the shortest group that a card number is printed with first.
const GROUP_DIGITS_MIN: usize = 4;
/// Groups of digits that are looked at together.
const GROUPS_MAX: usize = 5;
/// Digits behind the separator of track 2 that are no chance within a hash: expiry, service code.
const TRACK_DIGITS_CERTAIN: usize = 7;

/// Looks at a run of digits and returns how far it has looked. `in_hash` tells that they are part
/// of a long hexadecimal number.
pub(crate) fn look(
    line: &Line<'_>,
    digits: Range<usize>,
    in_hash: bool,
    findings: &mut Findings,
) -> usize {
    let Range { start, end } = digits;
    if end - start < GROUP_DIGITS_MIN {
        return end;
    }
    let (kept, escaped) = escape_digits(line, start);
    let starts = [Some(start + kept), escaped.map(|escaped| start + escaped)];
    let found = starts.into_iter().flatten().find_map(|start| find(line, start, end, in_hash));
    let Some(finding) = found else { return end };
    findings.add(line, finding);
    end.max(finding.end)
}

fn find(line: &Line<'_>, start: usize, end: usize, in_hash: bool) -> Option<Finding> {
    match end.saturating_sub(start) {
        GROUP_DIGITS_MIN | 6 | 8 => in_all_groups(line, start, end),
        0..PAN_DIGITS_MIN => None,
        PAN_DIGITS_MIN..=PAN_DIGITS_MAX => in_a_row(line, start, end, in_hash),
        DIGITS_IN_A_ROW_MAX.. => (!in_hash).then(|| Finding::new(Kind::Pan, start, end)),
    }
}

fn in_a_row(line: &Line<'_>, start: usize, end: usize, in_hash: bool) -> Option<Finding> {
    let mut pan = Digits::default();
    line.text(start, end).iter().for_each(|digit| _ = pan.push(*digit));
    let is_fraction = line.before(start) == b'.' && line.before(start - 1).is_ascii_digit();
    if is_fraction || !pan.are_pan() {
        return None;
    }
    if in_hash && !is_certain(line, end) {
        return None;
    }
    match track::end(line, end) {
        Some(track) => Some(Finding::of_pan(Kind::Track, start, track, &pan)),
        None => (!in_hash).then(|| Finding::of_pan(Kind::Pan, start, end, &pan)),
    }
}

/// Whether so many digits are behind a separator of one character that it must be a track.
fn is_certain(line: &Line<'_>, separator: usize) -> bool {
    let end = line.skip(separator + 1, |byte| byte.is_ascii_digit());
    end > separator + TRACK_DIGITS_CERTAIN
}

/// A card number as it is printed, with others that begin within it: groups before one may happen
/// to make another with its first groups, and the rest of it must not be left.
fn in_all_groups(line: &Line<'_>, start: usize, first_end: usize) -> Option<Finding> {
    let mut found = in_groups(line, start, first_end)?;
    let mut position = first_end + separator(line, first_end);
    while position < found.end {
        let end = line.skip(position, |byte| byte.is_ascii_digit());
        if let Some(later) = in_groups(line, position, end).filter(|l| l.end > found.end) {
            found = Finding { start, ..later };
        }
        position = end + separator(line, end).max(1);
    }
    Some(found)
}

/// A card number in the longest run of groups that makes one.
fn in_groups(line: &Line<'_>, start: usize, first_end: usize) -> Option<Finding> {
    if separator(line, first_end) == 0 {
        return None;
    }
    let mut pan = Digits::default();
    let mut lengths = [0; GROUPS_MAX];
    let mut ends = [(0, 0); GROUPS_MAX];
    let mut count = 0;
    let mut position = start;
    for (length, group_end) in lengths.iter_mut().zip(&mut ends) {
        let end = line.skip(position, |byte| byte.is_ascii_digit() && pan.push(byte));
        if end == position || line.at(end).is_ascii_digit() || !pan.begin_a_pan() {
            break;
        }
        (*length, *group_end) = (end - position, (end, pan.len()));
        count += 1;
        let separator = separator(line, end);
        if separator == 0 {
            break;
        }
        position = end + separator;
    }
    (2..=count).rev().find_map(|count| {
        let (end, digits) = *ends.get(count - 1)?;
        let pan = pan.first(digits);
        let is_pan = are_printed_so(lengths.get(..count)?) && pan.are_pan();
        (is_pan && !is_in_uuid(line, start, end))
            .then(|| Finding::of_pan(Kind::Pan, start, end, &pan))
    })
}

/// Whether card numbers are written in groups of these lengths.
const fn are_printed_so(lengths: &[usize]) -> bool {
    matches!(lengths, [4, 4, 4, 1..=4] | [4, 4, 4, 4, 1..=3] | [4, 6, 4 | 5] | [6, 13] | [8, 8])
}

/// Whether groups are part of a UUID: between hexadecimal digits, or a dash and such a digit.
fn is_in_uuid(line: &Line<'_>, start: usize, end: usize) -> bool {
    let before = line.before(start);
    (before == b'-' || before.is_ascii_hexdigit()) && line.at(end).is_ascii_hexdigit()
}

/// Length of a separator of groups at a position; 0 when there is none.
fn separator(line: &Line<'_>, position: usize) -> usize {
    match line.at(position) {
        b' ' | b'-' | b'.' | b'_' | b'/' | b'+' | b'\t' => 1,
        // A tab within JSON, or within JSON within JSON.
        b'\\' => match line.skip(position, |byte| byte == b'\\') {
            escape if line.at(escape) == b't' => escape + 1 - position,
            _ => 0,
        },
        b'%' if line.has_caseless(position, b"%20") || line.has_caseless(position, b"%2d") => 3,
        // The no-break space.
        0xc2 if line.at(position + 1) == 0xa0 => 2,
        // Spaces and dashes of other widths (U+2000 to U+2015), narrow no-break space, minus.
        0xe2 => match (line.at(position + 1), line.at(position + 2)) {
            (0x80, 0x80..=0x95 | 0xaf) | (0x88, 0x92) => 3,
            _ => 0,
        },
        _ => 0,
    }
}

/// How many of the digits at a position end an escape that began before them: such digits of
/// `\u0002` are never part of a number, such of `%20` and `\x02` probably not.
fn escape_digits(line: &Line<'_>, start: usize) -> (usize, Option<usize>) {
    for before in 0..4 {
        let Some(escape) = start.checked_sub(before + 1) else { break };
        match (line.before(escape), line.at(escape)) {
            (b'\\', b'u') => return (4 - before, None),
            (b'\\', b'x') if before < 2 => return (0, Some(2 - before)),
            (_, b'%') if before < 2 => return (0, Some(2 - before)),
            (_, byte) if byte.is_ascii_hexdigit() => {}
            _ => break,
        }
    }
    (0, None)
}
