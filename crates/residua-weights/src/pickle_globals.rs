//! Which classes and functions a pickle names, found without interpreting it.
//!
//! A pickle is a program. What it can call are the globals that it names, with `GLOBAL` and `INST`
//! literally, with `STACK_GLOBAL` by two texts on the stack, which may come from the memo. It has no
//! jumps, so that stepping through its instructions once meets all of them, also those whose results
//! are thrown away. The stack is followed as Python would, but holds nothing except which texts were
//! written literally: a name that is not literal is refused, and so are the numbers of Python's
//! extension registry (`EXT1` and its like), whose meaning is not in the file.
//!
//! Memory: at most a few words for each byte of a pickle, up to a number of values; nothing is kept of
//! long ones.

use std::io::{self, BufRead, Read};

use thiserror::Error;

use crate::pickle_opcodes::{Argument, Kept, Operand, instruction};
use crate::pickle_stack::{Machine, Wrong};

/// Bytes of the longest text that is kept. All names of [`crate::allowed_globals`] are shorter.
const LONGEST_KEPT: usize = 200;

/// Why a pickle is refused.
#[derive(Debug, Error)]
pub(crate) enum PickleProblem {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It ends before its last instruction.
    #[error("unexpected end at byte {position}")]
    CutOff {
        /// Where, from the first byte of the first pickle.
        position: u64,
    },
    /// It is none, or does what no checkpoint needs.
    #[error("the instruction at byte {position} {what}")]
    Instruction {
        /// Where its code is, from the first byte of the first pickle.
        position: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// It names something that is not allowed.
    #[error("{0} is not allowed")]
    Global(String),
}

/// One pickle after another.
pub(crate) struct Pickles<R> {
    input: R,
    position: u64,
}

impl<R: BufRead> Pickles<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, position: 0 }
    }

    /// Whether nothing follows.
    pub(crate) fn is_at_end(&mut self) -> Result<bool, PickleProblem> {
        Ok(self.input.fill_buf()?.is_empty())
    }

    /// Steps through one pickle to its end, asking of each module and name whether it is allowed.
    pub(crate) fn check(
        &mut self,
        allowed: impl FnMut(&str, &str) -> bool,
    ) -> Result<(), PickleProblem> {
        let mut machine = Machine::new(allowed);
        loop {
            let position = self.position;
            let wrong = |wrong| match wrong {
                Wrong::Instruction(what) => PickleProblem::Instruction { position, what },
                Wrong::Global(named) => PickleProblem::Global(named),
            };
            let code = self.number(1)? as u8;
            let (operand, effect) = { instruction(code).ok_or("has an unknown code") }
                .map_err(|what| wrong(what.into()))?;
            let argument = self.argument(operand)?;
            let ended = machine.step(code, effect, &argument, position..self.position);
            if ended.map_err(wrong)? {
                return Ok(());
            }
        }
    }

    fn argument(&mut self, operand: Operand) -> Result<Argument, PickleProblem> {
        let mut argument = Argument::default();
        match operand {
            Operand::Nothing => {}
            Operand::Number(bytes) => argument.number = self.number(bytes)?,
            Operand::Line => argument.first = self.line()?,
            Operand::TwoLines => {
                argument.first = self.line()?;
                argument.second = self.line()?;
            }
            Operand::Counted(bytes) => {
                let count = self.number(bytes)?;
                argument.first = self.counted(count)?;
            }
        }
        Ok(argument)
    }

    /// A little-endian number of at most eight bytes.
    fn number(&mut self, bytes: usize) -> Result<u64, PickleProblem> {
        let mut number = [0; 8];
        match self.input.read_exact(&mut number[..bytes]) {
            Ok(()) => self.position += bytes as u64,
            Err(failure) if failure.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(self.cut_off());
            }
            Err(failure) => return Err(failure.into()),
        }
        Ok(u64::from_le_bytes(number))
    }

    fn counted(&mut self, count: u64) -> Result<Kept, PickleProblem> {
        let mut bytes = Vec::new();
        let kept = count.min(LONGEST_KEPT as u64);
        let mut read = (&mut self.input).take(kept).read_to_end(&mut bytes)? as u64;
        read += io::copy(&mut (&mut self.input).take(count - kept), &mut io::sink())?;
        self.position += read;
        if read < count {
            return Err(self.cut_off());
        }
        let is_all = kept == count;
        Ok(Kept { bytes, is_all })
    }

    fn line(&mut self) -> Result<Kept, PickleProblem> {
        let mut bytes = Vec::new();
        let kept = LONGEST_KEPT as u64;
        let read = (&mut self.input).take(kept).read_until(b'\n', &mut bytes)?;
        self.position += read as u64;
        let is_all = bytes.pop_if(|last| *last == b'\n').is_some();
        if !is_all && read < LONGEST_KEPT {
            return Err(self.cut_off());
        }
        if !is_all {
            self.position += self.input.skip_until(b'\n')? as u64;
        }
        Ok(Kept { bytes, is_all })
    }

    fn cut_off(&self) -> PickleProblem {
        PickleProblem::CutOff {
            position: self.position,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;

    /// What pickles name, and where the last ends.
    fn named(bytes: &[u8], pickles: usize) -> Result<(BTreeSet<String>, u64), PickleProblem> {
        let mut named = BTreeSet::new();
        let mut input = Pickles::new(bytes);
        for _ in 0..pickles {
            input.check(|module, name| {
                named.insert(format!("{module} {name}"));
                true
            })?;
        }
        Ok((named, input.position))
    }

    fn problem(bytes: &[u8]) -> String {
        named(bytes, 1).unwrap_err().to_string()
    }

    fn fixture(name: &str) -> Vec<u8> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pickle");
        std::fs::read(folder.join(name)).unwrap()
    }

    #[test]
    fn what_is_named_is_what_python_looks_up() {
        let table = String::from_utf8(fixture("globals.txt")).unwrap();
        let mut all = Vec::new();
        let mut of_all = BTreeSet::new();
        for protocol in 0..=5 {
            let pickle = fixture(&format!("protocol_{protocol}.pkl"));
            let (found, end) = named(&pickle, 1).unwrap();
            let prefix = format!("{protocol} ");
            let lines = table.lines().filter_map(|line| line.strip_prefix(&prefix));
            let expected: BTreeSet<String> = lines.map(str::to_owned).collect();
            assert_eq!(found, expected, "protocol {protocol}");
            assert_eq!(end, pickle.len() as u64);
            all.extend(pickle);
            of_all.extend(expected);
        }
        assert_eq!(named(&all, 6).unwrap(), (of_all, all.len() as u64));
    }

    #[test]
    fn a_pickle_without_its_end_is_cut_off() {
        for protocol in 0..=5 {
            let pickle = fixture(&format!("protocol_{protocol}.pkl"));
            for length in 0..pickle.len() {
                let problem = problem(&pickle[..length]);
                let expected = format!("unexpected end at byte {length}");
                // What is read at once ends where it began.
                assert!(problem.starts_with("unexpected end at byte "), "{problem}");
                assert!(problem.len() <= expected.len(), "{problem}");
            }
        }
    }

    #[test]
    fn names_on_the_stack_are_followed() {
        let found = |bytes: &[u8]| {
            let found = named(bytes, 1).unwrap().0;
            found.into_iter().collect::<Vec<_>>().join(", ")
        };
        for (pickle, expected) in [
            (&b"\x8c\x01m\x8c\x01n\x93."[..], "m n"),
            (b"X\x01\0\0\0m\x8d\x01\0\0\0\0\0\0\0n\x93.", "m n"),
            (b"Vm\nVn\n\x93.", "m n"),
            // From the memo, in all its forms.
            (b"\x8c\x01n\x940\x8c\x01mq\x050h\x05h\x00\x93.", "m n"),
            (
                b"Vn\np7\n0Vm\nr\xff\xff\0\x000j\xff\xff\0\0g7\n\x93.",
                "m n",
            ),
            // The next number counts what is in the memo, not what was put there.
            (b"Nq\x01q\x010\x8c\x01n\x940\x8c\x01mh\x01\x93.", "m n"),
            // Of marks, copies and what lies between.
            (b"\x8c\x01m(NNt0\x8c\x01n\x93.", "m n"),
            (b"(\x8c\x01m(0\x8c\x01n(N1\x93\x85l.", "m n"),
            (b"\x8c\x01m2\x93.", "m m"),
            (b"\x8c\x01m\x8c\x01n\x95\x02\0\0\0\0\0\0\0\x93.", "m n"),
            // INST, and two of GLOBAL of which one is thrown away.
            (b"(im\nn\n.", "m n"),
            (b"cm\nn\n0ck\nl\n.", "k l, m n"),
        ] {
            let pickle_shown = pickle.escape_ascii();
            assert_eq!(found(pickle), expected, "{pickle_shown}");
        }
    }

    #[test]
    fn names_that_are_not_literal_are_refused() {
        for pickle in [
            // A number, a result, text of Python 2, text with an escape, and too long a text.
            &b"K\x01\x8c\x01n\x93."[..],
            b"cm\nn\n(tR\x8c\x01n\x93.",
            b"U\x01m\x8c\x01n\x93.",
            b"V\\u006d\nVn\n\x93.",
            b"V\xe9\nVn\n\x93.",
            &[b"X\x01\x01\0\0", &[b'm'; 257][..], b"\x8c\x01n\x93."].concat(),
        ] {
            let problem = problem(pickle);
            assert!(
                problem.ends_with("by what is not literal text"),
                "{problem}"
            );
        }
        assert!(problem(b"N\x82\x01.").ends_with("byte 1 names something by a number"));
        assert!(problem(b"\x83\x01\0.").ends_with("names something by a number"));
        assert!(problem(b"\x84\x01\0\0\0.").ends_with("names something by a number"));
        // Names of any length are said, up to a length, and do nothing to a terminal.
        let long = [b"c\x1b[31m", &[b'm'; 1000][..], b"\nn\n."].concat();
        let problem = problem(&long);
        assert!(problem.starts_with("\\u{1b}[31mmmm") && problem.len() < 400);
    }

    #[test]
    fn what_python_could_not_do_is_refused() {
        for pickle in [
            &b"."[..],
            b"(.",
            b"R.",
            b"NR.",
            b"(N(R.",
            b"N(t(a.",
            b"0.",
            b"1.",
            b"t.",
            b"h\x00.",
            b"g-1\n.",
            b"Np 0\n.",
            b"\x94.",
            b"\xff.",
            b"\x80\x06N.",
            // An end inside of a frame, a frame inside of one, and a line of which CPython would take
            // only the part behind the frame for the name.
            b"\x95\x03\0\0\0\0\0\0\0N.N",
            b"\x95\x0a\0\0\0\0\0\0\0N\x95\0\0\0\0\0\0\0\0.",
            b"\x95\x06\0\0\0\0\0\0\0ccopyregm\nn\n.",
            b"\x95\xff\xff\xff\xff\xff\xff\xff\xffN.",
        ] {
            assert!(named(pickle, 1).is_err(), "{}", pickle.escape_ascii());
        }
    }

    #[test]
    fn hostile_numbers_of_values_are_refused() {
        let pickle = vec![b'N'; (1 << 21) + 2];
        let problem = problem(&pickle);
        assert!(problem.contains("more values than any"), "{problem}");
    }

    proptest! {
        #[test]
        fn any_bytes_give_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = named(&bytes, 5);
        }

        /// More often than by chance, instructions that make sense.
        #[test]
        fn any_instructions_give_an_answer(
            codes in prop::collection::vec(prop::sample::select(
                b"(N.012tlduesaoRbi\x81\x85\x8f\x90\x91\x93\x94)]}\x88h\x00q\x00K\x01\x8c\x01".to_vec()
            ), 0..300),
        ) {
            let _ = named(&codes, 5);
        }

        #[test]
        fn a_changed_byte_gives_an_answer(
            protocol in 0..=5,
            position in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut pickle = fixture(&format!("protocol_{protocol}.pkl"));
            let position = position.index(pickle.len());
            pickle[position] = byte;
            let _ = named(&pickle, 1);
        }
    }
}
