//! The tree of a parsed template, and how its parts print in error messages.

use std::fmt;
use std::sync::Arc;

use model::name::Quoted;

use super::html::Escaper;

/// A named piece of template and the text that it was parsed from.
#[derive(Debug)]
pub(super) struct Definition {
    /// Its name.
    pub(super) name: String,
    /// The name of the text that it stands in.
    pub(super) file: Arc<str>,
    /// That text.
    pub(super) text: Arc<str>,
    /// What it consists of.
    pub(super) body: Vec<Node>,
}

impl Definition {
    /// Returns whether nothing but white space is in it; such a definition may be replaced.
    pub(super) fn is_empty(&self) -> bool {
        self.body
            .iter()
            .all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()))
    }

    /// Returns the line, from 1, and the column, in bytes from 0, of a position.
    pub(super) fn locate(&self, pos: usize) -> (usize, usize) {
        let before = &self.text[..pos];
        let line = 1 + before.matches('\n').count();
        let column = before.rfind('\n').map_or(pos, |newline| pos - newline - 1);
        (line, column)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Node {
    Text(String),
    /// A value; without escapers it is printed as it is.
    Action {
        pipe: Pipe,
        escapers: Vec<Escaper>,
    },
    Branch(Branch),
    Template {
        pos: usize,
        name: String,
        pipe: Option<Pipe>,
    },
    Break(usize),
    Continue(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BranchKind {
    If,
    Range,
    With,
}

impl BranchKind {
    /// Returns the word that begins it.
    pub(super) fn word(self) -> &'static str {
        match self {
            BranchKind::If => "if",
            BranchKind::Range => "range",
            BranchKind::With => "with",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) kind: BranchKind,
    pub(super) pos: usize,
    pub(super) pipe: Pipe,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Clone, Debug)]
pub(super) struct Pipe {
    /// Whether the variables are set rather than declared.
    pub(super) is_assign: bool,
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) pos: usize,
    pub(super) operands: Vec<Operand>,
}

#[derive(Clone, Debug)]
pub(super) struct Operand {
    pub(super) pos: usize,
    pub(super) kind: OperandKind,
}

#[derive(Clone, Debug)]
pub(super) enum OperandKind {
    Bool(bool),
    Int {
        text: String,
        value: i64,
    },
    Float {
        text: String,
        value: f64,
    },
    String {
        quoted: String,
        value: Arc<str>,
    },
    Nil,
    Dot,
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`; the first has the dollar sign.
    Variable(Vec<String>),
    Identifier(String),
    /// `(pipe).A.B`
    Chain(Box<Operand>, Vec<String>),
    Pipe(Box<Pipe>),
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.variables.is_empty() {
            write!(
                f,
                "{} {} ",
                self.variables.join(", "),
                if self.is_assign { "=" } else { ":=" }
            )?;
        }
        for (i, command) in self.commands.iter().enumerate() {
            write!(f, "{}{command}", if i == 0 { "" } else { " | " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, operand) in self.operands.iter().enumerate() {
            write!(f, "{}{operand}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            OperandKind::Bool(value) => write!(f, "{value}"),
            OperandKind::Int { text, .. } | OperandKind::Float { text, .. } => f.write_str(text),
            OperandKind::String { quoted, .. } => f.write_str(quoted),
            OperandKind::Nil => f.write_str("nil"),
            OperandKind::Dot => f.write_str("."),
            OperandKind::Field(names) => names.iter().try_for_each(|name| write!(f, ".{name}")),
            OperandKind::Variable(names) => f.write_str(&names.join(".")),
            OperandKind::Identifier(name) => f.write_str(name),
            OperandKind::Chain(operand, names) => {
                write!(f, "{operand}")?;
                names.iter().try_for_each(|name| write!(f, ".{name}"))
            }
            OperandKind::Pipe(pipe) => write!(f, "({pipe})"),
        }
    }
}

/// Returns a value's node as error messages show it.
pub(super) fn node_text(pipe: &Pipe) -> String {
    format!("{{{{{pipe}}}}}")
}

/// Prints `{{template "name" pipe}}` as error messages show it.
pub(super) struct TemplateCall<'a>(pub(super) &'a str, pub(super) Option<&'a Pipe>);

impl fmt::Display for TemplateCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{{template {}", Quoted(self.0))?;
        if let Some(pipe) = self.1 {
            write!(f, " {pipe}")?;
        }
        f.write_str("}}")
    }
}
