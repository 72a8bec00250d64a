//! Counts the variants of every enum in a value, by what serde is told of it: no list of them is kept by hand.

use std::collections::BTreeMap;
use std::fmt;

use serde::{
    Deserialize, Serialize, Serializer,
    de::{self, Visitor},
    ser,
};

/// How often each variant of each enum was seen.
#[derive(Clone, Debug, Default)]
pub struct Variants(BTreeMap<(&'static str, &'static str), u64>);

impl Variants {
    /// Counts a value and all that is in it.
    pub fn count<T: Serialize + ?Sized>(&mut self, value: &T) {
        value.serialize(self).expect("counting never fails");
    }

    /// How often one was seen.
    #[must_use]
    pub fn of(&self, name: &'static str, variant: &'static str) -> u64 {
        self.0.get(&(name, variant)).copied().unwrap_or_default()
    }

    /// Adds another count.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.0 {
            *self.0.entry(*key).or_default() += count;
        }
    }

    /// Variants of `T` that were never seen, as `Enum::Variant`.
    #[must_use]
    pub fn never<T: for<'de> Deserialize<'de>>(&self) -> Vec<String> {
        let (name, all) = variants_of::<T>();
        let unseen = all.iter().filter(|variant| self.of(name, variant) == 0);
        unseen.map(|variant| format!("{name}::{variant}")).collect()
    }

    fn hit(&mut self, name: &'static str, variant: &'static str) {
        *self.0.entry((name, variant)).or_default() += 1;
    }
}

/// Name and variants of an enum, as it tells them a deserialiser.
///
/// # Panics
/// It is no enum.
#[must_use]
pub fn variants_of<T: for<'de> Deserialize<'de>>() -> (&'static str, &'static [&'static str]) {
    let mut found = None;
    let _ = T::deserialize(Asked(&mut found));
    found.expect("only enums are asked")
}

/// What counting and asking end with when they go no further.
#[derive(Debug)]
pub struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

struct Asked<'a>(&'a mut Option<(&'static str, &'static [&'static str])>);

impl<'de> de::Deserializer<'de> for Asked<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        *self.0 = Some((name, variants));
        Err(Stop)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// Values without parts say nothing.
macro_rules! nothing {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<(), Stop> {
            Ok(())
        })*
    };
}

impl Serializer for &mut Variants {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    nothing! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32,
        serialize_f64: f64, serialize_char: char, serialize_str: &str, serialize_bytes: &[u8],
        serialize_unit_struct: &'static str
    }

    fn serialize_none(self) -> Result<(), Stop> {
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Stop> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Stop> {
        self.hit(name, variant);
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        self.hit(name, variant);
        value.serialize(self)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Stop> {
        self.hit(name, variant);
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self, Stop> {
        self.hit(name, variant);
        Ok(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Stop> {
        Ok(self)
    }
}

/// All compounds are the same: whatever is in them is counted.
macro_rules! compound {
    ($($trait:ident::$method:ident($($name:ty)?)),*) => {
        $(impl ser::$trait for &mut Variants {
            type Ok = ();
            type Error = Stop;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Result<(), Stop> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Stop> {
                Ok(())
            }
        })*
    };
}

compound! {
    SerializeSeq::serialize_element(),
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(&'static str),
    SerializeStructVariant::serialize_field(&'static str)
}

impl ser::SerializeMap for &mut Variants {
    type Ok = ();
    type Error = Stop;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stop> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Stop> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use nacrite_core::node::{input::Input, op::Op, reply::Refusal};

    use super::*;

    #[test]
    fn variants_are_found_and_counted_however_deep() {
        assert_eq!(variants_of::<Refusal>().1[0], "Unregistered");
        let mut seen = Variants::default();
        seen.count(&vec![Some(Input::Request {
            id: 1,
            origin: Default::default(),
            op: Op::DeleteNamespace { id: "a".into() },
        })]);
        assert_eq!(seen.of("Input", "Request"), 1);
        assert_eq!(seen.of("Op", "DeleteNamespace"), 1);
        let never = seen.never::<Op>();
        assert_eq!(never.len(), variants_of::<Op>().1.len() - 1);
        assert!(never.contains(&"Op::Beat".to_owned()));
    }
}
