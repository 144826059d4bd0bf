//! Reads JSON values as types of this crate.

use serde_json::{Map, Value};

/// A type that is read from JSON.
pub trait FromJson: Sized {
    /// # Errors
    /// What is wrong, after the path of the wrong value.
    fn from_json(value: &Value) -> Result<Self, String>;

    /// The value of a field that is not there.
    fn absent() -> Option<Self> {
        None
    }
}

/// [`FromJson`] for a struct: each field by its name, or by its name in JSON if that differs. An absent field gets its type's value for that, or the
/// value after `or`. Other fields are errors. Fields after `without` are empty.
macro_rules! from_json {
    ($type:ident { $($field:ident $(: $name:literal)? $(or $default:expr)?),* $(,)? } $(without { $($left:ident),* })?) => {
        impl $crate::json::FromJson for $type {
            fn from_json(value: &serde_json::Value) -> std::result::Result<$type, String> {
                let fields = $crate::json::Fields::of(value, &[$($crate::json::from_json!(@name $field $($name)?)),*])?;
                Ok($type {
                    $($field: fields.read($crate::json::from_json!(@name $field $($name)?), $crate::json::from_json!(@or $($default)?))?,)*
                    $($($left: Default::default(),)*)?
                })
            }
        }
    };
    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $name:literal) => { $name };
    (@or) => { $crate::json::FromJson::absent() };
    (@or $default:expr) => { Some($default) };
}
pub(crate) use from_json;

/// The fields of an object.
#[derive(Debug)]
pub struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// # Errors
    /// If it is of another type, or has a field that is not in `names`.
    pub fn of(value: &'a Value, names: &[&str]) -> Result<Fields<'a>, String> {
        let Value::Object(fields) = value else { return Err("not an object".into()) };
        match fields.keys().find(|key| !names.contains(&key.as_str())) {
            Some(key) => Err(format!("{key}: unknown")),
            None => Ok(Fields(fields)),
        }
    }

    /// The field called `name`, or `absent` if it is not there or null.
    ///
    /// # Errors
    /// If it is of another type, or is required and not there.
    pub fn read<T: FromJson>(&self, name: &str, absent: Option<T>) -> Result<T, String> {
        let read = match self.0.get(name).filter(|value| !value.is_null()) {
            Some(value) => T::from_json(value),
            None => absent.ok_or_else(|| "missing".into()),
        };
        read.map_err(|reason| format!("{name}: {reason}"))
    }
}

/// [`FromJson`] by a function of [`Value`].
macro_rules! from_json_by {
    ($($type:ty, $read:expr, $expected:literal, $absent:expr;)*) => {
        $(impl FromJson for $type {
            fn from_json(value: &Value) -> Result<$type, String> {
                let read: Option<$type> = $read(value);
                read.ok_or_else(|| concat!("not ", $expected).into())
            }

            fn absent() -> Option<$type> {
                $absent
            }
        })*
    };
}
from_json_by! {
    bool, Value::as_bool, "true or false", Some(false);
    u64, Value::as_u64, "a whole number", None;
    f64, Value::as_f64, "a number", None;
    String, |value: &Value| value.as_str().map(String::from), "a text", None;
}

impl<T: FromJson> FromJson for Option<T> {
    fn from_json(value: &Value) -> Result<Option<T>, String> {
        T::from_json(value).map(Some)
    }

    fn absent() -> Option<Option<T>> {
        Some(None)
    }
}

impl<T: FromJson> FromJson for Vec<T> {
    fn from_json(value: &Value) -> Result<Vec<T>, String> {
        let Value::Array(items) = value else { return Err("not a list".into()) };
        items.iter().map(T::from_json).collect()
    }

    fn absent() -> Option<Vec<T>> {
        Some(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[derive(Debug, PartialEq)]
    struct Shelf {
        books: Vec<Book>,
        is_full: bool,
        width: f64,
        room: usize,
    }

    #[derive(Debug, PartialEq)]
    struct Book {
        title: String,
        pages: Option<u64>,
    }

    from_json!(Shelf { books, is_full: "isFull", width or 1.5 } without { room });
    from_json!(Book { title, pages });

    fn shelf(json: &str) -> Result<Shelf, String> {
        Shelf::from_json(&parse(json.as_bytes()).unwrap())
    }

    #[test]
    fn fields_are_read_by_their_names() {
        let book = |title: &str, pages| Book { title: title.into(), pages };
        let found = shelf(r#"{"books":[{"title":"a","pages":3},{"title":"b"}],"isFull":true,"width":2}"#).unwrap();
        let books = vec![book("a", Some(3)), book("b", None)];
        assert_eq!(found, Shelf { books, is_full: true, width: 2.0, room: 0 });
        let empty = Shelf { books: Vec::new(), is_full: false, width: 1.5, room: 0 };
        assert_eq!(shelf(r#"{"isFull":null}"#).unwrap(), empty);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_path() {
        for (json, reason) in [
            ("[]", "not an object"),
            (r#"{"is_full":true}"#, "is_full: unknown"),
            (r#"{"books":{}}"#, "books: not a list"),
            (r#"{"books":[{"pages":1}]}"#, "books: title: missing"),
            (r#"{"books":[{"title":"a","pages":-1}]}"#, "books: pages: not a whole number"),
            (r#"{"width":"1"}"#, "width: not a number"),
        ] {
            assert_eq!(shelf(json).unwrap_err(), reason);
        }
    }
}
