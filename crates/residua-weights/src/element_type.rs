//! The types of numbers that files hold.

use std::fmt;

use half::{bf16, f16};
use serde::Serialize;

use crate::tensor_file::Values;

/// How a file stores the numbers of a tensor. In memory they are `f32` or `i64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ElementType {
    /// 64-bit floating point; rounded to `f32` when read.
    F64,
    /// 32-bit floating point.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
    /// 64-bit integer.
    I64,
    /// 32-bit integer.
    I32,
    /// 16-bit integer.
    I16,
    /// 8-bit integer.
    I8,
    /// 64-bit integer without sign; the largest half of them becomes the largest `i64`.
    U64,
    /// 32-bit integer without sign.
    U32,
    /// 16-bit integer without sign.
    U16,
    /// 8-bit integer without sign.
    U8,
    /// A byte that is 0 or 1.
    Bool,
}

impl ElementType {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 | Self::I64 | Self::U64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// The numbers that little-endian bytes stand for. An incomplete last number is left out.
    pub(crate) fn decode(self, data: &[u8]) -> Values {
        match self {
            Self::F64 => Values::Float(each(data, |bytes| f64::from_le_bytes(bytes) as f32)),
            Self::F32 => Values::Float(each(data, f32::from_le_bytes)),
            Self::F16 => Values::Float(each(data, |bytes| f16::from_le_bytes(bytes).to_f32())),
            Self::Bf16 => Values::Float(each(data, |bytes| bf16::from_le_bytes(bytes).to_f32())),
            Self::I64 => Values::Integer(each(data, i64::from_le_bytes)),
            Self::I32 => Values::Integer(each(data, |bytes| i32::from_le_bytes(bytes).into())),
            Self::I16 => Values::Integer(each(data, |bytes| i16::from_le_bytes(bytes).into())),
            Self::I8 => Values::Integer(each(data, |bytes| i8::from_le_bytes(bytes).into())),
            Self::U64 => Values::Integer(each(data, |bytes| {
                i64::try_from(u64::from_le_bytes(bytes)).unwrap_or(i64::MAX)
            })),
            Self::U32 => Values::Integer(each(data, |bytes| u32::from_le_bytes(bytes).into())),
            Self::U16 => Values::Integer(each(data, |bytes| u16::from_le_bytes(bytes).into())),
            Self::U8 | Self::Bool => Values::Integer(each(data, |[byte]| byte.into())),
        }
    }
}

fn each<const BYTES: usize, T>(data: &[u8], decode: impl Fn([u8; BYTES]) -> T) -> Vec<T> {
    let (values, _) = data.as_chunks::<BYTES>();
    values.iter().map(|bytes| decode(*bytes)).collect()
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F64 => "f64",
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::I64 => "i64",
            Self::I32 => "i32",
            Self::I16 => "i16",
            Self::I8 => "i8",
            Self::U64 => "u64",
            Self::U32 => "u32",
            Self::U16 => "u16",
            Self::U8 => "u8",
            Self::Bool => "bool",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_without_sign_keep_their_values() {
        let decoded = |kind: ElementType, bytes: &[u8]| kind.decode(bytes);
        assert_eq!(
            decoded(ElementType::U16, &[0xff, 0xff, 1, 0]),
            Values::Integer(vec![65535, 1])
        );
        assert_eq!(
            decoded(ElementType::U32, &[0xff; 4]),
            Values::Integer(vec![u32::MAX.into()])
        );
        assert_eq!(
            decoded(ElementType::U64, &[0xff; 8]),
            Values::Integer(vec![i64::MAX])
        );
    }
}
