//! How values that workers share are written as bytes: whole numbers in groups of seven bits, texts and lists after
//! their length, options and variants after a number. These are postcard's bytes.
//!
//! It is not serde with postcard because of their size: a visitor for each type took 60 kB of the module, and here a
//! type takes one call for each of its fields. For the same reason reading does not stop half-way: from the first byte
//! that does not fit everything reads as zero or empty, and [`decode`] returns nothing.

/// A value that can be shared. [`encoded!`](crate::encoded) implements it for a type by its fields.
pub trait Encoded: Sized {
    /// Appends the value.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads a value; anything if the bytes do not fit, which the reader then knows.
    fn read(reader: &mut Reader<'_>) -> Self;
}

/// Encodes a value as bytes.
pub fn encode(value: &impl Encoded) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.write(&mut bytes);
    bytes
}

/// Decodes what [`encode`] wrote; `None` for anything else. What follows the value is not looked at.
pub fn decode<T: Encoded>(bytes: &[u8]) -> Option<T> {
    let mut reader = Reader::new(bytes);
    let value = T::read(&mut reader);
    (!reader.has_failed).then_some(value)
}

/// Bytes that are being read.
#[derive(Debug)]
pub struct Reader<'b> {
    rest: &'b [u8],
    has_failed: bool,
}

impl<'b> Reader<'b> {
    /// Reads from the first of these bytes on.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, has_failed: false }
    }

    /// Notes that the bytes do not fit. Nothing more is read from them.
    pub fn fail(&mut self) {
        (self.rest, self.has_failed) = (&[], true);
    }

    #[inline(never)]
    fn byte(&mut self) -> u8 {
        match self.rest.split_first() {
            Some((byte, rest)) => {
                self.rest = rest;
                *byte
            }
            None => {
                self.fail();
                0
            }
        }
    }

    /// Reads a whole number, at most `most`.
    #[inline(never)]
    pub fn number(&mut self, most: u64) -> u64 {
        // Most are small.
        if let Some((byte, rest)) = self.rest.split_first()
            && *byte < 0x80
            && u64::from(*byte) <= most
        {
            self.rest = rest;
            return u64::from(*byte);
        }
        let mut number = 0_u64;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte();
            let group = u64::from(byte & 0x7f);
            number |= group.wrapping_shl(shift);
            if byte < 0x80 {
                let is_whole = group.wrapping_shl(shift).wrapping_shr(shift) == group;
                return if is_whole && number <= most { number } else { self.none() };
            }
        }
        self.none()
    }

    fn none(&mut self) -> u64 {
        self.fail();
        0
    }

    /// Reads bytes after their length; `None` if there are too few.
    #[inline(never)]
    pub fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number(u64::MAX)).unwrap_or(usize::MAX);
        let read = self.rest.split_at_checked(length).filter(|_| !self.has_failed);
        match read {
            Some((bytes, rest)) => {
                self.rest = rest;
                Some(bytes)
            }
            None => {
                self.fail();
                None
            }
        }
    }

    #[inline(never)]
    fn text(&mut self) -> &'b str {
        let text = self.bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
        if text.is_none() {
            self.fail();
        }
        text.unwrap_or_default()
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }
}

/// Appends a whole number.
#[inline(never)]
pub fn write_number(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push((number & 0x7f | 0x80) as u8);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends bytes after their length.
#[inline(never)]
pub fn write_bytes(written: &[u8], bytes: &mut Vec<u8>) {
    write_number(written.len() as u64, bytes);
    bytes.extend_from_slice(written);
}

macro_rules! encoded_number {
    ($($number:ty)*) => {$(
        impl Encoded for $number {
            fn write(&self, bytes: &mut Vec<u8>) {
                write_number(*self as u64, bytes);
            }

            fn read(reader: &mut Reader<'_>) -> Self {
                reader.number(<$number>::MAX as u64) as $number
            }
        }
    )*};
}

encoded_number!(u16 u32 u64 usize);

impl Encoded for u8 {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(*self);
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        reader.byte()
    }
}

impl Encoded for bool {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(*self));
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        reader.number(1) == 1
    }
}

/// The sign goes last, so that small negative numbers are short.
impl Encoded for i64 {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_number((self.wrapping_shl(1) ^ self.wrapping_shr(63)) as u64, bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        let number = reader.number(u64::MAX);
        (number.wrapping_shr(1) as Self) ^ ((number & 1) as Self).wrapping_neg()
    }
}

impl Encoded for String {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_bytes(self.as_bytes(), bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        reader.text().to_owned()
    }
}

impl<T: Encoded> Encoded for Option<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.push(u8::from(self.is_some()));
        if let Some(value) = self {
            value.write(bytes);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        bool::read(reader).then(|| T::read(reader))
    }
}

impl<T: Encoded> Encoded for Vec<T> {
    fn write(&self, bytes: &mut Vec<u8>) {
        write_number(self.len() as u64, bytes);
        self.iter().for_each(|item| item.write(bytes));
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        let mut items = Self::new();
        for _ in 0..reader.number(u64::MAX) {
            items.push(T::read(reader));
            if reader.has_failed {
                break;
            }
        }
        items
    }
}

impl<A: Encoded, B: Encoded> Encoded for (A, B) {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.0.write(bytes);
        self.1.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        (A::read(reader), B::read(reader))
    }
}

impl<T: Encoded, const N: usize> Encoded for [T; N] {
    fn write(&self, bytes: &mut Vec<u8>) {
        self.iter().for_each(|item| item.write(bytes));
    }

    fn read(reader: &mut Reader<'_>) -> Self {
        std::array::from_fn(|_| T::read(reader))
    }
}

/// Implements [`Encoded`](crate::encoding::Encoded) for a type: its fields in the order in which they are written, or
/// its variants with their numbers, the first of which stands for a number that is none.
#[macro_export]
macro_rules! encoded {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::encoding::Encoded for $name {
            fn write(&self, bytes: &mut Vec<u8>) {
                let Self { $($field),* } = self;
                $($crate::encoding::Encoded::write($field, bytes);)*
            }

            fn read(reader: &mut $crate::encoding::Reader<'_>) -> Self {
                Self { $($field: $crate::encoding::Encoded::read(reader)),* }
            }
        }
    };
    (struct $name:ident(_)) => {
        impl $crate::encoding::Encoded for $name {
            fn write(&self, bytes: &mut Vec<u8>) {
                $crate::encoding::Encoded::write(&self.0, bytes);
            }

            fn read(reader: &mut $crate::encoding::Reader<'_>) -> Self {
                Self($crate::encoding::Encoded::read(reader))
            }
        }
    };
    (enum $name:ident {
        0 => $first:ident $(($($first_part:ident),*))?
        $(, $number:literal => $variant:ident $(($($part:ident),*))? $({$($field:ident),*})?)* $(,)?
    }) => {
        impl $crate::encoding::Encoded for $name {
            fn write(&self, bytes: &mut Vec<u8>) {
                match self {
                    Self::$first $(($($first_part),*))? => {
                        bytes.push(0);
                        $($($crate::encoding::Encoded::write($first_part, bytes);)*)?
                    }
                    $(Self::$variant $(($($part),*))? $({$($field),*})? => {
                        bytes.push($number);
                        $($($crate::encoding::Encoded::write($part, bytes);)*)?
                        $($($crate::encoding::Encoded::write($field, bytes);)*)?
                    })*
                }
            }

            fn read(reader: &mut $crate::encoding::Reader<'_>) -> Self {
                match reader.number(u64::MAX) {
                    $($number => {
                        $($(let $part = $crate::encoding::Encoded::read(reader);)*)?
                        Self::$variant $(($($part),*))? $({$($field: $crate::encoding::Encoded::read(reader)),*})?
                    })*
                    number => {
                        if number > 0 {
                            reader.fail();
                        }
                        $($(let $first_part = $crate::encoding::Encoded::read(reader);)*)?
                        Self::$first $(($($first_part),*))?
                    }
                }
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: Encoded + PartialEq + std::fmt::Debug>(value: T, written: &[u8]) {
        let bytes = encode(&value);
        assert_eq!(bytes, written, "{value:?}");
        assert_eq!(decode::<T>(&bytes).as_ref(), Some(&value));
        for cut in 0..bytes.len() {
            assert_eq!(decode::<T>(&bytes[..cut]), None, "{value:?} cut at {cut}");
        }
    }

    #[test]
    fn values_are_written_as_postcard_writes_them() {
        there_and_back(0_u32, &[0]);
        there_and_back(300_u16, &[0xac, 2]);
        there_and_back(u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        there_and_back(200_u8, &[200]);
        there_and_back((true, false), &[1, 0]);
        there_and_back([0_i64, -1, 1, -65], &[0, 1, 2, 0x81, 1]);
        there_and_back(i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        there_and_back("ö".to_owned(), &[2, 0xc3, 0xb6]);
        there_and_back(vec![Some(7_u32), None], &[2, 1, 7, 0]);
    }

    #[derive(Debug, PartialEq)]
    enum Kind {
        Plain,
        Text(String),
        Fields { a: u32, b: bool },
    }

    encoded!(enum Kind { 0 => Plain, 1 => Text(text), 2 => Fields { a, b } });

    #[test]
    fn a_variant_is_its_number_and_its_fields() {
        there_and_back(Kind::Plain, &[0]);
        there_and_back(Kind::Text("a".into()), &[1, 1, b'a']);
        there_and_back(Kind::Fields { a: 5, b: true }, &[2, 5, 1]);
        assert_eq!(decode::<Kind>(&[3]), None);
    }

    #[test]
    fn what_does_not_fit_is_nothing() {
        assert_eq!(decode::<u16>(&[0xff, 0xff, 4]), None, "too large");
        assert_eq!(decode::<u64>(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None, "too large");
        assert_eq!(decode::<u64>(&[0x80; 11]), None, "without an end");
        assert_eq!(decode::<bool>(&[2]), None);
        assert_eq!(decode::<Option<u8>>(&[2, 1]), None);
        assert_eq!(decode::<String>(&[1, 0xff]), None, "not UTF-8");
        assert_eq!(decode::<Vec<u8>>(&encode(&u64::MAX)), None, "a length that nothing has");
        assert_eq!(decode::<Vec<u8>>(&[]), None);
    }
}
