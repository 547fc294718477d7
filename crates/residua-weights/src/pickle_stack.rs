//! The stack and memo of Python's unpickler, as far as they decide what a pickle names: which of
//! their values are text that the pickle has literally.

use std::collections::HashMap;
use std::ops::Range;

use crate::pickle_opcodes::{Argument, Effect, literal};

/// The latest protocol (CPython's `Lib/pickle.py`, `HIGHEST_PROTOCOL`).
const LATEST_PROTOCOL: u64 = 5;

/// Values that may be on the stack and in the memo, which keeps hostile files from taking much memory
/// here and in those who read the file next. Those of checkpoints have some ten thousand.
const MOST_VALUES: usize = 1 << 21;

const NO_VALUE: &str = "takes a value that is not on the stack";
const NO_NUMBER: &str = "asks for a value that the memo lacks";

/// What is wrong with an instruction.
pub(crate) enum Wrong {
    Instruction(&'static str),
    Global(String),
}

impl From<&'static str> for Wrong {
    fn from(what: &'static str) -> Self {
        Self::Instruction(what)
    }
}

/// A value on the stack.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Mark,
    /// A text that is kept, by its number.
    Text(u32),
    Other,
}

/// The stack and memo of Python's unpickler, as far as they decide what is named.
pub(crate) struct Machine<F> {
    allowed: F,
    stack: Vec<Slot>,
    memo: HashMap<u64, Slot>,
    texts: Vec<Box<str>>,
    /// Where the last frame ends.
    frame_end: u64,
}

impl<F: FnMut(&str, &str) -> bool> Machine<F> {
    pub(crate) fn new(allowed: F) -> Self {
        Self {
            allowed,
            stack: Vec::new(),
            memo: HashMap::new(),
            texts: Vec::new(),
            frame_end: 0,
        }
    }

    /// Does an instruction at these positions; whether the pickle ends with it.
    pub(crate) fn step(
        &mut self,
        code: u8,
        effect: Effect,
        argument: &Argument,
        positions: Range<u64>,
    ) -> Result<bool, Wrong> {
        // No pickler writes such, and readers differ: CPython's forgets the part of a line that lies
        // in the frame, so that it looks up another name than others see, and looks for the next
        // pickle behind the frame.
        let is_framed = positions.start < self.frame_end;
        if is_framed && (positions.end > self.frame_end || effect == Effect::Frame) {
            return Err("does not end with its frame".into());
        }
        if self.stack.len() + self.memo.len() + self.texts.len() > MOST_VALUES {
            return Err("is behind more values than any checkpoint has".into());
        }
        match effect {
            Effect::Push => self.stack.push(Slot::Other),
            Effect::PushText => {
                let slot = self.text_slot(literal(code, &argument.first));
                self.stack.push(slot);
            }
            Effect::Mark => self.stack.push(Slot::Mark),
            Effect::Make(count) => {
                self.pop_many(count)?;
                self.stack.push(Slot::Other);
            }
            Effect::Add(count) => {
                self.pop_many(count)?;
                self.top()?;
            }
            Effect::MakeOfMarked => {
                self.pop_marked()?;
                self.stack.push(Slot::Other);
            }
            Effect::AddMarked => {
                self.pop_marked()?;
                self.top()?;
            }
            Effect::Pop => {
                self.stack.pop().ok_or(NO_VALUE)?;
            }
            Effect::PopMarked => self.pop_marked()?,
            Effect::Duplicate => {
                let top = self.top()?;
                self.stack.push(top);
            }
            Effect::Get => {
                let number = argument.memo_number(code).ok_or(NO_NUMBER)?;
                let slot = self.memo.get(&number).ok_or(NO_NUMBER)?;
                self.stack.push(*slot);
            }
            Effect::Put => {
                let number = argument.memo_number(code).ok_or(NO_NUMBER)?;
                self.memo.insert(number, self.top()?);
            }
            Effect::Memoize => {
                self.memo.insert(self.memo.len() as u64, self.top()?);
            }
            Effect::Global => self.global(argument)?,
            Effect::Instance => {
                self.pop_marked()?;
                self.global(argument)?;
            }
            Effect::StackGlobal => {
                let (name, module) = (self.pop()?, self.pop()?);
                let names = self.text(module).zip(self.text(name));
                let (module, name) = names.ok_or("names something by what is not literal text")?;
                self.named(&module, &name)?;
            }
            Effect::Extension => return Err("names something by a number".into()),
            Effect::Protocol if argument.number > LATEST_PROTOCOL => {
                return Err("announces an unknown protocol".into());
            }
            Effect::Protocol => {}
            Effect::Frame => self.frame_end = positions.end.saturating_add(argument.number),
            Effect::Stop if positions.end < self.frame_end => {
                return Err("ends a pickle before its frame".into());
            }
            Effect::Stop => {
                self.top()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The value on top, which a mark is not.
    fn top(&self) -> Result<Slot, Wrong> {
        match self.stack.last() {
            None | Some(Slot::Mark) => Err(NO_VALUE.into()),
            Some(slot) => Ok(*slot),
        }
    }

    fn pop(&mut self) -> Result<Slot, Wrong> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_many(&mut self, count: usize) -> Result<(), Wrong> {
        (0..count).try_for_each(|_| self.pop().map(drop))
    }

    fn pop_marked(&mut self) -> Result<(), Wrong> {
        let mut slots = self.stack.iter();
        let mark = slots.rposition(|slot| matches!(slot, Slot::Mark));
        let mark = mark.ok_or("takes a mark that is not on the stack")?;
        self.stack.truncate(mark);
        Ok(())
    }

    fn text_slot(&mut self, text: Option<&str>) -> Slot {
        match (text, u32::try_from(self.texts.len())) {
            (Some(text), Ok(number)) => {
                self.texts.push(text.into());
                Slot::Text(number)
            }
            _ => Slot::Other,
        }
    }

    fn text(&self, slot: Slot) -> Option<Box<str>> {
        match slot {
            Slot::Text(number) => self.texts.get(number as usize).cloned(),
            Slot::Mark | Slot::Other => None,
        }
    }

    fn global(&mut self, argument: &Argument) -> Result<(), Wrong> {
        let (module, name) = (&argument.first, &argument.second);
        match module.text().zip(name.text()) {
            Some((module, name)) => self.named(module, name),
            None => Err(Wrong::Global(format!(
                "{}.{}",
                module.shown(),
                name.shown()
            ))),
        }
    }

    fn named(&mut self, module: &str, name: &str) -> Result<(), Wrong> {
        if !(self.allowed)(module, name) {
            let shown = format!("{}.{}", module.escape_debug(), name.escape_debug());
            return Err(Wrong::Global(shown));
        }
        self.stack.push(Slot::Other);
        Ok(())
    }
}
