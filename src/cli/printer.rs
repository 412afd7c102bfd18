//! What the commands say: results on the standard output, everything else beside it.

use std::{error::Error, io::Write};

use super::error::CliError;

/// The two output streams.
pub(super) struct Printer {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    /// Whether the last thing on `err` is a bar.
    has_bar: bool,
}

impl Printer {
    pub(super) fn to_the_process() -> Self {
        Self {
            out: Box::new(std::io::stdout()),
            err: Box::new(std::io::stderr()),
            has_bar: false,
        }
    }

    /// A line of the result, for a person or for the next program of a pipe.
    pub(super) fn result(&mut self, line: &str) -> Result<(), CliError> {
        writeln!(self.out, "{line}")
            .and_then(|()| self.out.flush())
            .map_err(CliError::Output)
    }

    /// A line of explanation, for a person. If it cannot be told, the work still counts.
    pub(super) fn note(&mut self, line: &str) {
        let _ = writeln!(self.err, "{line}");
    }

    /// Draws a line over the one that was drawn before. For a terminal only.
    pub(super) fn bar(&mut self, line: &str) {
        self.has_bar = true;
        let _ = write!(self.err, "\r\x1b[K{line}").and_then(|()| self.err.flush());
    }

    /// Removes the line that was drawn, if there is one.
    pub(super) fn clear_bar(&mut self) {
        if std::mem::take(&mut self.has_bar) {
            let _ = write!(self.err, "\r\x1b[K").and_then(|()| self.err.flush());
        }
    }

    /// What went wrong, why, and what to do.
    pub(super) fn error(&mut self, error: &CliError) {
        self.note(&format!("error: {error}"));
        let mut cause = error.source();
        while let Some(error) = cause {
            self.note(&format!("  because: {error}"));
            cause = error.source();
        }
        if let Some(advice) = error.advice() {
            self.note(&format!("  what to do: {advice}"));
        }
    }

    /// Rows under their headings, in columns.
    pub(super) fn table<const N: usize>(
        &mut self,
        headings: [&str; N],
        rows: &[[String; N]],
    ) -> Result<(), CliError> {
        let mut widths = headings.map(str::len);
        for row in rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        self.row(&headings, &widths)?;
        for row in rows {
            self.row(row, &widths)?;
        }
        Ok(())
    }

    fn row<T: AsRef<str>>(&mut self, cells: &[T], widths: &[usize]) -> Result<(), CliError> {
        let cells = cells.iter().zip(widths);
        let line: String = cells
            .map(|(cell, width)| format!("{:width$}  ", cell.as_ref()))
            .collect();
        self.result(line.trim_end())
    }
}

#[cfg(test)]
pub(super) mod captured {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was printed to a stream.
    #[derive(Clone, Default)]
    pub(in crate::cli) struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Captured {
        pub(in crate::cli) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Printer {
        /// A printer, and what it prints as results and as notes.
        pub(in crate::cli) fn captured() -> (Self, Captured, Captured) {
            let (out, err) = (Captured::default(), Captured::default());
            let printer = Self {
                out: Box::new(out.clone()),
                err: Box::new(err.clone()),
                has_bar: false,
            };
            (printer, out, err)
        }
    }

    #[test]
    fn a_bar_is_drawn_over_and_removed_once() {
        let (mut printer, _, err) = Printer::captured();
        printer.bar("one");
        printer.bar("two");
        printer.clear_bar();
        printer.clear_bar();
        assert_eq!(err.text(), "\r\x1b[Kone\r\x1b[Ktwo\r\x1b[K");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let (mut printer, out, _) = Printer::captured();
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let rows = [row("a long one", "x"), row("b", "")];
        printer.table(["NAME", "WHAT"], &rows).unwrap();
        assert_eq!(out.text(), "NAME        WHAT\na long one  x\nb\n");
    }
}
