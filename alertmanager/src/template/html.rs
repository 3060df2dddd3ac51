//! Templates that make HTML: each value is escaped for the place where it stands.
//!
//! ```text
//! nodes ── walk (context after context) ──► the same nodes, with the escapers of each value ──► exec
//! ```
//!
//! The context of a value (element text, attribute, URL, script, style, …) follows from the texts around it, whatever the
//! data: so all is worked out once, before the first run. Branches must end in the same context. A template that is called
//! in other contexts than text is there once for each of them, under a name that tells the context.
//!
//! Source: the documentation of Go's `html/template`, whose texts the errors have.
//!
//! # Not here
//!
//! A template whose output context differs from the one in which it is called is escaped by its real one in later calls too;
//! Go takes the second call for one that changes nothing.

mod attribute;
mod context;
mod entity;
mod escaper;
mod script;
mod style;
#[cfg(test)]
mod tests;
mod text;
mod transition;
mod url;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::name::Quoted;

use super::ExecError;
use super::node::{Branch, BranchKind, Definition, Node, OperandKind, Pipe, node_text};
use context::{Context, Delim, Slash, State, UrlPart};
pub(super) use escaper::Escaper;

/// Bytes that the walk over one template and all that it calls may look at.
const COST_MAX: usize = 64 << 20;
/// What it costs to remember one template more, in the same unit.
const ENTRY_BYTES: usize = 64;
/// What it costs to look at a node.
const NODE_BYTES: usize = 256;
/// Nodes in each other, templates in each other's calls counted.
const DEPTH_MAX: usize = 200;

/// The definitions of a set of templates, as far as one of them needs them, with their escapers.
pub(super) type Escaped = BTreeMap<String, Arc<Definition>>;

/// Works out how the values of the template `name`, and of those that it calls, are escaped.
///
/// # Errors
///
/// What Go would say; or that the walk takes longer, or goes deeper, than is allowed.
pub(super) fn escape(
    definitions: &BTreeMap<String, Arc<Definition>>,
    name: &str,
) -> Result<Escaped, ExecError> {
    let mut walk = Walk {
        definitions,
        known: Known::default(),
        loops: Vec::new(),
        cost: 0,
        depth: 0,
    };
    let wrong = |fault: Fault| ExecError(fault.shown(name));
    let (end, _) = walk.tree(Context::default(), name, None).map_err(wrong)?;
    if end.state != State::Text {
        return Err(wrong(Fault::of(format!(
            "ends in a non-text context: {end}"
        ))));
    }
    Ok(walk.known.escaped)
}

/// Escapes what begins or ends a script, for the inside of one of its literals.
fn escape_script_tags(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let is_tag = ["<script", "</script", "<!--"].iter().any(|tag| {
            let start = from.as_bytes().get(..tag.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()))
        });
        out.push_str(if is_tag { "\\x3C" } else { "<" });
        rest = &from[1..];
    }
    out.push_str(rest);
    out
}

/// What is wrong, and where if that is known.
#[derive(Debug)]
struct Fault {
    place: Option<String>,
    /// The line, for those without a place.
    line: Option<usize>,
    message: String,
}

impl Fault {
    fn of(message: String) -> Self {
        Fault {
            place: None,
            line: None,
            message,
        }
    }

    fn at(definition: &Definition, pos: usize, message: String) -> Self {
        let (line, column) = definition.locate(pos);
        Fault {
            place: Some(format!("{}:{line}:{column}", definition.file)),
            line: None,
            message,
        }
    }

    /// Returns the error of the template `name`.
    fn shown(self, name: &str) -> String {
        match (self.place, self.line, name) {
            (Some(place), ..) => format!("html/template:{place}: {}", self.message),
            (None, Some(line), name) => format!("html/template:{name}:{line}: {}", self.message),
            (None, None, "") => format!("html/template: {}", self.message),
            (None, None, name) => format!("html/template:{name}: {}", self.message),
        }
    }

    /// Returns the fault as one that shows in the second turn of a loop.
    fn on_re_entry(self, definition: &Definition, pos: usize) -> Self {
        Fault {
            line: Some(definition.locate(pos).0),
            message: format!("on range loop re-entry: {}", self.message),
            ..self
        }
    }
}

type Result<T, E = Fault> = std::result::Result<T, E>;

/// What has been found out of templates so far, by the names that tell the context.
#[derive(Clone, Default)]
struct Known {
    /// The contexts after them.
    ends: BTreeMap<String, Context>,
    /// Which are called.
    called: BTreeSet<String>,
    escaped: Escaped,
}

/// The contexts at the jumps out of a `range`'s body.
#[derive(Default)]
struct Jumps {
    breaks: Vec<(usize, Context)>,
    continues: Vec<(usize, Context)>,
}

struct Walk<'a> {
    definitions: &'a BTreeMap<String, Arc<Definition>>,
    known: Known,
    loops: Vec<Jumps>,
    cost: usize,
    depth: usize,
}

impl Walk<'_> {
    /// Counts what is looked at.
    fn pay(&mut self, bytes: usize) -> Result<()> {
        self.cost = self.cost.saturating_add(bytes);
        if COST_MAX < self.cost {
            return Err(Fault::of(format!(
                "takes more than {COST_MAX} bytes looked at to be escaped"
            )));
        }
        Ok(())
    }

    fn deeper<T>(&mut self, walk: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == DEPTH_MAX {
            return Err(Fault::of(format!(
                "templates and blocks are nested deeper than {DEPTH_MAX}"
            )));
        }
        self.depth += 1;
        let result = walk(self);
        self.depth -= 1;
        result
    }

    /// Returns the context after the template `name` and its name as it is called from context `c`.
    fn tree(
        &mut self,
        c: Context,
        name: &str,
        call: Option<(&Definition, usize)>,
    ) -> Result<(Context, String)> {
        let derived = c.derived_name(name);
        self.known.called.insert(derived.clone());
        if let Some(end) = self.known.ends.get(&derived) {
            return Ok((end.clone(), derived));
        }
        let Some(definition) = self.definitions.get(name) else {
            let message = format!("no such template {}", Quoted(name));
            return Err(match call {
                Some((definition, pos)) => Fault::at(definition, pos, message),
                None => Fault::of(message),
            });
        };
        let definition = Arc::clone(definition);
        let end = self.deeper(|walk| walk.end_of(c, &definition, &derived))?;
        Ok((end, derived))
    }

    /// Returns the context after a template, which may call itself.
    fn end_of(&mut self, c: Context, definition: &Definition, derived: &str) -> Result<Context> {
        let (end, is_right) = self.body(c.clone(), &c, definition, derived)?;
        if is_right {
            return Ok(end);
        }
        // Its own calls were taken to change nothing; now for what they were seen to change.
        let (end, is_right) = self.body(c, &end, definition, derived)?;
        if is_right {
            return Ok(end);
        }
        Err(Fault::at(
            definition,
            0,
            format!("cannot compute output context for template {derived}"),
        ))
    }

    /// Escapes a template, of whose own calls `assumed` is taken to be the context after them; and says whether that was right.
    fn body(
        &mut self,
        c: Context,
        assumed: &Context,
        definition: &Definition,
        derived: &str,
    ) -> Result<(Context, bool)> {
        let before = self.known.clone();
        self.pay(ENTRY_BYTES * before.escaped.len())?;
        self.known.ends.insert(derived.to_owned(), assumed.clone());
        self.known.called.remove(derived);
        let (end, nodes) = self.list(c, &definition.body, definition)?;
        let calls_itself = self.known.called.contains(derived);
        if calls_itself && end != *assumed {
            self.known = before;
            return Ok((end, false));
        }
        self.known.called.insert(derived.to_owned());
        self.known.ends.insert(derived.to_owned(), end.clone());
        let escaped = Definition {
            name: derived.to_owned(),
            file: Arc::clone(&definition.file),
            text: Arc::clone(&definition.text),
            body: nodes,
        };
        self.known
            .escaped
            .insert(derived.to_owned(), Arc::new(escaped));
        Ok((end, true))
    }

    fn list(
        &mut self,
        mut c: Context,
        nodes: &[Node],
        definition: &Definition,
    ) -> Result<(Context, Vec<Node>)> {
        let mut escaped = Vec::with_capacity(nodes.len());
        for node in nodes {
            let (next, node) = self.node(c, node, definition)?;
            c = next;
            escaped.push(node);
        }
        Ok((c, escaped))
    }

    fn node(
        &mut self,
        c: Context,
        node: &Node,
        definition: &Definition,
    ) -> Result<(Context, Node)> {
        self.pay(NODE_BYTES)?;
        match node {
            Node::Text(text) => {
                let (c, text) = text::escape(c, text, &mut |bytes| self.pay(bytes))?;
                Ok((c, Node::Text(text)))
            }
            Node::Action { pipe, .. } => action(c, pipe, definition),
            Node::Branch(branch) => self.deeper(|walk| walk.branch(c, branch, definition)),
            Node::Template { pos, name, pipe } => {
                let (c, name) = self.tree(c, name, Some((definition, *pos)))?;
                let (pos, pipe) = (*pos, pipe.clone());
                Ok((c, Node::Template { pos, name, pipe }))
            }
            Node::Break(pos) => {
                if let Some(jumps) = self.loops.last_mut() {
                    jumps.breaks.push((*pos, c));
                }
                Ok((Context::of(State::Dead), node.clone()))
            }
            Node::Continue(pos) => {
                if let Some(jumps) = self.loops.last_mut() {
                    jumps.continues.push((*pos, c));
                }
                Ok((Context::of(State::Dead), node.clone()))
            }
        }
    }

    fn branch(
        &mut self,
        c: Context,
        branch: &Branch,
        definition: &Definition,
    ) -> Result<(Context, Node)> {
        let (end, body) = match branch.kind {
            BranchKind::Range => self.turns(c.clone(), branch, definition)?,
            _ => self.list(c.clone(), &branch.body, definition)?,
        };
        let (other, otherwise) = self.list(c, &branch.otherwise, definition)?;
        let end = joined(&end, &other, branch.kind, definition, branch.pos)?;
        let branch = Branch {
            kind: branch.kind,
            pos: branch.pos,
            pipe: branch.pipe.clone(),
            body,
            otherwise,
        };
        Ok((end, Node::Branch(branch)))
    }

    /// Returns the context after any number of turns of a loop, however they end.
    fn turns(
        &mut self,
        c: Context,
        branch: &Branch,
        definition: &Definition,
    ) -> Result<(Context, Vec<Node>)> {
        let (end, nodes, jumps) = self.turn(c, branch, definition)?;
        let end = jumps.joined(end, definition)?;
        // A turn after a turn must end as the first one does.
        let known = self.known.clone();
        self.pay(ENTRY_BYTES * known.escaped.len())?;
        let again = self.turn(end.clone(), branch, definition);
        self.known = known;
        let (end, jumps) = again
            .and_then(|(again, _, jumps)| {
                let end = joined(&end, &again, branch.kind, definition, branch.pos)?;
                Ok((end, jumps))
            })
            .map_err(|fault| fault.on_re_entry(definition, branch.pos))?;
        Ok((jumps.joined(end, definition)?, nodes))
    }

    fn turn(
        &mut self,
        c: Context,
        branch: &Branch,
        definition: &Definition,
    ) -> Result<(Context, Vec<Node>, Jumps)> {
        self.loops.push(Jumps::default());
        let result = self.list(c, &branch.body, definition);
        let jumps = self.loops.pop().unwrap_or_default();
        let (end, nodes) = result?;
        Ok((end, nodes, jumps))
    }
}

impl Jumps {
    /// Returns the one context after a loop's body, whose end is in context `end`, and after the jumps out of it.
    fn joined(&self, mut end: Context, definition: &Definition) -> Result<Context> {
        let breaks = self.breaks.iter().map(|jump| ("break", jump));
        let continues = self.continues.iter().map(|jump| ("continue", jump));
        for (word, (pos, context)) in breaks.chain(continues) {
            let next = joined(&end, context, BranchKind::Range, definition, *pos);
            end = next.map_err(|fault| Fault {
                message: format!("at range loop {word}: {}", fault.message),
                ..fault
            })?;
        }
        Ok(end)
    }
}

/// Returns the one context after two branches.
fn joined(
    a: &Context,
    b: &Context,
    kind: BranchKind,
    definition: &Definition,
    pos: usize,
) -> Result<Context> {
    a.join(b).ok_or_else(|| {
        let word = kind.word();
        let message = format!("{{{{{word}}}}} branches end in different contexts: {a}, {b}");
        Fault::at(definition, pos, message)
    })
}

/// Gives a value that is printed its escapers.
fn action(c: Context, pipe: &Pipe, definition: &Definition) -> Result<(Context, Node)> {
    if !pipe.variables.is_empty() {
        let (pipe, escapers) = (pipe.clone(), Vec::new());
        return Ok((c, Node::Action { pipe, escapers }));
    }
    let mut c = c.nudged();
    let pos = pipe.commands.first().map_or(0, |command| command.pos);
    refuse_own_escapers(&c, pipe, definition, pos)?;
    let mut escapers = Vec::with_capacity(3);
    match c.state {
        State::Url
        | State::CssDqString
        | State::CssSqString
        | State::CssDqUrl
        | State::CssSqUrl
        | State::CssUrl => {
            if c.url_part == UrlPart::Unknown {
                let shown = node_text(pipe);
                let message = format!("{shown} appears in an ambiguous context within a URL");
                return Err(Fault::at(definition, pos, message));
            }
            if c.url_part == UrlPart::None {
                escapers.push(Escaper::UrlFilter);
            }
            escapers.push(match (c.url_part, c.state) {
                (UrlPart::QueryOrFragment, _) => Escaper::UrlPart,
                (_, State::CssDqString | State::CssSqString) => Escaper::CssString,
                _ => Escaper::UrlNormalize,
            });
        }
        State::MetaContentUrl => escapers.push(Escaper::UrlFilter),
        State::Js => {
            escapers.push(Escaper::JsValue);
            // After a value a slash divides.
            c.slash = Slash::Division;
        }
        State::JsDqString | State::JsSqString => escapers.push(Escaper::JsString),
        State::JsTemplate => escapers.push(Escaper::JsTemplate),
        State::JsRegexp => escapers.push(Escaper::JsRegexp),
        State::Css => escapers.push(Escaper::CssValue),
        State::Text => escapers.push(Escaper::Text),
        State::Rcdata => escapers.push(Escaper::Rcdata),
        State::AttrName | State::Tag => {
            c.state = State::AttrName;
            escapers.push(Escaper::AttrName);
        }
        State::Srcset => escapers.push(Escaper::Srcset),
        state if state.is_comment() => escapers.push(Escaper::Comment),
        // What its quotes ask for is enough, and what is never reached needs nothing.
        _ => {}
    }
    match c.delim {
        Delim::None => {}
        Delim::SpaceOrTagEnd => escapers.push(Escaper::Unquoted),
        Delim::SingleQuote | Delim::DoubleQuote => escapers.push(Escaper::Attr),
    }
    let mut pipe = pipe.clone();
    replace_own_escaper(&mut pipe, &mut escapers);
    escapers.dedup_by(|later, earlier| later.is_redundant_after(*earlier));
    Ok((c, Node::Action { pipe, escapers }))
}

/// Returns the function that a command calls, if it is one that escapes.
fn own_escaper(pipe: &Pipe, at: usize) -> Option<&str> {
    match &pipe.commands.get(at)?.operands.first()?.kind {
        OperandKind::Identifier(name) if matches!(name.as_str(), "html" | "urlquery") => Some(name),
        _ => None,
    }
}

/// Refuses escaping functions where more is done to what they return, or where they do not suffice.
fn refuse_own_escapers(
    c: &Context,
    pipe: &Pipe,
    definition: &Definition,
    pos: usize,
) -> Result<()> {
    for at in 0..pipe.commands.len() {
        let Some(name) = own_escaper(pipe, at) else {
            continue;
        };
        let is_last = at + 1 == pipe.commands.len();
        let is_unquoted = c.state == State::Attr && c.delim == Delim::SpaceOrTagEnd;
        if !is_last || is_unquoted && name == "html" {
            let message = format!("predefined escaper {} disallowed in template", Quoted(name));
            return Err(Fault::at(definition, pos, message));
        }
    }
    Ok(())
}

/// Lets an escaping function at the end of the pipeline do the work of the escaper that it is like, so that nothing is escaped
/// twice.
fn replace_own_escaper(pipe: &mut Pipe, escapers: &mut [Escaper]) {
    let last = pipe.commands.len().wrapping_sub(1);
    let Some(name) = own_escaper(pipe, last).map(str::to_owned) else {
        return;
    };
    let is_alone = last == 0;
    if is_alone && pipe.commands[last].operands.len() == 1 {
        return;
    }
    let mut is_found = false;
    for escaper in escapers {
        if let Some((function, own)) = escaper.function()
            && function == name
        {
            *escaper = own;
            is_found = true;
        }
    }
    if !is_found {
        return;
    }
    if is_alone {
        // Its arguments are one text, which then is escaped.
        pipe.commands[last].operands[0].kind = OperandKind::Identifier("print".to_owned());
    } else {
        pipe.commands.pop();
    }
}
