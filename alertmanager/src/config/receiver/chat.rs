//! What several chats have in common: fields, actions, texts with settings.

use serde::{Deserialize, Deserializer, Serialize};

use crate::config::section::ensure;

section! {
    /// A field of a message; templates.
    pub struct Field {
        /// The title.
        title: String,
        /// The text.
        value: String,
        /// Whether fields stand beside each other.
        short: Option<bool>,
    }
}

impl Field {
    /// Checks that both parts are there.
    pub(super) fn check(&self, chat: &str) -> Result<(), String> {
        for (text, key) in [(&self.title, "title"), (&self.value, "value")] {
            ensure(
                !text.is_empty(),
                &format!("missing {key} in {chat} field configuration"),
            )?;
        }
        Ok(())
    }
}

section! {
    /// A button of a message; templates.
    pub struct Action {
        /// What it is: `button`.
        r#type: String,
        /// What stands on it.
        text: String,
        /// The link that it opens.
        url: String,
        /// How it looks.
        style: String,
        /// What it is called when it is pressed.
        name: String,
        /// What it sends.
        value: String,
        /// What is asked first.
        confirm: Option<Confirmation>,
    }
}

section! {
    /// What is asked before a button does something; templates.
    pub struct Confirmation {
        /// The question.
        text: String,
        /// The title.
        title: String,
        /// What stands on the button that agrees.
        ok_text: String,
        /// What stands on the other one.
        dismiss_text: String,
    }
}

impl Action {
    /// Checks that what is needed is there, and drops what has no effect beside a link.
    pub(super) fn check(&mut self) -> Result<(), String> {
        for (text, key) in [(&self.r#type, "type"), (&self.text, "text")] {
            ensure(
                !text.is_empty(),
                &format!("missing {key} in Slack action configuration"),
            )?;
        }
        if !self.url.is_empty() {
            self.name.clear();
            self.value.clear();
            self.confirm = None;
        }
        ensure(
            !self.url.is_empty() || !self.name.is_empty(),
            "missing name or url in Slack action configuration",
        )?;
        let confirm = self.confirm.as_ref();
        ensure(
            confirm.is_none_or(|confirm| !confirm.text.is_empty()),
            "missing text in Slack confirmation configuration",
        )
    }
}

/// A text that may be written as such, or as a mapping that says whether it is updated.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TextOrTemplate {
    /// The text; a template.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub template: String,
    /// Whether it is written again when the issue is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_update: Option<bool>,
}

impl TextOrTemplate {
    /// Returns what runs the template `name`.
    pub(super) fn new(name: &str) -> Self {
        TextOrTemplate {
            template: format!("{{{{ template \"{name}\" . }}}}"),
            enable_update: None,
        }
    }
}

impl<'de> Deserialize<'de> for TextOrTemplate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = TextOrTemplate;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text, or a mapping with template and enable_update")
            }

            fn visit_str<E>(self, text: &str) -> Result<TextOrTemplate, E> {
                Ok(TextOrTemplate {
                    template: text.to_owned(),
                    enable_update: None,
                })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                mut map: A,
            ) -> Result<TextOrTemplate, A::Error> {
                let mut text = TextOrTemplate::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "template" => text.template = map.next_value()?,
                        "enable_update" => text.enable_update = map.next_value()?,
                        other => {
                            return Err(serde::de::Error::unknown_field(
                                other,
                                &["template", "enable_update"],
                            ));
                        }
                    }
                }
                Ok(text)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
