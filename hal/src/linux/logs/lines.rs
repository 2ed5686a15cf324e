//! Bytes to lines that are bounded before they are kept.

/// A line as far as it has come.
#[derive(Debug)]
pub(super) struct Line {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_ended: bool,
}

impl Line {
    /// Of each line the first `bytes_max` bytes are kept.
    pub(super) const fn new(bytes_max: usize) -> Self {
        Self { bytes: Vec::new(), bytes_max, is_ended: false }
    }

    /// Takes what belongs to this line, and says how much that was. After an end another begins.
    pub(super) fn take(&mut self, chunk: &[u8]) -> usize {
        if self.is_ended {
            self.bytes.clear();
        }
        let end = chunk.iter().position(|byte| *byte == b'\n');
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or(chunk);
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        self.bytes.extend(part.iter().take(room));
        self.is_ended = end.is_some();
        part.len() + usize::from(self.is_ended)
    }

    /// Nothing more comes of it.
    pub(super) const fn end(&mut self) {
        self.is_ended = true;
    }

    /// Whether it is whole.
    pub(super) const fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// The line without its line feed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Text of whatever bytes a program wrote, on one line.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().replace(['\t', '\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(chunks: &[&str], bytes_max: usize) -> Vec<String> {
        let mut line = Line::new(bytes_max);
        let mut lines = Vec::new();
        for chunk in chunks {
            let mut rest = chunk.as_bytes();
            while !rest.is_empty() {
                rest = &rest[line.take(rest)..];
                if line.is_ended() {
                    lines.push(text(line.bytes()));
                }
            }
        }
        lines
    }

    #[test]
    fn a_line_is_put_together_and_cut_at_its_limit() {
        assert_eq!(lines(&["ab", "c\n\nde", "f\n", "never ended"], 3), ["abc", "", "def"]);
        assert_eq!(lines(&["abcd", "efg\nhi\n"], 3), ["abc", "hi"]);
    }

    #[test]
    fn text_is_on_one_line_whatever_it_was() {
        assert_eq!(text(b"a\tb\nc\xff  \r"), "a b c\u{fffd}");
    }
}
