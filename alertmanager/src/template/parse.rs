//! Tokens to a tree.
//!
//! Error texts are Go's, because users find them in their logs and rule checks today.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::name::Quoted;

use super::ParseError;
use super::lex::{Keyword, Kind, Token, lex};
use super::node::{Branch, BranchKind, Command, Definition, Node, Operand, OperandKind, Pipe};

/// Blocks and parentheses inside each other, at most.
const DEPTH_MAX: usize = 100;

/// Parses `text` and returns its own body (named `name`) and everything that it defines.
pub(super) fn parse(
    name: &str,
    text: &str,
    has_function: &dyn Fn(&str) -> bool,
) -> Result<BTreeMap<String, Arc<Definition>>, ParseError> {
    let mut parser = Parser {
        name,
        text,
        shared_name: name.into(),
        shared_text: text.into(),
        tokens: lex(text),
        at: 0,
        variables: vec!["$".to_owned()],
        range_depth: 0,
        depth: 0,
        has_function,
        definitions: BTreeMap::new(),
    };
    parser.file()?;
    Ok(parser.definitions)
}

/// What ends a list of nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    End,
    Else,
}

/// A node, or the end of the list that it would be in.
enum Item {
    Node(Node),
    End(End),
}

struct Parser<'a> {
    name: &'a str,
    text: &'a str,
    shared_name: Arc<str>,
    shared_text: Arc<str>,
    tokens: Vec<Token<'a>>,
    at: usize,
    variables: Vec<String>,
    range_depth: usize,
    depth: usize,
    has_function: &'a dyn Fn(&str) -> bool,
    definitions: BTreeMap<String, Arc<Definition>>,
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

impl<'a> Parser<'a> {
    fn peek(&self) -> &Token<'a> {
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Token<'a> {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn skip_spaces(&mut self) {
        while self.peek().kind == Kind::Space {
            self.at += 1;
        }
    }

    fn next_non_space(&mut self) -> Token<'a> {
        self.skip_spaces();
        self.next()
    }

    fn peek_non_space(&mut self) -> &Token<'a> {
        self.skip_spaces();
        self.peek()
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T> {
        let last = &self.tokens[self.at.clamp(1, self.tokens.len()) - 1];
        let line = 1 + self.text[..last.pos].matches('\n').count();
        Err(ParseError {
            name: self.name.to_owned(),
            line,
            message: message.into(),
        })
    }

    fn unexpected<T>(&self, token: &Token<'_>, context: &str) -> Result<T> {
        match &token.kind {
            Kind::Error(message) => self.error(message.clone()),
            _ => self.error(format!("unexpected {} in {context}", describe(token))),
        }
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token<'a>> {
        let token = self.next_non_space();
        if token.kind == kind {
            Ok(token)
        } else {
            self.unexpected(&token, context)
        }
    }

    fn enter(&mut self) -> Result<()> {
        self.depth += 1;
        if DEPTH_MAX < self.depth {
            return self.error(format!(
                "blocks and parentheses are nested deeper than {DEPTH_MAX}"
            ));
        }
        Ok(())
    }

    fn define(&mut self, name: String, body: Vec<Node>) -> Result<()> {
        let definition = Definition {
            name: name.clone(),
            file: Arc::clone(&self.shared_name),
            text: Arc::clone(&self.shared_text),
            body,
        };
        match self.definitions.get(&name) {
            Some(old) if !old.is_empty() && !definition.is_empty() => self.error(format!(
                "template: multiple definition of template {}",
                Quoted(&name)
            )),
            Some(old) if !old.is_empty() => Ok(()),
            _ => {
                self.definitions.insert(name, Arc::new(definition));
                Ok(())
            }
        }
    }

    fn file(&mut self) -> Result<()> {
        let mut body = Vec::new();
        while self.peek().kind != Kind::Eof {
            if self.peek().kind == Kind::LeftDelim {
                let start = self.at;
                self.next();
                if self.next_non_space().kind == Kind::Keyword(Keyword::Define) {
                    self.definition()?;
                    continue;
                }
                self.at = start;
            }
            match self.text_or_action()? {
                Item::Node(node) => body.push(node),
                Item::End(End::End) => return self.error("unexpected {{end}}"),
                Item::End(End::Else) => return self.error("unexpected {{else}}"),
            }
        }
        let name = self.name.to_owned();
        self.define(name, body)
    }

    fn definition(&mut self) -> Result<()> {
        let name = self.template_name("define clause")?;
        self.expect(Kind::RightDelim, "define clause")?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let (body, end) = self.items()?;
        self.variables = outer;
        if end == End::Else {
            return self.error("unexpected {{else}} in define clause");
        }
        self.define(name, body)
    }

    fn items(&mut self) -> Result<(Vec<Node>, End)> {
        self.enter()?;
        let mut nodes = Vec::new();
        while self.peek_non_eof() {
            match self.text_or_action()? {
                Item::Node(node) => nodes.push(node),
                Item::End(end) => {
                    self.depth -= 1;
                    return Ok((nodes, end));
                }
            }
        }
        self.next();
        self.error("unexpected EOF")
    }

    fn peek_non_eof(&self) -> bool {
        self.peek().kind != Kind::Eof
    }

    fn text_or_action(&mut self) -> Result<Item> {
        let token = self.next();
        match token.kind {
            Kind::Text => Ok(Item::Node(Node::Text(token.text.to_owned()))),
            Kind::LeftDelim => self.action(),
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Item> {
        let start = self.at;
        let token = self.next_non_space();
        let Kind::Keyword(keyword) = token.kind else {
            self.at = start;
            let pipe = self.pipe("command", &Kind::RightDelim)?;
            let escapers = Vec::new();
            return Ok(Item::Node(Node::Action { pipe, escapers }));
        };
        let node = match keyword {
            Keyword::If => self.branch(BranchKind::If)?,
            Keyword::Range => self.branch(BranchKind::Range)?,
            Keyword::With => self.branch(BranchKind::With)?,
            Keyword::Template => self.template_call()?,
            Keyword::Block => self.block()?,
            Keyword::Break | Keyword::Continue => self.jump(keyword, token.pos)?,
            Keyword::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Item::End(End::End));
            }
            Keyword::Else => {
                let next = self.peek_non_space().kind.clone();
                if !matches!(next, Kind::Keyword(Keyword::If | Keyword::With)) {
                    self.expect(Kind::RightDelim, "else")?;
                }
                return Ok(Item::End(End::Else));
            }
            Keyword::Define => return self.unexpected(&token, "command"),
        };
        Ok(Item::Node(node))
    }

    fn jump(&mut self, keyword: Keyword, pos: usize) -> Result<Node> {
        let (word, node) = match keyword {
            Keyword::Break => ("break", Node::Break(pos)),
            _ => ("continue", Node::Continue(pos)),
        };
        let token = self.next_non_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, &format!("{{{{{word}}}}}"));
        }
        if self.range_depth == 0 {
            return self.error(format!("{{{{{word}}}}} outside {{{{range}}}}"));
        }
        Ok(node)
    }

    fn branch(&mut self, kind: BranchKind) -> Result<Node> {
        self.enter()?;
        let context = kind.word();
        let variables = self.variables.len();
        let pos = self.peek_non_space().pos;
        let pipe = self.pipe(context, &Kind::RightDelim)?;
        self.range_depth += usize::from(kind == BranchKind::Range);
        let (body, end) = self.items()?;
        self.range_depth -= usize::from(kind == BranchKind::Range);
        let otherwise = if end == End::Else {
            self.otherwise(kind)?
        } else {
            Vec::new()
        };
        self.variables.truncate(variables);
        self.depth -= 1;
        Ok(Node::Branch(Branch {
            kind,
            pos,
            pipe,
            body,
            otherwise,
        }))
    }

    /// Parses what follows `else`: another `if` or `with` which shares its end, or a list with its own.
    fn otherwise(&mut self, kind: BranchKind) -> Result<Vec<Node>> {
        let next = self.peek_non_space().kind.clone();
        match (kind, next) {
            (BranchKind::If, Kind::Keyword(Keyword::If))
            | (BranchKind::With, Kind::Keyword(Keyword::With)) => {
                self.next();
                Ok(vec![self.branch(kind)?])
            }
            (_, Kind::Keyword(Keyword::If | Keyword::With)) => {
                let token = self.next();
                self.unexpected(&token, "else")
            }
            _ => {
                let (nodes, end) = self.items()?;
                if end == End::Else {
                    return self.error("expected end; found {{else}}");
                }
                Ok(nodes)
            }
        }
    }

    fn template_name(&mut self, context: &str) -> Result<String> {
        let token = self.next_non_space();
        match token.kind {
            Kind::String | Kind::RawString => self.unquote(&token),
            _ => self.unexpected(&token, context),
        }
    }

    fn template_call(&mut self) -> Result<Node> {
        let pos = self.peek_non_space().pos;
        let name = self.template_name("template clause")?;
        let pipe = if self.peek_non_space().kind == Kind::RightDelim {
            self.next();
            None
        } else {
            Some(self.pipe("template clause", &Kind::RightDelim)?)
        };
        Ok(Node::Template { pos, name, pipe })
    }

    fn block(&mut self) -> Result<Node> {
        let pos = self.peek_non_space().pos;
        let name = self.template_name("block clause")?;
        let pipe = self.pipe("block clause", &Kind::RightDelim)?;
        let outer = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let (body, end) = self.items()?;
        self.variables = outer;
        if end == End::Else {
            return self.error("unexpected {{else}} in block clause");
        }
        self.define(name.clone(), body)?;
        Ok(Node::Template {
            pos,
            name,
            pipe: Some(pipe),
        })
    }

    fn pipe(&mut self, context: &str, end: &Kind) -> Result<Pipe> {
        self.enter()?;
        let mut pipe = Pipe {
            is_assign: false,
            variables: Vec::new(),
            commands: Vec::new(),
        };
        self.declarations(&mut pipe, context)?;
        loop {
            let start = self.at;
            let token = self.next_non_space();
            if token.kind == *end {
                self.check_pipe(&pipe, context)?;
                self.depth -= 1;
                return Ok(pipe);
            }
            match token.kind {
                Kind::Bool
                | Kind::CharConstant
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.at = start;
                    pipe.commands.push(self.command()?);
                }
                _ => return self.unexpected(&token, context),
            }
        }
    }

    /// Parses `$x :=`, `$x =` and, of range, `$i, $x :=`.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Result<()> {
        while self.peek_non_space().kind == Kind::Variable {
            let start = self.at;
            let variable = self.next();
            let next = self.next_non_space();
            match next.kind {
                Kind::Assign | Kind::Declare => {
                    pipe.is_assign = next.kind == Kind::Assign;
                    if pipe.is_assign && !self.variables.iter().any(|v| v == variable.text) {
                        return self.error(format!("undefined variable {}", Quoted(variable.text)));
                    }
                    pipe.variables.push(variable.text.to_owned());
                    self.variables.push(variable.text.to_owned());
                    return Ok(());
                }
                Kind::Char if next.text == "," => {
                    pipe.variables.push(variable.text.to_owned());
                    self.variables.push(variable.text.to_owned());
                    if context != "range" || 1 < pipe.variables.len() {
                        return self.error(format!("too many declarations in {context}"));
                    }
                    if self.peek_non_space().kind != Kind::Variable {
                        return self.error("range can only initialize variables");
                    }
                }
                _ => {
                    self.at = start;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn check_pipe(&self, pipe: &Pipe, context: &str) -> Result<()> {
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        for (i, command) in pipe.commands.iter().enumerate().skip(1) {
            if matches!(
                command.operands[0].kind,
                OperandKind::Bool(_)
                    | OperandKind::Dot
                    | OperandKind::Nil
                    | OperandKind::Int { .. }
                    | OperandKind::Float { .. }
                    | OperandKind::String { .. }
            ) {
                return self.error(format!(
                    "non executable command in pipeline stage {}",
                    i + 1
                ));
            }
        }
        Ok(())
    }

    fn command(&mut self) -> Result<Command> {
        let pos = self.peek_non_space().pos;
        let mut operands = Vec::new();
        loop {
            self.skip_spaces();
            if let Some(operand) = self.operand()? {
                operands.push(operand);
            }
            let token = self.next();
            match token.kind {
                Kind::Space => {}
                Kind::RightDelim | Kind::RightParen => {
                    self.at -= 1;
                    break;
                }
                Kind::Pipe => break,
                _ => return self.unexpected(&token, "operand"),
            }
        }
        if operands.is_empty() {
            return self.error("empty command");
        }
        Ok(Command { pos, operands })
    }

    fn operand(&mut self) -> Result<Option<Operand>> {
        let Some(Operand { pos, kind }) = self.term()? else {
            return Ok(None);
        };
        if self.peek().kind != Kind::Field {
            return Ok(Some(Operand { pos, kind }));
        }
        // A chain is located at its first further field, as in Go.
        let chain_pos = self.peek().pos;
        let mut names = Vec::new();
        while self.peek().kind == Kind::Field {
            names.push(self.next().text[1..].to_owned());
        }
        let kind = match kind {
            OperandKind::Field(mut first) => {
                first.append(&mut names);
                OperandKind::Field(first)
            }
            OperandKind::Variable(mut first) => {
                first.append(&mut names);
                OperandKind::Variable(first)
            }
            kind @ (OperandKind::Identifier(_) | OperandKind::Pipe(_)) => {
                OperandKind::Chain(Box::new(Operand { pos, kind }), names)
            }
            kind => {
                let term = Operand { pos, kind }.to_string();
                return self.error(format!("unexpected . after term {}", Quoted(&term)));
            }
        };
        Ok(Some(Operand {
            pos: chain_pos,
            kind,
        }))
    }

    fn term(&mut self) -> Result<Option<Operand>> {
        let start = self.at;
        let token = self.next_non_space();
        let kind = match token.kind {
            Kind::Identifier => {
                if !(self.has_function)(token.text) {
                    return self.error(format!("function {} not defined", Quoted(token.text)));
                }
                OperandKind::Identifier(token.text.to_owned())
            }
            Kind::Dot => OperandKind::Dot,
            Kind::Nil => OperandKind::Nil,
            Kind::Bool => OperandKind::Bool(token.text == "true"),
            Kind::Variable => {
                if !self.variables.iter().any(|v| v == token.text) {
                    return self.error(format!("undefined variable {}", Quoted(token.text)));
                }
                OperandKind::Variable(vec![token.text.to_owned()])
            }
            Kind::Field => OperandKind::Field(vec![token.text[1..].to_owned()]),
            Kind::Number | Kind::CharConstant => self.constant(&token)?,
            Kind::LeftParen => OperandKind::Pipe(Box::new(
                self.pipe("parenthesized pipeline", &Kind::RightParen)?,
            )),
            Kind::String | Kind::RawString => OperandKind::String {
                quoted: token.text.to_owned(),
                value: self.unquote(&token)?.into(),
            },
            _ => {
                self.at = start;
                return Ok(None);
            }
        };
        Ok(Some(Operand {
            pos: token.pos,
            kind,
        }))
    }

    fn constant(&self, token: &Token<'_>) -> Result<OperandKind> {
        let text = token.text.to_owned();
        if token.kind == Kind::CharConstant {
            let inner = &token.text[1..token.text.len() - 1];
            let parsed = unquote_body(inner);
            let mut chars = parsed.iter().flat_map(|s| s.chars());
            return match (chars.next(), chars.next()) {
                (Some(c), None) => Ok(OperandKind::Int {
                    text,
                    value: i64::from(u32::from(c)),
                }),
                _ => self.error(format!("malformed character constant: {text}")),
            };
        }
        let plain = text.replace('_', "");
        let hex = plain
            .trim_start_matches(['+', '-'])
            .to_ascii_lowercase()
            .starts_with("0x");
        if !hex && plain.contains(['.', 'e', 'E']) {
            return match plain.parse() {
                Ok(value) => Ok(OperandKind::Float { text, value }),
                Err(_) => self.error(format!("illegal number syntax: {}", Quoted(&text))),
            };
        }
        match parse_int(&plain) {
            Some(value) => Ok(OperandKind::Int { text, value }),
            None => self.error(format!("illegal number syntax: {}", Quoted(&text))),
        }
    }

    fn unquote(&self, token: &Token<'_>) -> Result<String> {
        let inner = &token.text[1..token.text.len() - 1];
        if token.kind == Kind::RawString {
            return Ok(inner.replace('\r', ""));
        }
        match unquote_body(inner) {
            Some(text) => Ok(text),
            None => self.error("invalid syntax"),
        }
    }
}

fn describe(token: &Token<'_>) -> String {
    match &token.kind {
        Kind::Eof => "EOF".to_owned(),
        Kind::Error(message) => message.clone(),
        Kind::Keyword(_) => format!("<{}>", token.text),
        _ if 10 < token.text.chars().count() => {
            let head: String = token.text.chars().take(10).collect();
            format!("{}...", Quoted(&head))
        }
        _ => Quoted(token.text).to_string(),
    }
}

/// Reads a whole number with Go's prefixes; a leading zero means octal.
fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, lower.as_str()),
    };
    let value = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -value } else { value }).ok()
}

/// Resolves Go's escapes.
fn unquote_body(text: &str) -> Option<String> {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let escape = chars.next()?;
        let mut code = |digits: usize, radix: u32, first: Option<char>| -> Option<u32> {
            let mut value = match first {
                Some(c) => c.to_digit(radix)?,
                None => 0,
            };
            for _ in usize::from(first.is_some())..digits {
                value = value * radix + chars.next()?.to_digit(radix)?;
            }
            Some(value)
        };
        let byte = match escape {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => b'\n',
            'r' => b'\r',
            't' => b'\t',
            'v' => 11,
            '\\' | '\'' | '"' => u8::try_from(escape).ok()?,
            'x' => u8::try_from(code(2, 16, None)?).ok()?,
            '0'..='7' => u8::try_from(code(3, 8, Some(escape))?).ok()?,
            'u' | 'U' => {
                let c = char::from_u32(code(if escape == 'u' { 4 } else { 8 }, 16, None)?)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(byte);
    }
    Some(String::from_utf8_lossy(&out).into_owned())
}
