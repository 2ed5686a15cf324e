//! What follows a card number on a magnetic stripe: name, expiry, discretionary data.

use crate::line::Line;

/// Longest name of track 1, with some room for what is not to the letter.
const NAME_MAX: usize = 40;
/// Longest track.
const TRACK_MAX: usize = 110;

/// Where the track ends whose card number ends at `position`; `None` when it is no track.
pub(crate) fn end(line: &Line<'_>, position: usize) -> Option<usize> {
    let caret = caret(line, position);
    if caret > 0 {
        return Some(after_name(line, position + caret));
    }
    let data = position + equals(line, position);
    let is_track = data > position && line.at(data).is_ascii_digit();
    is_track.then(|| line.skip(data, |byte| byte.is_ascii_hexdigit()))
}

/// Length of the separator of track 1 at a position; 0 when there is none.
fn caret(line: &Line<'_>, position: usize) -> usize {
    match line.at(position) {
        b'^' => 1,
        b'%' if line.has_caseless(position, b"%5e") => 3,
        _ => 0,
    }
}

/// Length of the separator of track 2 at a position, however it is written; 0 without one.
fn equals(line: &Line<'_>, position: usize) -> usize {
    match line.at(position) {
        b'=' | b'D' | b'd' => 1,
        b'%' if line.has_caseless(position, b"%3d") => 3,
        // In JSON that may stand in a web page, once or more often escaped.
        b'\\' => {
            let escape = line.skip(position, |byte| byte == b'\\');
            if line.has_caseless(escape, b"u003d") { escape + 5 - position } else { 0 }
        }
        _ => 0,
    }
}

/// The end of track 1, from the name on.
fn after_name(line: &Line<'_>, name: usize) -> usize {
    let name_limit = text_end(line, name, name + NAME_MAX);
    let Some(name_end) = (name..name_limit).find(|position| caret(line, *position) > 0) else {
        return name_limit;
    };
    let data = name_end + caret(line, name_end);
    let mut rest = data..text_end(line, data, name + TRACK_MAX);
    let sentinel =
        rest.find(|position| line.at(*position) == b'?' || line.has_caseless(*position, b"%3f"));
    sentinel.unwrap_or_else(|| line.skip(data, |byte| byte.is_ascii_alphanumeric()))
}

/// Where the characters of a track end, at a limit at last.
fn text_end(line: &Line<'_>, from: usize, limit: usize) -> usize {
    let mut end = from;
    while end < limit.min(line.len()) {
        match line.at(end) {
            b'"' | b'<' | b'>' => break,
            b'\\' if line.at(end + 1) != b'/' => break,
            b' '..=b'~' => end += 1,
            _ => break,
        }
    }
    end
}
