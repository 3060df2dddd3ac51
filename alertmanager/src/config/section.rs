//! How the sections of the file are written: structs with a default per field, read strictly and printed back.

/// Declares a section: fields in the order in which they are printed. A field is empty when nothing is written, or what
/// stands after its `=`; what is empty is not printed, except the fields marked `"shown"`.
macro_rules! section {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $($(#[$field_meta:meta])* $($shown:literal)? $field:ident: $ty:ty $(= $value:expr)?,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* #[serde(deserialize_with = "model::de::or_default")] pub $field: $ty,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: section!(@value $($value)?),)* }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeMap as _;
                let mut map = serializer.serialize_map(None)?;
                $(if section!(@shown $($shown)?) || !crate::config::section::is_empty(&self.$field) {
                    map.serialize_entry(stringify!($field).trim_start_matches("r#"), &self.$field)?;
                })*
                map.end()
            }
        }
    };
    (@value) => { Default::default() };
    (@value $value:expr) => { $value };
    (@shown) => { false };
    (@shown $shown:literal) => { true };
}

/// Returns whether a field has nothing to print.
pub(super) fn is_empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Returns `message` as an error unless `is_right`.
pub(super) fn ensure(is_right: bool, message: &str) -> Result<(), String> {
    if is_right {
        Ok(())
    } else {
        Err(message.to_owned())
    }
}

/// Checks that either a value or the file with it is given; both are called by their keys.
pub(super) fn exactly_one(has: bool, has_file: bool, key: &str) -> Result<(), String> {
    ensure(
        has || has_file,
        &format!("one of {key} or {key}_file must be configured"),
    )?;
    at_most_one(has, has_file, key)
}

/// Checks that at most one of a value and the file with it is given; both are called by their keys.
pub(super) fn at_most_one(has: bool, has_file: bool, key: &str) -> Result<(), String> {
    if has && has_file {
        return Err(format!(
            "at most one of {key} & {key}_file must be configured"
        ));
    }
    Ok(())
}
