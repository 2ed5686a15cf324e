//! One line of text, and what the rules ask about a place in it.

/// A line. Positions beyond its end read as 0, so that no rule has to check bounds.
pub(crate) struct Line<'a> {
    bytes: &'a [u8],
    /// Whether the line as a whole looks like a JSON object or array.
    pub(crate) is_json: bool,
    /// How many bytes were looked at; the tests bound it.
    #[cfg(test)]
    pub(crate) reads: std::cell::Cell<u64>,
}

impl<'a> Line<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let is_json = matches!(bytes.trim_ascii(), [b'{', .., b'}'] | [b'[', .., b']']);
        Self {
            bytes,
            is_json,
            #[cfg(test)]
            reads: std::cell::Cell::default(),
        }
    }

    pub(crate) fn at(&self, position: usize) -> u8 {
        #[cfg(test)]
        self.reads.set(self.reads.get() + 1);
        self.bytes.get(position).copied().unwrap_or(0)
    }

    /// The byte before a position; 0 at the start.
    pub(crate) fn before(&self, position: usize) -> u8 {
        position.checked_sub(1).map_or(0, |before| self.at(before))
    }

    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The text of a range; nothing where there is none.
    pub(crate) fn text(&self, start: usize, end: usize) -> &'a [u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }

    /// Whether `text` is at a position.
    pub(crate) fn has(&self, position: usize, text: &[u8]) -> bool {
        text.iter().enumerate().all(|(offset, byte)| self.at(position + offset) == *byte)
    }

    /// Whether `text`, which is lower-case, is at a position in whatever case.
    pub(crate) fn has_caseless(&self, position: usize, text: &[u8]) -> bool {
        let same =
            |(offset, byte): (usize, &u8)| self.at(position + offset).to_ascii_lowercase() == *byte;
        text.iter().enumerate().all(same)
    }

    /// The first position from `from` on, the end of the line at last, whose byte is not wanted.
    pub(crate) fn skip(&self, from: usize, mut wanted: impl FnMut(u8) -> bool) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        let length = rest.iter().position(|byte| !wanted(*byte)).unwrap_or(rest.len());
        #[cfg(test)]
        self.reads.set(self.reads.get() + length as u64 + 1);
        from + length
    }

    /// How many backslashes end before a position, none of them before `floor`.
    pub(crate) fn backslashes_before(&self, position: usize, floor: usize) -> usize {
        let mut start = position;
        while start > floor && self.before(start) == b'\\' {
            start -= 1;
        }
        position - start
    }
}

/// Where the strings of a JSON line are. Asked in ascending order it looks at every byte once.
#[derive(Default)]
pub(crate) struct Strings {
    reached: usize,
    inside: bool,
}

impl Strings {
    /// Whether a position is inside of a string. Of a line that is not JSON nothing is.
    pub(crate) fn contain(&mut self, line: &Line<'_>, position: usize) -> bool {
        if !line.is_json {
            return false;
        }
        while self.reached < position {
            match line.at(self.reached) {
                b'\\' if self.inside => self.reached += 1,
                b'"' => self.inside = !self.inside,
                _ => {}
            }
            self.reached += 1;
        }
        self.inside
    }
}
