//! Records of a CSV, under a bound, one bad record costing no other.
//!
//! The header's delimiter is found out: the one of `,` `;` tab `|` that stands most often in it. A
//! quoted field may hold line breaks; a quote that is not closed within `line_bytes_max` makes the
//! lines up to there bad, and reading goes on behind them.

use super::input::{Line, Lines};
use super::record::CsvRecord;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use std::io;

const DELIMITERS: &[u8] = b",;\t|";

/// Reads records of a CSV.
pub(crate) struct CsvLines {
    lines: Lines,
    delimiter: u8,
    record_bytes_max: usize,
    parser: Reader,
    raw: Vec<u8>,
    fields: Vec<u8>,
    text: String,
    ends: Vec<usize>,
}

/// A record, or what stands in its place.
pub(crate) enum CsvLine<'a> {
    /// Fields, and the bytes they were read from.
    Record { fields: CsvRecord<'a>, raw: &'a [u8] },
    /// Lines without a record, how many, and why.
    Bad { lines: u64, reason: &'static str },
}

impl CsvLines {
    /// Reads records behind `lines`' place.
    pub(crate) fn new(lines: Lines, delimiter: u8, record_bytes_max: usize) -> Self {
        Self {
            lines,
            delimiter,
            record_bytes_max,
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            raw: Vec::new(),
            fields: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
        }
    }

    /// The number of the last line read.
    pub(crate) fn number(&self) -> u64 {
        self.lines.number()
    }

    /// The next record that is not an empty line; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<CsvLine<'_>>> {
        let mut quotes = Quotes { delimiter: self.delimiter, inside: false };
        let mut count = 0_u64;
        self.raw.clear();
        loop {
            let Some(line) = self.lines.next()? else {
                if count == 0 {
                    return Ok(None);
                }
                let reason = "a quote is not closed before the end";
                return Ok(Some(CsvLine::Bad { lines: count, reason }));
            };
            count += 1;
            let Line::Bytes(line) = line else {
                return Ok(Some(CsvLine::Bad { lines: count, reason: "the line is too long" }));
            };
            if count == 1 && line.is_empty() {
                count = 0;
                continue;
            }
            if self.raw.len() + line.len() > self.record_bytes_max {
                let reason = "a quote is not closed, and the record gets too long";
                return Ok(Some(CsvLine::Bad { lines: count, reason }));
            }
            if count > 1 {
                self.raw.push(b'\n');
            }
            self.raw.extend_from_slice(line);
            quotes.pass(line);
            if !quotes.inside {
                break;
            }
        }
        self.parse();
        match std::str::from_utf8(&self.fields) {
            Ok(text) => {
                self.text.clear();
                self.text.push_str(text);
                let fields = CsvRecord { text: &self.text, ends: &self.ends };
                Ok(Some(CsvLine::Record { fields, raw: &self.raw }))
            }
            Err(_) => Ok(Some(CsvLine::Bad { lines: count, reason: "the text is not UTF-8" })),
        }
    }

    /// Parses `raw`, which is one whole record, into `fields` and `ends`.
    fn parse(&mut self) {
        self.parser.reset();
        self.fields.resize(self.raw.len() + 1, 0);
        self.ends.resize(self.raw.len() + 2, 0);
        let mut input = self.raw.as_slice();
        let (mut written, mut count) = (0, 0);
        loop {
            let (result, read, bytes, ends) = self.parser.read_record(
                input,
                &mut self.fields[written..],
                &mut self.ends[count..],
            );
            input = &input[read..];
            written += bytes;
            count += ends;
            match result {
                // The next call has no input, which ends the record.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => break,
            }
        }
        self.fields.truncate(written);
        self.ends.truncate(count);
    }
}

/// Whether a line break would lie within quotes.
struct Quotes {
    delimiter: u8,
    inside: bool,
}

impl Quotes {
    fn pass(&mut self, line: &[u8]) {
        let mut at_start = !self.inside;
        for byte in line {
            match *byte {
                b'"' if self.inside => self.inside = false,
                // A doubled quote closes and opens at once.
                b'"' if at_start => self.inside = true,
                _ => {}
            }
            at_start = *byte == self.delimiter || *byte == b'"';
        }
    }
}

/// The delimiter of a header line.
pub(crate) fn delimiter_of(header: &[u8]) -> Option<u8> {
    let count = |delimiter: u8| header.iter().filter(|byte| **byte == delimiter).count();
    DELIMITERS
        .iter()
        .copied()
        .rev()
        .max_by_key(|delimiter| count(*delimiter))
        .filter(|best| count(*best) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn read(text: &str, bytes_max: usize) -> Vec<Result<Vec<String>, u64>> {
        let lines = Lines::new(Box::new(Cursor::new(text.to_owned())), bytes_max);
        let mut csv = CsvLines::new(lines, b',', bytes_max);
        let mut out = Vec::new();
        while let Some(line) = csv.next().expect("memory") {
            out.push(match line {
                CsvLine::Record { fields, .. } => {
                    Ok((0..).map_while(|column| fields.field(column)).map(str::to_owned).collect())
                }
                CsvLine::Bad { lines, .. } => Err(lines),
            });
        }
        out
    }

    fn check(text: &str, expected: &[&[&str]]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|row| Ok(row.iter().map(|cell| (*cell).to_owned()).collect()))
            .collect();
        assert_eq!(read(text, 100), expected, "{text}");
    }

    #[test]
    fn fields_quotes_and_line_breaks() {
        check("a,b\n1,\n\n,2\n", &[&["a", "b"], &["1", ""], &["", "2"]]);
        check("\"a,b\",\"say \"\"hi\"\"\"\nx,y\n", &[&["a,b", "say \"hi\""], &["x", "y"]]);
        check("\"one\ntwo\",2\nx,y", &[&["one\ntwo", "2"], &["x", "y"]]);
        check("5\" wide,2\nx,y\n", &[&["5\" wide", "2"], &["x", "y"]]);
        check("\"\",1\n\"\"\"\",2\n", &[&["", "1"], &["\"", "2"]]);
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_the_lines_up_to_the_bound() {
        let out = read("a,b\n\"open,1\nx,2\ny,3\nz,4\n", 9);
        assert_eq!(out[0], Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(out[1], Err(2));
        assert_eq!(out[2], Ok(vec!["y".to_owned(), "3".to_owned()]));
        assert_eq!(read("\"open,1\n", 100), [Err(1)]);
    }

    #[test]
    fn delimiters() {
        assert_eq!(delimiter_of(b"a,b;c,d"), Some(b','));
        assert_eq!(delimiter_of(b"a;b"), Some(b';'));
        assert_eq!(delimiter_of(b"a\tb"), Some(b'\t'));
        assert_eq!(delimiter_of(b"abc"), None);
    }
}
