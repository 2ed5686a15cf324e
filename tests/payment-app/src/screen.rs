//! What somebody in front of the terminal would see, as a text file.

use std::{fs, path::Path, time::Duration};

use terminal_hal::{
    mock::MockTerminal,
    status::{ScreenView, Showing},
};

/// How often the terminal is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Columns of text; an idle message has at most 60 characters.
const COLUMNS: usize = 62;

/// Keeps the file as the screen is, until the task is dropped.
pub async fn draw(terminal: &MockTerminal, file: &Path) -> std::convert::Infallible {
    let mut drawn = None;
    loop {
        let now = terminal.screen();
        if drawn.as_ref() != Some(&now) {
            match replace(file, &picture(&now)) {
                Ok(()) => drawn = Some(now),
                Err(error) => eprintln!("the screen cannot be drawn: {error}"),
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Who reads it sees one picture or the next, never half of one.
fn replace(file: &Path, picture: &str) -> std::io::Result<()> {
    let new = file.with_extension("new");
    fs::write(&new, picture)?;
    fs::rename(new, file)
}

fn picture(view: &ScreenView) -> String {
    let title = match view.showing {
        Showing::Idle => "ready",
        Showing::Payment => "Payment in progress",
        Showing::Busy => "busy",
        Showing::Locked => "LOCKED",
        Showing::Message => "message",
        Showing::Menu => "menu",
    };
    let frame = "-".repeat(COLUMNS);
    let line = |text: &str| format!("|{text:^COLUMNS$}|\n");
    let lines = [line(title), line(""), line(&view.text), line("")].concat();
    format!("+{frame}+\n{lines}+{frame}+\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_a_picture_has_the_same_width() {
        let text = "ä".repeat(60);
        let picture = picture(&ScreenView { showing: Showing::Locked, text: text.clone() });
        assert!(picture.contains("LOCKED") && picture.contains(&text));
        assert!(picture.lines().all(|line| line.chars().count() == COLUMNS + 2), "{picture}");
    }
}
