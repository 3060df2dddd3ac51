//! Runs a parsed template.
//!
//! One run is bounded three ways: steps, bytes of output, and templates calling each other.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use model::name::Quoted;

use super::functions::{self, Environment, Function, Param};
use super::html::Escaper;
use super::node::{
    Branch, BranchKind, Command, Definition, Node, Operand, OperandKind, Pipe, TemplateCall,
};
use super::value::Value;
use super::{ExecError, Limits, Template};

/// Why a run stops: an error, or `break` and `continue` on their way to their `range`.
enum Stop {
    Error(ExecError),
    Break,
    Continue,
}

type Result<T, E = Stop> = std::result::Result<T, E>;

/// Runs `definition` of `template` on `data`; the templates that it calls are those of `definitions`.
pub(super) fn execute(
    template: &Template,
    definitions: &BTreeMap<String, Arc<Definition>>,
    definition: &Definition,
    data: &Value,
    environment: &dyn Environment,
    limits: Limits,
) -> std::result::Result<String, ExecError> {
    let mut run = Run {
        template,
        definitions,
        environment,
        limits,
        out: String::new(),
        steps: 0,
        depth: 0,
    };
    let mut frame = Frame {
        definition,
        variables: vec![("$".to_owned(), data.clone())],
    };
    match run.nodes(&mut frame, data, &definition.body) {
        Ok(()) => Ok(run.out),
        Err(Stop::Error(error)) => Err(error),
        Err(Stop::Break | Stop::Continue) => {
            unreachable!("the parser refuses them outside of range")
        }
    }
}

struct Run<'a> {
    template: &'a Template,
    definitions: &'a BTreeMap<String, Arc<Definition>>,
    environment: &'a dyn Environment,
    limits: Limits,
    out: String,
    steps: usize,
    depth: usize,
}

/// One template in execution: where it stands, and its variables.
struct Frame<'a> {
    definition: &'a Definition,
    variables: Vec<(String, Value)>,
}

impl Frame<'_> {
    fn error<T>(
        &self,
        pos: usize,
        context: impl fmt::Display,
        message: impl fmt::Display,
    ) -> Result<T> {
        let (line, column) = self.definition.locate(pos);
        Err(Stop::Error(ExecError(format!(
            "template: {}:{line}:{column}: executing {} at <{context}>: {message}",
            self.definition.file,
            Quoted(&self.definition.name),
        ))))
    }

    fn variable(&self, name: &str) -> Value {
        let found = self.variables.iter().rev().find(|(n, _)| n == name);
        found.map_or(Value::Nil, |(_, value)| value.clone())
    }

    fn set(&mut self, name: &str, value: Value) {
        if let Some(slot) = self.variables.iter_mut().rev().find(|(n, _)| n == name) {
            slot.1 = value;
        }
    }
}

impl<'a> Run<'a> {
    fn nodes(&mut self, frame: &mut Frame<'a>, dot: &Value, nodes: &'a [Node]) -> Result<()> {
        for node in nodes {
            self.node(frame, dot, node)?;
        }
        Ok(())
    }

    fn node(&mut self, frame: &mut Frame<'a>, dot: &Value, node: &'a Node) -> Result<()> {
        self.step()?;
        match node {
            Node::Text(text) => self.write(text),
            Node::Action { pipe, escapers } => {
                let value = self.pipe(frame, dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.print(value, escapers)
                } else {
                    Ok(())
                }
            }
            Node::Branch(branch) => {
                let mark = frame.variables.len();
                let result = match branch.kind {
                    BranchKind::Range => self.range(frame, dot, branch),
                    _ => self.if_or_with(frame, dot, branch),
                };
                frame.variables.truncate(mark);
                result
            }
            Node::Template { pos, name, pipe } => self.call(frame, dot, *pos, name, pipe.as_ref()),
            Node::Break(_) => Err(Stop::Break),
            Node::Continue(_) => Err(Stop::Continue),
        }
    }

    fn step(&mut self) -> Result<()> {
        self.steps += 1;
        if self.limits.steps < self.steps {
            return Err(Stop::Error(ExecError(format!(
                "takes more than {} steps",
                self.limits.steps
            ))));
        }
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<()> {
        if self.limits.output_bytes < self.out.len() + text.len() {
            return Err(Stop::Error(ExecError(format!(
                "writes more than {} bytes",
                self.limits.output_bytes
            ))));
        }
        self.out.push_str(text);
        Ok(())
    }

    fn print(&mut self, value: Value, escapers: &[Escaper]) -> Result<()> {
        let escaped = escapers
            .iter()
            .fold(value, |value, escaper| escaper.apply(&value).into());
        let text = match &escaped {
            Value::Nil => Cow::Borrowed("<no value>"),
            Value::String(text) => Cow::Borrowed(&**text),
            value => Cow::Owned(value.to_string()),
        };
        self.write(&text)
    }

    fn if_or_with(&mut self, frame: &mut Frame<'a>, dot: &Value, branch: &'a Branch) -> Result<()> {
        let value = self.pipe(frame, dot, &branch.pipe)?;
        if !value.is_true() {
            return self.nodes(frame, dot, &branch.otherwise);
        }
        let dot = if branch.kind == BranchKind::With {
            &value
        } else {
            dot
        };
        self.nodes(frame, dot, &branch.body)
    }

    fn range(&mut self, frame: &mut Frame<'a>, dot: &Value, branch: &'a Branch) -> Result<()> {
        let value = self.pipe(frame, dot, &branch.pipe)?;
        let mark = frame.variables.len();
        let mut is_empty = true;
        let mut each =
            |run: &mut Self, frame: &mut Frame<'a>, key: Value, element: Value| -> Result<bool> {
                is_empty = false;
                run.step()?;
                bind(frame, &branch.pipe, mark, key, &element);
                let result = run.nodes(frame, &element, &branch.body);
                frame.variables.truncate(mark);
                match result {
                    Err(Stop::Break) => Ok(false),
                    Ok(()) | Err(Stop::Continue) => Ok(true),
                    Err(stop) => Err(stop),
                }
            };
        match &value {
            Value::Int(count) => {
                for i in 0..*count {
                    if !each(self, frame, Value::Int(i), Value::Int(i))? {
                        break;
                    }
                }
            }
            Value::Nil => {}
            value => {
                let Some(elements) = value.elements() else {
                    return frame.error(
                        branch.pos,
                        &branch.pipe,
                        format_args!("range can't iterate over {value}"),
                    );
                };
                for (key, element) in elements {
                    if !each(self, frame, key, element)? {
                        break;
                    }
                }
            }
        }
        if is_empty {
            self.nodes(frame, dot, &branch.otherwise)
        } else {
            Ok(())
        }
    }

    fn call(
        &mut self,
        frame: &mut Frame<'a>,
        dot: &Value,
        pos: usize,
        name: &str,
        pipe: Option<&'a Pipe>,
    ) -> Result<()> {
        let Some(definition) = self.definitions.get(name) else {
            return frame.error(
                pos,
                TemplateCall(name, pipe),
                format_args!("template {} not defined", Quoted(name)),
            );
        };
        if self.depth == self.limits.depth {
            return frame.error(
                pos,
                TemplateCall(name, pipe),
                format_args!("exceeded maximum template depth ({})", self.limits.depth),
            );
        }
        let data = match pipe {
            Some(pipe) => self.pipe(frame, dot, pipe)?,
            None => Value::Nil,
        };
        let mut inner = Frame {
            definition,
            variables: vec![("$".to_owned(), data.clone())],
        };
        self.depth += 1;
        let result = self.nodes(&mut inner, &data, &definition.body);
        self.depth -= 1;
        result
    }

    fn pipe(&mut self, frame: &mut Frame<'a>, dot: &Value, pipe: &'a Pipe) -> Result<Value> {
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(frame, dot, command, value)?);
        }
        let value = value.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            if pipe.is_assign {
                frame.set(name, value.clone());
            } else {
                frame.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(
        &mut self,
        frame: &mut Frame<'a>,
        dot: &Value,
        command: &'a Command,
        last: Option<Value>,
    ) -> Result<Value> {
        self.step()?;
        let first = &command.operands[0];
        let arguments = &command.operands[1..];
        let has_arguments = !arguments.is_empty() || last.is_some();
        match &first.kind {
            OperandKind::Identifier(name) => {
                self.function(frame, dot, command.pos, &command, name, arguments, last)
            }
            OperandKind::Field(names) => {
                self.chain(frame, dot, dot.clone(), first, names, arguments, last)
            }
            OperandKind::Variable(names) if 1 < names.len() => {
                let receiver = frame.variable(&names[0]);
                self.chain(frame, dot, receiver, first, &names[1..], arguments, last)
            }
            OperandKind::Chain(operand, names) => {
                let receiver = self.operand(frame, dot, operand)?;
                self.chain(frame, dot, receiver, first, names, arguments, last)
            }
            _ if has_arguments => frame.error(
                first.pos,
                first,
                format_args!("can't give argument to non-function {first}"),
            ),
            OperandKind::Nil => frame.error(first.pos, first, "nil is not a command"),
            _ => self.operand(frame, dot, first),
        }
    }

    /// Evaluates an operand that gets no arguments.
    fn operand(
        &mut self,
        frame: &mut Frame<'a>,
        dot: &Value,
        operand: &'a Operand,
    ) -> Result<Value> {
        Ok(match &operand.kind {
            OperandKind::Bool(value) => Value::Bool(*value),
            OperandKind::Int { value, .. } => Value::Int(*value),
            OperandKind::Float { value, .. } => Value::Float(*value),
            OperandKind::String { value, .. } => Value::String(Arc::clone(value)),
            OperandKind::Nil => Value::Nil,
            OperandKind::Dot => dot.clone(),
            OperandKind::Field(names) => {
                self.chain(frame, dot, dot.clone(), operand, names, &[], None)?
            }
            OperandKind::Variable(names) => {
                let receiver = frame.variable(&names[0]);
                self.chain(frame, dot, receiver, operand, &names[1..], &[], None)?
            }
            OperandKind::Identifier(name) => {
                self.function(frame, dot, operand.pos, &operand, name, &[], None)?
            }
            OperandKind::Chain(inner, names) => {
                let receiver = self.operand(frame, dot, inner)?;
                self.chain(frame, dot, receiver, operand, names, &[], None)?
            }
            OperandKind::Pipe(pipe) => self.pipe(frame, dot, pipe)?,
        })
    }

    /// Follows `names` from `receiver`; the last one gets the arguments.
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one call, in the order of its text"
    )]
    fn chain(
        &mut self,
        frame: &mut Frame<'a>,
        dot: &Value,
        mut receiver: Value,
        at: &'a Operand,
        names: &[String],
        arguments: &'a [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        let Some((final_name, path)) = names.split_last() else {
            return Ok(receiver);
        };
        for name in path {
            receiver = self.field(frame, &receiver, at, name, None)?;
        }
        let has_arguments = !arguments.is_empty() || last.is_some();
        let mut values = Vec::with_capacity(arguments.len() + 1);
        for argument in arguments {
            values.push(self.operand(frame, dot, argument)?);
        }
        values.extend(last);
        self.field(
            frame,
            &receiver,
            at,
            final_name,
            has_arguments.then_some(&values),
        )
    }

    fn field(
        &self,
        frame: &Frame<'_>,
        receiver: &Value,
        at: &Operand,
        name: &str,
        arguments: Option<&Vec<Value>>,
    ) -> Result<Value> {
        let values = arguments.map_or(&[][..], Vec::as_slice);
        let method = match receiver {
            Value::Object(object) => object.method(name, values),
            Value::Time(time) => functions::time_method(time, name, values),
            Value::Duration(ns) => functions::duration_method(*ns, name, values),
            _ => None,
        };
        if let Some(result) = method {
            return match result {
                Ok(value) => Ok(value),
                Err(error) => {
                    frame.error(at.pos, at, format_args!("error calling {name}: {error}"))
                }
            };
        }
        let found = match receiver {
            Value::Nil => Some(Value::Nil),
            Value::Map(map) => Some(map.entries.get(name).unwrap_or(&map.zero).clone()),
            Value::Object(object) => object.field(name),
            _ => None,
        };
        match found {
            Some(_) if arguments.is_some() && matches!(receiver, Value::Map(_)) => frame.error(
                at.pos,
                at,
                format_args!("{name} is not a method but has arguments"),
            ),
            Some(_) if arguments.is_some() => frame.error(
                at.pos,
                at,
                format_args!("{name} has arguments but cannot be invoked as function"),
            ),
            Some(value) => Ok(value),
            None => frame.error(
                at.pos,
                at,
                format_args!(
                    "can't evaluate field {name} in type {}",
                    receiver.type_name()
                ),
            ),
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one call, in the order of its text"
    )]
    fn function(
        &mut self,
        frame: &mut Frame<'a>,
        dot: &Value,
        pos: usize,
        context: &dyn fmt::Display,
        name: &str,
        arguments: &'a [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        let Some(function) = self.template.functions.find(name) else {
            return frame.error(
                pos,
                context,
                format_args!("{} is not a defined function", Quoted(name)),
            );
        };
        let count = arguments.len() + usize::from(last.is_some());
        let fixed = function.params.len();
        if function.variadic.is_some() && count < fixed {
            let wanted =
                format_args!("wrong number of args for {name}: want at least {fixed} got {count}")
                    .to_string();
            return frame.error(pos, context, wanted);
        }
        if function.variadic.is_none() && count != fixed {
            let wanted = format!("wrong number of args for {name}: want {fixed} got {count}");
            return frame.error(pos, context, wanted);
        }
        if matches!(name, "and" | "or") {
            return self.and_or(frame, dot, name, arguments, last);
        }
        let mut values = Vec::with_capacity(count);
        for (i, argument) in arguments.iter().enumerate() {
            let value = self.operand(frame, dot, argument)?;
            values.push(admit(frame, argument.pos, argument, function, i, value)?);
        }
        if let Some(last) = last {
            values.push(admit(frame, pos, context, function, values.len(), last)?);
        }
        match (function.call)(self.environment, &values) {
            // A loop that doubles a string must not take all memory.
            Ok(value)
                if value
                    .as_str()
                    .is_some_and(|text| self.limits.output_bytes < text.len()) =>
            {
                frame.error(
                    pos,
                    context,
                    format_args!(
                        "error calling {name}: result is longer than {} bytes",
                        self.limits.output_bytes
                    ),
                )
            }
            Ok(value) => Ok(value),
            Err(error) => frame.error(pos, context, format_args!("error calling {name}: {error}")),
        }
    }

    /// Evaluates no more arguments than decide the outcome.
    fn and_or(
        &mut self,
        frame: &mut Frame<'a>,
        dot: &Value,
        name: &str,
        arguments: &'a [Operand],
        last: Option<Value>,
    ) -> Result<Value> {
        let decisive = name == "or";
        let mut value = Value::Nil;
        for argument in arguments {
            value = self.operand(frame, dot, argument)?;
            if value.is_true() == decisive {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }
}

/// Gives the variables of a `range` clause their values for one turn.
fn bind(frame: &mut Frame<'_>, pipe: &Pipe, mark: usize, key: Value, element: &Value) {
    let values = match pipe.variables.len() {
        0 => return,
        1 => vec![element.clone()],
        _ => vec![key, element.clone()],
    };
    for (i, (name, value)) in pipe.variables.iter().zip(values).enumerate() {
        if pipe.is_assign {
            frame.set(name, value);
        } else {
            // The pipeline itself declared the variables just below the mark.
            let slot = mark - pipe.variables.len() + i;
            frame.variables[slot] = (name.clone(), value);
        }
    }
}

/// Checks one argument against the function's parameter, and converts it where Go would.
fn admit(
    frame: &Frame<'_>,
    pos: usize,
    context: impl fmt::Display,
    function: &Function,
    index: usize,
    value: Value,
) -> Result<Value> {
    let param = function
        .params
        .get(index)
        .copied()
        .or(function.variadic)
        .unwrap_or(Param::Any);
    let constant = |text: String| format!("expected {}; found {text}", param.type_name());
    match (param, value) {
        (Param::Any, value) => Ok(value),
        (Param::String, value @ Value::String(_)) => Ok(value),
        (Param::Int, value @ Value::Int(_)) => Ok(value),
        (Param::Float, value @ Value::Float(_)) => Ok(value),
        (Param::Float, Value::Int(int)) => Ok(Value::Float(int as f64)),
        (Param::List, value @ Value::List(_)) => Ok(value),
        (Param::AnyList, Value::List(list)) if list.type_name == "[]interface {}" => {
            Ok(Value::List(list))
        }
        (Param::AnyList, Value::Nil) => Ok(Value::list("[]interface {}", Vec::new())),
        (Param::Time, value @ Value::Time(_)) => Ok(value),
        (_, Value::Nil) => frame.error(
            pos,
            context,
            format_args!("invalid value; expected {}", param.type_name()),
        ),
        (_, value @ (Value::Int(_) | Value::Float(_) | Value::Bool(_)))
            if !context.to_string().starts_with(['$', '.']) =>
        {
            let is_plain = matches!(param, Param::String | Param::Int | Param::Float);
            let message = match is_plain {
                true => constant(value.to_string()),
                false => format!("can't handle {value} for arg of type {}", param.type_name()),
            };
            frame.error(pos, context, message)
        }
        (_, value) => frame.error(
            pos,
            context,
            format_args!(
                "wrong type for value; expected {}; got {}",
                param.type_name(),
                value.type_name()
            ),
        ),
    }
}
