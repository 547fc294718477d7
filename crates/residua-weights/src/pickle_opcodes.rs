//! The instructions of pickles of the protocols 0 to 5: what follows each code, and what it does to
//! the stack. The source is CPython's `Lib/pickletools.py`, against whose table this one is tested.

/// What follows the code of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operand {
    /// Nothing.
    Nothing,
    /// A number of as many bytes, at most eight.
    Number(usize),
    /// Text up to the end of a line.
    Line,
    /// The same twice: a module, and a name in it.
    TwoLines,
    /// The length of what follows, in as many bytes, and that.
    Counted(usize),
}

/// What an instruction does to the stack. Values other than text are all alike here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Puts a value on it.
    Push,
    /// Puts the text that follows the code on it.
    PushText,
    /// Puts a mark on it.
    Mark,
    /// Takes as many values from it and puts what is made of them on it.
    Make(usize),
    /// Takes as many values from it and adds them to the one below.
    Add(usize),
    /// Takes all values down to a mark, and puts what is made of them on it.
    MakeOfMarked,
    /// Takes all values down to a mark and adds them to the one below.
    AddMarked,
    /// Takes a value or a mark from it.
    Pop,
    /// Takes all values down to a mark from it.
    PopMarked,
    /// Puts the same value on it once more.
    Duplicate,
    /// Puts a value of the memo on it, under the number that follows the code.
    Get,
    /// Copies its top to the memo, under the number that follows the code.
    Put,
    /// Copies its top to the memo, under the next number.
    Memoize,
    /// Puts on it what has the two names that follow the code.
    Global,
    /// Takes two names from it, and puts what has them on it.
    StackGlobal,
    /// Takes all values down to a mark, and puts on it what a call of what has the two names that
    /// follow the code makes of them.
    Instance,
    /// Puts on it what Python registered under the number that follows the code.
    Extension,
    /// Says the protocol.
    Protocol,
    /// Says how many of the following bytes belong together.
    Frame,
    /// Ends the pickle with the value on top.
    Stop,
}

/// The instruction of a code.
pub(crate) fn instruction(code: u8) -> Option<(Operand, Effect)> {
    use Operand::{Counted, Line, Nothing, Number, TwoLines};
    Some(match code {
        // INT, LONG, FLOAT, STRING: text in Python's notation.
        b'I' | b'L' | b'F' | b'S' => (Line, Effect::Push),
        // BININT1, BININT2, BININT, BINFLOAT.
        b'K' => (Number(1), Effect::Push),
        b'M' => (Number(2), Effect::Push),
        b'J' => (Number(4), Effect::Push),
        b'G' => (Number(8), Effect::Push),
        // LONG1, SHORT_BINSTRING, SHORT_BINBYTES. Strings of Python 2 are text or bytes as the
        // reader decides, so that they are not taken for text.
        0x8a | b'U' | b'C' => (Counted(1), Effect::Push),
        // LONG4, BINSTRING, BINBYTES.
        0x8b | b'T' | b'B' => (Counted(4), Effect::Push),
        // BINBYTES8, BYTEARRAY8.
        0x8e | 0x96 => (Counted(8), Effect::Push),
        // UNICODE, SHORT_BINUNICODE, BINUNICODE, BINUNICODE8.
        b'V' => (Line, Effect::PushText),
        0x8c => (Counted(1), Effect::PushText),
        b'X' => (Counted(4), Effect::PushText),
        0x8d => (Counted(8), Effect::PushText),
        // NONE, NEWTRUE, NEWFALSE, EMPTY_LIST, EMPTY_TUPLE, EMPTY_DICT, EMPTY_SET, NEXT_BUFFER.
        b'N' | 0x88 | 0x89 | b']' | b')' | b'}' | 0x8f | 0x97 => (Nothing, Effect::Push),
        // PERSID, and BINPERSID, whose name is on the stack. A name of a storage is no global; the
        // class in it comes from the stack.
        b'P' => (Line, Effect::Push),
        b'Q' => (Nothing, Effect::Make(1)),
        // TUPLE1, TUPLE2, TUPLE3.
        0x85 => (Nothing, Effect::Make(1)),
        0x86 => (Nothing, Effect::Make(2)),
        0x87 => (Nothing, Effect::Make(3)),
        // READONLY_BUFFER, REDUCE, NEWOBJ, NEWOBJ_EX.
        0x98 => (Nothing, Effect::Make(1)),
        b'R' | 0x81 => (Nothing, Effect::Make(2)),
        0x92 => (Nothing, Effect::Make(3)),
        // APPEND, BUILD, SETITEM.
        b'a' | b'b' => (Nothing, Effect::Add(1)),
        b's' => (Nothing, Effect::Add(2)),
        // MARK; LIST, TUPLE, DICT, FROZENSET, OBJ.
        b'(' => (Nothing, Effect::Mark),
        b'l' | b't' | b'd' | 0x91 | b'o' => (Nothing, Effect::MakeOfMarked),
        // APPENDS, SETITEMS, ADDITEMS.
        b'e' | b'u' | 0x90 => (Nothing, Effect::AddMarked),
        // POP, POP_MARK, DUP.
        b'0' => (Nothing, Effect::Pop),
        b'1' => (Nothing, Effect::PopMarked),
        b'2' => (Nothing, Effect::Duplicate),
        // GET, BINGET, LONG_BINGET; PUT, BINPUT, LONG_BINPUT; MEMOIZE.
        b'g' => (Line, Effect::Get),
        b'h' => (Number(1), Effect::Get),
        b'j' => (Number(4), Effect::Get),
        b'p' => (Line, Effect::Put),
        b'q' => (Number(1), Effect::Put),
        b'r' => (Number(4), Effect::Put),
        0x94 => (Nothing, Effect::Memoize),
        // GLOBAL, STACK_GLOBAL, INST; EXT1, EXT2, EXT4.
        b'c' => (TwoLines, Effect::Global),
        0x93 => (Nothing, Effect::StackGlobal),
        b'i' => (TwoLines, Effect::Instance),
        0x82 => (Number(1), Effect::Extension),
        0x83 => (Number(2), Effect::Extension),
        0x84 => (Number(4), Effect::Extension),
        // PROTO, FRAME, STOP.
        0x80 => (Number(1), Effect::Protocol),
        0x95 => (Number(8), Effect::Frame),
        b'.' => (Nothing, Effect::Stop),
        _ => return None,
    })
}

/// What follows a code: a number, or up to two pieces of text or bytes.
#[derive(Default)]
pub(crate) struct Argument {
    pub(crate) number: u64,
    pub(crate) first: Kept,
    pub(crate) second: Kept,
}

/// The beginning of what may be long.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    /// Whether there is no more of it.
    pub(crate) is_all: bool,
}

impl Argument {
    /// The number of a value of the memo. GET and PUT have it in digits; Python would also take signs,
    /// spaces and underscores, which nobody writes.
    pub(crate) fn memo_number(&self, code: u8) -> Option<u64> {
        if !matches!(code, b'g' | b'p') {
            return Some(self.number);
        }
        let text = self.first.text()?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| digits)
    }
}

impl Kept {
    pub(crate) fn text(&self) -> Option<&str> {
        { str::from_utf8(&self.bytes).ok() }.filter(|_| self.is_all)
    }

    /// For people, of whatever it may be.
    pub(crate) fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let rest = if self.is_all { "" } else { "…" };
        format!("{}{rest}", text.escape_debug())
    }
}

/// The text that Python makes of what follows a code, if that is certain.
pub(crate) fn literal(code: u8, argument: &Kept) -> Option<&str> {
    let text = argument.text()?;
    // The line of UNICODE has escapes, and bytes of Latin-1.
    let is_plain = code != b'V' || (text.is_ascii() && !text.contains('\\'));
    is_plain.then_some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// A line for each of `pickletools.opcodes`: its name and code, the kind and bytes of its
    /// argument, how many values it takes from the stack (`mark` for those down to a mark) and puts
    /// on it.
    const TABLE: &str = include_str!("../tests/fixtures/pickle/opcodes.txt");

    /// What the columns of the table say of an instruction.
    fn columns(operand: Operand, effect: Effect) -> (String, &'static str, &'static str) {
        let operand = match operand {
            Operand::Nothing => "none".to_owned(),
            Operand::Number(bytes) => format!("number{bytes}"),
            Operand::Line => "line".to_owned(),
            Operand::TwoLines => "two-lines".to_owned(),
            Operand::Counted(bytes) => format!("counted{bytes}"),
        };
        let (takes, puts) = match effect {
            Effect::Protocol | Effect::Frame | Effect::Put => ("0", "0"),
            Effect::Push | Effect::PushText | Effect::Mark => ("0", "1"),
            Effect::Get | Effect::Global | Effect::Extension => ("0", "1"),
            Effect::Make(1) | Effect::Memoize => ("1", "1"),
            Effect::Make(2) | Effect::Add(1) | Effect::StackGlobal => ("2", "1"),
            Effect::Make(_) | Effect::Add(_) => ("3", "1"),
            Effect::MakeOfMarked | Effect::Instance => ("mark", "1"),
            Effect::AddMarked => ("1+mark", "1"),
            Effect::Pop | Effect::Stop => ("1", "0"),
            Effect::PopMarked => ("mark", "0"),
            Effect::Duplicate => ("1", "2"),
        };
        (operand, takes, puts)
    }

    #[test]
    fn instructions_are_those_of_pickletools() {
        let mut known = HashMap::new();
        for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [name, code, operand, takes, puts] = fields[..] else {
                panic!("{line}");
            };
            let code = u8::from_str_radix(code, 16).unwrap();
            let found = instruction(code);
            let (operand_found, effect) = found.unwrap_or_else(|| panic!("{name} is missing"));
            let found = columns(operand_found, effect);
            assert_eq!(found, (operand.to_owned(), takes, puts), "{name}");
            assert!(known.insert(code, name).is_none());
        }
        assert_eq!(known.len(), 68);
        for code in 0..=u8::MAX {
            assert_eq!(instruction(code).is_some(), known.contains_key(&code));
        }
    }
}
