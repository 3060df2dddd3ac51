//! `test …`: what users expect of their own files, checked.

mod file;
mod group;
mod junit;
pub(in crate::tool) mod rules;
