//! The three messages of an event file that a run needs, in the wire format of protocol buffers
//! (<https://protobuf.dev/programming-guides/encoding/>). They are few and have not changed since
//! 2016, so they are encoded by hand.
//!
//! Field numbers are those of `tensorboard/compat/proto/event.proto` and `summary.proto`:
//!
//! ```text
//! Event       { double wall_time = 1; int64 step = 2; string file_version = 3;
//!               Summary summary = 5; SessionLog session_log = 7; }
//! SessionLog  { SessionStatus status = 1; }          START = 1
//! Summary     { repeated Value value = 1; }
//! Value       { string tag = 1; float simple_value = 2; }
//! ```

/// How the content of a field is delimited.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    SixtyFourBits = 1,
    Length = 2,
    ThirtyTwoBits = 5,
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn put_key(bytes: &mut Vec<u8>, field: u64, wire: Wire) {
    put_varint(bytes, field << 3 | wire as u64);
}

fn put_bytes(bytes: &mut Vec<u8>, field: u64, content: &[u8]) {
    put_key(bytes, field, Wire::Length);
    put_varint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

/// `Event` up to its content. A step of 0 is not written, since that is what its absence means.
fn event(wall_time: f64, step: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_key(&mut bytes, 1, Wire::SixtyFourBits);
    bytes.extend_from_slice(&wall_time.to_le_bytes());
    if step > 0 {
        put_key(&mut bytes, 2, Wire::Varint);
        put_varint(&mut bytes, step);
    }
    bytes
}

/// The message that every file begins with; `wall_time` in seconds since 1970.
pub(super) fn file_version(wall_time: f64) -> Vec<u8> {
    let mut bytes = event(wall_time, 0);
    put_bytes(&mut bytes, 3, b"brain.Event:2");
    bytes
}

/// A session starts: what was read with this step or a later one does not count any more.
pub(super) fn session_start(wall_time: f64, step: u64) -> Vec<u8> {
    const START: u64 = 1;
    let mut session_log = Vec::new();
    put_key(&mut session_log, 1, Wire::Varint);
    put_varint(&mut session_log, START);
    let mut bytes = event(wall_time, step);
    put_bytes(&mut bytes, 7, &session_log);
    bytes
}

/// Values of several tags at a step.
pub(super) fn scalars(wall_time: f64, step: u64, scalars: &[(&str, f64)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, number) in scalars {
        let mut value = Vec::new();
        put_bytes(&mut value, 1, tag.as_bytes());
        put_key(&mut value, 2, Wire::ThirtyTwoBits);
        value.extend_from_slice(&(*number as f32).to_le_bytes());
        put_bytes(&mut summary, 1, &value);
    }
    let mut bytes = event(wall_time, step);
    put_bytes(&mut bytes, 5, &summary);
    bytes
}
